//! `bootstrap`, `connect` and `disconnect`.

use futures::future::join_all;
use libp2p::{Multiaddr, PeerId};
use serde::Serialize;

use super::{DONE, FAILED, global::Global, peers, print, session};
use crate::{RegistryError, Result, control::Control};

#[derive(Debug, clap::Args)]
pub(super) struct Bootstrap {
    /// Addresses of peers, ending in /p2p/ID
    #[arg(required = true, value_name = "ADDRESS")]
    addresses: Vec<Multiaddr>,
    /// Print the result for each as one JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct LinkOutput {
    address: String,
    peer: Option<PeerId>,
    error: Option<String>,
}

/// Joins the network through these peers; the node keeps connections to them from now on.
pub(super) async fn bootstrap(global: &Global, args: Bootstrap) -> Result<u8> {
    session::with(global, async |node, settings| {
        let most = settings.node.net.query_timeout;
        let dials = args
            .addresses
            .iter()
            .map(async |address| (address, node.dial(address, true, most).await));
        let dialled = join_all(dials).await;
        let outcomes: Vec<LinkOutput> = (dialled.iter())
            .map(|(address, result)| LinkOutput {
                address: address.to_string(),
                peer: result.as_ref().ok().copied(),
                error: result.as_ref().err().map(ToString::to_string),
            })
            .collect();
        if args.json {
            print::json(&outcomes)?;
        } else {
            for one in &outcomes {
                match (&one.peer, &one.error) {
                    (Some(peer), _) => print::lines(&format!("joined through {peer}"))?,
                    (None, error) => {
                        print::note(format!("error: {}", error.as_deref().unwrap_or_default()))
                    }
                }
            }
        }
        // A wrong address is a usage error even if other addresses worked.
        match dialled
            .into_iter()
            .find_map(|(_, result)| result.err().filter(RegistryError::is_usage))
        {
            Some(_) => Ok(super::USAGE),
            None if outcomes.iter().any(|one| one.peer.is_some()) => Ok(DONE),
            None => Ok(FAILED),
        }
    })
    .await
}

#[derive(Debug, clap::Args)]
pub(super) struct Connect {
    /// Address of the peer, ending in /p2p/ID
    address: Multiaddr,
    /// Print the peer's id as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct PeerOutput {
    peer: PeerId,
}

pub(super) async fn connect(global: &Global, args: Connect) -> Result<u8> {
    session::running(global, async |node, settings| {
        let peer = node
            .dial(&args.address, false, settings.node.net.query_timeout)
            .await?;
        if args.json {
            print::json(&PeerOutput { peer })?;
        } else {
            print::lines(&format!("connected to {peer}"))?;
        }
        Ok(DONE)
    })
    .await
}

#[derive(Debug, clap::Args)]
pub(super) struct Disconnect {
    /// The peer's id, or any part of its beginning or end that is unique
    peer: String,
    /// Print the peer's id as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn disconnect(global: &Global, args: Disconnect) -> Result<u8> {
    session::running(global, async |node, _| {
        let peer = peers::find(node, &args.peer).await?.id;
        if !node.disconnect(peer).await? {
            print::note(format!("{peer} was not connected"));
            return Ok(FAILED);
        }
        if args.json {
            print::json(&PeerOutput { peer })?;
        } else {
            print::lines(&format!("disconnected from {peer}; it may reconnect"))?;
        }
        Ok(DONE)
    })
    .await
}
