//! Compares the gateway with its alternatives in one run: pages of 2,000 versions read by 20
//! clients at once, 2,000 uploads of one project, installs by the real clients with a new cache
//! each time, and the node's memory for all that.
//!
//! `benches/rivals/install` puts the rivals in a folder; where they are not, only our own figures
//! are printed. `cargo bench --bench gateway [uploads] [pages] [npm] [pip] [cargo] [installs]
//! [far]` runs these rows, or all. `SWARMDEX_BENCH_RUNS` is how often each is run (5), and
//! `SWARMDEX_BENCH_DEVPI` how many uploads devpi gets (200): it takes half a second for each, and
//! no more begin after `SWARMDEX_BENCH_DEVPI_SECONDS` (900). `SWARMDEX_BENCH_INSTALLS` is how many
//! installs the node's memory is looked at over (100), and `SWARMDEX_BENCH_BIN` another build to
//! measure.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

#[path = "common/cargo_project.rs"]
mod cargo_project;
#[path = "common/clients.rs"]
mod clients;
#[path = "common/debian.rs"]
mod debian;
#[path = "common/generated.rs"]
mod generated;
#[path = "common/http_client.rs"]
mod http_client;
#[path = "common/limited_links.rs"]
mod limited_links;
mod rivals;
#[path = "common/throttle.rs"]
mod throttle;

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use data_encoding::BASE64;
use debian::{percentile, resident_mib};
use http_client::{Link, Page, crowd};
use rivals::Rival;
use serde_json::Value;

/// Versions of the packages whose pages are read, and number of uploads.
const VERSIONS: usize = 2_000;
/// Clients that read a page at once, and reads of each.
const CROWD: usize = 20;
const TIMES: usize = 5;
/// Longest wait until a new node opens its gateway.
const OPENED: Duration = Duration::from_secs(30);

pub fn number(name: &str, usual: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual)
}

pub fn runs() -> usize {
    number("SWARMDEX_BENCH_RUNS", 5)
}

pub fn median(values: &mut [f64]) -> f64 {
    percentile(values, 0.5)
}

