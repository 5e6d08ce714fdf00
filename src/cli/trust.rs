//! `trust` and `distrust`.

use std::str::FromStr;

use super::{DONE, FAILED, global::Global, names, policy, print, session};
use crate::{
    RegistryError, Result,
    domain::{
        name::{Handle, NameError, Owner, PublisherId},
        names::NamePattern,
    },
};

#[derive(Debug, clap::Args)]
pub(super) struct TrustArgs {
    /// The publisher's id, or a handle to pin to the only key that claims it
    #[arg(value_name = "PUBLISHER", required_unless_present = "list")]
    whom: Option<Whom>,
    /// Handle to pin to this key, even if it meant another key before
    #[arg(long = "as", value_name = "HANDLE")]
    called: Option<Handle>,
    /// Trust the key for these names only, such as 'npm:@bar/*'; may be repeated
    #[arg(long = "for", value_name = "NAMES")]
    names: Vec<NamePattern>,
    /// List the keys that are trusted for names
    #[arg(long, conflicts_with_all = ["whom", "called", "names"])]
    list: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// A publisher's key or handle.
#[derive(Clone, Debug)]
struct Whom(Owner);

impl FromStr for Whom {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        // A handle is all lower case, which a publisher id never is.
        match text.parse() {
            Ok(handle) => Ok(Self(Owner::Handle(handle))),
            Err(_) => text.parse().map(Owner::Publisher).map(Self),
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Distrust {
    /// The publisher's id
    publisher: PublisherId,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct TrustOutput<'a> {
    publisher: PublisherId,
    trusted: bool,
    handle: Option<&'a Handle>,
    /// Names for which package managers get packages of this key.
    #[serde(skip_serializing_if = "<[NamePattern]>::is_empty")]
    names: &'a [NamePattern],
}

pub(super) async fn trust(global: &Global, args: TrustArgs) -> Result<u8> {
    let TrustArgs {
        whom,
        called,
        names,
        list: _,
        json,
    } = args;
    let Some(Whom(whom)) = whom else {
        return policy::list_trusted(global, json).await;
    };
    match whom {
        Owner::Publisher(publisher) => trust_key(global, publisher, called, names, json).await,
        Owner::Handle(_) if !names.is_empty() => Err(RegistryError::Usage(
            "--for requires a publisher id, because anyone can claim a handle; give the id"
                .to_owned(),
        )),
        Owner::Handle(_) if called.is_some() => Err(RegistryError::Usage(
            "--as requires a publisher id; leave it out, or give the id".to_owned(),
        )),
        Owner::Handle(handle) => trust_handle(global, &handle, json).await,
    }
}

/// Pins a handle to the only key that claims it.
async fn trust_handle(global: &Global, handle: &Handle, json: bool) -> Result<u8> {
    session::with(global, async |node, _| {
        let registry = node.registry();
        let (publisher, claims) = names::ask_whose(&*registry, handle).await?;
        let pinned = claims.bound.is_some() || names::pin(&*registry, publisher, &claims).await?;
        if json {
            print::json(&TrustOutput {
                publisher,
                trusted: pinned,
                handle: Some(handle),
                names: &[],
            })?;
        } else if pinned {
            let fingerprint = publisher.fingerprint();
            print::lines(&format!(
                "{handle} means {publisher} (fingerprint {fingerprint}) on this node"
            ))?;
        }
        Ok(if pinned { DONE } else { FAILED })
    })
    .await
}

async fn trust_key(
    global: &Global,
    publisher: PublisherId,
    handle: Option<Handle>,
    names: Vec<NamePattern>,
    json: bool,
) -> Result<u8> {
    let names = if names.is_empty() {
        vec![NamePattern::all()]
    } else {
        names
    };
    session::with(global, async |node, _| {
        node.registry().trust(publisher, handle.as_ref()).await?;
        node.names()
            .trust_for_names(publisher, names.clone())
            .await?;
        if json {
            print::json(&TrustOutput {
                publisher,
                trusted: true,
                handle: handle.as_ref(),
                names: &names,
            })?;
        } else {
            let fingerprint = publisher.fingerprint();
            let named = handle.as_ref().map_or(String::new(), |handle| {
                format!("; {handle} means this key (fingerprint {fingerprint}) here")
            });
            let names = names
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ");
            let names = if names == "*" {
                "all its names".to_owned()
            } else {
                names
            };
            print::lines(&format!(
                "{publisher} is trusted, and package managers get {names} from it{named}"
            ))?;
        }
        Ok(DONE)
    })
    .await
}

pub(super) async fn distrust(global: &Global, args: Distrust) -> Result<u8> {
    let Distrust { publisher, json } = args;
    session::with(global, async |node, _| {
        node.registry().distrust(publisher).await?;
        if json {
            print::json(&TrustOutput {
                publisher,
                trusted: false,
                handle: None,
                names: &[],
            })?;
        } else {
            print::lines(&format!(
                "{publisher} is distrusted: its packages are hidden here; undo with `swarmdex \
                 trust`"
            ))?;
        }
        Ok(DONE)
    })
    .await
}
