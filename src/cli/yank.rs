//! `yank ID@VERSION` and `unyank ID@VERSION`.

use semver::{Op, Version, VersionReq};

use super::{DONE, global::Global, own_node, publish};
use crate::{RegistryError, Result, domain::name::PackageRef, node::Node};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// handle/name@version or publisher-id/name@version
    package: PackageRef,
    /// Print the receipt as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args, yanked: bool) -> Result<u8> {
    let version = version_of(&args.package)?;
    own_node::with(global, async |node, settings| {
        let result = change(&node, &args, &version, yanked, settings.query_timeout).await;
        (node, result)
    })
    .await
}

async fn change(
    node: &Node,
    args: &Args,
    version: &Version,
    yanked: bool,
    patience: std::time::Duration,
) -> Result<u8> {
    let registry = node.registry();
    let receipt = match yanked {
        true => registry.yank(&args.package, version).await?,
        false => registry.unyank(&args.package, version).await?,
    };
    let delivered = !receipt.pending || (node.status().await?.connected > 0 && node.wait_published(patience).await);
    publish::show(&receipt, delivered, args.json)?;
    Ok(DONE)
}

/// The one version that is named after @.
fn version_of(package: &PackageRef) -> Result<Version> {
    let named = package.requirement.as_ref().and_then(single);
    named.ok_or_else(|| {
        RegistryError::Usage(format!("\"{package}\" names no version; write all of it, such as alice/web@1.2.3"))
    })
}

fn single(requirement: &VersionReq) -> Option<Version> {
    let [comparator] = requirement.comparators.as_slice() else { return None };
    if !matches!(comparator.op, Op::Caret | Op::Exact) {
        return None;
    }
    let mut version = Version::new(comparator.major, comparator.minor?, comparator.patch?);
    version.pre = comparator.pre.clone();
    Some(version)
}
