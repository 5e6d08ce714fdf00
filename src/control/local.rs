//! A node in this process.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Control, Link, LogEntry, Logged, PROTOCOL, Status, Watch, calls::Reach};
use crate::{
    Result,
    bus::Batch,
    domain::health::GatewayHealth,
    node::NodeHandle,
    registry::{Contents, Names, Registry},
    telemetry::{self, LogRing},
};

/// A handle on a node in this process. Cheap to clone.
#[derive(Clone)]
pub struct Local {
    pub(super) node: NodeHandle,
    logs: Option<Arc<LogRing>>,
    socket: Arc<Mutex<Option<PathBuf>>>,
    gateway: Arc<Mutex<Option<String>>>,
    pub(super) stop: CancellationToken,
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

    /// Returns the entries of the log that are kept in memory, from number `since` on.
    pub(super) fn logged(&self, since: u64) -> Logged {
        let Some(ring) = &self.logs else {
            return Logged::default();
        };
        let (entries, next, lost) = ring.since(since);
        let entry = |entry: telemetry::LogEvent| LogEntry {
            at: entry.at,
            level: entry.level.as_str().to_lowercase(),
            target: entry.target,
            message: entry.message,
        };
        Logged {
            entries: entries.into_iter().map(entry).collect(),
            next,
            lost,
            file: Some(ring.path()),
        }
    }

    /// Resolves when somebody has asked the node to end.
    pub async fn told_to_stop(&self) {
        self.stop.cancelled().await;
    }
}

#[async_trait]
impl Watch for Local {
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

    fn reach(&self) -> Reach<'_> {
        Reach::Here(self)
    }
}
