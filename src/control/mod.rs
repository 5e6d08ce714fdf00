//! A running node as its users see it, whether it runs in this process or behind its control
//! socket; and a recording of one, which can only be watched.
//!
//! Each call stands once, in the table of `calls`. `server` answers over the socket and `client`
//! asks; both speak the HTTP of `docs/control.md`, of which [`PROTOCOL`] is the version.

mod answer;
mod calls;
mod client;
mod local;
mod probes;
mod recording;
mod server;
mod socket;
mod streams;
mod wire;

pub use calls::{Control, markdown as calls_markdown};
pub use client::{Remote, Target};
pub use local::Local;
pub use recording::{Recorder, Replay};
pub use server::{Serving, serve};
pub use socket::{candidates, token_path};

use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::{
    Result,
    bus::{Batch, NodeSnapshot},
    domain::time::Timestamp,
};

/// Version of what is spoken over the control socket. One that a program does not know is refused
/// with a sentence.
pub const PROTOCOL: u32 = 2;

/// A node that can be watched, running or recorded.
#[async_trait]
pub trait Watch: Send + Sync {
    /// Everything that happens from now on, beginning with how things stand. A reader that is slow
    /// gets fewer, larger batches, each with the number of events that it lost.
    fn subscribe(&self) -> mpsc::Receiver<Batch>;

    /// The connection to the node.
    fn link(&self) -> watch::Receiver<Link>;

    /// Returns the identity and the state of the node; of a recorded one, those when the recording
    /// began.
    ///
    /// # Errors
    /// Those of every call to a [`Control`]; a recording has none.
    async fn status(&self) -> Result<Status>;
}

/// The connection to a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Link {
    #[default]
    /// The node answers.
    Here,
    /// It is tried again and again.
    Lost {
        /// The last error, for people.
        why: String,
    },
}

/// A condition that can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// A peer of this network is connected.
    Joined,
    /// The network has taken every publish.
    Published,
    /// No own release is being given to other nodes.
    Copied,
}

/// The identity and the state of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    #[serde(flatten)]
    /// The node's state.
    pub node: NodeSnapshot,
    /// Of the program that the node runs.
    pub version: String,
    /// Version of the control protocol, [`PROTOCOL`].
    pub protocol: u32,
    /// Of its process.
    pub pid: u32,
    /// The node's data directory.
    pub data_dir: PathBuf,
    /// Its control socket; `None` for one that has none.
    pub socket: Option<PathBuf>,
    /// The address that package managers use, such as `http://127.0.0.1:4810`; `None` if they cannot
    /// use this node.
    #[serde(default)]
    pub gateway: Option<String>,
}

/// A part of the log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Logged {
    /// The entries, the oldest first.
    pub entries: Vec<LogEntry>,
    /// The number to ask for next.
    pub next: u64,
    /// Entries that were overwritten before they were asked for.
    pub lost: u64,
    /// The file that has more of it, on the node's machine.
    pub file: Option<PathBuf>,
}

/// One event of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogEntry {
    /// The time by the node's clock.
    pub at: Timestamp,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// The part of the program, such as `swarmdex::net::task`.
    pub target: String,
    /// The message and its fields, as text.
    pub message: String,
}
