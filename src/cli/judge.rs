//! `peers ban`, `unban`, `protect` and `unprotect`.

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
pub(super) enum PeersVerb {
    /// Disconnect a peer and refuse its connections, for a time or until `unban`
    Ban(BanArgs),
    /// Lift a ban, and clear the penalty that led to it
    Unban(PeerArg),
    /// Never ban a peer or close its connection to make room for others
    Protect(PeerArg),
    /// Stop protecting a peer
    Unprotect(PeerArg),
}

#[derive(Debug, clap::Args)]
pub(super) struct BanArgs {
    #[command(flatten)]
    one: PeerArg,
    /// Duration of the ban, such as 30m or 12h [default: until `unban`]
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    time: Option<Duration>,
}

#[derive(Debug, clap::Args)]
pub(super) struct PeerArg {
    /// The peer's id, or any part of its beginning or end that is unique
    peer: String,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct RulingOutput {
    peer: PeerId,
    changed: bool,
}

pub(super) async fn run(global: &Global, action: PeersVerb) -> Result<u8> {
    let (one, ruling) = match action {
        PeersVerb::Ban(BanArgs { one, time }) => (
            one,
            Ruling::Ban {
                seconds: time.map(|time| time.as_secs().max(1)),
            },
        ),
        PeersVerb::Unban(one) => (one, Ruling::Unban),
        PeersVerb::Protect(one) => (one, Ruling::Protect),
        PeersVerb::Unprotect(one) => (one, Ruling::Unprotect),
    };
    session::running(global, async |node, _| {
        let peer = named(node, &one.peer).await?;
        let changed = node.judge(peer, ruling).await?;
        if one.json {
            print::json(&RulingOutput { peer, changed })?;
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

/// Returns the named peer; a full id may name a peer that this node has never seen.
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
            format!("{peer} is banned until `swarmdex peers unban`")
        }
        Ruling::Ban {
            seconds: Some(seconds),
        } => {
            format!("{peer} is banned for {}", Ago(Duration::from_secs(seconds)))
        }
        Ruling::Unban => format!("{peer} is no longer banned"),
        Ruling::Protect => format!("{peer} is protected: it is never dropped or banned"),
        Ruling::Unprotect => format!("{peer} is no longer protected"),
    }
}
