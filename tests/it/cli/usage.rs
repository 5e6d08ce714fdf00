//! Invalid input gives one clear sentence with the problem and its solution, and the right exit
//! code.

use std::{net::TcpListener, process::Stdio};

use crate::cli::program::{Home, ran};

const ABSENT: &str =
    "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";

#[test]
fn what_makes_no_sense_is_usage() {
    let home = Home::new();
    let long = "word ".repeat(50);
    let cases: [(&[&str], &[&str]); 20] = [
        (&["serch"], &["serch"]),
        (&["--nope"], &["--nope"]),
        (&[], &["needs a terminal", "swarmdex node"]),
        (&["demo"], &["needs a terminal", "--headless"]),
        (&["demo", "--json"], &["required arguments"]),
        (
            &["demo", "--plain", "--headless"],
            &["--plain", "--headless"],
        ),
        (
            &["--plain", "status"],
            &["--plain only applies to the explorer", "leave out the verb"],
        ),
        (
            &[
                "demo",
                "--headless",
                "--catalogue",
                "embedded",
                "--peers",
                "0",
            ],
            &["--peers"],
        ),
        (
            &[
                "demo",
                "--headless",
                "--catalogue",
                "embedded",
                "--rate",
                "0",
            ],
            &["--rate"],
        ),
        (
            &["demo", "--headless", "--for", "soon"],
            &["soon", "such as 500ms"],
        ),
        (
            &["status", "--bootstrap", "localhost:80"],
            &["localhost:80", "--bootstrap", "/p2p/"],
        ),
        (
            &["status", "--bootstrap", "/ip4/192.0.2.7/tcp/4807"],
            &["192.0.2.7", "does not end with /p2p/"],
        ),
        (
            &["status", "--listen", "4807"],
            &["4807", "/ip4/0.0.0.0/tcp/4807"],
        ),
        (
            &["status", "--timeout", "5x"],
            &["--timeout", "\"5x\"", "such as 500ms"],
        ),
        (
            &["status", "--location", "here"],
            &["--location", "52.5,13.4,Berlin"],
        ),
        (&["get", "web"], &["web", "handle/name"]),
        (
            &["get", "alice/web@x.y"],
            &["alice/web@x.y", "version requirement"],
        ),
        (
            &["yank", "alice/generic:web@1.2"],
            &["\"1.2\" is not a version", "such as 1.2.3"],
        ),
        (&["search", "--limit", "0"], &["--limit", "1..=200"]),
        (&["search", &long], &["bytes of text", "fewer words"]),
    ];
    for (words, parts) in cases {
        home.run(words).complains(2, parts);
    }
    assert!(!home.path(".local/share").exists(), "no node was started");
}

#[test]
fn a_bad_draft_is_named_by_its_line_or_field() {
    let home = Home::new();
    let content = home.file("web.tar", "content");
    let publish = |toml: &str| {
        home.run([
            "publish",
            &content,
            "--manifest",
            &home.file("draft.toml", toml),
        ])
    };
    publish("name = \"web\"\nversion = \"one\"")
        .complains(2, &["draft.toml, line 2", "version = \"one\""]);
    publish("name = \"web\"\nversion =").complains(2, &["draft.toml, line 2", "correct it"]);
    publish("name = \"web\"\nversion = \"1.0.0\"\nverison = 1")
        .complains(2, &["line 3", "verison"]);
    let title = format!(
        "name = \"web\"\nversion = \"1.0.0\"\ntitle = \"{}\"",
        "x".repeat(200)
    );
    publish(&title).complains(
        2,
        &["draft of web", "title", "200 characters", "at most 120"],
    );
    publish(&"# long\n".repeat(20_000)).complains(2, &["draft.toml", "bytes", "--manifest"]);
    let draft = home.file("good.toml", "name = \"web\"\nversion = \"1.0.0\"");
    home.run(["publish", ".", "--manifest", &draft])
        .complains(2, &["is a directory", "leave out --manifest"]);
    home.run(["publish", &content])
        .complains(2, &["is a file", "--manifest TOML", "import"]);
    home.run(["publish", "."])
        .complains(2, &["no swarmdex.toml", "name and a version"]);
    home.run(["publish", "absent.tar", "--manifest", &draft])
        .complains(1, &["absent.tar", "cannot be read"]);
}

#[test]
fn what_cannot_be_done_is_a_failure() {
    let home = Home::new();
    let below = format!("{}/node", home.file("file", ""));
    home.alone(&["--data-dir", &below, "status"])
        .complains(1, &[&below, "cannot be created"]);
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", busy.local_addr().unwrap().port());
    home.run(["--no-mdns", "--listen", &address, "status"])
        .complains(1, &[&address, "--listen"]);
    home.alone(&["get", "nobody/nothing"])
        .complains(1, &["nobody", "check the spelling"]);
    let empty = home.alone(&["search", "nothing", "--json"]);
    assert_eq!(
        (empty.code, empty.value()["hits"].as_array().map(Vec::len)),
        (Some(1), Some(0))
    );
}

#[test]
fn a_bootstrap_peer_that_is_not_there_is_said_and_survived() {
    let home = Home::new();
    let status = home.alone(&[
        "--bootstrap",
        ABSENT,
        "--timeout",
        "500ms",
        "status",
        "--json",
    ]);
    assert_eq!(status.json()["connected"], 0);
    assert!(
        status.stderr.contains("no peer was reached"),
        "{}",
        status.stderr
    );
}

#[test]
fn help_and_version_are_data() {
    let home = Home::new();
    let version = home.run(["--version"]);
    assert_eq!(
        (version.code, version.stdout.trim()),
        (Some(0), concat!("swarmdex ", env!("CARGO_PKG_VERSION")))
    );
    let help = home.run(["--help"]);
    assert!(help.code == Some(0) && help.stdout.contains("--bootstrap") && help.stderr.is_empty());
}

#[test]
fn a_closed_pipe_is_no_error() {
    let home = Home::new();
    let mut child = home
        .command(["config", "show", "--explain"])
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert!(
        ended.status.success() && ended.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    let mut command = home.command([
        "--no-mdns",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
        "status",
        "--json",
    ]);
    let mut child = command.spawn().unwrap();
    drop(child.stderr.take());
    assert!(child.wait_with_output().unwrap().status.success());
}

#[test]
fn a_home_that_cannot_be_written_to_does_not_stop_a_demo() {
    let home = Home::new();
    let below = format!("{}/home", home.file("file", ""));
    let words = "demo --headless --peers 4 --catalogue embedded --rate 60 --churn 0 --for 3s \
                 --seed 7 --json";
    let mut command = home.command(words.split(' '));
    command
        .env("HOME", below)
        .env("TMPDIR", home.path(""))
        .stderr(Stdio::piped());
    let report = ran(command).json();
    assert_eq!(
        (report["peers"].as_u64(), report["connected"].as_u64()),
        (Some(4), Some(4)),
        "{report}"
    );
    for key in [
        "announced",
        "delivered",
        "packages",
        "searches",
        "gets",
        "drops",
        "errors",
        "rss_bytes",
    ] {
        assert!(report.get(key).is_some(), "{key}: {report}");
    }
}
