//! Finds the node for a verb: the running one, the one named by `--attach`, or a temporary one.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{INTERRUPTED, global::Global, print::note, stop::Stop};
use crate::{
    RegistryError, Result, clock,
    config::Settings,
    control::{self, Control, Local, Remote, Serving, Wait, Watch},
    domain::health,
    gateway::{self, Gateway},
    net,
    node::{Node, NodeOptions},
    store::{self, Holder},
    telemetry::{self, Logs, StderrUse},
};

/// Longest wait for a peer with a known address: a few round trips and a redial.
const JOIN_WAIT: Duration = Duration::from_secs(3);
/// Longest wait for peers on the local network; multicast DNS answers much faster.
const MULTICAST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait, without `--timeout`, for other commands with temporary nodes on the data
/// directory: enough for a dozen in turn.
const TURN_WAIT: Duration = Duration::from_secs(60);
/// Interval between two checks.
pub(super) const TURN_LOOK: Duration = Duration::from_millis(100);
/// Longest wait for the socket of a running node, which recreates a lost socket every second.
const SOCKET_WAIT: Duration = Duration::from_secs(3);

/// Connects to the node named by `--attach`, or to the one that runs on the data directory; returns
/// `None` if there is none.
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
            "{flag} has no effect: using the running node on this data directory"
        ));
    }
    Ok(Some(remote))
}

/// Connects to the long-running node on a data directory, and waits for its socket; returns `None`
/// if there is no such node.
///
/// # Errors
/// [`RegistryError::NoSocket`] if the node has no socket in time; otherwise as [`Remote::on`].
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

/// Returns the error for a missing node: none runs, or the process on the data directory has no
/// socket.
pub(super) fn nobody(settings: &Settings) -> RegistryError {
    let data_dir = settings.paths.data.clone();
    match store::holder(&data_dir) {
        Some(Holder { pid, .. }) => RegistryError::NoSocket { data_dir, pid },
        None => RegistryError::NoNode(data_dir),
    }
}

/// Runs `job` on the running node, or else on a temporary one that has joined the network as far as
/// possible and is shut down afterwards, even after an error.
pub(super) async fn with(
    global: &Global,
    job: impl AsyncFnOnce(&dyn Control, &Settings) -> Result<u8>,
) -> Result<u8> {
    let settings = global.settings()?;
    let mut stop = Stop::watch()?;
    let looking = async {
        match find(global, &settings).await? {
            Some(remote) => Ok(VerbNode::Running(remote)),
            None => turn(global, &settings).await,
        }
    };
    let found = tokio::select! {
        found = looking => found?,
        () = stop.told() => return interrupted(),
    };
    match found {
        VerbNode::Running(remote) => tokio::select! {
            result = job(&remote, &settings) => result,
            () = stop.told() => interrupted(),
        },
        VerbNode::Own(own) => on_own(*own, &settings, stop, job).await,
    }
}

/// The node that a verb uses.
enum VerbNode {
    Running(Remote),
    Own(Box<OwnNode>),
}

/// A temporary node, its log, and its options.
struct OwnNode {
    node: Node,
    logs: Logs,
    options: NodeOptions,
}

/// Runs `job` on the running node, and fails if there is none.
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
    note("interrupted; acknowledged changes are kept, and a running node continues its work");
    Ok(INTERRUPTED)
}

/// Returns the time when this command stops waiting for others on the data directory.
pub(super) fn turn_deadline(global: &Global, settings: &Settings) -> Instant {
    let most = if global.has_timeout() {
        settings.node.net.query_timeout
    } else {
        TURN_WAIT
    };
    Instant::from_std(clock::deadline(std::time::Instant::now(), most))
}

/// Waits for the data directory and starts a temporary node; connects to a long-running node if one
/// appears meanwhile.
async fn turn(global: &Global, settings: &Settings) -> Result<VerbNode> {
    let data_dir = &settings.paths.data;
    let deadline = turn_deadline(global, settings);
    let was_named = global.of_a_node().contains(&"--listen");
    let (mut logs, mut told) = (None, false);
    loop {
        if !store::is_in_use(data_dir) {
            let started = match logs.take() {
                Some(logs) => logs,
                None => {
                    let started = telemetry::start(&settings.log_options(), StderrUse::Free)?;
                    note("no node is running here; starting a temporary one…");
                    started
                }
            };
            let mut options = settings.node.clone();
            options.registry.stays = false;
            let is_set = !options.net.listen.is_empty();
            if !is_set {
                options.net.listen = any_ports();
            }
            let node = match Node::start(options.clone()).await {
                // Listen addresses in the settings are meant for long-running nodes. If one is not
                // available, go on without it.
                Err(RegistryError::Listen { address, why }) if is_set && !was_named => {
                    note(format!(
                        "cannot listen on {address} ({why}); continuing without it"
                    ));
                    options.net.listen = any_ports();
                    Node::start(options.clone()).await
                }
                started => started,
            };
            match node {
                Ok(node) => {
                    return Ok(VerbNode::Own(Box::new(OwnNode {
                        node,
                        logs: started,
                        options,
                    })));
                }
                // Another waiting command was faster.
                Err(RegistryError::DataDirInUse { .. }) => logs = Some(started),
                Err(error) => return Err(error),
            }
        }
        if let Some(remote) = reach(data_dir, false).await? {
            return Ok(VerbNode::Running(remote));
        }
        if Instant::now() >= deadline {
            return Err(store::in_use(data_dir));
        }
        if !std::mem::replace(&mut told, true) {
            note("another Swarmdex is using this data directory; waiting for it…");
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

/// Returns addresses with free ports: a temporary node must not take the fixed port of a
/// long-running one.
fn any_ports() -> Vec<libp2p::Multiaddr> {
    net::everywhere(0)
}

async fn join(node: &Local, options: &NodeOptions) -> Result<()> {
    let known = !options.net.bootstrap.is_empty() || node.status().await?.node.known_peers > 0;
    let most = match (known, options.net.mdns) {
        (true, _) => JOIN_WAIT,
        (false, true) => MULTICAST_WAIT,
        (false, false) => Duration::ZERO,
    };
    if node.status().await?.node.addresses.is_empty() {
        note("no network interface is up; showing what this node knows");
    } else if most.is_zero() {
        note(
            "no peers are known; showing what this node knows; add one with --bootstrap, or leave \
             out --no-mdns",
        );
    } else if !node
        .wait(Wait::Joined, most.min(options.net.query_timeout))
        .await?
    {
        note("no peer was reached; showing what this node knows; check --network and --bootstrap");
    }
    Ok(())
}

/// Lets other programs attach to a node until the returned value is dropped. A node without a
/// socket still works, but a failure to open a requested address is an error.
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

/// Opens the gateway for package managers if it is enabled. If that fails, the node runs without
/// it, and Health shows the reason.
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
                "package managers cannot use this node: its gateway cannot listen on {address}: \
                 {why}"
            );
            tracing::error!("{text}");
            node.tell(&text);
            local.has_gateway(Some(health::GatewayHealth::Failed { address, why }));
            None
        }
    }
}

/// A long-running node that other programs can attach to.
pub(super) struct Hosted {
    node: Node,
    serving: Option<Serving>,
    gateway: Option<Gateway>,
    pub local: Arc<Local>,
}

impl Hosted {
    pub async fn start(settings: &Settings, logs: &Logs) -> Result<Self> {
        let node = Node::start(settings.node.clone()).await?;
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

    /// Returns true if other programs can attach.
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
