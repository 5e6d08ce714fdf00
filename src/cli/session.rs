//! The node that a verb asks: the one that runs on the data directory, one that was named, or one
//! of its own.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{INTERRUPTED, global::Global, print::note, stop::Stop};
use crate::{
    RegistryError, Result, clock,
    config::Settings,
    control::{self, Control, Local, Remote, Serving, Wait},
    domain::health,
    gateway::{self, Gateway},
    net,
    node::{Node, NodeOptions},
    store::{self, Holder},
    telemetry::{self, Logs, Screen},
};

/// Longest wait for a peer whose address is known: a few round trips and a redial.
const JOIN_WAIT: Duration = Duration::from_secs(3);
/// Longest wait for a peer that multicast may find: they answer within a fraction of it, if there
/// are any.
const MULTICAST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait for other verbs that have nodes of their own on the data directory, unless
/// `--timeout` says another one: a dozen of them, one after the other.
const TURN_WAIT: Duration = Duration::from_secs(60);
/// Between two looks whether it is done.
pub(super) const TURN_LOOK: Duration = Duration::from_millis(100);
/// Longest wait for the socket of a node that stays: it makes a lost one anew every second.
const SOCKET_WAIT: Duration = Duration::from_secs(3);

/// The node that was named by `--attach`, or that runs on the data directory; `None` when none
/// does.
pub(super) async fn find(global: &Global, settings: &Settings) -> Result<Option<Remote>> {
    if let Some(target) = global.attach()? {
        return Remote::connect(target, global.readonly).await.map(Some);
    }
    let Some(remote) = reach(&settings.paths.data, global.readonly).await? else {
        return if global.readonly {
            Err(nobody(settings))
        } else {
            Ok(None)
        };
    };
    for flag in global
        .of_a_node()
        .into_iter()
        .filter(|flag| *flag != "--handle")
    {
        note(format!(
            "{flag} changes nothing here: the node that runs on this data directory is used as it is"
        ));
    }
    Ok(Some(remote))
}

/// Connects to the node that stays on a data directory, once it has a socket; `None` where none
/// stays.
///
/// # Errors
/// [`RegistryError::NoSocket`] when one does and no socket of it comes; as [`Remote::on`]
/// otherwise.
pub(super) async fn reach(data_dir: &Path, readonly: bool) -> Result<Option<Remote>> {
    let deadline = Instant::now() + SOCKET_WAIT;
    loop {
        if let Some(remote) = Remote::on(data_dir, readonly).await? {
            return Ok(Some(remote));
        }
        match store::holder(data_dir) {
            Some(Holder {
                stays: true, pid, ..
            }) if Instant::now() >= deadline => {
                return Err(RegistryError::NoSocket {
                    data_dir: data_dir.to_owned(),
                    pid,
                });
            }
            Some(Holder { stays: true, .. }) => tokio::time::sleep(TURN_LOOK).await,
            _ => return Ok(None),
        }
    }
}

/// The error where no node can be spoken to: none runs, or what has the data directory is none that
/// stays.
pub(super) fn nobody(settings: &Settings) -> RegistryError {
    let data_dir = settings.paths.data.clone();
    match store::holder(&data_dir) {
        Some(Holder { pid, .. }) => RegistryError::NoSocket { data_dir, pid },
        None => RegistryError::NoNode(data_dir),
    }
}

/// Runs `job` on the node that runs, or on one of its own that has joined the network as far as it
/// could and is shut down in order whatever comes.
pub(super) async fn with(
    global: &Global,
    job: impl AsyncFnOnce(&dyn Control, &Settings) -> Result<u8>,
) -> Result<u8> {
    let settings = global.settings()?;
    let mut stop = Stop::watch()?;
    let looking = async {
        match find(global, &settings).await? {
            Some(remote) => Ok(Found::Running(remote)),
            None => turn(global, &settings).await,
        }
    };
    let found = tokio::select! {
        found = looking => found?,
        () = stop.told() => return interrupted(),
    };
    match found {
        Found::Running(remote) => tokio::select! {
            result = job(&remote, &settings) => result,
            () = stop.told() => interrupted(),
        },
        Found::Own(own) => on_own(*own, &settings, stop, job).await,
    }
}

