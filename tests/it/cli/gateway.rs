//! Real package managers, on nodes of their own.

use std::{
    ffi::OsStr,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::Command,
};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::cli::{
    namespaces::Space,
    program::{APART, Home, PATIENCE, Ran, Running, ran},
};

/// A running node with a gateway on a free port, and a cargo with a new home.
pub struct Site {
    pub home: Home,
    pub node: Running,
    pub gateway: String,
    /// The network namespace of the node and its clients; `None` if they use the machine's network.
    pub space: Option<Space>,
}

impl Site {
    pub fn start(flags: &[&str]) -> Self {
        Self::start_with(flags, &[])
    }

    /// Starts a site with these environment variables too.
    pub fn start_with(flags: &[&str], settings: &[(&str, &str)]) -> Self {
        let home = Home::new();
        let settings = [settings, &[("SWARMDEX_GATEWAY", "127.0.0.1:0")]].concat();
        let node = Running::start_with(&home, flags, &settings);
        let status = home.alone(&["status", "--json"]).json();
        let gateway = status["gateway"].as_str().unwrap().to_owned();
        Self {
            home,
            node,
            gateway,
            space: None,
        }
    }

    /// Returns a command that runs on this site's machine.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        match &self.space {
            Some(space) => space.program(program),
            None => Command::new(program),
        }
    }

    pub fn token(&self) -> String {
        let token = self.home.path(".local/share/swarmdex/gateway.token");
        std::fs::read_to_string(token).unwrap().trim().to_owned()
    }

    pub fn publisher(&self) -> String {
        self.home.alone(&["key", "show", "--json"]).json()["publisher"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Waits until this node knows a package.
    pub fn waits_for(&self, package: &str) {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let shown = self.home.alone(&["show", package, "--json"]);
            if shown.code == Some(0) {
                return;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "{package}: {}",
                shown.stderr
            );
        }
    }

    /// Runs a cargo whose only registry, `swarm`, is this node.
    pub fn cargo(&self, dir: &str, words: &[&str]) -> Ran {
        ran(self.cargo_command(dir, words))
    }

    fn cargo_command(&self, dir: &str, words: &[&str]) -> Command {
        let mut cargo = self.program(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| {
                name.starts_with("CARGO") || name.to_lowercase().contains("_proxy")
            }) {
                cargo.env_remove(name);
            }
        }
        cargo.args(words).current_dir(self.home.path(dir));
        cargo.env("CARGO_HOME", self.home.path("cargo-home"));
        cargo.env(
            "CARGO_REGISTRIES_SWARM_INDEX",
            format!("sparse+{}/cargo/", self.gateway),
        );
        cargo.env("CARGO_REGISTRIES_SWARM_TOKEN", self.token());
        // Tests must not connect to anything else.
        cargo
            .env("https_proxy", "http://127.0.0.1:1")
            .env("CARGO_NET_RETRY", "0");
        cargo.env("CARGO_TARGET_DIR", self.home.path("built"));
        cargo.stdin(std::process::Stdio::null());
        cargo
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        cargo
    }

    /// Creates a crate in a directory of its own.
    pub fn package(&self, name: &str, version: &str, needs: &str, code: &str) -> String {
        let src = self.home.path(name).join("src");
        std::fs::create_dir_all(&src).unwrap();
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition \
             = \"2024\"\ndescription = \"A {name}\"\n\
             license = \"MIT\"\n[workspace]\n[dependencies]\n{needs}"
        );
        std::fs::write(self.home.path(name).join("Cargo.toml"), manifest).unwrap();
        std::fs::write(src.join("lib.rs"), code).unwrap();
        name.to_owned()
    }

    pub fn publishes(&self, dir: &str) -> Ran {
        let ran = self.cargo(dir, &["publish", "--registry", "swarm", "--allow-dirty"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran
    }

    /// Waits until no upload is left on disk.
    pub fn keeps_no_upload(&self) {
        let uploads = self.home.path(".local/share/swarmdex/uploads");
        let deadline = std::time::Instant::now() + PATIENCE;
        while std::fs::read_dir(&uploads).unwrap().count() > 0 {
            assert!(std::time::Instant::now() < deadline, "an upload was left");
        }
    }

    /// Asserts that nothing of a refused upload is kept.
    #[track_caller]
    pub fn keeps_nothing(&self) {
        self.keeps_no_upload();
        let contents = self.home.alone(&["contents", "--json"]);
        assert_eq!(
            (contents.code, contents.stdout.trim()),
            (Some(0), "[]"),
            "{}",
            contents.stderr
        );
    }

    /// Sends a request verbatim; returns status, head and body of the answer.
    pub fn asks(&self, request: &str) -> (u16, String, Vec<u8>) {
        self.sends(request.replace("HOST", self.host()).as_bytes())
    }

    pub fn host(&self) -> &str {
        self.gateway.strip_prefix("http://").unwrap()
    }

    /// Sends a request that is not all text, like [`Site::asks`].
    pub fn sends(&self, request: &[u8]) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.host()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), answer[end + 4..].to_vec())
    }

    pub fn gets(&self, path: &str, fields: &str) -> (u16, String, Vec<u8>) {
        self.asks(&format!(
            "GET {path} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n{fields}\r\n"
        ))
    }
}

pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Starts two sites: alice, who publishes, and bob, who knows alice's node.
pub fn two() -> (Site, Site) {
    let alice = Site::start(&["--handle", "alice"]);
    let bob = Site::start(&["--bootstrap", &alice.node.address, "--handle", "bob"]);
    (alice, bob)
}

#[test]
fn what_cargo_publishes_here_cargo_builds_elsewhere() {
    let (alice, bob) = two();
    alice.package("tiny_one", "0.1.0", "", "pub fn one() -> u32 { 1 }\n");
    alice.publishes("tiny_one");
    let needs = "one = { package = \"tiny_one\", version = \"0.1\", registry = \"swarm\" }\n";
    alice.package(
        "Two-Of-Them",
        "1.0.0+first",
        needs,
        "pub fn two() -> u32 { one::one() + one::one() }\n",
    );
    alice.publishes("Two-Of-Them");
    let again = alice.cargo(
        "Two-Of-Them",
        &["publish", "--registry", "swarm", "--allow-dirty"],
    );
    assert!(again.stderr.contains("already exists"), "{}", again.stderr);

    // A new node trusts nobody, and says what to do.
    let publisher = alice.publisher();
    bob.waits_for(&format!("{publisher}/cargo:two-of-them"));
    let (status, _, said) = bob.gets("/cargo/tw/o-/two-of-them", "");
    let said = String::from_utf8(said).unwrap();
    assert_eq!(status, 404, "{said}");
    assert!(
        said.contains(&format!("swarmdex names set cargo:two-of-them {publisher}")),
        "{said}"
    );
    assert_eq!(bob.home.alone(&["why", "cargo:two-of-them"]).code, Some(1));
    assert_eq!(
        bob.home
            .alone(&["trust", &publisher, "--for", "cargo:*"])
            .code,
        Some(0)
    );
    let why = bob
        .home
        .alone(&["why", "cargo:Two_of_them", "--json"])
        .json();
    assert_eq!(why["owner"], publisher.as_str());

    bob.package(
        "user",
        "0.1.0",
        "",
        "pub fn three() -> u32 { Two_Of_Them::two() + 1 }\n",
    );
    let added = bob.cargo("user", &["add", "Two-Of-Them", "--registry", "swarm"]);
    assert_eq!(added.code, Some(0), "{}", added.stderr);
    let built = bob.cargo("user", &["build"]);
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    let lock = std::fs::read_to_string(bob.home.path("user/Cargo.lock")).unwrap();
    assert!(
        lock.contains("name = \"tiny_one\"") && lock.contains("version = \"1.0.0+first\""),
        "{lock}"
    );

    // The publisher has left and the cache is empty, but everything is still on this node.
    let Site { node, .. } = alice;
    node.stop("TERM");
    std::fs::remove_dir_all(bob.home.path("cargo-home")).unwrap();
    let fetched = bob.cargo("user", &["fetch", "--locked"]);
    assert_eq!(fetched.code, Some(0), "{}", fetched.stderr);
    assert_eq!(
        std::fs::read_to_string(bob.home.path("user/Cargo.lock")).unwrap(),
        lock
    );
    let found = bob.cargo("user", &["search", "tiny", "--registry", "swarm"]);
    assert!(
        found.stdout.contains("tiny") && found.code == Some(0),
        "{} {}",
        found.stdout,
        found.stderr
    );
    let info = bob.cargo("user", &["info", "tiny_one", "--registry", "swarm"]);
    assert!(
        info.stdout.contains("A tiny_one"),
        "{} {}",
        info.stdout,
        info.stderr
    );
}

