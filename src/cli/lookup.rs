//! `lookup KEY`.

use libp2p::PeerId;

use super::{DONE, FAILED, global::Global, print, session};
use crate::{
    RegistryError, Result,
    control::Control,
    domain::{
        hash::{ContentRoot, Hash},
        lookup::{LookupResult, Sought, Trace, span},
        name::{NameRef, Owner, PackageId, PackageRef},
        record::DhtKey,
    },
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Package (handle/name or publisher-id/name) to find its head, content root to find providers,
    /// peer id to find the closest peers, or a key of 64 hexadecimal digits as the explorer shows
    /// it
    #[arg(value_name = "KEY")]
    key: String,
    /// For a hexadecimal key, look up providers instead of a record
    #[arg(long)]
    providers: bool,
    /// Print each request: the peer, its distance to the key, its answer, and the time it took
    #[arg(long)]
    trace: bool,
    /// Print results and requests as one JSON object
    #[arg(long)]
    json: bool,
}

/// Returns the target of the lookup and its name; a handle is resolved first, if necessary over the
/// network.
async fn sought(
    node: &dyn Control,
    key: &str,
    providers: bool,
) -> Result<(Sought, Option<String>)> {
    if let Ok(hash) = key.parse::<Hash>() {
        return Ok((
            if providers {
                Sought::Providers(hash)
            } else {
                Sought::Record(hash)
            },
            None,
        ));
    }
    if providers {
        let why = format!(
            "--providers requires a key of 64 hexadecimal digits, which {key} is not; leave it out"
        );
        return Err(RegistryError::Usage(why));
    }
    if let Ok(root) = key.parse::<ContentRoot>() {
        let key = DhtKey::of_content(&root);
        return Ok((
            Sought::Providers(Hash(key.0)),
            Some(format!("content {root}")),
        ));
    }
    if key.contains('/') {
        let package: PackageRef = key.parse()?;
        let id = match (&package.owner, &package.name) {
            (Owner::Publisher(owner), NameRef::Exactly(name)) => PackageId {
                owner: *owner,
                name: name.clone(),
            },
            _ => node.registry().get_package(&package).await?.id,
        };
        let key = DhtKey::of_head(&id);
        return Ok((
            Sought::Record(Hash(key.0)),
            Some(format!("head of {package}")),
        ));
    }
    match key.parse::<PeerId>() {
        Ok(peer) => Ok((Sought::Closest(peer), None)),
        Err(_) => Err(RegistryError::Usage(format!(
            "{key} is not a key: use handle/name, publisher-id/name, a content root, a peer id, or \
             64 hexadecimal digits"
        ))),
    }
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    session::with(global, async |node, settings| {
        let (sought, what) = sought(node, &args.key, args.providers).await?;
        let looked = node
            .look(sought, what, settings.node.net.query_timeout)
            .await?;
        if args.json {
            print::json(&looked)?;
        } else {
            if args.trace {
                hops(&looked.trace)?;
            } else {
                found(&looked)?;
            }
            print::note(summary(&looked.trace));
        }
        Ok(if looked.found() { DONE } else { FAILED })
    })
    .await
}

/// Prints the results, one a line.
fn found(looked: &LookupResult) -> Result<()> {
    let whose = |peer: &Option<PeerId>| {
        peer.map_or_else(|| "this node".to_owned(), |peer| peer.to_string())
    };
    let copies = looked.copies.iter().map(|copy| {
        vec![
            whose(&copy.peer),
            format!("{} B", copy.bytes),
            copy.says.clone(),
        ]
    });
    let copies: Vec<Vec<String>> = copies.collect();
    if !copies.is_empty() {
        return print::table(&["PEER", "SIZE", "RECORD"], copies);
    }
    if looked.peers.is_empty() {
        return Ok(());
    }
    print::table(
        &["PEER"],
        looked
            .peers
            .iter()
            .map(|peer| vec![peer.to_string()])
            .collect(),
    )
}

/// Prints the requests in order of time.
fn hops(trace: &Trace) -> Result<()> {
    let row = |hop: &crate::domain::lookup::Hop| {
        let dialled = if hop.dialled { "dialled; " } else { "" };
        vec![
            span(hop.after_us),
            hop.peer.to_string(),
            hop.bits.to_string(),
            hop.ask.label().to_owned(),
            hop.took_us.map_or_else(|| "-".to_owned(), span),
            format!("{dialled}{}", hop.said()),
        ]
    };
    if trace.hops.is_empty() {
        return Ok(());
    }
    print::table(
        &["AT", "PEER", "BITS", "ASKED", "TOOK", "ANSWER"],
        trace.hops.iter().map(row).collect(),
    )
}

fn summary(trace: &Trace) -> String {
    let own = if trace.own {
        "; this node has a copy itself"
    } else {
        ""
    };
    format!(
        "{} {}: {} after {}: {}; {} of {} requests answered{own}",
        trace.kind.label(),
        trace.title(),
        trace.word(),
        trace.took_us.map_or_else(|| "no time".to_owned(), span),
        trace.came(),
        trace.answered(),
        trace.hops.len() + trace.more_hops as usize,
    )
}
