//! `trust` and `distrust`.

use std::str::FromStr;

use super::{DONE, FAILED, global::Global, names, print, session};
use crate::{
    RegistryError, Result,
    domain::name::{Handle, NameError, Owner, PublisherId},
};

#[derive(Debug, clap::Args)]
pub(super) struct Trust {
    /// The publisher's id; or a handle, which is pinned to the one key that claims it
    #[arg(value_name = "PUBLISHER")]
    whom: Whom,
    /// What the publisher calls itself: it means this key on this node from now on, whatever it meant before
    #[arg(long = "as", value_name = "HANDLE")]
    called: Option<Handle>,
    /// Print what was done as one JSON object
    #[arg(long)]
    json: bool,
}

/// A key, or what it calls itself.
#[derive(Clone, Debug)]
struct Whom(Owner);

impl FromStr for Whom {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        // A handle is lower case only, a PeerId never is.
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
    /// Print what was done as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Done<'a> {
    publisher: PublisherId,
    trusted: bool,
    handle: Option<&'a Handle>,
}

pub(super) async fn trust(global: &Global, args: Trust) -> Result<u8> {
    let Trust { whom: Whom(whom), called, json } = args;
    match whom {
        Owner::Publisher(publisher) => trust_key(global, publisher, called, json).await,
        Owner::Handle(_) if called.is_some() => {
            Err(RegistryError::Usage("--as goes with a publisher's id; leave it out, or name the id".to_owned()))
        }
        Owner::Handle(handle) => trust_handle(global, &handle, json).await,
    }
}

/// Pins a handle to the one key that claims it.
async fn trust_handle(global: &Global, handle: &Handle, json: bool) -> Result<u8> {
    session::with(global, async |node, _| {
        let registry = node.registry();
        let (publisher, claims) = names::ask_whose(&*registry, handle).await?;
        let pinned = claims.bound.is_some() || names::pin(&*registry, publisher, &claims).await?;
        if json {
            print::json(&Done { publisher, trusted: pinned, handle: Some(handle) })?;
        } else if pinned {
            let fingerprint = publisher.fingerprint();
            print::lines(&format!("{handle} means {publisher} (fingerprint {fingerprint}) on this node"))?;
        }
        Ok(if pinned { DONE } else { FAILED })
    })
    .await
}

async fn trust_key(global: &Global, publisher: PublisherId, handle: Option<Handle>, json: bool) -> Result<u8> {
    session::with(global, async |node, _| {
        node.registry().trust(publisher, handle.as_ref()).await?;
        if json {
            print::json(&Done { publisher, trusted: true, handle: handle.as_ref() })?;
        } else {
            let fingerprint = publisher.fingerprint();
            let named = handle
                .as_ref()
                .map_or(String::new(), |handle| format!("; {handle} means this key (fingerprint {fingerprint}) here"));
            print::lines(&format!("{publisher} is not distrusted{named}"))?;
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
            print::json(&Done { publisher, trusted: false, handle: None })?;
        } else {
            print::lines(&format!(
                "{publisher} is distrusted: its packages are not shown here; `trust` takes it back"
            ))?;
        }
        Ok(DONE)
    })
    .await
}
