//! Measures fetching content against a bare copy over libp2p-stream, in one run: `cargo bench
//! --bench content`.
//!
//! Each side is a process of its own, so that its memory and time can be measured. Words after `--`
//! choose parts: copy, profile, providers, small, resume, large, far.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bao_tree::{
    BaoTree, BlockSize, ChunkNum, ChunkRanges,
    io::{
        outboard::PreOrderMemOutboard,
        sync::{DecodeResponseIter, encode_ranges_validated},
    },
};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, multiaddr::Protocol, noise,
    swarm::SwarmEvent, tcp, yamux,
};
use swarmdex::{
    domain::{hash::ContentRoot, manifest::Content, transfer::TransferId},
    node::{Conduct, Delays, DhtMode, Node, NodeOptions, Staging},
    registry::{Contents, Fetched, Wanted},
};

const MIB: usize = 1 << 20;
/// Size of the copied content, in bytes.
const SIZE: usize = 512 * MIB;
/// Copies of each kind, of which the median is shown.
const RUNS: usize = 3;
/// Bytes per second that a provider sends.
const PACE: u64 = 20 << 20;
const SMALL: usize = 2_000;

#[track_caller]
fn median(mut values: Vec<f64>) -> f64 {
    assert!(
        !values.is_empty(),
        "nothing was measured, and a figure of nothing is none"
    );
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Writes incompressible bytes to a file.
fn content(path: &Path, size: usize, seed: u8) {
    let mut file = File::create(path).unwrap();
    let mut filler = blake3::Hasher::new().update(&[seed]).finalize_xof();
    let mut piece = vec![0; MIB];
    for _ in 0..size / MIB {
        filler.fill(&mut piece);
        file.write_all(&piece).unwrap();
    }
    file.sync_all().unwrap();
}

/// Returns the peak memory of a process since its last reset, in MiB: proc_pid_status(5).
fn peak_mib(process: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<f64>().ok())
        .expect("the process says how much memory it had")
        / 1_024.0
}

/// Another process of this bench, which does `what` and prints its address.
struct Side {
    child: Child,
    address: String,
}

impl Side {
    fn start(what: &[&str]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(what)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut address)
            .unwrap();
        Self {
            child,
            address: address.trim().to_owned(),
        }
    }

    fn peak_mib(&self) -> f64 {
        peak_mib(&self.child.id().to_string())
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn node(dir: &Path, door: &[String], conduct: Conduct) -> (Node, String) {
    node_far(dir, door, conduct, None).await
}

async fn node_far(
    dir: &Path,
    door: &[String],
    conduct: Conduct,
    one_way: Option<Duration>,
) -> (Node, String) {
    let mut options = NodeOptions::of(dir.to_owned(), "bench".parse().unwrap());
    options.net.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
    options.net.bootstrap = door.iter().map(|door| door.parse().unwrap()).collect();
    options.net.mdns = false;
    options.net.dht = DhtMode::Server;
    options.staging = Staging {
        delays: one_way.map(|one_way| Delays::new(move |_| Some(one_way))),
        ..Staging::of(conduct)
    };
    // Only the bench moves bytes.
    options.registry.copies = 0;
    options.registry.keep_for_others = 0;
    let node = Node::start(options).await.unwrap();
    let address = node.status().await.unwrap().addresses[0].clone();
    while node.status().await.unwrap().connected < door.len() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (node, address)
}

async fn put(node: &Node, path: &Path) -> Content {
    node.contents()
        .put(Box::pin(tokio::fs::File::open(path).await.unwrap()))
        .await
        .unwrap()
}

fn wanted(content: Content) -> Wanted {
    Wanted {
        content,
        what: "bench".to_owned(),
        package: None,
        beside: None,
        for_others: false,
    }
}

async fn fetch(contents: &Arc<dyn Contents>, content: Content) -> Fetched {
    contents.fetch(wanted(content), None).await.unwrap()
}

fn root_of(path: &Path) -> Content {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path).unwrap()).unwrap();
    Content {
        root: ContentRoot::from(hasher.finalize()),
        size: hasher.count(),
    }
}

