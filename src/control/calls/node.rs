//! The calls about the node itself.

use std::{sync::Arc, time::Duration};

use libp2p::{Multiaddr, PeerId, multiaddr};

use super::{
    super::{
        Local, Logged, Wait, Watch,
        wire::{Done, Filter, OfPeer, millis},
    },
    Reach, calls,
};
use crate::{
    RegistryError, Result,
    bus::PeerSnapshot,
    domain::{
        faults::Ruling,
        health::Sample,
        lookup::{LookupResult, RoutingTable, Sought, Trace},
    },
    registry::{Contents, Names, Registry},
    store::backup::{Ask, Backup},
    telemetry,
};

calls! {
    /// A running node.
    ///
    /// # Errors
    /// Every call fails with [`Closed`](crate::RegistryError::Closed) once the node has ended, with
    /// [`Database`](crate::RegistryError::Database) where its database fails, and over a control
    /// socket with [`NoNode`](crate::RegistryError::NoNode) or
    /// [`Control`](crate::RegistryError::Control) where that fails.
    pub trait Control: Watch {
        /// Search, get, publish and the rest.
        fn registry(&self) -> Arc<dyn Registry>;

        /// The bytes of releases: put, fetch, read, keep.
        fn contents(&self) -> Arc<dyn Contents>;

        /// The table of bare names and their publishers.
        fn names(&self) -> Arc<dyn Names>;

        /// A number that is another one when anything that this node has stored may have changed;
        /// `None` of a node in another process.
        fn revision(&self) -> Option<u64> {
            None
        }

        /// The way to the node, which the calls below go.
        fn reach(&self) -> Reach<'_>;

        /// Returns every metric in the text format of Prometheus. It is text, so it has no row.
        ///
        /// # Errors
        /// Those of every call.
        async fn metrics(&self) -> Result<String> {
            match self.reach() {
                Reach::Here(local) => local.node.metrics().await,
                Reach::Socket(remote) => remote.text("/metrics").await,
            }
        }
    }

    /// Returns every known peer, connected or not.
    GET "/v1/peers":
    Peers = peers() -> Vec<PeerSnapshot>
        |local| local.node.peers().await;

    /// Measures the node now, and returns every measure.
    GET "/v1/health":
    Health = health() -> Sample
        |local| local.node.health().await;

    /// Returns the running DHT lookups and the last 200 that ended, newest first, each with its
    /// hops.
    GET "/v1/lookups":
    Lookups = lookups() -> Vec<Trace>
        |local| local.node.lookups().await;

    /// Returns the routing table: for each bucket that has a peer, its distance in bits, its number
    /// of peers, and the time of the last lookup in it.
    GET "/v1/routing":
    Routing = routing() -> RoutingTable
        |local| local.node.routing().await;

    /// Looks up a `record`, the `providers` of a key, or the peers `closest` to a key in the DHT,
    /// and returns the trace, hop by hop, with the records or peers that were found. `what` is the
    /// purpose, shown to users.
    ///
    /// `most` is the deadline.
    POST "/v1/lookup" r#"{"record": "HASH", "what": "by hand", "timeout_ms": 5000}"#:
    Look = look(
        #[serde(flatten)] sought: Sought,
        #[serde(default)] what: Option<String>,
        #[serde(rename = "timeout_ms", with = "millis")] most: Duration,
    ) -> LookupResult
        |local| local.node.look(sought, what, most).await;

    /// Connects to a peer, and returns its id as `peer` once it has proved to be in this network.
    /// With `keep`, the node redials the peer whenever the connection is lost.
    ///
    /// Fails with [`Address`](crate::RegistryError::Address) for an address that cannot be dialled,
    /// and with [`Unreached`](crate::RegistryError::Unreached) after `most`.
    POST "/v1/dial" r#"{"address": "/ip4/…/p2p/…", "keep": false, "timeout_ms": 5000}"#,
        changes "connecting":
    Dial = dial(
        address: &Multiaddr as String,
        #[serde(default)] keep: bool,
        #[serde(rename = "timeout_ms", with = "millis")] most: Duration,
    ) -> PeerId as OfPeer
        |local| {
            let wrong = |error: multiaddr::Error| RegistryError::Address {
                given: address.clone(),
                why: error.to_string(),
            };
            local.node.dial(address.parse().map_err(wrong)?, keep, most).await
        };

    /// Ends the connection with a peer; false if there was none.
    POST "/v1/disconnect" r#"{"peer": "12D3KooW…"}"#, changes "disconnecting":
    Disconnect = disconnect(peer: PeerId) -> bool as Done
        |local| local.node.disconnect(peer).await;

    /// Bans, unbans, protects or unprotects a peer; false if that changes nothing. A ban without
    /// `seconds` lasts until `"unban"`; the other rulings are `"protect"` and `"unprotect"`.
    POST "/v1/judge" r#"{"peer": "12D3KooW…", "ruling": {"ban": {"seconds": 3600}}}"#,
        changes "judging a peer":
    Judge = judge(peer: PeerId, ruling: Ruling) -> bool as Done
        |local| local.node.judge(peer, ruling).await;

    /// Waits for a condition; false if it is not met in time. Conditions are `joined`, `published`
    /// (every release has been delivered to peers) and `copied` (no release of this node is being
    /// copied to others).
    POST "/v1/wait" r#"{"what": "joined", "timeout_ms": 5000}"#:
    Waiting = wait(
        what: Wait,
        #[serde(rename = "timeout_ms", with = "millis")] most: Duration,
    ) -> bool as Done
        |local| Ok(match what {
            Wait::Joined => local.node.wait_joined(most).await,
            Wait::Published => local.node.wait_published(most).await,
            Wait::Copied => local.node.wait_copied(most).await,
        });

    /// Returns the last 2,000 log entries, starting at number `since`; `next` is the number for the
    /// next request.
    GET "/v1/logs" "?since=0":
    Logs = logs(#[serde(default)] since: u64) -> Logged
        |local| Ok(local.logged(since));

    /// Returns the `filter` of the log: a level or directives, as in the setting `log_level`.
    GET "/v1/log-filter":
    LogFilter = log_filter() -> String as Filter
        |_local| Ok(telemetry::filter());

    /// Sets the filter of the log until the node ends, and returns the `filter` in force.
    ///
    /// Fails with [`Usage`](crate::RegistryError::Usage) for one that cannot be understood.
    PUT "/v1/log-filter" r#"{"filter": "info,libp2p_kad=debug"}"#,
        changes "changing the log's filter":
    SetLogFilter = set_log_filter(filter: &str as String) -> String as Filter
        |_local| telemetry::set_filter(&filter).map(|()| telemetry::filter());

    /// Makes a backup in a directory on the node's machine while the node runs, and returns its
    /// list of files once it is on disk. `contents` may be `none`, `own`, `pinned` or `all`.
    ///
    /// Fails with [`Usage`](crate::RegistryError::Usage) for a directory that cannot be used, and
    /// with [`File`](crate::RegistryError::File).
    POST "/v1/backup" r#"{"dir": "/mnt/b", "keys": true, "contents": "own"}"#,
        endless "It takes as long as the disk.":
    #[serde(transparent)]
    MakeBackup = backup(ask: Ask) -> Backup
        |local| local.node.backup(ask).await;

    /// Tells the node to shut down, and returns before it has ended.
    POST "/v1/shutdown", changes "stopping the node":
    Shutdown = shut_down() -> ()
        |local| {
            local.stop.cancel();
            Ok(())
        };
}
