//! `node`: a node without a screen.

use serde::Serialize;

use super::{DONE, global::Global, own_node, print, told_to_stop};
use crate::{Result, node::Node, telemetry::Screen};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object once the node listens
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Listening {
    peer_id: String,
    network: String,
    addresses: Vec<String>,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<u8> {
    let settings = global.settings()?;
    let _logs = own_node::logs(&settings, Screen::Free)?;
    let node = Node::start(settings.node_options()).await?;
    let status = node.status().await?;
    if args.json {
        let (peer_id, network) = (status.peer_id.to_string(), status.network);
        print::json(&Listening { peer_id, network, addresses: status.addresses })?;
    } else {
        print::lines(&format!(
            "node {} of network {} listens on\n  {}\nothers join with --bootstrap and one of these; Ctrl-C ends it",
            status.peer_id,
            status.network,
            status.addresses.join("\n  ")
        ))?;
    }
    told_to_stop().await?;
    eprintln!("shutting down");
    node.shutdown().await?;
    Ok(DONE)
}
