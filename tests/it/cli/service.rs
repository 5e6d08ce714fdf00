//! A background node: started, watched, controlled and stopped by short-lived commands.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::cli::program::{APART, Home, PATIENCE, Ran, Running, send};

/// A node started with `node start`, which is stopped when the test ends, also by a panic.
struct Service<'a> {
    home: &'a Home,
    socket: PathBuf,
    pid: u32,
}

impl<'a> Service<'a> {
    fn start(home: &'a Home, flags: &[&str]) -> Self {
        let status = home
            .alone(&[flags, &["node", "start", "--json"]].concat())
            .json();
        let pid = status["pid"].as_u64().unwrap() as u32;
        Self {
            home,
            socket: status["socket"].as_str().unwrap().into(),
            pid,
        }
    }

    /// Runs a verb that finds the node by its data directory.
    fn verb(&self, words: &[&str]) -> Ran {
        self.home.run(words)
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        // In a successful test it has been stopped already.
        let _ = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -KILL {} 2> /dev/null", self.pid))
            .status();
    }
}

#[test]
fn a_node_is_started_used_by_every_verb_and_stopped() {
    let home = Home::new();
    home.run(["node", "status"])
        .complains(3, &["no node runs", "node start"]);
    home.run(["node", "stop"]).complains(3, &["no node runs"]);
    let node = Service::start(&home, &[]);
    let status = node.verb(&["node", "status", "--json"]).json();
    assert_eq!(status["pid"].as_u64(), Some(u64::from(node.pid)));
    assert_eq!(status["protocol"], 2);
    assert!(node.socket.exists() && node.socket.starts_with(home.path("")));
    // Starting it again succeeds and starts nothing.
    assert_eq!(
        home.alone(&["start", "--json"]).json()["pid"],
        status["pid"]
    );
    home.alone(&["node"]).complains(1, &["in use"]);

    let published = home.publish(&["--handle", "alice"], "web", "1.0.0");
    let id = published["id"].as_str().unwrap();
    assert_eq!(
        node.verb(&["search", "web", "--json"]).json()["hits"][0]["source"],
        "local"
    );
    assert_eq!(
        node.verb(&["show", id, "--json"]).json()["manifest"]["version"],
        "1.0.0"
    );
    assert_eq!(
        node.verb(&["versions", id.split('@').next().unwrap(), "--json"])
            .json()[0]["version"],
        "1.0.0"
    );
    let health = node.verb(&["health", "--json"]);
    assert!(
        health.code == Some(0) && health.value()["state"].is_string(),
        "{}",
        health.stdout
    );
    assert_eq!(
        node.verb(&["status", "--detailed", "--json"]).json()["measures"]["peers_in"],
        0
    );
    assert!(node.verb(&["logs"]).stdout.contains("the node has started"));
    assert!(
        node.verb(&["status"]).stderr.is_empty(),
        "nothing was started for this"
    );

    let stopped = node.verb(&["node", "stop"]);
    assert!(
        stopped.code == Some(0) && stopped.stderr.contains("stopped node"),
        "{}",
        stopped.stderr
    );
    assert!(!node.socket.exists());
    node.verb(&["health"]).complains(3, &["no node runs"]);
    let own = home.alone(&["search", "web"]);
    assert!(
        own.code == Some(0) && own.stderr.contains("a temporary one"),
        "{}",
        own.stderr
    );
}

#[test]
fn a_node_that_cannot_start_says_why() {
    let home = Home::new();
    let started = home.run([
        "--listen",
        "/ip4/203.0.113.1/tcp/1",
        "--no-mdns",
        "node",
        "start",
    ]);
    started.complains(1, &["exited at once", "/ip4/203.0.113.1/tcp/1"]);
}

