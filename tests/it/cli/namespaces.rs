//! Nodes in network namespaces: an unplugged cable, machines with IPv6 only, and a machine without
//! a network. If namespaces are not allowed, these tests say so and test nothing.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::cli::program::{Home, ran, send, within};

/// A network namespace that is removed with this value.
pub struct Space(String);

impl Space {
    /// Creates one; prints a message and returns `None` if that is not allowed.
    pub fn new(name: &str) -> Option<Self> {
        let name = format!("sdx{}{name}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).output();
        if made.as_ref().is_ok_and(|made| made.status.success()) {
            return Some(Self(name));
        }
        eprintln!(
            "NOT TESTED: no network namespace can be made here, which takes root and iproute2 \
             ({made:?})"
        );
        None
    }

    pub fn ip(&self, words: &str) {
        let ran = Command::new("ip")
            .args(["-n", &self.0])
            .args(words.split_whitespace())
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "{words}: {}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }

    /// Connects two namespaces with a cable.
    pub fn cable(&self, other: &Self) {
        let link = format!("link add cable type veth peer name cable netns {}", other.0);
        self.ip(&link);
        for space in [self, other] {
            space.ip("link set cable up");
        }
    }

    /// Returns a command that runs in this namespace.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).arg(program);
        command
    }

    /// Returns a command that runs Swarmdex in this namespace.
    pub fn command(&self, home: &Home, words: &[&str]) -> Command {
        let program = home.command(words);
        let mut command = self.program(program.get_program());
        command.args(program.get_args());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts a node in it, and returns its first address too.
    fn node(&self, home: &Home, flags: &[&str]) -> Stays {
        let mut child = self
            .command(home, &[flags, &["node", "--json"]].concat())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let said: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let addresses = said["addresses"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one.as_str().unwrap().to_owned());
        Stays {
            child: Some(child),
            addresses: addresses.collect(),
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).output();
    }
}

struct Stays {
    child: Option<Child>,
    addresses: Vec<String>,
}

impl Drop for Stays {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            // `ip netns exec` replaces itself with the program, so this is its process id.
            send("TERM", child.id());
            let _ = within(child, |mut child| child.wait());
        }
    }
}

/// Repeats a question until the answer is right: a node learns some things late.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "waited in vain for {what}"
        );
        std::thread::sleep(Duration::from_millis(300));
    }
}

fn connected(home: &Home) -> u64 {
    home.run(["status", "--json"]).json()["connected"]
        .as_u64()
        .unwrap()
}

#[test]
fn a_cable_that_is_out_is_noticed_on_both_ends() {
    let (Some(left), Some(right)) = (Space::new("a"), Space::new("b")) else {
        return;
    };
    left.cable(&right);
    left.ip("addr add 10.9.0.1/24 dev cable");
    right.ip("addr add 10.9.0.2/24 dev cable");
    let (alice, bob) = (Home::new(), Home::new());
    // Use TCP only: QUIC has its own timeout.
    let node = left.node(&alice, &["--no-mdns", "--listen", "/ip4/10.9.0.1/tcp/4807"]);
    let join = [
        "--no-mdns",
        "--listen",
        "/ip4/10.9.0.2/tcp/4807",
        "--bootstrap",
        &node.addresses[0],
    ];
    let _other = right.node(&bob, &join);
    until("both to be connected", || {
        connected(&alice) == 1 && connected(&bob) == 1
    });

    right.ip("link set cable down");
    until("both to be alone", || {
        connected(&alice) == 0 && connected(&bob) == 0
    });
    let health = alice.run(["health"]).stdout;
    assert!(
        health.contains("nobody of this network is connected")
            && health.contains("1 without a word"),
        "{health}"
    );

    right.ip("link set cable up");
    until("both to be back", || {
        connected(&alice) == 1 && connected(&bob) == 1
    });
}

#[test]
fn machines_with_ipv6_only_listen_and_join() {
    let (Some(left), Some(right)) = (Space::new("c"), Space::new("d")) else {
        return;
    };
    left.cable(&right);
    for (space, address) in [(&left, "fd99::1/64"), (&right, "fd99::2/64")] {
        space.ip("link set lo up");
        space.ip("addr del 127.0.0.1/8 dev lo");
        space.ip(&format!("addr add {address} dev cable nodad"));
    }
    let (alice, bob) = (Home::new(), Home::new());
    let node = left.node(&alice, &["--no-mdns"]);
    let reached = node
        .addresses
        .iter()
        .find(|address| address.starts_with("/ip6/fd99::1/tcp/4807/p2p/"));
    let reached = reached.unwrap_or_else(|| panic!("{:?}", node.addresses));
    let _other = right.node(&bob, &["--no-mdns", "--bootstrap", reached]);
    until("both to be connected", || {
        connected(&alice) == 1 && connected(&bob) == 1
    });
    let listening = alice.run(["health", "--json"]).value();
    assert!(
        listening.to_string().contains("IPv6 tcp 4807"),
        "{listening}"
    );
}

#[test]
fn a_machine_without_a_network_has_every_verb_that_needs_none() {
    let Some(space) = Space::new("e") else { return };
    let home = Home::new();
    let content = home.file("content.bin", "content");
    let manifest = home.file(
        "swarmdex.toml",
        "handle = \"alice\"\nname = \"web\"\nversion = \"1.0.0\"",
    );
    let run = |words: &[&str]| {
        let ran = ran(space.command(&home, words));
        assert_eq!(ran.code, Some(0), "{words:?}: {}", ran.stderr);
        ran
    };
    run(&["publish", &content, "--manifest", &manifest]);
    run(&["status"]);
    assert!(run(&["versions", "alice/web"]).stdout.contains("1.0.0"));
    assert!(run(&["search", "web"]).stdout.contains("alice/web"));
    let out = home.path("out.bin");
    run(&["get", "alice/web", "-o", out.to_str().unwrap()]);
    assert_eq!(std::fs::read(out).unwrap(), b"content");
    for words in [
        &["contents"][..],
        &["verify"],
        &["gc"],
        &["yank", "alice/web@1.0.0"],
    ] {
        run(words);
    }

    // A long-running node reports the problem, and listens once there is an interface.
    let stays = space.node(&home, &["--listen", "/ip4/0.0.0.0/tcp/4807"]);
    assert!(stays.addresses.is_empty(), "{:?}", stays.addresses);
    let health = home.run(["health"]).stdout;
    assert!(health.contains("no network interface is up"), "{health}");
    space.ip("link set lo up");
    until("an address", || {
        home.run(["status"])
            .stdout
            .contains("/ip4/127.0.0.1/tcp/4807")
    });
    drop(stays);

    // The settings name the address of an interface that does not exist.
    let settings = home.file("settings.toml", "listen = [\"/ip4/203.0.113.7/tcp/4807\"]");
    assert!(
        run(&["--config", &settings, "versions", "alice/web"])
            .stderr
            .contains("cannot listen on")
    );
}
