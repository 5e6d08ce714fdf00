//! The gateway: one HTTP server through which package managers use a node as one of their
//! registries.
//!
//! It knows a node by its traits and by `ecosystem/`. Reading on loopback needs no token; signing
//! or changing anything needs the one in `gateway.token`, on every address.

mod answer;
mod cargo;
mod check;
mod companions;
mod connections;
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
mod request_log;
mod served;
mod service;
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

/// The default address: the same for every client's configuration and lock file on every machine.
pub const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4810);
/// [`Options::wait`] of a node without settings: cargo gives up after 30 s without a byte, pip
/// after 15.
pub const WAIT: Duration = Duration::from_secs(10);
/// The same for [`Options::upload`]: larger files are rare in all registries.
pub const UPLOAD: u64 = 512 << 20;
/// Time for running answers when the node ends.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Random bytes in the publish token.
const TOKEN: usize = 32;

/// The options of the gateway.
#[derive(Clone, Debug)]
pub struct Options {
    pub address: SocketAddr,
    /// The token for reading beyond loopback.
    pub token: Option<String>,
    /// True if package managers may publish, with the publish token.
    pub publish: bool,
    /// Longest wait for the next bytes of a file.
    pub wait: Duration,
    /// Most bytes of one upload.
    pub upload: u64,
    /// Number of peers that a publish waits for to have its records and bytes, for at most a
    /// minute.
    pub replicas: usize,
    /// The beginning of URLs in answers, behind a proxy.
    pub url: Option<String>,
}

impl Options {
    /// Returns the options of a gateway on this machine, on any free port.
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

/// A running gateway. It ends on [`stop`](Gateway::stop), or when it is dropped.
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
    /// Starts the gateway of a node, at exactly this address.
    ///
    /// # Errors
    /// The end of a sentence, such as "Address already in use".
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
        tokio::spawn(connections::accept(
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

    /// Returns the URL for clients on this machine.
    pub fn url(&self) -> String {
        let host = match self.bound.ip() {
            ip if ip.is_unspecified() => {
                SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.bound.port())
            }
            ip => SocketAddr::new(ip, self.bound.port()),
        };
        format!("http://{host}")
    }

    /// Stops accepting requests, and waits a moment for running answers.
    pub async fn stop(self) {
        self.stop.cancel();
        self.connections.close();
        // Anything longer is a file, or a client that does not read.
        let _ = tokio::time::timeout(LAST_WORDS, self.connections.wait()).await;
    }
}

/// Returns the path of the file with the publish token.
pub fn token_path(data_dir: &Path) -> PathBuf {
    data_dir.join("gateway.token")
}

/// Returns the publish token, creating it the first time.
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

/// Creates the directory of running uploads, without those of an earlier run.
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