// The bare side: libp2p-stream and nothing else.

const COPY: StreamProtocol = StreamProtocol::new("/bench/copy/1");

fn bare() -> Swarm<libp2p_stream::Behaviour> {
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )
        .unwrap()
        .with_behaviour(|_| libp2p_stream::Behaviour::new())
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(3_600)))
        .build();
    swarm
        .listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap())
        .unwrap();
    swarm
}

/// Sends a file to each peer that opens a stream.
async fn bare_server(path: PathBuf) {
    let mut swarm = bare();
    let mut incoming = swarm.behaviour().new_control().accept(COPY).unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address.with(Protocol::P2p(*swarm.local_peer_id()));
        }
    };
    println!("{address}");
    tokio::spawn(async move {
        while let Some((_, mut stream)) = incoming.next().await {
            let mut file = tokio::fs::File::open(&path).await.unwrap();
            let mut piece = vec![0; MIB];
            loop {
                let read = tokio::io::AsyncReadExt::read(&mut file, &mut piece)
                    .await
                    .unwrap();
                if read == 0 || stream.write_all(&piece[..read]).await.is_err() {
                    break;
                }
            }
            let _ = stream.close().await;
        }
    });
    loop {
        swarm.select_next_some().await;
    }
}

/// Copies from a bare server to a file, and syncs it.
async fn bare_copy(address: &str, to: &Path) -> f64 {
    let address: Multiaddr = address.parse().unwrap();
    let Some(Protocol::P2p(peer)) = address.iter().last() else {
        panic!("{address}")
    };
    let peer: PeerId = peer;
    let mut swarm = bare();
    let mut control = swarm.behaviour().new_control();
    swarm.dial(address).unwrap();
    loop {
        if let SwarmEvent::ConnectionEstablished { .. } = swarm.select_next_some().await {
            break;
        }
    }
    let driver = tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    let begun = Instant::now();
    let mut stream = control.open_stream(peer, COPY).await.unwrap();
    let (pieces, mut queue) = tokio::sync::mpsc::channel::<Vec<u8>>(4);
    let to = to.to_owned();
    let writer = tokio::task::spawn_blocking(move || {
        let mut file = File::create(to).unwrap();
        while let Some(piece) = queue.blocking_recv() {
            file.write_all(&piece).unwrap();
        }
        file.sync_all().unwrap();
    });
    let mut piece = Vec::with_capacity(MIB);
    let mut buffer = vec![0; 256 * 1_024];
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        piece.extend_from_slice(&buffer[..read]);
        if piece.len() >= MIB || read == 0 {
            pieces
                .send(std::mem::replace(&mut piece, Vec::with_capacity(MIB)))
                .await
                .unwrap();
        }
        if read == 0 {
            break;
        }
    }
    drop(pieces);
    writer.await.unwrap();
    let took = begun.elapsed().as_secs_f64();
    driver.abort();
    took
}