#[test]
fn a_yank_is_honoured_by_whoever_has_no_lock_file() {
    let (alice, bob) = two();
    alice.package("tiny", "0.1.0", "", "");
    alice.publishes("tiny");
    alice.package("tiny", "0.1.1", "", "");
    alice.publishes("tiny");
    let publisher = alice.publisher();
    bob.waits_for(&format!("{publisher}/cargo:tiny@=0.1.1"));
    bob.home.alone(&["trust", &publisher]);
    bob.package(
        "user",
        "0.1.0",
        "tiny = { version = \"0.1\", registry = \"swarm\" }\n",
        "",
    );
    let picked = |site: &Site| {
        let made = site.cargo("user", &["generate-lockfile"]);
        let lock = std::fs::read_to_string(site.home.path("user/Cargo.lock")).unwrap_or_default();
        assert_eq!(made.code, Some(0), "{}", made.stderr);
        lock.split("name = \"tiny\"\nversion = \"").nth(1).unwrap()[..5].to_owned()
    };
    assert_eq!(picked(&bob), "0.1.1");
    let words = ["yank", "--registry", "swarm", "tiny@0.1.1"];
    let yanked = alice.cargo("tiny", &words);
    assert_eq!(yanked.code, Some(0), "{}", yanked.stderr);
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let (_, _, index) = bob.gets("/cargo/ti/ny/tiny", "");
        let lines = String::from_utf8(index).unwrap();
        let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        if last["yanked"] == true {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{lines}");
    }
    let locked = bob.cargo("user", &["fetch", "--locked"]);
    assert_eq!(
        locked.code,
        Some(0),
        "whoever has it in a lock file goes on with it: {}",
        locked.stderr
    );
    std::fs::remove_file(bob.home.path("user/Cargo.lock")).unwrap();
    assert_eq!(picked(&bob), "0.1.0");
    let back = alice.cargo("tiny", &[&words[..], &["--undo"]].concat());
    assert_eq!(back.code, Some(0), "{}", back.stderr);
    let theirs = bob.cargo("user", &["yank", "--registry", "swarm", "tiny@0.1.0"]);
    assert!(
        theirs.code != Some(0) && theirs.stderr.contains("only that key can change it"),
        "{}",
        theirs.stderr
    );
    let owners = bob.cargo("user", &["owner", "--list", "tiny", "--registry", "swarm"]);
    assert!(
        owners.stdout.contains(&publisher),
        "{} {}",
        owners.stdout,
        owners.stderr
    );
}

