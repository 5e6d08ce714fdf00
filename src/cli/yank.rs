//! `yank ID@VERSION` and `unyank ID@VERSION`.

use super::{DONE, global::Global, id::OneRelease, publish, session};
use crate::Result;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// handle/name@version or publisher-id/name@version
    release: OneRelease,
    /// Print the receipt as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Yank,
    Unyank,
}

pub(super) async fn run(global: &Global, args: Args, change: Change) -> Result<u8> {
    let OneRelease { package, version } = &args.release;
    session::with(global, async |node, settings| {
        let registry = node.registry();
        let receipt = match change {
            Change::Yank => registry.yank(package, version).await?,
            Change::Unyank => registry.unyank(package, version).await?,
        };
        publish::conclude(node, &receipt, args.json, settings.query_timeout).await?;
        Ok(DONE)
    })
    .await
}
