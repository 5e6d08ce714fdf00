//! A node in this process.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Control, Link, LogEntry, Logged, PROTOCOL, Status, Wait};
use crate::{
    Result,
    bus::{Batch, PeerSnapshot},
    domain::{
        faults::Ruling,
        health::{GatewayHealth, Sample},
        lookup::{LookupResult, RoutingTable, Sought, Trace},
    },
    node::NodeHandle,
    registry::{Contents, Names, Registry},
    store::backup::{Ask, Backup},
    telemetry::{self, LogRing},
};

/// A handle on a node in this process. Cheap to clone.
#[derive(Clone)]
pub struct Local {
    node: NodeHandle,
    logs: Option<Arc<LogRing>>,
    socket: Arc<Mutex<Option<PathBuf>>>,
    gateway: Arc<Mutex<Option<String>>>,
    stop: CancellationToken,
    link: Arc<watch::Sender<Link>>,
}

impl Local {
    /// Makes the interface of a node in this process, with its log if that is kept in memory.
    pub fn new(node: NodeHandle, logs: Option<Arc<LogRing>>) -> Self {
        Self {
            node,
            logs,
            socket: Arc::default(),
            gateway: Arc::default(),
            stop: CancellationToken::new(),
            link: Arc::new(watch::Sender::default()),
        }
    }

    /// Says where the node's control socket is, and records it in the lock file, where others look
    /// for it.
    pub fn has_socket(&self, path: &Path) {
        self.node.stays(true, Some(path));
        *self.socket.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.to_owned());
    }

    /// Says that the node has no socket: it stays without one, or it is about to end.
    pub fn has_no_socket(&self, stays: bool) {
        self.node.stays(stays, None);
        *self.socket.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Says how the gateway is, to who asks for the status and to Health; `None` is that it has
    /// ended.
    pub fn has_gateway(&self, gateway: Option<GatewayHealth>) {
        let url = match &gateway {
            Some(GatewayHealth::Open(url)) => Some(url.clone()),
            Some(GatewayHealth::Failed { .. }) | None => None,
        };
        *self.gateway.lock().unwrap_or_else(PoisonError::into_inner) = url;
        self.node.tell_gateway(gateway);
    }

    /// Resolves when somebody has asked the node to end.
    pub async fn told_to_stop(&self) {
        self.stop.cancelled().await;
    }
}

#[async_trait]
impl Control for Local {
    fn registry(&self) -> Arc<dyn Registry> {
        self.node.registry()
    }

    fn contents(&self) -> Arc<dyn Contents> {
        self.node.contents()
    }

    fn names(&self) -> Arc<dyn Names> {
        self.node.names()
    }

    fn revision(&self) -> Option<u64> {
        Some(self.node.revision())
    }

    fn subscribe(&self) -> mpsc::Receiver<Batch> {
        self.node.subscribe()
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    async fn status(&self) -> Result<Status> {
        Ok(Status {
            node: self.node.status().await?,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            pid: std::process::id(),
            data_dir: self.node.data_dir().to_owned(),
            socket: self
                .socket
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            gateway: self
                .gateway
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        })
    }

    async fn peers(&self) -> Result<Vec<PeerSnapshot>> {
        self.node.peers().await
    }

    async fn health(&self) -> Result<Sample> {
        self.node.health().await
    }

    async fn lookups(&self) -> Result<Vec<Trace>> {
        self.node.lookups().await
    }

    async fn routing(&self) -> Result<RoutingTable> {
        self.node.routing().await
    }

    async fn look(
        &self,
        sought: Sought,
        what: Option<String>,
        most: Duration,
    ) -> Result<LookupResult> {
        self.node.look(sought, what, most).await
    }

    async fn dial(&self, address: &Multiaddr, keep: bool, most: Duration) -> Result<PeerId> {
        self.node.dial(address.clone(), keep, most).await
    }

    async fn disconnect(&self, peer: PeerId) -> Result<bool> {
        self.node.disconnect(peer).await
    }

    async fn judge(&self, peer: PeerId, ruling: Ruling) -> Result<bool> {
        self.node.judge(peer, ruling).await
    }

    async fn wait(&self, what: Wait, most: Duration) -> Result<bool> {
        Ok(match what {
            Wait::Joined => self.node.wait_joined(most).await,
            Wait::Published => self.node.wait_published(most).await,
            Wait::Copied => self.node.wait_copied(most).await,
        })
    }

    async fn logs(&self, since: u64) -> Result<Logged> {
        let Some(ring) = &self.logs else {
            return Ok(Logged::default());
        };
        let (entries, next, lost) = ring.since(since);
        let entry = |entry: telemetry::LogEvent| LogEntry {
            at: entry.at,
            level: entry.level.as_str().to_lowercase(),
            target: entry.target,
            message: entry.message,
        };
        Ok(Logged {
            entries: entries.into_iter().map(entry).collect(),
            next,
            lost,
            file: Some(ring.path()),
        })
    }

    async fn log_filter(&self) -> Result<String> {
        Ok(telemetry::filter())
    }

    async fn set_log_filter(&self, filter: &str) -> Result<()> {
        telemetry::set_filter(filter)
    }

    async fn metrics(&self) -> Result<String> {
        self.node.metrics().await
    }

    async fn backup(&self, ask: Ask) -> Result<Backup> {
        self.node.backup(ask).await
    }

    async fn shut_down(&self) -> Result<()> {
        self.stop.cancel();
        Ok(())
    }
}