/// Creates a cargo home with these archives from its default registry, whose index has a line that
/// `line` makes from each digest.
fn cargo_home(
    home: &Home,
    archives: &[(&str, &str, PathBuf)],
    line: impl Fn(&str, &str, &str) -> String,
) -> PathBuf {
    let registry = home.path("online/registry");
    let dirs = ["cache", "index"].map(|dir| registry.join(dir).join("default-1949cf8c6b5b557f"));
    std::fs::create_dir_all(&dirs[0]).unwrap();
    for (name, version, file) in archives {
        let bytes = std::fs::read(file).unwrap();
        std::fs::write(dirs[0].join(format!("{name}-{version}.crate")), &bytes).unwrap();
        let digest: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let index = dirs[1].join(".cache").join(&name[..2]).join(&name[2..4]);
        std::fs::create_dir_all(&index).unwrap();
        let line = line(name, version, &digest);
        std::fs::write(
            index.join(name),
            format!("\x03\x02\0\0\0etag\0{version}\0{line}\0"),
        )
        .unwrap();
    }
    dirs[0].clone()
}

#[test]
fn what_a_cargo_home_attests_replaces_the_default_registry() {
    let (alice, bob) = two();
    let packed = |name: &str, needs: &str, code: &str| {
        alice.package(name, "1.0.0", needs, code);
        let ran = alice.cargo(
            name,
            &[
                "package",
                "--no-verify",
                "--allow-dirty",
                "--offline",
                "--exclude-lockfile",
            ],
        );
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        alice
            .home
            .path(&format!("built/package/{name}-1.0.0.crate"))
    };
    let files = [
        (
            "deep",
            "1.0.0",
            packed("deep", "", "pub fn deep() -> u32 { 7 }"),
        ),
        (
            "wide",
            "1.0.0",
            packed(
                "wide",
                "deep = \"1\"\n",
                "pub fn wide() -> u32 { deep::deep() }",
            ),
        ),
        ("fake", "1.0.0", packed("fake", "", "")),
    ];
    let cache = cargo_home(&alice.home, &files, |name, version, digest| {
        let needs = if name == "wide" {
            r#"{"name":"deep","req":"^1","features":[],"optional":false,"default_features":true,"target":null,"kind":"normal"}"#
        } else {
            ""
        };
        let digest = if name == "fake" {
            "00".repeat(32)
        } else {
            digest.to_owned()
        };
        format!(
            r#"{{"name":"{name}","vers":"{version}","deps":[{needs}],"cksum":"{digest}","features":{{}},"yanked":false}}"#
        )
    });
    let imported = alice.home.alone(&["import", cache.to_str().unwrap()]);
    assert_eq!(
        imported.code,
        Some(0),
        "{} {}",
        imported.stdout,
        imported.stderr
    );
    let publisher = alice.publisher();
    for (name, ..) in &files {
        bob.waits_for(&format!("{publisher}/cargo:{name}"));
    }
    assert_eq!(
        bob.gets("/cargo-mirror/wi/de/wide", "").0,
        404,
        "nobody is trusted yet"
    );
    bob.home.alone(&["trust", &publisher, "--for", "cargo:*"]);

    let replaced = |dir: &str| {
        let config = format!(
            "[source.crates-io]\nreplace-with = \"mirror\"\n[registries.mirror]\nindex \
             = \"sparse+{}/cargo-mirror/\"\n",
            bob.gateway
        );
        std::fs::create_dir_all(bob.home.path(dir).join(".cargo")).unwrap();
        std::fs::write(bob.home.path(dir).join(".cargo/config.toml"), config).unwrap();
    };
    bob.package(
        "user",
        "0.1.0",
        "wide = \"1\"\n",
        "pub fn it() -> u32 { wide::wide() }",
    );
    replaced("user");
    let made = bob.cargo("user", &["generate-lockfile"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let lock = std::fs::read_to_string(bob.home.path("user/Cargo.lock")).unwrap();
    assert!(
        lock.matches("source = \"registry+").count() == 2 && !lock.contains("sparse+"),
        "{lock}"
    );
    std::fs::remove_dir_all(bob.home.path("cargo-home")).unwrap();
    let built = bob.cargo("user", &["build", "--locked"]);
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    assert_eq!(
        std::fs::read_to_string(bob.home.path("user/Cargo.lock")).unwrap(),
        lock
    );

    // Without an entry in the registry, the crate belongs to the swarm and not to the default
    // registry.
    assert_eq!(bob.gets("/cargo-mirror/fa/ke/fake", "").0, 404);
    assert_eq!(
        bob.gets("/cargo-mirror/api/v1/crates/fake/1.0.0/download", "")
            .0,
        404
    );
    assert_eq!(bob.gets("/cargo/fa/ke/fake", "").0, 200);
    let put = "PUT /cargo-mirror/api/v1/crates/new HTTP/1.1\r\nHost: HOST\r\nConnection: \
               close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(bob.asks(put).0, 404);
}

#[test]
fn two_owners_of_one_name_are_refused_until_a_person_decides() {
    let (alice, bob) = two();
    let carol = Site::start(&[
        "--bootstrap",
        &alice.node.address,
        "--bootstrap",
        &bob.node.address,
    ]);
    for (site, code) in [
        (&alice, "pub const WHO: &str = \"alice\";"),
        (&bob, "pub const WHO: &str = \"bob\";"),
    ] {
        site.package("clash-it", "1.0.0", "", code);
        site.publishes("clash-it");
    }
    let keys = [alice.publisher(), bob.publisher()];
    for key in &keys {
        carol.waits_for(&format!("{key}/cargo:clash-it"));
        assert_eq!(carol.home.alone(&["trust", key]).code, Some(0));
    }
    let listed = carol.home.alone(&["trust", "--list", "--json"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    carol.package(
        "user",
        "0.1.0",
        "clash-it = { version = \"1\", registry = \"swarm\" }\n",
        "",
    );
    let refused = carol.cargo("user", &["fetch"]);
    assert!(
        refused.code != Some(0) && refused.stderr.contains("no matching package"),
        "{}",
        refused.stderr
    );
    // The publisher's own endpoint still serves it: its address says whose it is.
    let (status, _, _) = carol.gets(&format!("/cargo/~{}/cl/as/clash-it", keys[1]), "");
    assert_eq!(status, 200);

    assert_eq!(
        carol
            .home
            .alone(&["names", "set", "cargo:clash-it", &keys[1]])
            .code,
        Some(0)
    );
    let fetched = carol.cargo("user", &["fetch"]);
    assert_eq!(fetched.code, Some(0), "{}", fetched.stderr);
    let (_, _, index) = carol.gets("/cargo/cl/as/clash-it", "");
    let (_, _, theirs) = bob.gets("/cargo/cl/as/clash-it", "");
    assert_eq!(index, theirs);
    let moved = carol
        .home
        .alone(&["names", "set", "cargo:clash-it", &keys[0]]);
    assert!(moved.stderr.contains("caches"), "{}", moved.stderr);
    // A name that was served from one publisher stays with that publisher.
    assert_eq!(
        carol.home.alone(&["names", "unset", "cargo:clash-it"]).code,
        Some(0)
    );
    assert_eq!(
        carol
            .home
            .alone(&["trust", &keys[1], "--for", "npm:*"])
            .code,
        Some(0)
    );
    assert_eq!(carol.gets("/cargo/cl/as/clash-it", "").0, 200);
    assert_eq!(carol.home.alone(&["trust", &keys[1]]).code, Some(0));
    let why = carol
        .home
        .alone(&["why", "cargo:clash-it", "--json"])
        .json();
    assert_eq!(
        (&why["owner"], &why["passed_over"][0]),
        (&keys[0].as_str().into(), &keys[1].as_str().into()),
        "{why}"
    );
    assert!(why["reason"].as_str().unwrap().contains("first"), "{why}");
}

#[test]
fn whatever_changes_something_needs_the_token_and_a_page_of_somebody_else_is_refused() {
    let site = Site::start(&["--handle", "alice"]);
    site.package("tiny", "0.1.0", "", "");
    let mut cargo =
        site.cargo_command("tiny", &["publish", "--registry", "swarm", "--allow-dirty"]);
    cargo.env("CARGO_REGISTRIES_SWARM_TOKEN", "something-else");
    let refused = ran(cargo);
    assert!(
        refused.code != Some(0) && refused.stderr.contains("gateway.token"),
        "{}",
        refused.stderr
    );
    assert_eq!(
        site.gets("/cargo/ti/ny/tiny", "").0,
        404,
        "nothing of it was taken"
    );
    site.publishes("tiny");

    let path = site.home.path(".local/share/swarmdex/gateway.token");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let token = site.token();
    let page = site.asks(&format!(
        "DELETE /cargo/api/v1/crates/tiny/0.1.0/yank HTTP/1.1\r\nHost: HOST\r\nOrigin: \
         https://evil.example\r\n\
         Authorization: {token}\r\nConnection: close\r\n\r\n"
    ));
    assert_eq!(page.0, 403);
    let rebound = site
        .asks("GET /cargo/config.json HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert_eq!(rebound.0, 421);

    // Lengths, ranges and ETags of files.
    let (status, head, body) = site.gets("/cargo/ti/ny/tiny", "");
    let etag = field(&head, "etag").unwrap().to_owned();
    assert_eq!(
        (status, field(&head, "cache-control")),
        (200, Some("no-cache"))
    );
    assert_eq!(
        site.gets("/cargo/ti/ny/tiny", &format!("If-None-Match: {etag}\r\n"))
            .0,
        304
    );
    let line: Value = serde_json::from_slice(&body).unwrap();
    let file = "/cargo/api/v1/crates/tiny/0.1.0/download";
    let (_, head, bytes) = site.gets(file, "");
    let digest = format!("\"{}\"", line["cksum"].as_str().unwrap());
    assert_eq!(
        (field(&head, "content-length"), field(&head, "etag")),
        (Some(&*bytes.len().to_string()), Some(&*digest))
    );
    let (status, head, part) = site.gets(
        file,
        &format!("Range: bytes=10-19\r\nIf-Range: {digest}\r\n"),
    );
    assert_eq!((status, &part[..]), (206, &bytes[10..20]), "{head}");
    assert_eq!(
        site.gets(file, "Range: bytes=10-19\r\nIf-Range: \"x\"\r\n")
            .0,
        200
    );
    assert_eq!(
        site.gets(file, &format!("Range: bytes={}-\r\n", bytes.len()))
            .0,
        416
    );
    let (status, head, none) = site.asks(&format!(
        "HEAD {file} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"
    ));
    assert_eq!((status, none.len()), (200, 0));
    assert_eq!(
        field(&head, "content-length"),
        Some(&*bytes.len().to_string())
    );
    let two = site.asks(
        "GET /cargo/config.json HTTP/1.1\r\nHost: HOST\r\n\r\nGET /cargo/config.json \
         HTTP/1.1\r\nHost: HOST\r\n\
         Connection: close\r\n\r\n",
    );
    assert_eq!(
        String::from_utf8_lossy(&two.2).matches("\"dl\"").count(),
        2,
        "requests may follow each other"
    );
}

#[test]
fn a_workspace_is_published_in_order_and_a_program_is_installed() {
    let site = Site::start(&["--handle", "alice"]);
    let root = site.home.path("workspace");
    for (name, needs, file, code) in [
        (
            "base",
            "",
            "lib.rs",
            "pub fn say() -> &'static str { \"said\" }",
        ),
        (
            "program",
            "base = { path = \"../base\", version = \"1\", registry = \"swarm\" }\n",
            "main.rs",
            "fn main() { println!(\"{}\", base::say()) }",
        ),
    ] {
        std::fs::create_dir_all(root.join(name).join("src")).unwrap();
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2024\"\ndescription \
             = \"A {name}\"\n\
             license = \"MIT\"\n[dependencies]\n{needs}"
        );
        std::fs::write(root.join(name).join("Cargo.toml"), manifest).unwrap();
        std::fs::write(root.join(name).join("src").join(file), code).unwrap();
    }
    std::fs::write(
        root.join("Cargo.toml"),
        "[workspace]\nresolver = \"3\"\nmembers = [\"base\", \"program\"]\n",
    )
    .unwrap();
    let ran = site.cargo(
        "workspace",
        &[
            "publish",
            "--workspace",
            "--registry",
            "swarm",
            "--allow-dirty",
        ],
    );
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    // Signed data has no addresses: another node has another address.
    let (_, _, line) = site.gets("/cargo/pr/og/program", "");
    let line: Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(
        (&line["deps"][0]["name"], &line["deps"][0]["registry"]),
        (&"base".into(), &Value::Null)
    );
    let publisher = site.publisher();
    let shown = site
        .home
        .alone(&["show", &format!("{publisher}/cargo:program"), "--json"])
        .json();
    assert_eq!(
        shown["manifest"]["dependencies"][0]["package"],
        format!("{publisher}/cargo:base")
    );
    let installed = site.cargo(
        "workspace",
        &[
            "install",
            "program",
            "--registry",
            "swarm",
            "--root",
            "../installed",
        ],
    );
    assert_eq!(installed.code, Some(0), "{}", installed.stderr);
    let program = Command::new(site.home.path("installed/bin/program"))
        .output()
        .unwrap();
    assert_eq!(program.stdout, b"said\n");
}

#[test]
fn setup_writes_what_cargo_needs_and_takes_it_out_again() {
    let site = Site::start(&["--handle", "alice"]);
    let home = site.home.path("cargo-home");
    let run = |words: &[&str]| {
        let mut command = site.home.command([&APART[..], words].concat());
        command.env("CARGO_HOME", &home);
        let ran = ran(command);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran
    };
    let printed = run(&["setup", "cargo"]).stdout;
    assert!(
        printed.contains(&format!("index = \"sparse+{}/cargo/\"", site.gateway)),
        "{printed}"
    );
    assert!(
        printed.contains(&format!("token = \"{}\"", site.token())),
        "{printed}"
    );
    std::fs::create_dir_all(site.home.path(".cargo")).unwrap();
    let theirs = "# mine\n[net]\nretry = 0\n";
    std::fs::write(site.home.path(".cargo/config.toml"), theirs).unwrap();
    run(&["setup", "cargo", "--write"]);
    run(&["setup", "cargo", "--write"]);
    site.package("tiny", "0.1.0", "", "");
    let mut cargo =
        site.cargo_command("tiny", &["publish", "--registry", "swarm", "--allow-dirty"]);
    cargo
        .env_remove("CARGO_REGISTRIES_SWARM_INDEX")
        .env_remove("CARGO_REGISTRIES_SWARM_TOKEN");
    let published = ran(cargo);
    assert_eq!(published.code, Some(0), "{}", published.stderr);
    run(&["setup", "cargo", "--undo"]);
    assert_eq!(
        std::fs::read_to_string(site.home.path(".cargo/config.toml")).unwrap(),
        theirs
    );
    assert!(
        !std::fs::read_to_string(home.join("credentials.toml"))
            .unwrap()
            .contains("token")
    );
}

#[test]
fn beyond_loopback_a_word_is_wanted_even_to_read_and_it_does_not_publish() {
    const WORD: &str = "a-word-for-reading-only";
    let home = Home::new();
    let open = [
        ("SWARMDEX_GATEWAY", "0.0.0.0:0"),
        ("SWARMDEX_GATEWAY_TOKEN", WORD),
    ];
    let node = Running::start_with(&home, &["--handle", "alice"], &open);
    let gateway = home.alone(&["status", "--json"]).json()["gateway"]
        .as_str()
        .unwrap()
        .to_owned();
    let site = Site {
        home,
        node,
        gateway,
        space: None,
    };
    site.package("tiny", "0.1.0", "", "");
    let publish = |word: &str| {
        let mut cargo =
            site.cargo_command("tiny", &["publish", "--registry", "swarm", "--allow-dirty"]);
        cargo.env("CARGO_REGISTRIES_SWARM_CREDENTIAL_PROVIDER", "cargo:token");
        cargo.env("CARGO_REGISTRIES_SWARM_TOKEN", word);
        ran(cargo)
    };
    let reading = publish(WORD);
    assert!(
        reading.code != Some(0) && reading.stderr.contains("gateway.token"),
        "{}",
        reading.stderr
    );
    let published = publish(&site.token());
    assert_eq!(published.code, Some(0), "{}", published.stderr);
    assert_eq!(site.gets("/cargo/config.json", "").0, 401);
    let (status, _, config) =
        site.gets("/cargo/config.json", &format!("Authorization: {WORD}\r\n"));
    assert!(status == 200 && String::from_utf8_lossy(&config).contains("\"auth-required\":true"));
    site.package(
        "user",
        "0.1.0",
        "tiny = { version = \"0.1\", registry = \"swarm\" }\n",
        "",
    );
    let fetch = |word: &str| {
        let mut cargo = site.cargo_command("user", &["fetch"]);
        cargo.env("CARGO_REGISTRIES_SWARM_CREDENTIAL_PROVIDER", "cargo:token");
        cargo.env("CARGO_REGISTRIES_SWARM_TOKEN", word);
        ran(cargo)
    };
    assert_ne!(fetch("another-word-that-is-none").code, Some(0));
    let fetched = fetch(WORD);
    assert_eq!(fetched.code, Some(0), "{}", fetched.stderr);
}

#[test]
fn a_port_that_is_taken_is_not_replaced_and_health_is_bad_about_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let home = Home::new();
    let node = Running::start_with(&home, &[], &[("SWARMDEX_GATEWAY", &address)]);
    let status = home.alone(&["status", "--detailed", "--json"]).json();
    assert_eq!(
        (&status["gateway"], &status["health"]["state"]),
        (&Value::Null, &"bad".into()),
        "{status}"
    );
    assert!(
        status["health"]["cause"]
            .as_str()
            .unwrap()
            .contains(&address),
        "{status}"
    );
    assert_eq!(home.alone(&["health"]).code, Some(4));
    node.stop("TERM");
    // Beyond loopback a token is required.
    let mut open = home.command([&APART[..], &["status"]].concat());
    open.env("SWARMDEX_GATEWAY", "0.0.0.0:0");
    ran(open).complains(2, &["gateway_token"]);
    // With another data directory the gateway is off unless it is configured.
    let elsewhere: PathBuf = home.path("elsewhere");
    let flags = ["--data-dir", elsewhere.to_str().unwrap()];
    let mut shown = home.command([&flags[..], &["config", "show"]].concat());
    shown.env_remove("SWARMDEX_GATEWAY");
    assert!(ran(shown).stdout.contains("gateway = \"off\""));
}

/// A client that sends a nonce is told which node answers; `health` does that.
#[test]
fn a_node_proves_that_it_is_the_one_that_answers() {
    let site = Site::start(&[]);
    let (status, _, said) = site.gets("/?nonce=0123456789abcdef", "");
    let proof: Value = serde_json::from_slice(&said).unwrap();
    let node = site.home.alone(&["status", "--json"]).json()["peer_id"].clone();
    assert_eq!((status, &proof["node"]), (200, &node));
    assert_eq!(site.gets("/?nonce=short", "").0, 400);
    let health = site.home.alone(&["health"]);
    assert!(health.stdout.contains(&site.gateway), "{}", health.stdout);
}
