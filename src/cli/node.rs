//! `node`: a node without a screen.

use libp2p::PeerId;
use serde::Serialize;

use super::{DONE, global::Global, print, stop::Stop};
use crate::{
    Result,
    node::Node,
    telemetry::{self, LogFormat, Screen},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object once the node listens
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Listening {
    peer_id: PeerId,
    network: String,
    addresses: Vec<String>,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<u8> {
    let settings = global.settings()?;
    let _logs = telemetry::start(&settings, Screen::Service)?;
    let mut stop = Stop::watch()?;
    let node = Node::start(settings.node_options()).await?;
    let result = tokio::select! {
        result = serve(&node, args, settings.log_format) => result,
        () = stop.told() => Ok(()),
    };
    note(settings.log_format, "shutting down");
    let ended = node.shutdown().await;
    result.and(ended).map(|()| DONE)
}

/// Says where the node listens, and then ends only with an error.
async fn serve(node: &Node, args: &Args, format: LogFormat) -> Result<()> {
    let status = node.status().await?;
    let (peer_id, network, addresses) = (status.peer_id, status.network, status.addresses);
    if args.json {
        print::json(&Listening { peer_id, network, addresses })?;
    } else {
        print::lines(&format!("{peer_id} listens in network {network} on\n  {}", addresses.join("\n  ")))?;
        note(format, "others join with --bootstrap and one of these addresses; Ctrl-C ends the node");
    }
    std::future::pending().await
}

/// For a person on stderr; where a program reads that, into the log.
fn note(format: LogFormat, text: &str) {
    match format {
        LogFormat::Text => print::note(text),
        LogFormat::Json => tracing::info!("{text}"),
    }
}
