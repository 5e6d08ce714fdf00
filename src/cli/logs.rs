//! `logs`: prints the running node's log.

use std::time::Duration;

use super::{DONE, global::Global, print, session};
use crate::{
    Result, clock,
    control::{Control, LogEntry},
};

/// Interval of polling for new entries.
const LOOK: Duration = Duration::from_millis(300);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Wait for new entries until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// Change the node's log filter: a level, or directives such as info,libp2p_kad=debug
    #[arg(long, value_name = "LEVEL", conflicts_with = "follow")]
    filter: Option<String>,
    /// Print entries as JSON, one object a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    session::running(global, async |node, _| {
        if let Some(filter) = &args.filter {
            node.set_log_filter(filter).await?;
            print::note(format!(
                "the log filter is now {}",
                node.log_filter().await?
            ));
            return Ok(DONE);
        }
        let mut next = 0;
        loop {
            let logged = node.logs(next).await?;
            next = logged.next;
            if logged.lost > 0 {
                let file = logged.file.map_or(String::new(), |file| {
                    format!("; {} has them", file.display())
                });
                print::note(format!(
                    "{} earlier entries are no longer in memory{file}",
                    logged.lost
                ));
            }
            logged
                .entries
                .iter()
                .try_for_each(|entry| show(entry, args.json))?;
            if !args.follow {
                return Ok(DONE);
            }
            tokio::time::sleep(LOOK).await;
        }
    })
    .await
}

fn show(entry: &LogEntry, json: bool) -> Result<()> {
    if json {
        return print::json(entry);
    }
    let time = clock::stamp(entry.at);
    print::lines(&format!(
        "{time} {:>5} {}: {}",
        entry.level.to_uppercase(),
        entry.target,
        entry.message
    ))
}