#[test]
fn a_socket_that_was_left_is_replaced() {
    let home = Home::new();
    let node = Service::start(&home, &[]);
    send("KILL", node.pid);
    let gone = Instant::now() + PATIENCE;
    while UnixStream::connect(&node.socket).is_ok() {
        assert!(Instant::now() < gone);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(node.socket.exists(), "as after a power cut");
    home.run(["node", "status"]).complains(3, &["no node runs"]);
    let again = Service::start(&home, &[]);
    assert_eq!(again.socket, node.socket);
    assert_eq!(again.verb(&["node", "status"]).code, Some(0));
}

#[test]
fn the_session_s_directory_is_used_if_it_can_be_trusted() {
    let home = Home::new();
    let run = home.path("run");
    std::fs::create_dir(&run).unwrap();
    let start = |home: &Home, run: &Path| {
        let mut command = home.command([&APART[..], &["node", "start", "--json"]].concat());
        command.env("XDG_RUNTIME_DIR", run);
        crate::cli::program::ran(command).json()["socket"]
            .as_str()
            .map(PathBuf::from)
            .unwrap()
    };
    let stop = |home: &Home, run: &Path| {
        let mut command = home.command(["node", "stop"]);
        command.env("XDG_RUNTIME_DIR", run);
        assert_eq!(crate::cli::program::ran(command).code, Some(0));
    };
    let socket = start(&home, &run);
    assert!(
        socket.starts_with(&run)
            && socket
                .extension()
                .is_some_and(|extension| extension == "sock"),
        "{socket:?}"
    );
    stop(&home, &run);
    // If that directory is missing or open to others, the socket is in the data directory and is
    // found there.
    let missing = home.path("missing");
    assert!(start(&home, &missing).ends_with("control.sock"));
    stop(&home, &missing);
    std::fs::set_permissions(
        run.join("swarmdex"),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .unwrap();
    assert!(start(&home, &run).ends_with("control.sock"));
    stop(&home, &run);
}

/// cron and sudo sessions have another environment.
#[test]
fn a_node_is_found_whatever_the_environment_says() {
    let home = Home::new();
    let run = home.path("run");
    std::fs::create_dir(&run).unwrap();
    let with = |words: &[&str]| {
        let mut command = home.command([&APART, words].concat());
        command.env("XDG_RUNTIME_DIR", &run);
        crate::cli::program::ran(command)
    };
    let status = with(&["node", "start", "--json"]).json();
    let socket: PathBuf = status["socket"].as_str().unwrap().into();
    let node = Service {
        home: &home,
        socket,
        pid: status["pid"].as_u64().unwrap() as u32,
    };
    assert!(node.socket.starts_with(&run));
    assert_eq!(
        node.verb(&["status", "--json"]).json()["pid"],
        status["pid"]
    );

    // A removed socket is created again, and a verb waits for it meanwhile.
    std::fs::remove_file(&node.socket).unwrap();
    assert_eq!(
        with(&["node", "status", "--json"]).json()["socket"],
        status["socket"]
    );
    assert!(node.socket.exists());
    // The end of a session removes its directory: the socket moves to the data directory.
    std::fs::remove_dir_all(&run).unwrap();
    let moved = with(&["node", "status", "--json"]).json();
    assert!(
        moved["socket"].as_str().unwrap().ends_with("control.sock"),
        "{moved}"
    );
    let stopped = node.verb(&["node", "stop"]);
    assert!(
        stopped.code == Some(0) && stopped.stderr.contains("stopped node"),
        "{}",
        stopped.stderr
    );
    assert!(!PathBuf::from(moved["socket"].as_str().unwrap()).exists());
    with(&["node", "status"]).complains(3, &["no node runs"]);
}

#[test]
fn a_node_that_nobody_could_reach_is_not_left_running() {
    let home = Home::new();
    let long = home.path(&"x".repeat(120)).to_str().unwrap().to_owned();
    home.alone(&["--data-dir", &long, "node", "start"])
        .complains(1, &["exited at once", "107 bytes", "XDG_RUNTIME_DIR"]);
    home.run(["--data-dir", &long, "node", "status"])
        .complains(3, &["no node runs"]);

    // A foreground node is long-running too. The message names it, and a signal stops it.
    let mut node = home
        .command([&APART[..], &["--data-dir", &long, "node", "--json"]].concat())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(node.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    let pid = format!("process {}", node.id());
    home.alone(&["--data-dir", &long, "search", "web"])
        .complains(3, &[&pid, "in use"]);
    home.run(["--data-dir", &long, "node", "status"])
        .complains(3, &[&pid]);
    let stopped = home.run(["--data-dir", &long, "node", "stop", "--json"]);
    assert_eq!(stopped.json()["pid"].as_u64(), Some(u64::from(node.id())));
    assert_eq!(node.wait().unwrap().code(), Some(0));
}

/// Anyone who can write to the lock file may have written its text; only the process that holds the
/// lock is stopped.
#[test]
fn another_program_is_not_told_to_end() {
    let home = Home::new();
    let dir = home.path("data");
    std::fs::create_dir(&dir).unwrap();
    let lock = std::fs::File::create(dir.join("lock")).unwrap();
    lock.lock().unwrap();
    let mut other = Command::new("sleep").arg("600").spawn().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", other.id())).unwrap();
    let ticks = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .nth(19)
        .unwrap()
        .to_owned();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let record = serde_json::json!({ "pid": other.id(), "started": format!("{}/{ticks}", boot.trim()), "stays": true });
    std::fs::write(dir.join("lock"), record.to_string()).unwrap();
    let named = format!("process {}", other.id());
    home.run(["--data-dir", dir.to_str().unwrap(), "node", "stop"])
        .complains(3, &[&named]);
    assert!(other.try_wait().unwrap().is_none());
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn many_verbs_take_turns() {
    let home = Home::new();
    let verbs: Vec<_> = (0..20)
        .map(|_| {
            home.command([&APART[..], &["status", "--json"]].concat())
                .spawn()
                .unwrap()
        })
        .collect();
    for verb in verbs {
        let ended = crate::cli::program::within(verb, std::process::Child::wait_with_output);
        assert!(
            ended.status.success(),
            "{}",
            String::from_utf8_lossy(&ended.stderr)
        );
    }
}

/// Answers every connection with these bytes.
fn impostor(path: &Path, answer: &'static str) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 1_024];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
}

#[test]
fn what_speaks_another_protocol_is_refused_in_words() {
    let home = Home::new();
    for (name, answer, said) in [
        (
            "new",
            "HTTP/1.1 200 OK\r\nswarmdex-protocol: 9\r\ncontent-length: 2\r\n\r\n{}",
            "version 9",
        ),
        (
            "other",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
            "no control socket",
        ),
        ("nonsense", "220 mail.example.org\r\n", "broke off"),
        (
            "empty",
            "HTTP/1.1 200 OK\r\nswarmdex-protocol: 2\r\ncontent-length: 2\r\n\r\n{}",
            "not known here",
        ),
    ] {
        let path = home.path(name);
        impostor(&path, answer);
        home.run(["--attach", path.to_str().unwrap(), "status"])
            .complains(3, &[said, name]);
    }
    home.run(["--attach", "nowhere", "status"])
        .complains(3, &["nowhere", "cannot be reached"]);
    home.run(["--attach", "http://127.0.0.1", "status"])
        .complains(2, &["http://HOST:PORT"]);
    home.run(["--attach", "http://127.0.0.1:1", "status"])
        .complains(2, &["--token-file"]);
}

#[test]
fn nodes_are_joined_parted_and_told_whom_to_trust() {
    let (alice, bob) = (Home::new(), Home::new());
    let published = alice.publish(&["--handle", "alice"], "web", "1.0.0");
    let other = Running::start(&alice, &[]);
    let node = Service::start(&bob, &[]);
    let nowhere = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
    node.verb(&["connect", nowhere, "--timeout", "300ms"])
        .complains(1, &["nobody of this network answered"]);
    assert_eq!(
        node.verb(&["peers", "--connected"]).code,
        Some(1),
        "nobody is there yet"
    );
    let joined = node
        .verb(&[
            "bootstrap",
            &other.address,
            nowhere,
            "--timeout",
            "2s",
            "--json",
        ])
        .json();
    assert_eq!(
        (joined[0]["peer"].as_str(), joined[1]["peer"].as_str()),
        (Some(other.peer_id.as_str()), None)
    );

    for format in ["json", "yaml", "csv", "table"] {
        let listed = node.verb(&[
            "peer-list",
            "--connected",
            "--format",
            format,
            "--sort",
            "rtt",
        ]);
        let part = &other.peer_id[other.peer_id.len() - 12..];
        assert!(
            listed.code == Some(0) && listed.stdout.contains(part),
            "{format}: {}",
            listed.stdout
        );
    }
    assert_eq!(
        node.verb(&["peers", "--min-reputation", "1"]).code,
        Some(1),
        "nobody is perfect"
    );
    let end = &other.peer_id[other.peer_id.len() - 8..];
    let peer = node.verb(&["peer", end, "--full"]).stdout;
    for part in [
        other.peer_id.as_str(),
        "success",
        "round trip",
        "location",
        "history",
        "protocol",
    ] {
        assert!(peer.contains(part), "{part}: {peer}");
    }
    assert_eq!(
        node.verb(&["peer-info", end, "--json"]).json()["id"],
        other.peer_id.as_str()
    );
    node.verb(&["peer", "zzz"]).complains(1, &["zzz", "peers"]);

    // Trust levels.
    let publisher = published["package"]["owner"].as_str().unwrap();
    let found = || node.verb(&["search", "web", "--json"]);
    assert_eq!(found().json()["hits"].as_array().unwrap().len(), 1);
    assert_eq!(node.verb(&["distrust", publisher]).code, Some(0));
    assert_eq!(found().code, Some(1), "not shown any more");
    assert_eq!(
        node.verb(&["trust", publisher, "--as", "wren", "--json"])
            .json()["handle"],
        "wren"
    );
    assert_eq!(found().json()["hits"].as_array().unwrap().len(), 1);

    let peers = |args: &[&str]| node.verb(&[&["peers"], args].concat());
    assert_eq!(peers(&["protect", &other.peer_id]).code, Some(0));
    assert_eq!(
        peers(&["protect", &other.peer_id]).code,
        Some(1),
        "it is already"
    );
    assert_eq!(peers(&["--banned"]).code, Some(1));
    assert!(
        peers(&["ban", &other.peer_id, "--for", "2h"])
            .stdout
            .contains("is banned for 2 h")
    );
    let banned = peers(&["--banned", "--json"]).json();
    assert_eq!(
        (&banned[0]["peer"], &banned[0]["state"]),
        (&other.peer_id.clone().into(), &"banned".into())
    );
    assert!(banned[0]["ban_s_left"].as_u64().unwrap() > 7_000 && banned[0]["protected"] == false);
    assert!(
        node.verb(&["peer", &other.peer_id])
            .stdout
            .contains("banned by hand, for")
    );
    peers(&["ban", "nobody"]).complains(1, &["nobody"]);
    assert_eq!(
        node.verb(&["--readonly", "peers", "unban", &other.peer_id])
            .code,
        Some(2)
    );
    assert_eq!(peers(&["unban", &other.peer_id]).code, Some(0));
    assert_eq!(node.verb(&["connect", &other.address]).code, Some(0));
    assert_eq!(node.verb(&["disconnect", &other.peer_id]).code, Some(0));
    assert_eq!(
        node.verb(&["--readonly", "disconnect", &other.peer_id])
            .code,
        Some(2)
    );
    assert_eq!(node.verb(&["--readonly", "status"]).code, Some(0));
}

#[test]
fn a_publish_waits_for_replicas_if_it_is_asked_to() {
    let (alice, bob) = (Home::new(), Home::new());
    let other = Running::start(&bob, &[]);
    let node = Service::start(&alice, &["--bootstrap", &other.address]);
    let file = alice.file("a.bin", "content");
    let draft = alice.file("a.toml", "name = \"web\"\nversion = \"1.0.0\"");
    assert_eq!(node.verb(&["connect", &other.address]).code, Some(0));
    let done = node.verb(&[
        "publish",
        &file,
        "--manifest",
        &draft,
        "--wait",
        "replicas=1",
    ]);
    assert!(
        done.code == Some(0) && done.stderr.contains("1 peers have it"),
        "{}",
        done.stderr
    );
    node.verb(&["publish", &file, "--manifest", &draft, "--wait", "2"])
        .complains(2, &["replicas=2"]);
}

#[test]
fn what_happens_is_printed_and_recorded() {
    let home = Home::new();
    let node = Service::start(&home, &[]);
    let mut events = home
        .command(["events", "--kind", "announced", "--kind", "node"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(events.stdout.take().unwrap())
        .lines()
        .map(|line| line.unwrap());
    let first: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert_eq!(
        (first["kind"].as_str(), first["node"]["network"].as_str()),
        (Some("node"), Some("main"))
    );
    let recorded = home.path("session.jsonl");
    let mut recording = home
        .command(["events", "--record", recorded.to_str().unwrap()])
        .spawn()
        .unwrap();
    let mut said = BufReader::new(recording.stderr.take().unwrap())
        .lines()
        .map(|line| line.unwrap());
    assert!(said.next().unwrap().contains("recording to"));
    home.publish(&[], "web", "1.0.0");
    let announced = lines.find(|line| line.contains("\"announced\"")).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&announced).unwrap()["announced"]["package"]["name"],
        "web"
    );
    send("INT", events.id());
    assert_eq!(events.wait().unwrap().code(), Some(0));
    send("INT", recording.id());
    assert!(
        recording.wait().unwrap().success() && said.next().unwrap().contains("events recorded in")
    );
    let text = std::fs::read_to_string(&recorded).unwrap();
    assert!(
        text.lines().count() >= 2 && text.contains("\"swarmdex_recording\":2"),
        "{text}"
    );
    home.run(["events", "--record", recorded.to_str().unwrap()])
        .complains(1, &["session.jsonl"]);
    home.run(["replay", recorded.to_str().unwrap()])
        .complains(2, &["needs a terminal"]);
    home.run(["replay", "nothing"]).complains(1, &["nothing"]);
    node.verb(&["logs", "--filter", "loud"])
        .complains(2, &["loud", "swarmdex=debug"]);
    let filtered = node.verb(&["logs", "--filter", "debug"]);
    assert!(
        filtered.code == Some(0) && filtered.stderr.contains("debug"),
        "{}",
        filtered.stderr
    );
}

/// RLIMIT_FSIZE acts like a full file system: no file of the process can grow (setrlimit(2)).
#[test]
fn a_full_disk_is_said_and_the_node_goes_on() {
    let home = Home::new();
    // Without a handler, SIGXFSZ would end the process instead of failing the write.
    let mut start = Command::new("sh");
    let words = [&APART[..], &["node", "start", "--json"]]
        .concat()
        .join(" ");
    start.args([
        "-c",
        &format!(
            "trap '' XFSZ; exec {} {words}",
            env!("CARGO_BIN_EXE_swarmdex")
        ),
    ]);
    start
        .env("HOME", home.path(""))
        .env("SWARMDEX_GATEWAY", "off")
        .env_remove("XDG_RUNTIME_DIR")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let status = crate::cli::program::ran(start).json();
    let pid = status["pid"].as_u64().unwrap() as u32;
    let node = Service {
        home: &home,
        socket: status["socket"].as_str().unwrap().into(),
        pid,
    };
    home.publish(&["--handle", "alice"], "web", "1.0.0");
    let full = |size: u64| {
        rlimit::prlimit(
            pid as i32,
            rlimit::Resource::FSIZE,
            Some((size, rlimit::INFINITY)),
            None,
        )
        .unwrap()
    };

    full(0);
    let file = home.file("a.bin", "content");
    let draft = |version: &str| {
        home.file(
            &format!("{version}.toml"),
            &format!("name = \"web\"\nversion = \"{version}\""),
        )
    };
    let refused = node.verb(&["publish", &file, "--manifest", &draft("1.1.0")]);
    refused.complains(1, &["could not commit", "free space"]);
    assert_eq!(
        node.verb(&["versions", "alice/web", "--json"])
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        node.verb(&["search", "web"]).code,
        Some(0),
        "and what is there is found"
    );
    assert_eq!(
        node.verb(&["node", "status", "--json"]).json()["pid"].as_u64(),
        Some(u64::from(pid))
    );

    full(rlimit::INFINITY);
    let done = node.verb(&["publish", &file, "--manifest", &draft("1.2.0")]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(node.verb(&["node", "stop"]).code, Some(0));
    let versions = home.alone(&["versions", "alice/web", "--json"]).json();
    assert_eq!(versions.as_array().unwrap().len(), 2);
}

#[test]
fn a_node_that_is_ended_in_the_middle_of_a_publish_has_it_or_has_not() {
    let home = Home::new();
    for minor in 0..6 {
        let version = format!("1.{minor}.0");
        let node = Service::start(&home, &["--handle", "alice"]);
        let file = home.file("a.bin", "content");
        let draft = home.file(
            "a.toml",
            &format!("name = \"web\"\nversion = \"{version}\""),
        );
        let words = ["--handle", "alice", "publish", &file, "--manifest", &draft];
        let mut publish = home.command([&APART[..], &words].concat()).spawn().unwrap();
        let said = BufReader::new(publish.stderr.take().unwrap())
            .lines()
            .map(|line| line.unwrap());
        let mut said = said.filter(|line| !line.contains("changes nothing"));
        // Kill at a different step each time.
        let last = said.by_ref().take(minor % 3).collect::<Vec<_>>();
        send("TERM", node.pid);
        let rest: Vec<String> = said.collect();
        let code = publish.wait().unwrap().code();
        assert!(
            matches!(code, Some(0 | 1 | 3)),
            "{code:?}: {last:?} {rest:?}"
        );
        let acknowledged = code == Some(0)
            || last
                .iter()
                .chain(&rest)
                .any(|line| line.starts_with("stored"));
        let gone = Instant::now() + PATIENCE;
        while UnixStream::connect(&node.socket).is_ok() {
            assert!(Instant::now() < gone);
            std::thread::sleep(Duration::from_millis(10));
        }
        let listed = home.alone(&["versions", "alice/web", "--json"]);
        assert!(
            !acknowledged || listed.stdout.contains(&version),
            "{version} was acknowledged ({code:?}, {last:?}, {rest:?}): {}{}",
            listed.stdout,
            listed.stderr
        );
    }
}

#[test]
fn a_key_is_backed_up_and_taken_to_another_machine() {
    let (alice, other) = (Home::new(), Home::new());
    assert_eq!(alice.run(["key", "show"]).code, Some(1));
    alice
        .run(["key", "export", "backup", "--plain"])
        .complains(2, &["there is no key", "first publish"]);
    let published = alice.publish(&[], "web", "1.0.0");
    let shown = alice.run(["key", "show", "--json"]).json();
    assert_eq!(shown["publisher"], published["package"]["owner"]);
    let backup = alice.path("backup");
    assert_eq!(
        alice
            .run(["key", "export", backup.to_str().unwrap(), "--plain"])
            .code,
        Some(0)
    );
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&backup).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    alice
        .run(["key", "export", backup.to_str().unwrap(), "--plain"])
        .complains(1, &["backup"]);

    assert_eq!(
        other.run(["key", "import", backup.to_str().unwrap()]).code,
        Some(0)
    );
    assert_eq!(
        other.run(["key", "show", "--json"]).json()["publisher"],
        shown["publisher"]
    );
    let third = Home::new();
    third.publish(&[], "json", "1.0.0");
    third
        .run(["key", "import", backup.to_str().unwrap()])
        .complains(2, &["there is a key of"]);
    third
        .run(["key", "import", third.file("no.key", "nonsense").as_str()])
        .complains(1, &["damaged"]);
}

/// The database remembers its publisher and its node's identity.
#[test]
fn a_lost_key_is_not_replaced_without_a_word() {
    let home = Home::new();
    let dir = home.path("d");
    let flags = ["--data-dir", dir.to_str().unwrap()];
    let with = |words: &[&str]| home.alone(&[&flags[..], words].concat());
    let first = home.publish(&flags, "web", "1.0.0");
    let publisher = first["package"]["owner"].as_str().unwrap();
    let backup = home.path("backup.key");
    assert_eq!(
        with(&["key", "export", backup.to_str().unwrap(), "--plain"]).code,
        Some(0)
    );
    with(&["key", "new"]).complains(2, &["there is a key in", "move it away"]);
    let key = dir.join("publisher.key");
    std::fs::remove_file(&key).unwrap();

    let content = home.file("content.bin", "web 1.1.0");
    let manifest = home.file(
        "next.toml",
        "name = \"web\"\nversion = \"1.1.0\"\ndescription = \"For tests\"",
    );
    let publish = || with(&["publish", &content, "--manifest", &manifest, "--json"]);
    publish().complains(1, &[publisher, "is gone", "key import FILE", "key new"]);
    assert!(!key.exists(), "nothing took its place");
    assert_eq!(with(&["key", "show"]).code, Some(1));
    assert!(with(&["key", "show"]).stderr.contains(publisher));
    with(&["key", "export", "other"]).complains(2, &[publisher, "is gone"]);
    assert_eq!(
        with(&["versions", &format!("{publisher}/web")]).code,
        Some(0),
        "and what needs no key goes on"
    );

    assert_eq!(
        with(&["key", "import", backup.to_str().unwrap()]).code,
        Some(0)
    );
    assert_eq!(publish().json()["package"]["owner"], publisher);
    // A new key is created on request, and replaces the old one.
    std::fs::remove_file(&key).unwrap();
    let made = with(&["key", "new", "--json"]).json();
    assert_eq!(made["before"], publisher);
    let manifest = home.file(
        "other.toml",
        "name = \"other\"\nversion = \"1.0.0\"\ndescription = \"For tests\"",
    );
    let other = with(&["publish", &content, "--manifest", &manifest, "--json"]).json();
    assert_eq!(other["package"]["owner"], made["id"]);
    std::fs::remove_file(&key).unwrap();
    publish().complains(1, &[made["id"].as_str().unwrap(), "is gone"]);
    // A backup without the key says so.
    let lacking = with(&["backup", home.path("saved").to_str().unwrap()]);
    assert!(
        lacking.code == Some(1) && lacking.stderr.contains(made["id"].as_str().unwrap()),
        "{}",
        lacking.stderr
    );
}

#[test]
fn a_node_does_not_become_another_one_without_a_word() {
    let home = Home::new();
    let node = home.alone(&["status", "--json"]).json();
    let dir = PathBuf::from(node["data_dir"].as_str().unwrap());
    let key = dir.join("identity.key");
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let id = node["peer_id"].as_str().unwrap();
    home.alone(&["status", "--json"])
        .complains(1, &[id, "is gone", "backup", "key new --identity"]);
    home.alone(&["node", "start"]).complains(1, &[id]);
    assert!(!key.exists());
    std::fs::write(&key, kept).unwrap();
    assert_eq!(home.alone(&["status", "--json"]).json()["peer_id"], id);
    std::fs::remove_file(&key).unwrap();
    let made = home.run(["key", "new", "--identity", "--json"]).json();
    assert_eq!(made["before"], id);
    assert_eq!(
        home.alone(&["status", "--json"]).json()["peer_id"],
        made["id"]
    );
}