/// Whose node a verb uses.
enum Found {
    Running(Remote),
    Own(Box<OwnNode>),
}

/// A node of a verb's own, its log, and how it was started.
struct OwnNode {
    node: Node,
    logs: Logs,
    options: NodeOptions,
}

/// Runs `job` on the node that runs; without one there is nothing to be done.
pub(super) async fn running(
    global: &Global,
    job: impl AsyncFnOnce(&Remote, &Settings) -> Result<u8>,
) -> Result<u8> {
    let settings = global.settings()?;
    let mut stop = Stop::watch()?;
    let remote = find(global, &settings)
        .await?
        .ok_or_else(|| nobody(&settings))?;
    tokio::select! {
        result = job(&remote, &settings) => result,
        () = stop.told() => interrupted(),
    }
}

fn interrupted() -> Result<u8> {
    note(
        "interrupted; what was acknowledged is kept, and a node that stays goes on with what it was told",
    );
    Ok(INTERRUPTED)
}

/// When this call gives up waiting for others that are at work on the data directory.
pub(super) fn turn_deadline(global: &Global, settings: &Settings) -> Instant {
    let most = if global.has_timeout() {
        settings.query_timeout
    } else {
        TURN_WAIT
    };
    Instant::from_std(clock::deadline(std::time::Instant::now(), most))
}

/// Starts a node of our own once nobody has the data directory; a node that stays is found
/// meanwhile.
async fn turn(global: &Global, settings: &Settings) -> Result<Found> {
    let data_dir = &settings.paths.data;
    let deadline = turn_deadline(global, settings);
    let was_named = global.of_a_node().contains(&"--listen");
    let (mut logs, mut told) = (None, false);
    loop {
        if !store::is_in_use(data_dir) {
            let started = match logs.take() {
                Some(logs) => logs,
                None => {
                    let started = telemetry::start(&settings.log_options(), Screen::Free)?;
                    note("no node runs here, so one of our own is started for this…");
                    started
                }
            };
            let mut options = NodeOptions {
                stays: false,
                ..settings.node_options()
            };
            let is_set = !options.listen.is_empty();
            if !is_set {
                options.listen = any_ports();
            }
            let node = match Node::start(options.clone()).await {
                // What the settings say is for nodes that stay. Where the network is not what they
                // expect, a verb goes on without.
                Err(RegistryError::Listen { address, why }) if is_set && !was_named => {
                    note(format!(
                        "{address} cannot be listened on ({why}); this goes on without it"
                    ));
                    options.listen = any_ports();
                    Node::start(options.clone()).await
                }
                started => started,
            };
            match node {
                Ok(node) => {
                    return Ok(Found::Own(Box::new(OwnNode {
                        node,
                        logs: started,
                        options,
                    })));
                }
                // Others wait for their turn too, and one of them was faster.
                Err(RegistryError::DataDirInUse { .. }) => logs = Some(started),
                Err(error) => return Err(error),
            }
        }
        if let Some(remote) = reach(data_dir, false).await? {
            return Ok(Found::Running(remote));
        }
        if Instant::now() >= deadline {
            return Err(store::in_use(data_dir));
        }
        if !std::mem::replace(&mut told, true) {
            note("another Swarmdex is at work on this data directory; waiting for it…");
        }
        tokio::time::sleep(TURN_LOOK).await;
    }
}

async fn on_own(
    own: OwnNode,
    settings: &Settings,
    mut stop: Stop,
    job: impl AsyncFnOnce(&dyn Control, &Settings) -> Result<u8>,
) -> Result<u8> {
    let OwnNode {
        node,
        logs,
        options,
    } = own;
    let local = Local::new(node.handle(), Some(logs.recent()));
    let work = async {
        join(&local, &options).await?;
        job(&local, settings).await
    };
    let result = tokio::select! {
        result = work => result,
        () = stop.told() => interrupted(),
    };
    let ended = node.shutdown().await;
    result.and_then(|code| ended.map(|()| code))
}

