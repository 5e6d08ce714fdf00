//! `status`.

use super::{DONE, global::Global, own_node, print};
use crate::{Result, node::Node};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print the status as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: &Args) -> Result<u8> {
    own_node::with(global, async |node, settings| {
        let result = status(&node, args, &settings.paths.data.to_string_lossy()).await;
        (node, result)
    })
    .await
}

async fn status(node: &Node, args: &Args, data_dir: &str) -> Result<u8> {
    let status = node.status().await?;
    if args.json {
        print::json(&status)?;
        return Ok(DONE);
    }
    let clock = match status.clock_offset_ms {
        Some(offset) => format!("{offset} ms from the peers' median"),
        None => "not compared: fewer than two peers".to_owned(),
    };
    print::lines(&format!(
        "node       {}\nnetwork    {}\nhandle     {}\nconnected  {} peers, {} known\npackages   {}\nDHT        {} records held, {}\nclock      {clock}\ndata       {data_dir}\naddresses  {}",
        status.peer_id,
        status.network,
        status.handle.as_deref().unwrap_or("none"),
        status.connected,
        status.known_peers,
        status.packages,
        status.dht_records,
        if status.dht_server { "serving others" } else { "client only" },
        status.addresses.join("\n           "),
    ))?;
    Ok(DONE)
}
