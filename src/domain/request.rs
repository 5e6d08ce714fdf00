//! Requests of package managers, as the gateway answered them, and the runs of a client that they
//! belong to.

use std::{collections::HashMap, time::Duration};

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::{
    name::{PackageName, PublisherId},
    text::printable,
    time::Timestamp,
    version::VersionText,
};

/// A client that asks again within this time is the same run of it: package managers work for
/// longer than this between two requests only while they build something.
pub const SAME_RUN: Duration = Duration::from_secs(15);
/// Runs that are told apart at a time.
const MOST_RUNS: usize = 256;
/// Characters of a path or a refusal that are told.
const MOST_TEXT: usize = 500;

/// The reason for which a client asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// To read what there is: an index, a page, a document, what a search finds.
    #[default]
    Read,
    /// To have a file of a release, or a part of one.
    File,
    /// To publish, yank, or change something else.
    Change,
}

/// The origin of the bytes of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Bytes that were on this node before.
    pub here: u64,
    /// Bytes that peers gave while the file was sent.
    pub peers: Vec<(PeerId, u64)>,
}

/// A request of a package manager, as it stands. A later value replaces an earlier one of the same
/// id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientRequest {
    /// Its number since the node started.
    pub id: u64,
    /// The id of the first request of the same run of the client.
    pub run: u64,
    pub at: Timestamp,
    /// The program and its version, by its own word, such as `cargo 1.95.0`.
    pub client: String,
    /// The address that it came from.
    pub from: String,
    pub method: String,
    pub path: String,
    pub purpose: Purpose,
    pub package: Option<PackageName>,
    pub version: Option<VersionText>,
    /// The key whose package the name is here.
    pub owner: Option<PublisherId>,
    pub status: u16,
    /// Bytes of the body that were sent, and those that it has, where that is known.
    pub bytes: u64,
    pub length: Option<u64>,
    pub origin: Origin,
    /// From the request to the beginning of the answer, in milliseconds.
    pub waited: u64,
    /// From the request to the last byte of the answer, in milliseconds; `None` while it is being
    /// sent.
    pub millis: Option<u64>,
    /// The sentence of a refusal, which not every client shows.
    pub refusal: Option<String>,
}

impl ClientRequest {
    pub fn is_open(&self) -> bool {
        self.millis.is_none()
    }

    /// The client went away, or the answer could not be finished.
    pub fn is_broken_off(&self) -> bool {
        !self.is_open() && self.length.is_some_and(|length| self.bytes < length)
    }

    pub fn is_refused(&self) -> bool {
        self.status >= 400
    }
}

/// The program and its version in a `User-Agent`, as a person would say it.
pub fn client_of(agent: &str) -> String {
    let agent = printable(agent);
    // pnpm and yarn 1 say which npm they stand in for behind their own name, and pip has JSON
    // there.
    let first = agent.split_whitespace().next().unwrap_or("unknown");
    let (name, version) = first.split_once('/').unwrap_or((first, ""));
    let name: String = name.chars().take(32).collect::<String>().to_lowercase();
    // yarn 4 says what it asks with, and nothing of itself.
    let name = match name.as_str() {
        "" => "unknown",
        "got" => "yarn",
        name => name,
    };
    let version: String = version.chars().take(32).collect();
    if version.is_empty() {
        name.to_owned()
    } else {
        format!("{name} {version}")
    }
}

/// Clients that are counted one by one, and all others.
pub const CLIENTS: [&str; 10] = [
    "cargo", "pip", "uv", "twine", "poetry", "npm", "pnpm", "yarn", "bun", "other",
];

/// The program in what [`client_of`] returns, of those that are counted one by one.
pub fn kind_of(client: &str) -> &'static str {
    let name = client.split(' ').next().unwrap_or_default();
    CLIENTS
        .into_iter()
        .find(|known| *known == name)
        .unwrap_or("other")
}

/// A text of a client's, shortened and without what a terminal would obey.
pub fn told(text: &str) -> String {
    printable(text).chars().take(MOST_TEXT).collect()
}

/// Tells which run of a client a request belongs to.
#[derive(Debug, Default)]
pub struct Runs(HashMap<(String, String), (u64, Timestamp)>);

impl Runs {
    /// The run of a request with this id, by its client and where that is.
    pub fn of(&mut self, id: u64, client: &str, from: &str, now: Timestamp) -> u64 {
        if self.0.len() >= MOST_RUNS {
            self.0.retain(|_, (_, last)| now.since(*last) <= SAME_RUN);
        }
        if self.0.len() >= MOST_RUNS {
            self.0.clear();
        }
        let (run, last) = self
            .0
            .entry((client.to_owned(), from.to_owned()))
            .or_insert((id, now));
        if now.since(*last) > SAME_RUN {
            *run = id;
        }
        *last = now;
        *run
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn clients_are_called_as_people_call_them() {
        for (agent, called) in [
            ("cargo/1.95.0 (f2d3ce0bd 2026-03-21)", "cargo 1.95.0"),
            ("pip/23.2.1 {\"ci\":null}", "pip 23.2.1"),
            (
                "npm/11.19.1 node/v20.20.2 linux x64 workspaces/false",
                "npm 11.19.1",
            ),
            ("pnpm/12.21.0 npm/? node/? linux x64", "pnpm 12.21.0"),
            ("Bun/1.4.5", "bun 1.4.5"),
            ("got (https://github.com/sindresorhus/got)", "yarn"),
            ("", "unknown"),
            ("/1.0", "unknown 1.0"),
        ] {
            assert_eq!(client_of(agent), called);
        }
    }

    #[test]
    fn a_client_that_pauses_begins_another_run() {
        let mut runs = Runs::default();
        let at = |seconds: u64| Timestamp(seconds * 1_000);
        assert_eq!(runs.of(1, "cargo", "::1", at(0)), 1);
        assert_eq!(runs.of(2, "cargo", "::1", at(15)), 1);
        assert_eq!(runs.of(3, "npm", "::1", at(15)), 3);
        assert_eq!(runs.of(4, "cargo", "::2", at(15)), 4);
        assert_eq!(runs.of(5, "cargo", "::1", at(31)), 5);
        assert_eq!(runs.of(6, "cargo", "::1", at(32)), 5);
    }

    proptest! {
        #[test]
        fn any_agent_has_a_name_that_can_be_printed(agent in ".{0,200}") {
            let called = client_of(&agent);
            prop_assert!(!called.is_empty() && called.chars().count() <= 65);
            prop_assert!(!called.chars().any(char::is_control));
        }

        #[test]
        fn runs_are_bounded(froms in proptest::collection::vec("[a-z]{1,3}", 0..600)) {
            let mut runs = Runs::default();
            for (id, from) in froms.iter().enumerate() {
                let run = runs.of(id as u64, "cargo", from, Timestamp(0));
                prop_assert!(run <= id as u64);
                prop_assert!(runs.0.len() <= MOST_RUNS);
            }
        }
    }
}
