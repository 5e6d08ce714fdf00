//! Requests of package managers to the gateway, grouped into runs of a client.

use std::{collections::HashMap, time::Duration};

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::{
    name::{PackageName, PublisherId},
    text::printable,
    time::Timestamp,
    version::VersionText,
};

/// A client that sends another request within this time is still in the same run: package managers
/// pause longer only while they build.
pub const SAME_RUN: Duration = Duration::from_secs(15);
/// The most runs tracked at a time.
const MOST_RUNS: usize = 256;
/// The most characters kept of a path or a refusal.
const MOST_TEXT: usize = 500;

/// The purpose of a client's request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestPurpose {
    /// Reads an index, a page, a document or search results.
    #[default]
    Read,
    /// Downloads a file of a release, or a part of one.
    File,
    /// Publishes, yanks or changes something else.
    Change,
}

/// The origin of a file's bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BytesOrigin {
    /// Bytes that this node already had.
    pub here: u64,
    /// Bytes that peers sent while the file was being served.
    pub peers: Vec<(PeerId, u64)>,
}

/// A request of a package manager. A later value replaces an earlier one with the same id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientRequest {
    /// A number counted up since the node started.
    pub id: u64,
    /// The id of the first request in the same run of the client.
    pub run: u64,
    /// The time of the request.
    pub at: Timestamp,
    /// The program and its version, as it identifies itself, such as `cargo 1.95.0`.
    pub client: String,
    /// The client's address.
    pub from: String,
    /// The HTTP method.
    pub method: String,
    /// The path, shortened.
    pub path: String,
    /// The purpose of the request.
    pub purpose: RequestPurpose,
    /// The package concerned, if there is one.
    pub package: Option<PackageName>,
    /// The version concerned, if there is one.
    pub version: Option<VersionText>,
    /// The owner whose package the name means here.
    pub owner: Option<PublisherId>,
    /// The HTTP status of the answer.
    pub status: u16,
    /// Bytes of the body that were sent, and its length if known.
    pub bytes: u64,
    /// The length of the body in bytes, if known.
    pub length: Option<u64>,
    /// The origin of the bytes.
    pub origin: BytesOrigin,
    /// Time from the request to the start of the answer, in milliseconds.
    pub waited: u64,
    /// Time from the request to the last byte of the answer, in milliseconds; `None` while it is
    /// being sent.
    pub millis: Option<u64>,
    /// The message of a refusal, which not every client shows.
    pub refusal: Option<String>,
}

impl ClientRequest {
    /// Returns true while the answer is being sent.
    pub fn is_open(&self) -> bool {
        self.millis.is_none()
    }

    /// Returns true if the client disconnected or the answer could not be completed.
    pub fn is_broken_off(&self) -> bool {
        !self.is_open() && self.length.is_some_and(|length| self.bytes < length)
    }

    /// Returns true if the answer is an error.
    pub fn is_refused(&self) -> bool {
        self.status >= 400
    }
}

/// Returns the program and its version from a `User-Agent`, for display.
pub fn client_of(agent: &str) -> String {
    let agent = printable(agent);
    // pnpm and yarn 1 append the npm version they emulate, and pip appends JSON.
    let first = agent.split_whitespace().next().unwrap_or("unknown");
    let (name, version) = first.split_once('/').unwrap_or((first, ""));
    let name: String = name.chars().take(32).collect::<String>().to_lowercase();
    // yarn 4 names only the HTTP library it uses.
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

/// Clients that are counted individually; the last entry stands for all others.
pub const CLIENTS: [&str; 10] = [
    "cargo", "pip", "uv", "twine", "poetry", "npm", "pnpm", "yarn", "bun", "other",
];

/// Returns the entry of [`CLIENTS`] for a result of [`client_of`].
pub fn kind_of(client: &str) -> &'static str {
    let name = client.split(' ').next().unwrap_or_default();
    CLIENTS
        .into_iter()
        .find(|known| *known == name)
        .unwrap_or("other")
}

/// Returns a client's text shortened and made safe to show.
pub fn told(text: &str) -> String {
    printable(text).chars().take(MOST_TEXT).collect()
}

/// Assigns requests to runs of a client.
#[derive(Debug, Default)]
pub struct Runs(HashMap<(String, String), (u64, Timestamp)>);

impl Runs {
    /// Returns the run of a request, identified by the client and its address.
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
