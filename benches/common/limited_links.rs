//! Crates that only four peers have, each behind a link of 20 MiB a second, compared with one nginx
//! behind such a link: with cargo, which unpacks what it gets, and as mere downloads.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use std::{
    collections::HashSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    Site,
    cargo_project::{self, Crate},
    http_client::Link,
    median,
    rivals::Rival,
    runs,
    throttle::Throttle,
};

const PEERS: usize = 4;
/// Bytes per second of each peer's link, and of nginx's.
const RATE: u64 = 20 << 20;
/// Concurrent downloads.
const CLIENTS: usize = 16;
/// Longest wait until a node knows all crates.
const HEARD: Duration = Duration::from_secs(60);

/// Waits until a node knows all crates.
fn wait_for(site: &Site, crates: &[Crate]) {
    let names: HashSet<&str> = crates.iter().map(|one| &*one.name).collect();
    let begun = Instant::now();
    loop {
        let status: Value = serde_json::from_slice(&site.does(&["status", "--json"])).unwrap();
        if status["packages"].as_u64() >= Some(names.len() as u64) {
            return;
        }
        assert!(begun.elapsed() < HEARD, "{} packages", status["packages"]);
        thread::sleep(Duration::from_millis(100));
    }
}

fn address(site: &Site) -> String {
    let status: Value = serde_json::from_slice(&site.does(&["status", "--json"])).unwrap();
    status["addresses"][0].as_str().unwrap().to_owned()
}

/// Downloads all of these paths, up to [`CLIENTS`] at once. Returns seconds and bytes.
fn download(host: &str, paths: &[String]) -> (f64, u64) {
    let (next, bytes, begun) = (AtomicUsize::new(0), Mutex::new(0), Instant::now());
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut link = Link::to(host);
                while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = link.get(path, "");
                    assert_eq!(answer.status, 200, "{host}{path}");
                    *bytes.lock().unwrap() += answer.body.len() as u64;
                }
            });
        }
    });
    (begun.elapsed().as_secs_f64(), bytes.into_inner().unwrap())
}

/// The nodes that have the crates, each with its link.
struct Peers {
    sites: Vec<Site>,
    links: Vec<Throttle>,
    /// The names of the crates.
    ids: Vec<String>,
    publisher: String,
}

fn peers(scratch: &Path, crates: &[Crate]) -> Peers {
    let first = Site::start(scratch.join("peer0"), &[]);
    cargo_project::import(&first, crates);
    let own: Value = serde_json::from_slice(&first.does(&["key", "show", "--json"])).unwrap();
    let publisher = own["publisher"].as_str().unwrap().to_owned();
    let door = address(&first);
    let mut sites = vec![first];
    for at in 1..PEERS {
        let site = Site::start(scratch.join(format!("peer{at}")), &["--bootstrap", &door]);
        site.does(&["trust", &publisher, "--for", "cargo:*"]);
        wait_for(&site, crates);
        download(&site.host, &ours(crates));
        sites.push(site);
    }
    let addresses: Vec<String> = sites.iter().map(address).collect();
    let id = |address: &String| address.rsplit('/').next().unwrap().to_owned();
    let (links, ids) = (
        addresses.iter().map(|one| link(one)).collect(),
        addresses.iter().map(id).collect(),
    );
    Peers {
        sites,
        links,
        ids,
        publisher,
    }
}

/// Puts a link in front of the node at this address.
fn link(address: &str) -> Throttle {
    let mut parts = address.split('/');
    let port = parts.find(|part| *part == "tcp").and_then(|_| parts.next());
    let port: u16 = port.expect("a TCP address").parse().unwrap();
    Throttle::before(SocketAddr::from(([127, 0, 0, 1], port)), RATE)
}

/// Returns the paths of the crates on a gateway.
fn ours(crates: &[Crate]) -> Vec<String> {
    let path = |one: &Crate| {
        format!(
            "/cargo-mirror/api/v1/crates/{}/{}/download",
            one.name, one.version
        )
    };
    crates.iter().map(path).collect()
}

/// Starts a node that knows the crates but has none of their bytes.
fn getter(dir: PathBuf, peers: &Peers, crates: &[Crate]) -> Site {
    let doors: Vec<String> = peers
        .links
        .iter()
        .zip(&peers.ids)
        .flat_map(|(link, id)| {
            let door = format!("/ip4/127.0.0.1/tcp/{}/p2p/{id}", link.address.port());
            ["--bootstrap".to_owned(), door]
        })
        .collect();
    let site = Site::start(dir, &doors.iter().map(String::as_str).collect::<Vec<_>>());
    site.does(&["trust", &peers.publisher, "--for", "cargo:*"]);
    wait_for(&site, crates);
    site
}

pub fn far(scratch: &Path) {
    let project = scratch.join("project");
    let crates = cargo_project::project(&project);
    let peers = peers(scratch, &crates);
    let dir = scratch.join("nginx");
    let Some(nginx) = Rival::start("nginx", &dir, &[]) else {
        println!("  nginx is not installed");
        return;
    };
    let slow = Throttle::before(nginx.host.parse().unwrap(), RATE);
    let slow_host = slow.address.to_string();
    cargo_project::static_registry(&peers.sites[0], &dir.join("www"), &slow_host, &crates);
    let theirs: Vec<String> = crates
        .iter()
        .map(|one| format!("/crates/{}-{}.crate", one.name, one.version))
        .collect();
    let home = scratch.join("cargo-home");
    let [mut bytes, mut fetched] = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
    let mut size = 0;
    for run in 0..runs() {
        let fresh = |what: &str| {
            let before: u64 = peers.links.iter().map(Throttle::passed).sum();
            (
                getter(scratch.join(format!("{what}{run}")), &peers, &crates),
                before,
            )
        };
        let (site, before) = fresh("bytes");
        let (seconds, got) = download(&site.host, &ours(&crates));
        let passed: u64 = peers.links.iter().map(Throttle::passed).sum::<u64>() - before;
        assert!(
            passed > got,
            "{got} bytes came, and {passed} over the links"
        );
        size = got;
        bytes[0].push(seconds);
        drop(site);
        bytes[1].push(download(&slow_host, &theirs).0);
        let (site, _) = fresh("cargo");
        let mirror = format!("sparse+{}/cargo-mirror/", site.url());
        fetched[0].push(cargo_project::fetch(&home, &project, &mirror));
        drop(site);
        let mirror = format!("sparse+http://{slow_host}/");
        fetched[1].push(cargo_project::fetch(&home, &project, &mirror));
    }
    println!(
        "\n{} crates, {:.1} MiB, that are at {PEERS} peers of 20 MiB/s each, and at one nginx of \
         20 MiB/s",
        crates.len(),
        size as f64 / f64::from(1 << 20)
    );
    for (what, mut times) in [("bytes alone", bytes), ("cargo fetch", fetched)] {
        let [ours, theirs] = [0, 1].map(|at| median(&mut times[at]));
        println!(
            "  {what}: swarmdex {ours:.2} s, nginx {theirs:.2} s: {:.2} times as fast",
            theirs / ours
        );
    }
}
