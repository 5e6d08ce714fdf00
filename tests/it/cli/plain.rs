//! The plain explorer: sentences on stdout, one a line.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ExitStatus},
    sync::mpsc::{Receiver, channel},
    time::Instant,
};

use crate::cli::program::{APART, Home, PATIENCE, send, within};

/// A plain explorer and its output.
struct Plain {
    child: Option<Child>,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Plain {
    fn start(home: &Home, words: &[&str]) -> Self {
        let mut child = home.command(words).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            stdout
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Self {
            child: Some(child),
            lines,
            said: Vec::new(),
        }
    }

    /// Returns the next line that has all of these parts, without its time.
    fn until(&mut self, parts: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line =
                line.unwrap_or_else(|_| panic!("waited in vain for {parts:?}: {:#?}", self.said));
            self.said.push(line.clone());
            let (time, text) = line.split_once(' ').unwrap();
            let digits = time
                .split(':')
                .map(|part| part.len() == 2 && part.parse::<u8>().is_ok());
            assert_eq!(digits.collect::<Vec<_>>(), [true; 3], "{line}");
            assert!(!line.chars().any(char::is_control), "{line:?}");
            if parts.iter().all(|part| text.contains(part)) {
                return text.to_owned();
            }
        }
    }

    fn address(&mut self) -> String {
        self.until(&["listening on /ip4/127.0.0.1/tcp/", "/p2p/"])
            .strip_prefix("listening on ")
            .unwrap()
            .to_owned()
    }

    fn stop(mut self, signal: &str) -> ExitStatus {
        let child = self.child.take().unwrap();
        send(signal, child.id());
        within(child, |mut child| child.wait())
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn whoever_joins_and_whatever_is_announced_is_told() {
    let (alice, bob, carol) = (Home::new(), Home::new(), Home::new());
    let mut first = Plain::start(
        &alice,
        &[&APART[..], &["--plain", "--handle", "alice"]].concat(),
    );
    first.until(&["you are alice, node 12D3KooW", "in network main"]);
    let address = first.address();

    let mut second = Plain::start(
        &bob,
        &[&APART[..], &["--plain", "--bootstrap", &address]].concat(),
    );
    second.until(&["joined: ", "outbound"]);
    first.until(&["joined: ", "is connected at /ip4/127.0.0.1/tcp/", "inbound"]);

    let published = carol.publish(
        &["--bootstrap", &address, "--handle", "carol"],
        "web",
        "1.0.0",
    );
    let key = published["package"]["owner"].as_str().unwrap();
    let announced = format!(
        "announced carol/web ({}) 1.0.0: A web for tests, via ",
        &key[key.len() - 12..]
    );
    first.until(&[&announced, ", delay "]);
    assert_eq!(second.stop("TERM").code(), Some(0));
    first.until(&["peer gone: ", "; no peers left"]);
    assert_eq!(first.stop("INT").code(), Some(0));
}

#[test]
fn a_pipe_that_is_closed_ends_the_node_in_order() {
    let home = Home::new();
    let mut child = home
        .command([&APART[..], &["--plain"]].concat())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let address = lines.find_map(|line| {
        line.split_once("listening on ")
            .map(|(_, address)| address.to_owned())
    });
    drop(lines);
    // The program notices a closed pipe only when it prints again.
    Home::new().publish(&["--bootstrap", &address.unwrap()], "web", "1.0.0");
    let ended = within(child, Child::wait_with_output);
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(
        ended.status.code() == Some(0) && said.contains("shutting down"),
        "{:?}: {said}",
        ended.status
    );
    assert!(!said.contains("error"), "{said}");
}

#[test]
fn a_demo_is_told_from_your_own_node() {
    let home = Home::new();
    let words = "demo --plain --peers 4 --catalogue embedded --rate 600 --churn 0 --seed 7";
    let mut demo = Plain::start(&home, &words.split(' ').collect::<Vec<_>>());
    demo.until(&["demo of 4 peers", "seed 7"]);
    demo.until(&["you are ", "in network demo-"]);
    demo.until(&["joined: "]);
    demo.until(&["announced ", "via ", "delay "]);
    assert_eq!(demo.stop("TERM").code(), Some(0));
}
