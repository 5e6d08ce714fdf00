//! The gateway: one HTTP server by which package managers use a node as the registries that they
//! know.
//!
//! It knows a node by its traits and by `ecosystem/`. Reading on loopback needs no word; whatever
//! signs or changes something needs the one in `gateway.token`, on every address.

mod answer;
mod beside;
mod cargo;
mod check;
mod door;
mod file;
mod guard;
mod npm;
mod page;
mod path;
mod patient;
mod policy;
mod publish;
mod pypi;
mod range;
mod served;
mod service;
mod told;
mod upload;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    RegistryError, Result, bus::RequestLog, control::Control, disk, domain::proof::Prover,
};
pub use check::check;
use service::Service;

/// Where it listens unless told otherwise: one address for every client's configuration and lock
/// file on every machine.
pub const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4810);
/// [`Options::wait`] of a node without settings: cargo gives up after 30 s without a byte, pip
/// after 15.
pub const WAIT: Duration = Duration::from_secs(10);
/// [`Options::upload`] likewise: larger files are rare in any of the registries.
pub const UPLOAD: u64 = 512 << 20;
/// Time for answers that are on their way when the node ends.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Bytes of randomness in the publish token.
const TOKEN: usize = 32;

/// How the gateway is.
#[derive(Clone, Debug)]
pub struct Options {
    pub address: SocketAddr,
    /// The word that lets one read beyond loopback.
    pub token: Option<String>,
    /// Package managers may publish, with the publish token.
    pub publish: bool,
    /// Longest time in which the next bytes of a file must come.
    pub wait: Duration,
    /// Most bytes of one upload.
    pub upload: u64,
    /// Peers that a publish waits for to have its records and bytes, for a minute at most.
    pub replicas: usize,
    /// What addresses in answers begin with, behind a proxy.
    pub url: Option<String>,
}

impl Options {
    /// Those of a gateway on this machine, on whatever port is free.
    pub fn on_any_port() -> Self {
        Self {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            token: None,
            publish: true,
            wait: WAIT,
            upload: UPLOAD,
            replicas: 0,
            url: None,
        }
    }
}

/// A gateway that is open. It ends when it is told to [`stop`](Gateway::stop), or dropped.
pub struct Gateway {
    bound: SocketAddr,
    stop: CancellationToken,
    connections: TaskTracker,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Gateway {
    /// Opens the gateway of a node, at exactly this address.
    ///
    /// # Errors
    /// A sentence's end, such as "Address already in use".
    pub async fn open(
        node: Arc<dyn Control>,
        (requests, prover): (RequestLog, Prover),
        data_dir: &Path,
        options: Options,
    ) -> Result<Self, String> {
        let token = publish_token(data_dir).map_err(|error| error.to_string())?;
        let uploads = fresh_uploads(data_dir).map_err(|error| error.to_string())?;
        let listener = TcpListener::bind(options.address)
            .await
            .map_err(|error| error.to_string())?;
        let bound = listener.local_addr().map_err(|error| error.to_string())?;
        let (stop, connections) = (CancellationToken::new(), TaskTracker::new());
        let service = Arc::new(Service::new(
            node,
            (requests, prover),
            options,
            bound,
            token,
            uploads,
            stop.clone(),
        ));
        tokio::spawn(door::keep(
            listener,
            service,
            stop.clone(),
            connections.clone(),
        ));
        tracing::info!(address = %bound, "the gateway is open");
        Ok(Self {
            bound,
            stop,
            connections,
        })
    }

    /// What clients on this machine call it by.
    pub fn url(&self) -> String {
        let host = match self.bound.ip() {
            ip if ip.is_unspecified() => {
                SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.bound.port())
            }
            ip => SocketAddr::new(ip, self.bound.port()),
        };
        format!("http://{host}")
    }

    /// Takes no more requests, and waits a moment for answers that are on their way.
    pub async fn stop(self) {
        self.stop.cancel();
        self.connections.close();
        // What takes longer than that is a file, or somebody who does not read.
        let _ = tokio::time::timeout(LAST_WORDS, self.connections.wait()).await;
    }
}

/// The file with the word that lets one publish.
pub fn token_path(data_dir: &Path) -> PathBuf {
    data_dir.join("gateway.token")
}

/// The word that lets one publish, made once.
fn publish_token(data_dir: &Path) -> Result<String> {
    let path = token_path(data_dir);
    disk::tighten(&path).map_err(RegistryError::file(&path, "made private"))?;
    match std::fs::read_to_string(&path) {
        Ok(token) if token.trim().len() >= TOKEN => return Ok(token.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(RegistryError::file(&path, "read")(error)),
    }
    let token = blake3::Hash::from(rand::random::<[u8; TOKEN]>())
        .to_hex()
        .to_string();
    disk::replace(&path, format!("{token}\n").as_bytes())
        .map_err(RegistryError::file(&path, "written"))?;
    Ok(token)
}

/// The directory of uploads on their way, without those that an earlier run left.
fn fresh_uploads(data_dir: &Path) -> Result<PathBuf> {
    let dir = data_dir.join("uploads");
    match std::fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(RegistryError::file(&dir, "emptied")(error));
        }
        _ => {}
    }
    disk::private_dir(&dir).map_err(RegistryError::file(&dir, "created"))?;
    Ok(dir)
}
