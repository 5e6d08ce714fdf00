//! The node that a verb starts for itself.

use std::time::Duration;

use super::{FAILED, global::Global, print::note, stop::Stop};
use crate::{
    RegistryError, Result,
    config::Settings,
    node::{Node, NodeOptions},
    telemetry::{self, Screen},
};

/// Longest wait for a peer whose address is known: a few round trips and a redial.
const JOIN_WAIT: Duration = Duration::from_secs(3);
/// Longest wait for a peer that multicast may find: they answer within a fraction of it, if there are any.
const MULTICAST_WAIT: Duration = Duration::from_secs(1);

/// Runs `job` on a node of its own that has joined the network as far as it could, and shuts that down in order
/// whatever comes.
pub(super) async fn with(global: &Global, job: impl AsyncFnOnce(&Node, &Settings) -> Result<u8>) -> Result<u8> {
    let settings = global.settings()?;
    let _logs = telemetry::start(&settings, Screen::Free)?;
    let mut stop = Stop::watch()?;
    note("starting a node of our own for this…");
    let mut options = settings.node_options();
    if options.listen.is_empty() {
        options.listen = any_ports()?;
    }
    let node = Node::start(options.clone()).await?;
    let work = async {
        join(&node, &options).await?;
        job(&node, &settings).await
    };
    let result = tokio::select! {
        result = work => result,
        () = stop.told() => {
            note("interrupted; what was acknowledged is kept");
            Ok(FAILED)
        }
    };
    let ended = node.shutdown().await;
    result.and_then(|code| ended.map(|()| code))
}

/// The fixed port is for nodes that stay; one that lives for a moment must not take it from them.
fn any_ports() -> Result<Vec<libp2p::Multiaddr>> {
    let parse = |text: &str| {
        text.parse::<libp2p::Multiaddr>()
            .map_err(|error| RegistryError::Internal { what: "reading an address of our own", why: error.to_string() })
    };
    ["/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1"].into_iter().map(parse).collect()
}

async fn join(node: &Node, options: &NodeOptions) -> Result<()> {
    let known = !options.bootstrap.is_empty() || node.status().await?.known_peers > 0;
    let most = match (known, options.mdns) {
        (true, _) => JOIN_WAIT,
        (false, true) => MULTICAST_WAIT,
        (false, false) => Duration::ZERO,
    };
    if most.is_zero() {
        note("no peer is known, so this is what is known here; name one with --bootstrap, or leave out --no-mdns");
    } else if !node.wait_joined(most.min(options.query_timeout)).await {
        note("no peer was reached, so this is what is known here; check --network and --bootstrap");
    }
    Ok(())
}