/// Copies one content between two processes, alternating between ours and the bare copy.
async fn copy(dir: &Path) {
    let path = dir.join("content");
    content(&path, SIZE, 1);
    let content = root_of(&path);
    let file = path.to_str().unwrap();
    let (mut ours, mut floor, mut memory, mut serving) = (Vec::new(), Vec::new(), 0.0_f64, 0.0_f64);
    let bare_side = Side::start(&["--bare", file]);
    let side = Side::start(&["--serve", file]);
    for run in 0..RUNS {
        floor.push(bare_copy(&bare_side.address, &dir.join(format!("copy-{run}"))).await);
        std::fs::remove_file(dir.join(format!("copy-{run}"))).unwrap();
        let at = dir.join(format!("fetch-{run}"));
        let mut fetching = Command::new(std::env::current_exe().unwrap())
            .args([
                "--fetch",
                at.to_str().unwrap(),
                &side.address,
                &content.root.to_string(),
                &content.size.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = String::new();
        BufReader::new(fetching.stdout.as_mut().unwrap())
            .read_line(&mut told)
            .unwrap();
        ours.push(told.trim().parse::<f64>().unwrap());
        memory = memory.max(peak_mib(&fetching.id().to_string()));
        serving = serving.max(side.peak_mib());
        fetching.kill().unwrap();
        fetching.wait().unwrap();
        std::fs::remove_dir_all(at).unwrap();
    }
    let rate = |seconds: f64| (SIZE / MIB) as f64 / seconds;
    let (ours, floor) = (rate(median(ours)), rate(median(floor)));
    println!(
        "512 MiB from one peer, verified, written, synced: {ours:.0} MiB/s; bare copy, written, \
         synced: {floor:.0} MiB/s"
    );
    println!("  ratio {:.0} % (goal 65 %)", ours / floor * 100.0);
    println!(
        "  most memory of the process that fetches {memory:.0} MiB, that serves {serving:.0} MiB \
         (goal 64)"
    );
}

/// Measures each stage by itself on one thread, to find where the rest of the time goes.
fn profile(dir: &Path) {
    let size = 128 * MIB;
    let path = dir.join("profile");
    content(&path, size, 2);
    let mut bytes = Vec::new();
    File::open(&path).unwrap().read_to_end(&mut bytes).unwrap();
    let block = BlockSize::from_chunk_log(4);
    let timed = |what: &str, job: &mut dyn FnMut()| {
        let begun = Instant::now();
        job();
        let rate = (size / MIB) as f64 / begun.elapsed().as_secs_f64();
        println!(
            "  {what:<46} {rate:>6.0} MiB/s  {:.2} ms a MiB",
            1_000.0 / rate
        );
    };
    println!("Each stage by itself, on one thread:");
    timed("BLAKE3 of memory", &mut || {
        assert_ne!(blake3::hash(&bytes).as_bytes(), &[0; 32])
    });
    let hashes = PreOrderMemOutboard::create(&bytes, block);
    let tree = BaoTree::new(size as u64, block);
    let ranges = |start: usize| {
        ChunkRanges::from(ChunkNum(start as u64 * 1_024)..ChunkNum((start as u64 + 1) * 1_024))
    };
    let mut encoded = Vec::new();
    let file = File::open(&path).unwrap();
    timed("serving: read, verify, encode", &mut || {
        for start in 0..size / MIB {
            let mut piece = Vec::with_capacity(MIB + 8_192);
            encode_ranges_validated(&file, &hashes, &ranges(start), &mut piece).unwrap();
            encoded.push(piece);
        }
    });
    timed("fetching: decode, verify", &mut || {
        for (start, piece) in encoded.iter().enumerate() {
            let ranges = ranges(start);
            assert!(
                DecodeResponseIter::new(hashes.root, tree, piece.as_slice(), &ranges)
                    .all(|item| item.is_ok())
            );
        }
    });
    let out = File::create(dir.join("written")).unwrap();
    timed("fetching: write in 16 KiB pieces", &mut || {
        for (n, piece) in bytes.chunks(16 * 1_024).enumerate() {
            std::os::unix::fs::FileExt::write_all_at(&out, piece, n as u64 * 16 * 1_024).unwrap();
        }
    });
    timed("fetching: sync", &mut || out.sync_all().unwrap());
}

async fn providers(dir: &Path) {
    let size = 256 * MIB;
    let path = dir.join("provided");
    content(&path, size, 3);
    let mut took = Vec::new();
    for count in [1, 4] {
        let (mut nodes, mut doors, mut found) = (Vec::new(), Vec::new(), None);
        for number in 0..count {
            let (node, address) = node(
                &dir.join(format!("p{count}-{number}")),
                &doors,
                Conduct::Paced(PACE),
            )
            .await;
            found = Some(put(&node, &path).await);
            doors.push(address);
            nodes.push(node);
        }
        let (getter, _) = node(&dir.join(format!("g{count}")), &doors, Conduct::Honest).await;
        let begun = Instant::now();
        fetch(&getter.contents(), found.unwrap()).await;
        took.push(begun.elapsed().as_secs_f64());
        getter.shutdown().await.unwrap();
        for node in nodes {
            node.shutdown().await.unwrap();
        }
    }
    let rate = |seconds: f64| (size / MIB) as f64 / seconds;
    println!(
        "256 MiB from providers of 20 MiB/s each: one {:.1} MiB/s, four {:.1} MiB/s",
        rate(took[0]),
        rate(took[1])
    );
    println!("  ratio {:.2} (goal 3.5)", took[0] / took[1]);
}

async fn small(dir: &Path) {
    let (a, address) = node(&dir.join("small-a"), &[], Conduct::Honest).await;
    let mut contents = Vec::new();
    for n in 0..SMALL {
        let mut bytes = vec![0; 4_096];
        blake3::Hasher::new()
            .update(&n.to_be_bytes())
            .finalize_xof()
            .fill(&mut bytes);
        contents.push(
            a.contents()
                .put(Box::pin(std::io::Cursor::new(bytes)))
                .await
                .unwrap(),
        );
    }
    let (b, _) = node(&dir.join("small-b"), &[address], Conduct::Honest).await;
    let getter = b.contents();
    fetch(&getter, contents[0]).await;
    let begun = Instant::now();
    let rest: Vec<_> = contents[1..].to_vec();
    futures::stream::iter(rest)
        .for_each_concurrent(64, |content| {
            let getter = getter.clone();
            async move { drop(fetch(&getter, content).await) }
        })
        .await;
    let rate = (SMALL - 1) as f64 / begun.elapsed().as_secs_f64();
    println!("2,000 contents of 4 KiB from one warm peer: {rate:.0} a second (goal 500)");
    a.shutdown().await.unwrap();
    b.shutdown().await.unwrap();
}

async fn resume(dir: &Path) {
    let size = 256 * MIB;
    let path = dir.join("resumed");
    content(&path, size, 4);
    // Slow enough to be killed in the middle.
    let (a, address) = node(&dir.join("resume-a"), &[], Conduct::Paced(64 << 20)).await;
    let content = put(&a, &path).await;
    let at = dir.join("resume-b");
    let served = async || {
        let transfers = a.contents().transfers().await.unwrap();
        transfers
            .iter()
            .filter(|one| matches!(one.id, TransferId::Serve { .. }))
            .map(|one| one.done)
            .sum::<u64>()
    };
    let start = || {
        let (root, size) = (content.root.to_string(), content.size.to_string());
        Command::new(std::env::current_exe().unwrap())
            .args(["--fetch", at.to_str().unwrap(), &address, &root, &size])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut first = start();
    while served().await < size as u64 / 2 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    first.kill().unwrap();
    first.wait().unwrap();
    let mut again = start();
    let mut told = String::new();
    BufReader::new(again.stdout.as_mut().unwrap())
        .read_line(&mut told)
        .unwrap();
    again.kill().unwrap();
    again.wait().unwrap();
    let twice = served().await.saturating_sub(size as u64) as f64 / size as f64 * 100.0;
    println!(
        "256 MiB, killed at half and started again: {twice:.2} % of the bytes were sent twice \
         (goal 1)"
    );
    a.shutdown().await.unwrap();
}

async fn large(dir: &Path) {
    let path = dir.join("large");
    content(&path, 1_024 * MIB, 5);
    let side = Side::start(&["--serve", path.to_str().unwrap()]);
    let (getter, _) = node(
        &dir.join("large-b"),
        std::slice::from_ref(&side.address),
        Conduct::Honest,
    )
    .await;
    let content = root_of(&path);
    let begun = Instant::now();
    fetch(&getter.contents(), content).await;
    let took = begun.elapsed().as_secs_f64();
    assert!(getter.contents().check(content.root).await.unwrap());
    println!(
        "1 GiB: {:.0} MiB/s, and it verifies once more",
        1_024.0 / took
    );
    getter.shutdown().await.unwrap();
}

/// Returns the processor time of this process in seconds: proc_pid_stat(5), in ticks of 10 ms.
fn busy() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    fields
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

/// Measures the cost of a delayed link between two nodes in this process: without one, with a delay
/// of zero, and with 40 ms one way.
async fn far(dir: &Path) {
    let size = 256 * MIB;
    let path = dir.join("far");
    content(&path, size, 6);
    let ways = [None, Some(Duration::ZERO), Some(Duration::from_millis(40))];
    let mut took = [const { Vec::new() }; 3];
    let mut spent = [const { Vec::new() }; 3];
    for run in 0..RUNS {
        for (n, one_way) in ways.into_iter().enumerate() {
            let (a, b) = (
                dir.join(format!("far-a{run}{n}")),
                dir.join(format!("far-b{run}{n}")),
            );
            let (from, address) = node_far(&a, &[], Conduct::Honest, one_way).await;
            let content = put(&from, &path).await;
            let (to, _) = node_far(&b, &[address], Conduct::Honest, one_way).await;
            let (begun, before) = (Instant::now(), busy());
            fetch(&to.contents(), content).await;
            took[n].push(begun.elapsed().as_secs_f64());
            spent[n].push(busy() - before);
            to.shutdown().await.unwrap();
            from.shutdown().await.unwrap();
            std::fs::remove_dir_all(a).unwrap();
            std::fs::remove_dir_all(b).unwrap();
        }
    }
    println!("256 MiB between two nodes in one process, by what is between them:");
    for (n, what) in ["nothing", "a delay of 0 ms", "40 ms one way"]
        .into_iter()
        .enumerate()
    {
        let rate = (size / MIB) as f64 / median(took[n].clone());
        println!(
            "  {what:<16} {rate:>5.0} MiB/s, {:.2} s of processor time",
            median(spent[n].clone())
        );
    }
}

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    match words
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["--bare", path] => return bare_server(path.into()).await,
        ["--serve", path] => {
            let dir = tempfile::tempdir_in(Path::new(path).parent().unwrap()).unwrap();
            let (node, address) = node(dir.path(), &[], Conduct::Honest).await;
            put(&node, Path::new(path)).await;
            println!("{address}");
            return std::future::pending().await;
        }
        ["--fetch", dir, address, root, size] => {
            let (node, _) = node(Path::new(dir), &[(*address).to_owned()], Conduct::Honest).await;
            let content = Content {
                root: root.parse().unwrap(),
                size: size.parse().unwrap(),
            };
            let begun = Instant::now();
            fetch(&node.contents(), content).await;
            println!("{}", begun.elapsed().as_secs_f64());
            // Wait until the parent has read this process's memory.
            return std::future::pending().await;
        }
        _ => {}
    }
    let wants = |part: &str| words.is_empty() || words.iter().any(|word| word == part);
    // On the disk that a node would use, and not in memory.
    let dir = tempfile::tempdir_in(std::env::current_dir().unwrap().join("target")).unwrap();
    if wants("copy") {
        copy(dir.path()).await;
    }
    if wants("profile") {
        profile(dir.path());
    }
    if wants("providers") {
        providers(dir.path()).await;
    }
    if wants("small") {
        small(dir.path()).await;
    }
    if wants("resume") {
        resume(dir.path()).await;
    }
    if wants("large") {
        large(dir.path()).await;
    }
    if wants("far") {
        far(dir.path()).await;
    }
}
