//! `transfers`: what the node that runs fetches and serves.

use indicatif::HumanBytes;

use super::{DONE, global::Global, print, session};
use crate::{
    Result,
    domain::transfer::{Transfer, TransferId, TransferState},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print them as one JSON array
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    session::running(global, async |node, _| {
        let transfers = crate::registry::Contents::transfers(node).await?;
        if args.json {
            print::json(&transfers)?;
            return Ok(DONE);
        }
        let row = |one: &Transfer| {
            let way = if matches!(one.id, TransferId::Fetch { .. }) { "fetch" } else { "serve" };
            let state = match &one.state {
                TransferState::Failed(why) => format!("failed: {why}"),
                state => state.label().to_owned(),
            };
            vec![
                way.to_owned(),
                one.what.clone(),
                format!("{:.0} %", one.share() * 100.0),
                HumanBytes(one.size).to_string(),
                format!("{}/s", HumanBytes(one.rate as u64)),
                one.active().to_string(),
                state,
            ]
        };
        if transfers.is_empty() {
            print::note("nothing is fetched or served, and nothing was lately");
        } else {
            print::table(
                &["WAY", "WHAT", "DONE", "SIZE", "RATE", "PEERS", "STATE"],
                transfers.iter().map(row).collect(),
            )?;
        }
        Ok(DONE)
    })
    .await
}