/// A node of its own with a gateway, as the program runs it.
pub struct Site {
    child: Child,
    pub dir: PathBuf,
    pub host: String,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the program as a command on the node of this directory.
fn program(dir: &Path) -> Command {
    let built = std::env::var_os("SWARMDEX_BENCH_BIN");
    let mut command = Command::new(built.unwrap_or_else(|| env!("CARGO_BIN_EXE_swarmdex").into()));
    // Variables of the bench are not settings of a node.
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SWARMDEX_"))
    {
        command.env_remove(name);
    }
    command
        .env("HOME", dir)
        .env("SWARMDEX_GATEWAY", "127.0.0.1:0")
        .current_dir(dir);
    command.args([
        "--no-mdns",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
        "--handle",
        "bench",
        "--data-dir",
    ]);
    command.arg(dir.join("data")).stdin(Stdio::null());
    command
}

impl Site {
    pub fn start(dir: PathBuf, more: &[&str]) -> Self {
        std::fs::create_dir_all(&dir).unwrap();
        let mut child = program(&dir)
            .args(["node", "--json"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let mut site = Self {
            child,
            dir,
            host: String::new(),
        };
        site.host = site.gateway();
        site
    }

    /// Returns the host of the gateway, which opens a moment after the node starts.
    fn gateway(&self) -> String {
        let begun = Instant::now();
        loop {
            let status: Value = serde_json::from_slice(&self.does(&["status", "--json"])).unwrap();
            if let Some(url) = status["gateway"].as_str() {
                return url.trim_start_matches("http://").to_owned();
            }
            assert!(begun.elapsed() < OPENED, "the node opens no gateway");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs a command and returns its output.
    pub fn does(&self, words: &[&str]) -> Vec<u8> {
        let ran = program(&self.dir).args(words).output().unwrap();
        assert!(
            ran.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&ran.stderr)
        );
        ran.stdout
    }

    /// Returns the header field with the token for uploads.
    pub fn said(&self) -> String {
        let token = std::fs::read_to_string(self.dir.join("data/gateway.token")).unwrap();
        format!(
            "Authorization: Basic {}\r\n",
            BASE64.encode(format!("__token__:{}", token.trim()).as_bytes())
        )
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.host)
    }

    pub fn memory(&self) -> f64 {
        resident_mib(&self.child.id().to_string())
    }
}

fn devpi_seconds() -> Duration {
    Duration::from_secs(number("SWARMDEX_BENCH_DEVPI_SECONDS", 900) as u64)
}

const SIMPLE: &str = "Accept: application/vnd.pypi.simple.v1+json\r\n";

/// Uploads one wheel of each version to a path. Returns the milliseconds of each upload, and of
/// reading the page after each hundredth. No upload starts after `most`.
fn upload(
    host: &str,
    path: &str,
    page: &str,
    said: &str,
    (count, most): (usize, Duration),
) -> (Vec<f64>, Vec<f64>) {
    let (mut link, mut uploads, mut pages) = (Link::to(host), Vec::new(), Vec::new());
    let begun = Instant::now();
    for at in (0..count).take_while(|_| begun.elapsed() < most) {
        uploads.push(clients::upload(
            &mut link,
            path,
            said,
            ("many", &generated::version(at)),
            400,
        ));
        if at % 100 == 99 {
            let begun = Instant::now();
            let answer = link.get(page, SIMPLE);
            pages.push(begun.elapsed().as_secs_f64() * 1_000.0);
            assert_eq!(answer.status, 200);
        }
    }
    (uploads, pages)
}

fn uploads(site: &Site, scratch: &Path) {
    println!("\n{VERSIONS} uploads of one project's wheels, one after the other");
    let idle = site.memory();
    let (mut ours, mut pages) = upload(
        &site.host,
        "/pypi/legacy/",
        "/pypi/simple/many/",
        &site.said(),
        (VERSIONS, Duration::MAX),
    );
    let in_order = ours.clone();
    let all: f64 = ours.iter().sum();
    let (first, last) = (
        median(&mut ours[..100].to_vec()),
        median(&mut ours[VERSIONS - 100..].to_vec()),
    );
    println!(
        "  swarmdex: {:.1} s; the first hundred {first:.1} ms each, the last {last:.1} ms",
        all / 1_000.0
    );
    let last_page = *pages.last().unwrap();
    println!(
        "  its page after each hundredth: p50 {:.1} ms, the last {last_page:.1} ms",
        median(&mut pages)
    );
    println!(
        "  memory: {idle:.0} MiB before, {:.0} MiB after",
        site.memory()
    );
    let count = number("SWARMDEX_BENCH_DEVPI", 200).max(100);
    let Some((devpi, word)) = clients::devpi(&scratch.join("devpi")) else {
        println!("  devpi-server is not installed");
        return;
    };
    let (mut theirs, mut pages) = upload(
        &devpi.host,
        "/bench/dev/",
        "/bench/dev/+simple/many/",
        &word,
        (count, devpi_seconds()),
    );
    let count = theirs.len();
    let some = (count / 4).clamp(1, 100);
    let (first, last) = (
        median(&mut theirs[..some].to_vec()),
        median(&mut theirs[count - some..].to_vec()),
    );
    println!(
        "  devpi-server, {count} of them: the first {some} {first:.1} ms each, the last {last:.1} \
         ms"
    );
    let [our_time, their_time] =
        [&in_order[..count], &theirs[..]].map(|times| times.iter().sum::<f64>() / 1_000.0);
    println!(
        "  all {count} of them: {our_time:.1} s and {their_time:.1} s: {:.1} times as fast",
        their_time / our_time
    );
    println!(
        "  its page: p50 {:.1} ms; memory {:.0} MiB",
        median(&mut pages),
        devpi.resident_mib()
    );
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    println!(
        "  median of all: {ours:.1} ms and {theirs:.1} ms: {:.0} times as fast",
        theirs / ours
    );
}

/// One row of pages: a server and its address.
struct Row {
    who: &'static str,
    page: Page,
}

/// Reads all of them in turn. Prints the p50 and p95 as medians of the runs, and their ratio to the
/// baseline.
fn compare(what: &str, rows: &[Row]) {
    let mut taken: Vec<[Vec<f64>; 2]> = rows.iter().map(|_| [Vec::new(), Vec::new()]).collect();
    let mut size = Vec::new();
    for row in rows {
        // Warm up all of them.
        let answer = Link::to(&row.page.host).get(&row.page.path, &row.page.fields);
        assert_eq!(
            answer.status, row.page.status,
            "{} {}",
            row.who, row.page.path
        );
        size.push(answer.body.len());
        crowd(&row.page, CROWD, 1);
    }
    for run in 0..runs() {
        for at in 0..rows.len() {
            let at = (at + run) % rows.len();
            let mut times = crowd(&rows[at].page, CROWD, TIMES);
            taken[at][0].push(percentile(&mut times, 0.5));
            taken[at][1].push(percentile(&mut times, 0.95));
        }
    }
    println!("\n{what}: {CROWD} at once, to the last byte");
    let floor = rows
        .iter()
        .position(|row| row.who == "nginx")
        .map(|at| median(&mut taken[at][1].clone()));
    for (at, row) in rows.iter().enumerate() {
        let [p50, p95] = &mut taken[at];
        let (p50, p95) = (median(p50), median(p95));
        let beside = floor.map_or_else(String::new, |floor| {
            format!(", {:.2} x the floor", p95 / floor)
        });
        println!(
            "  {:<11} p50 {p50:7.1} ms, p95 {p95:7.1} ms, {} bytes{beside}",
            row.who, size[at]
        );
    }
}

fn page(host: &str, path: &str, fields: &str, status: u16) -> Page {
    Page {
        host: host.to_owned(),
        path: path.to_owned(),
        fields: fields.to_owned(),
        status,
    }
}

const SHORT: &str = "Accept: application/vnd.npm.install-v1+json\r\n";

fn pages(site: &Site, scratch: &Path) {
    let files = scratch.join("imported");
    for at in 0..VERSIONS {
        let version = generated::version(at);
        generated::write(
            &files.join(format!("many-{version}.tgz")),
            generated::tarball("many", &version, &[], 200),
        );
        generated::write(
            &files.join(format!("many-{version}.crate")),
            generated::crate_file("many", &version),
        );
    }
    let begun = Instant::now();
    site.does(&["import", "--yes", files.to_str().unwrap()]);
    println!(
        "\n{} releases were imported in {:.1} s",
        2 * VERSIONS,
        begun.elapsed().as_secs_f64()
    );

    let www = scratch.join("nginx/www");
    let get = |path: &str, fields: &str| {
        let answer = Link::to(&site.host).get(path, fields);
        assert_eq!(answer.status, 200, "{path}");
        answer
    };
    let wanted = [
        ("packument", "/npm/many", "Accept: application/json\r\n"),
        ("packument, abbreviated", "/npm/many", SHORT),
        ("index of a crate", "/cargo/ma/ny/many", ""),
        ("simple page", "/pypi/simple/many/", SIMPLE),
    ];
    for (at, (_, path, fields)) in wanted.iter().enumerate() {
        generated::write(&www.join(at.to_string()), get(path, fields).body);
    }
    let nginx = Rival::start("nginx", &scratch.join("nginx"), &[]);
    let full: Value =
        serde_json::from_slice(&get("/npm/many", "Accept: application/json\r\n").body).unwrap();
    let verdaccio = clients::verdaccio(scratch, &[full]);
    for at in 0..VERSIONS {
        let (file, bytes) = generated::wheel("many", &generated::version(at), 400);
        generated::write(&scratch.join("pypiserver/packages").join(file), bytes);
    }
    let pypiserver = Rival::start("pypiserver", &scratch.join("pypiserver"), &[]);
    let devpi = clients::devpi(&scratch.join("devpi"));
    let mut uploaded = 0;
    if let Some((devpi, word)) = &devpi {
        let count = number("SWARMDEX_BENCH_DEVPI", 200);
        let page = "/bench/dev/+simple/many/";
        let most = (count, devpi_seconds());
        uploaded = upload(&devpi.host, "/bench/dev/", page, word, most).0.len();
    }
    for (at, (what, path, fields)) in wanted.iter().enumerate() {
        let mut rows = vec![Row {
            who: "swarmdex",
            page: page(&site.host, path, fields, 200),
        }];
        let mut add = |who, host: Option<&str>, path: &str| match host {
            Some(host) => rows.push(Row {
                who,
                page: page(host, path, fields, 200),
            }),
            None => println!("  {who} is not installed"),
        };
        add(
            "nginx",
            nginx.as_ref().map(|one| &*one.host),
            &format!("/{at}"),
        );
        match at {
            0 | 1 => add(
                "verdaccio",
                verdaccio.as_ref().map(|one| &*one.host),
                "/many",
            ),
            3 => {
                add(
                    "pypiserver",
                    pypiserver.as_ref().map(|one| &*one.host),
                    "/simple/many/",
                );
                add(
                    "devpi",
                    devpi.as_ref().map(|(one, _)| &*one.host),
                    "/bench/dev/+simple/many/",
                );
                println!("\ndevpi's page is of {uploaded} versions");
            }
            _ => {}
        }
        compare(&format!("{what} of {VERSIONS} versions"), &rows);
        let etag = get(path, fields).etag.expect("it has a tag");
        let fields = format!("{fields}If-None-Match: {etag}\r\n");
        compare(
            &format!("{what}, unchanged"),
            &[Row {
                who: "swarmdex",
                page: page(&site.host, path, &fields, 304),
            }],
        );
    }
    println!("  memory: {:.0} MiB", site.memory());
}

/// Measures the node's memory over many installs, of crates and of wheels in turn.
fn installs(site: &Site, scratch: &Path) {
    let count = number("SWARMDEX_BENCH_INSTALLS", 100);
    let crates = cargo_project::Installs::prepare(site, &scratch.join("cargo"));
    let wheels = clients::Wheels::prepare(site, &scratch.join("pip"));
    let (before, mut most) = (site.memory(), 0.0_f64);
    for at in 0..count {
        match at % 2 {
            0 => crates.install(),
            _ => wheels.install(),
        }
        most = most.max(site.memory());
    }
    println!(
        "\n{count} installs: {before:.0} MiB before them, {most:.0} at most, {:.0} after",
        site.memory()
    );
}

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let is_wanted = |row: &str| wanted.is_empty() || wanted.iter().any(|word| word == row);
    print!(
        "{}",
        rivals::versions()
            .unwrap_or_else(|| "no rival is installed: see benches/rivals/install\n".to_owned())
    );
    let scratch = tempfile::tempdir().unwrap();
    let site = Site::start(scratch.path().join("node"), &[]);
    let idle = site.memory();
    println!("the node has {idle:.0} MiB when it has started");
    let mut measured = 0;
    let mut row = |name: &str, work: &dyn Fn()| {
        if is_wanted(name) {
            work();
            measured += 1;
            println!("  after that the node has {:.0} MiB", site.memory());
        }
    };
    row("uploads", &|| {
        uploads(&site, &scratch.path().join("uploads"))
    });
    if is_wanted("pages") && !is_wanted("uploads") {
        // The pages exist only after the uploads.
        uploads(&site, &scratch.path().join("uploads"));
    }
    row("pages", &|| pages(&site, &scratch.path().join("pages")));
    row("npm", &|| clients::npm(&site, &scratch.path().join("npm")));
    row("pip", &|| clients::pip(&site, &scratch.path().join("pip")));
    row("cargo", &|| {
        cargo_project::cargo(&site, &scratch.path().join("cargo"))
    });
    row("installs", &|| {
        installs(&site, &scratch.path().join("installs"))
    });
    row("far", &|| limited_links::far(&scratch.path().join("far")));
    assert!(
        measured > 0,
        "nothing was measured: there are uploads, pages, npm, pip, cargo, installs and far"
    );
    println!(
        "\nthe node has {:.0} MiB at the end, {:.0} more than when it had started",
        site.memory(),
        site.memory() - idle
    );
}
