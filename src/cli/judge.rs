//! `peers ban`, `peers unban`, `peers protect` and `peers unprotect`.

use std::time::Duration;

use libp2p::PeerId;
use serde::Serialize;

use super::{DONE, FAILED, global::Global, peers, print, session};
use crate::{
    RegistryError, Result,
    config::parse_duration,
    control::Control,
    domain::{faults::Ruling, time::Ago},
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Disconnect a peer and let it in no more, for a time or until that is taken back
    Ban(Ban),
    /// Take a ban back, and the points that led to it
    Unban(One),
    /// Keep a peer whatever it does: it is not banned, and its connection is not given up for
    /// others
    Protect(One),
    /// Treat a peer like any other again
    Unprotect(One),
}

#[derive(Debug, clap::Args)]
pub(super) struct Ban {
    #[command(flatten)]
    one: One,
    /// Only for so long, such as 30m or 12h
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    time: Option<Duration>,
}

#[derive(Debug, clap::Args)]
pub(super) struct One {
    /// The peer's id, or as much of its beginning or end as no other has
    peer: String,
    /// Print what was done as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Done {
    peer: PeerId,
    changed: bool,
}

pub(super) async fn run(global: &Global, action: Action) -> Result<u8> {
    let (one, ruling) = match action {
        Action::Ban(Ban { one, time }) => (
            one,
            Ruling::Ban {
                seconds: time.map(|time| time.as_secs().max(1)),
            },
        ),
        Action::Unban(one) => (one, Ruling::Unban),
        Action::Protect(one) => (one, Ruling::Protect),
        Action::Unprotect(one) => (one, Ruling::Unprotect),
    };
    session::running(global, async |node, _| {
        let peer = named(node, &one.peer).await?;
        let changed = node.judge(peer, ruling).await?;
        if one.json {
            print::json(&Done { peer, changed })?;
        } else if changed {
            print::lines(&said(peer, ruling))?;
        } else {
            print::note(match ruling {
                Ruling::Unban => format!("{peer} is not banned"),
                Ruling::Protect => format!("{peer} is protected already"),
                Ruling::Ban { .. } | Ruling::Unprotect => format!("{peer} is not protected"),
            });
        }
        Ok(if changed { DONE } else { FAILED })
    })
    .await
}

/// The one that is meant; also one that this node has never seen, by its whole id.
async fn named(node: &dyn Control, text: &str) -> Result<PeerId> {
    match peers::find(node, text).await {
        Ok(peer) => Ok(peer.id),
        Err(RegistryError::NoPeer(name)) => text.parse().map_err(|_| RegistryError::NoPeer(name)),
        Err(error) => Err(error),
    }
}

fn said(peer: PeerId, ruling: Ruling) -> String {
    match ruling {
        Ruling::Ban { seconds: None } => {
            format!("{peer} is banned until `swarmdex peers unban` takes it back")
        }
        Ruling::Ban {
            seconds: Some(seconds),
        } => {
            format!("{peer} is banned for {}", Ago(Duration::from_secs(seconds)))
        }
        Ruling::Unban => format!("{peer} is not banned any more"),
        Ruling::Protect => format!("{peer} is protected: it is kept, whatever it does"),
        Ruling::Unprotect => format!("{peer} is not protected any more"),
    }
}
