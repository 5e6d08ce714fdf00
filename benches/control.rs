//! Measures the cost of a running node and of its control socket: `cargo bench --bench control`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use portable_pty::{CommandBuilder, NativePtySystem, PtySize, PtySystem};
use swarmdex::control::{Remote, Target, Watch};
use tokio::task::JoinSet;

const PROGRAM: &str = env!("CARGO_BIN_EXE_swarmdex");
/// Timed runs of `status`.
const RUNS: usize = 50;
/// Control requests per second, and for how long.
const RATE: u32 = 1_000;
const LENGTH: Duration = Duration::from_secs(10);
/// Processor time is counted for this long.
const WATCHED: Duration = Duration::from_secs(20);

#[track_caller]
fn part(mut values: Vec<f64>, share: f64) -> f64 {
    assert!(
        !values.is_empty(),
        "nothing was measured, and a figure of nothing is none"
    );
    values.sort_unstable_by(f64::total_cmp);
    values[((values.len() as f64 * share) as usize).min(values.len() - 1)]
}

/// A process that ends with the bench.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .args(["-TERM", &self.0.id().to_string()])
            .status();
        let _ = self.0.wait();
    }
}

fn swarmdex(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(words)
        .env_clear()
        .env("HOME", home)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// Returns the processor time of a process and all its threads, in seconds: proc_pid_stat(5), at
/// 100 ticks a second.
fn cpu_seconds(process: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks: f64 = [11, 12]
        .iter()
        .filter_map(|at| fields.get(*at)?.parse::<f64>().ok())
        .sum();
    ticks / 100.0
}

/// Returns the processor time over a while, in per cent of a core.
fn cpu_percent(process: u32, length: Duration) -> f64 {
    let (before, begun) = (cpu_seconds(process), Instant::now());
    std::thread::sleep(length);
    (cpu_seconds(process) - before) / begun.elapsed().as_secs_f64() * 100.0
}

fn memory_mib(process: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
    let pages: f64 = text
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("the process says so");
    pages * 4_096.0 / 1_048_576.0
}

/// Measures an idle node without peers: its processor time, its memory, and the duration of
/// `status`.
fn idle_and_status() {
    let home = tempfile::tempdir().unwrap();
    let words = [
        "--no-mdns",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
        "node",
        "--json",
    ];
    let node = swarmdex(home.path(), &words)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut node = Running(node);
    let mut line = String::new();
    BufReader::new(node.0.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    std::thread::sleep(Duration::from_secs(3));
    let (cpu, memory) = (cpu_percent(node.0.id(), WATCHED), memory_mib(node.0.id()));
    println!(
        "idle node, empty catalogue: {cpu:.2} % of a core (goal 0.5), {memory:.1} MiB (goal 40)"
    );
    let time = |words: &[&str]| -> Vec<f64> {
        (0..RUNS)
            .map(|_| {
                let begun = Instant::now();
                let output = swarmdex(home.path(), words).output().unwrap();
                assert!(
                    output.status.success(),
                    "{}",
                    String::from_utf8_lossy(&output.stderr)
                );
                begun.elapsed().as_secs_f64() * 1_000.0
            })
            .collect()
    };
    let (floor, status) = (time(&["--version"]), time(&["status"]));
    println!(
        "status, whole process: median {:.1} ms, p95 {:.1} (goal 30); the program that only says \
         its version: {:.1} ms",
        part(status.clone(), 0.5),
        part(status, 0.95),
        part(floor, 0.5)
    );
}

/// Starts a demo of 24 nodes, one of which has a control socket.
fn demo(home: &Path) -> (Running, PathBuf) {
    let data = home.join("demo");
    let words = [
        "--data-dir",
        data.to_str().unwrap(),
        "demo",
        "--headless",
        "--for",
        "10m",
        "--catalogue",
        "embedded",
    ];
    let more = [
        "--peers", "24", "--seed", "1", "--churn", "0", "--rate", "120",
    ];
    let child = swarmdex(home, &[&words[..], &more].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (child, socket) = (Running(child), data.join("demo-1/node-00/control.sock"));
    while !socket.exists() {
        std::thread::sleep(Duration::from_millis(50));
    }
    // Until all nodes have joined.
    std::thread::sleep(Duration::from_secs(20));
    (child, socket)
}

/// Starts a node in a process of its own that joins the demo, and returns its socket.
fn joined(home: &Path, demo: &Path) -> (Running, PathBuf) {
    let status = swarmdex(
        home,
        &["--attach", demo.to_str().unwrap(), "status", "--json"],
    )
    .output()
    .unwrap()
    .stdout;
    let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let (network, address) = (text(&status["network"]), text(&status["addresses"][0]));
    let words = [
        "--no-mdns",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
        "--network",
        &network,
        "--bootstrap",
        &address,
    ];
    let mut command = swarmdex(home, &[&words[..], &["node", "--json"]].concat());
    let mut node = Running(
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let mut line = String::new();
    BufReader::new(node.0.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    let said: serde_json::Value = serde_json::from_str(&line).unwrap();
    // Until it knows the others.
    std::thread::sleep(Duration::from_secs(10));
    (node, PathBuf::from(text(&said["socket"])))
}

/// Sends requests at a constant rate beside the demo's own work, each at its time, whether or not
/// earlier ones are answered.
async fn requests(socket: &Path, what: &str) {
    let remote = Remote::connect(Target::Unix(socket.to_owned()), false)
        .await
        .unwrap();
    let total = RATE * LENGTH.as_secs() as u32;
    let mut asking = JoinSet::new();
    let begun = tokio::time::Instant::now();
    for number in 0..total {
        let due = begun + LENGTH * number / total;
        let remote = remote.clone();
        tokio::time::sleep_until(due).await;
        asking.spawn(async move {
            remote
                .status()
                .await
                .map(|_| due.elapsed().as_secs_f64() * 1_000.0)
        });
    }
    let answers = asking.join_all().await;
    let failed = answers.iter().filter(|answer| answer.is_err()).count();
    let times: Vec<f64> = answers.into_iter().flatten().collect();
    println!(
        "{} control requests in {:.1} s to {what}: p50 {:.2} ms, p99 {:.2} ms (goal 10), {failed} \
         failed",
        total,
        begun.elapsed().as_secs_f64(),
        part(times.clone(), 0.5),
        part(times, 0.99)
    );
}

/// Measures an attached explorer, and how much it adds to the demo's own work.
fn attached(demo: u32, socket: &Path, home: &Path) {
    let before = cpu_percent(demo, WATCHED);
    let size = PtySize {
        rows: 60,
        cols: 200,
        pixel_width: 0,
        pixel_height: 0,
    };
    let pair = NativePtySystem::default().openpty(size).unwrap();
    let mut command = CommandBuilder::new(PROGRAM);
    command.args(["--attach", socket.to_str().unwrap()]);
    command.env_clear();
    command.env("HOME", home);
    command.env("TERM", "xterm-256color");
    let mut reader = pair.master.try_clone_reader().unwrap();
    let mut child = pair.slave.spawn_command(command).unwrap();
    let reading = std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while matches!(reader.read(&mut buffer), Ok(read) if read > 0) {}
    });
    std::thread::sleep(Duration::from_secs(3));
    let explorer = child.process_id().unwrap();
    let own = std::thread::spawn(move || cpu_percent(explorer, WATCHED));
    let with = cpu_percent(demo, WATCHED);
    let own = own.join().unwrap();
    let _ = child.kill();
    let _ = child.wait();
    drop(pair);
    let _ = reading.join();
    println!(
        "attached explorer: {own:.2} % of a core itself, and the demo of 24 nodes {before:.1} % \
         without and {with:.1} % with it (goal 2 more)"
    );
}

fn main() {
    // `cargo test` runs it without `--bench`; then it does nothing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    idle_and_status();
    let home = tempfile::tempdir().unwrap();
    let (demo, socket) = demo(home.path());
    let (node, own) = joined(home.path(), &socket);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(requests(&own, "a node in a swarm of 25"));
    drop(node);
    runtime.block_on(requests(&socket, "one of 24 nodes in one process"));
    attached(demo.0.id(), &socket, home.path());
}
