//! `transfers`: lists, pauses, resumes and cancels the running node's transfers.

use indicatif::HumanBytes;

use super::{DONE, global::Global, print, session};
use crate::{
    RegistryError, Result,
    domain::transfer::{Transfer, TransferId, TransferState},
    registry::{Contents, Order},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Pause the download of this content: the beginning of its name here, or its root
    #[arg(long, value_name = "WHAT", group = "order")]
    pause: Option<String>,
    /// Resume a paused or failed download
    #[arg(long, value_name = "WHAT", group = "order")]
    resume: Option<String>,
    /// Cancel a download and discard its data
    #[arg(long, value_name = "WHAT", group = "order")]
    cancel: Option<String>,
    /// Print them as one JSON array
    #[arg(long)]
    json: bool,
}

/// Controls the only download that matches.
async fn direct(
    node: &dyn Contents,
    transfers: &[Transfer],
    what: &str,
    order: Order,
) -> Result<()> {
    let is_it = |one: &&Transfer| {
        let fetch = matches!(one.id, TransferId::Fetch { .. }) && one.state != TransferState::Done;
        fetch && (one.what.starts_with(what) || one.id.root().to_string() == what)
    };
    let meant: Vec<&Transfer> = transfers.iter().filter(is_it).collect();
    let refuse = |why: String| Err(RegistryError::Usage(why));
    match meant.as_slice() {
        [] => refuse(format!(
            "no unfinished download matches {what}; `swarmdex transfers` lists them"
        )),
        [one] if node.direct(one.id, order).await? => {
            let done = match order {
                Order::Pause => "paused",
                Order::Resume => "goes on",
                Order::Cancel => "cancelled",
            };
            print::note(format!("{done}: {}", one.what));
            Ok(())
        }
        [one] => refuse(format!(
            "{} is {} already, or cannot be changed now",
            one.what,
            one.state.label()
        )),
        many => refuse(format!(
            "{} downloads match; give more of the name, or the content root",
            many.len()
        )),
    }
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    session::running(global, async |node, _| {
        let transfers = Contents::transfers(node).await?;
        let orders = [
            (&args.pause, Order::Pause),
            (&args.resume, Order::Resume),
            (&args.cancel, Order::Cancel),
        ];
        if let Some((what, order)) = orders
            .into_iter()
            .find_map(|(what, order)| Some((what.as_ref()?, order)))
        {
            direct(node, &transfers, what, order).await?;
            return Ok(DONE);
        }
        if args.json {
            print::json(&transfers)?;
            return Ok(DONE);
        }
        let row = |one: &Transfer| {
            let way = if matches!(one.id, TransferId::Fetch { .. }) {
                "fetch"
            } else {
                "serve"
            };
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
            print::note("no transfers now or recently");
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
