//! `trust` and `distrust`.

use super::{DONE, global::Global, print, session};
use crate::{
    Result,
    domain::name::{Handle, PublisherId},
};

#[derive(Debug, clap::Args)]
pub(super) struct Trust {
    /// The publisher's id
    publisher: PublisherId,
    /// What the publisher calls itself: it means this key on this node from now on, whatever it meant before
    #[arg(long = "as", value_name = "HANDLE")]
    called: Option<Handle>,
    /// Print what was done as one JSON object
    #[arg(long)]
    json: bool,
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
    let Trust { publisher, called: handle, json } = &args;
    session::with(global, async |node, _| {
        node.registry().trust(*publisher, handle.as_ref()).await?;
        if *json {
            print::json(&Done { publisher: *publisher, trusted: true, handle: handle.as_ref() })?;
        } else {
            let named = handle.as_ref().map_or(String::new(), |handle| format!("; {handle} means this key here"));
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
