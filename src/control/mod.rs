//! A running node as its users see it, whether it runs in this process or behind its control
//! socket: one trait for what it is, what happens on it and what it can be told.
//!
//! `server` answers over the socket and `client` asks; both speak the HTTP of `docs/control.md`, of
//! which [`PROTOCOL`] is the version.

mod answer;
mod client;
mod content_client;
mod content_server;
mod local;
mod names;
mod recording;
mod server;
mod socket;
mod stream;
mod wire;

pub use client::{Remote, Target};
pub use local::Local;
pub use recording::{Recorder, Replay};
pub use server::{Serving, serve};
pub use socket::{candidates, token_path};

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::{
    Result,
    bus::{Batch, NodeSnapshot, PeerSnapshot},
    domain::{
        faults::Ruling,
        health::Sample,
        lookup::{LookupResult, RoutingTable, Sought, Trace},
        time::Timestamp,
    },
    registry::{Contents, Names, Registry},
    store::backup::{Ask, Backup},
};

/// Version of what is spoken over the control socket. One that a program does not know is refused
/// with a sentence.
pub const PROTOCOL: u32 = 2;

/// A running node.
///
/// # Errors
/// Every call fails with [`Closed`](crate::RegistryError::Closed) once the node has ended, with
/// [`Database`](crate::RegistryError::Database) where its database fails, and over a control socket
/// with [`NoNode`](crate::RegistryError::NoNode) or [`Control`](crate::RegistryError::Control)
/// where that fails.
#[async_trait]
pub trait Control: Send + Sync {
    /// Search, get, publish and the rest.
    fn registry(&self) -> Arc<dyn Registry>;

    /// The bytes of releases: put, fetch, read, keep.
    fn contents(&self) -> Arc<dyn Contents>;

    /// The table of bare names and their publishers.
    fn names(&self) -> Arc<dyn Names>;

    /// A number that is another one when anything that this node has stored may have changed; `None`
    /// of a node in another process.
    fn revision(&self) -> Option<u64> {
        None
    }

    /// Everything that happens from now on, beginning with how things stand. A reader that is slow
    /// gets fewer, larger batches, each with the number of events that it lost.
    fn subscribe(&self) -> mpsc::Receiver<Batch>;

    /// The connection to the node.
    fn link(&self) -> watch::Receiver<Link>;

    /// Returns the identity and the state of the node.
    ///
    /// # Errors
    /// Those of every call.
    async fn status(&self) -> Result<Status>;

    /// Returns every known peer, connected or not.
    ///
    /// # Errors
    /// Those of every call.
    async fn peers(&self) -> Result<Vec<PeerSnapshot>>;

    /// Measures the node now.
    ///
    /// # Errors
    /// Those of every call.
    async fn health(&self) -> Result<Sample>;

    /// Returns the DHT lookups that run, and the last that ended, the newest first.
    ///
    /// # Errors
    /// Those of every call.
    async fn lookups(&self) -> Result<Vec<Trace>>;

    /// Returns the routing table, by distance.
    ///
    /// # Errors
    /// Those of every call.
    async fn routing(&self) -> Result<RoutingTable>;

    /// Looks something up in the DHT, and tells the result hop by hop. `what` is its purpose, for
    /// people; `most` is the deadline.
    ///
    /// # Errors
    /// Those of every call.
    async fn look(
        &self,
        sought: Sought,
        what: Option<String>,
        most: Duration,
    ) -> Result<LookupResult>;

    /// Connects to a peer, and waits until it is known to be of this network. With `keep` it is
    /// dialled again whenever the connection is lost.
    ///
    /// # Errors
    /// [`Address`](crate::RegistryError::Address), [`Unreached`](crate::RegistryError::Unreached);
    /// those of every call.
    async fn dial(&self, address: &Multiaddr, keep: bool, most: Duration) -> Result<PeerId>;

    /// Ends the connection with a peer; false when there was none.
    ///
    /// # Errors
    /// Those of every call.
    async fn disconnect(&self, peer: PeerId) -> Result<bool>;

    /// Bans, protects or pardons a peer; false when that changes nothing.
    ///
    /// # Errors
    /// Those of every call.
    async fn judge(&self, peer: PeerId, ruling: Ruling) -> Result<bool>;

    /// Waits for a condition; false when it has not come about after `most`.
    ///
    /// # Errors
    /// Those of every call.
    async fn wait(&self, what: Wait, most: Duration) -> Result<bool>;

    /// Returns the entries of the log from number `since` on, of those that are kept in memory.
    ///
    /// # Errors
    /// Those of every call.
    async fn logs(&self, since: u64) -> Result<Logged>;

    /// Returns the filter of the log: a level or directives, as in the setting `log_level`.
    ///
    /// # Errors
    /// Those of every call.
    async fn log_filter(&self) -> Result<String>;

    /// Sets the filter of the log, until the node ends.
    ///
    /// # Errors
    /// [`Usage`](crate::RegistryError::Usage) for a filter that cannot be understood; those of
    /// every call.
    async fn set_log_filter(&self, filter: &str) -> Result<()>;

    /// Returns every metric in the text format of Prometheus.
    ///
    /// # Errors
    /// Those of every call.
    async fn metrics(&self) -> Result<String>;

    /// Makes a backup in a directory on the node's machine, while the node runs.
    ///
    /// # Errors
    /// [`Usage`](crate::RegistryError::Usage), [`File`](crate::RegistryError::File); those of every
    /// call.
    async fn backup(&self, ask: Ask) -> Result<Backup>;

    /// Tells the node to shut down, and returns before it has.
    ///
    /// # Errors
    /// Those of every call.
    async fn shut_down(&self) -> Result<()>;
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
