//! The node that a verb starts for itself.

use std::{future::Future, time::Duration};

use super::{INTERRUPTED, global::Global, told_to_stop};
use crate::{
    RegistryError, Result,
    config::Settings,
    node::{Node, NodeOptions},
    telemetry::{self, Logs, Screen},
};

/// Longest wait for the first peer: what is stored here can be had without.
const JOIN_WAIT: Duration = Duration::from_secs(3);

/// Runs `job` on a node of its own, and takes that down whatever comes.
pub(super) async fn with<F, J>(global: &Global, job: J) -> Result<u8>
where
    F: Future<Output = (Node, Result<u8>)>,
    J: FnOnce(Node, Settings) -> F,
{
    let settings = global.settings()?;
    let _logs = telemetry::start(&settings, Screen::Free)?;
    eprintln!("starting a node for this, as none is attached to; give it a moment");
    let mut options = settings.node_options();
    listen_anywhere(&mut options)?;
    let waits = may_find_anybody(&options);
    let timeout = options.query_timeout;
    let node = Node::start(options).await?;
    let work = async {
        if waits && !node.wait_joined(JOIN_WAIT.min(timeout)).await {
            eprintln!("no peer was found, so this is what is known here; check --network, --bootstrap and `status`");
        }
        job(node, settings).await
    };
    tokio::select! {
        (node, result) = work => {
            let ended = node.shutdown().await;
            result.and_then(|code| ended.map(|()| code))
        }
        stopped = told_to_stop() => {
            // Dropping the handles ends the node; what was acknowledged is on the disk.
            stopped.map(|_| INTERRUPTED)
        }
    }
}

/// A verb's node lives for a moment: the fixed port is for those that stay.
fn listen_anywhere(options: &mut NodeOptions) -> Result<()> {
    if options.listen.is_empty() {
        let parse = |text: &str| {
            text.parse().map_err(|error: libp2p::multiaddr::Error| RegistryError::Internal {
                what: "an address of our own",
                why: error.to_string(),
            })
        };
        options.listen = vec![parse("/ip4/0.0.0.0/tcp/0")?, parse("/ip4/0.0.0.0/udp/0/quic-v1")?];
    }
    Ok(())
}

/// Whether there is any way to meet a peer; without one, waiting is idle.
fn may_find_anybody(options: &NodeOptions) -> bool {
    options.mdns || !options.bootstrap.is_empty() || options.data_dir.join("swarmdex.db").exists()
}

/// Logs for something that stays.
pub(super) fn logs(settings: &Settings, screen: Screen) -> Result<Logs> {
    telemetry::start(settings, screen)
}