/// The fixed port is for nodes that stay; one that lives for a moment must not take it from them.
fn any_ports() -> Vec<libp2p::Multiaddr> {
    net::everywhere(0)
}

async fn join(node: &Local, options: &NodeOptions) -> Result<()> {
    let known = !options.bootstrap.is_empty() || node.status().await?.node.known_peers > 0;
    let most = match (known, options.mdns) {
        (true, _) => JOIN_WAIT,
        (false, true) => MULTICAST_WAIT,
        (false, false) => Duration::ZERO,
    };
    if node.status().await?.node.addresses.is_empty() {
        note("no network interface is up, so this is what is known here");
    } else if most.is_zero() {
        note(
            "no peer is known, so this is what is known here; name one with --bootstrap, or leave out --no-mdns",
        );
    } else if !node
        .wait(Wait::Joined, most.min(options.query_timeout))
        .await?
    {
        note("no peer was reached, so this is what is known here; check --network and --bootstrap");
    }
    Ok(())
}

/// Lets other programs attach to a node for as long as what is returned lasts. Without a socket a
/// node is still a node; an address that was asked for and cannot be had is an error.
pub(super) async fn serve(
    node: &Node,
    logs: Option<&Logs>,
    tcp: Option<SocketAddr>,
) -> Result<(Arc<Local>, Option<Serving>)> {
    let local = Arc::new(Local::new(node.handle(), logs.map(Logs::recent)));
    match control::serve(local.clone(), node.data_dir(), tcp).await {
        Ok(serving) => Ok((local, Some(serving))),
        Err(error @ RegistryError::Control { .. }) => {
            local.has_no_socket(true);
            tracing::warn!("{error}");
            node.tell(&error.to_string());
            Ok((local, None))
        }
        Err(error) => Err(error),
    }
}

/// Opens the gateway for package managers, if there is to be one. A node without it is a node all
/// the same: Health says why.
pub(super) async fn open_gateway(
    local: &Arc<Local>,
    node: &Node,
    options: gateway::Options,
) -> Option<Gateway> {
    let address = options.address.to_string();
    match Gateway::open(
        local.clone(),
        (node.requests(), node.prover()),
        node.data_dir(),
        options,
    )
    .await
    {
        Ok(gateway) => {
            local.has_gateway(Some(health::GatewayHealth::Open(gateway.url())));
            Some(gateway)
        }
        Err(why) => {
            let text = format!(
                "package managers cannot use this node: its gateway cannot listen on {address}: {why}"
            );
            tracing::error!("{text}");
            node.tell(&text);
            local.has_gateway(Some(health::GatewayHealth::Failed { address, why }));
            None
        }
    }
}

/// A node that stays for a while, and that others can attach to meanwhile.
pub(super) struct Hosted {
    node: Node,
    serving: Option<Serving>,
    gateway: Option<Gateway>,
    pub local: Arc<Local>,
}

impl Hosted {
    pub async fn start(settings: &Settings, logs: &Logs) -> Result<Self> {
        let node = Node::start(settings.node_options()).await?;
        match serve(&node, Some(logs), settings.control_tcp).await {
            Ok((local, serving)) => {
                let gateway = match settings.gateway_options() {
                    Some(options) => open_gateway(&local, &node, options).await,
                    None => None,
                };
                Ok(Self {
                    node,
                    serving,
                    gateway,
                    local,
                })
            }
            Err(error) => {
                node.shutdown().await?;
                Err(error)
            }
        }
    }

    /// Returns whether other programs can reach it.
    pub fn is_served(&self) -> bool {
        self.serving.is_some()
    }

    pub async fn end(self) -> Result<()> {
        if let Some(gateway) = self.gateway {
            gateway.stop().await;
        }
        if let Some(serving) = self.serving {
            serving.stop().await;
        }
        self.node.shutdown().await
    }
}
