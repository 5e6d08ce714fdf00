//! `versions ID`.

use serde::Serialize;

use super::{DONE, global::Global, own_node, print};
use crate::{Result, domain::name::PackageRef, node::Node};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// handle/name or publisher-id/name
    package: PackageRef,
    /// Print the list as one JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    version: String,
    yanked: bool,
    manifest: String,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    own_node::with(global, async |node, _| {
        let result = versions(&node, &args).await;
        (node, result)
    })
    .await
}

async fn versions(node: &Node, args: &Args) -> Result<u8> {
    let mut releases = node.registry().list_versions(&args.package).await?;
    releases.sort_by(|a, b| b.version.cmp(&a.version));
    let rows: Vec<Row> = releases
        .iter()
        .map(|entry| Row {
            version: entry.version.to_string(),
            yanked: entry.yanked,
            manifest: entry.manifest.to_string(),
        })
        .collect();
    if args.json {
        print::json(&rows)?;
    } else {
        let yanked = |row: &Row| if row.yanked { "yanked" } else { "" }.to_owned();
        let cells: Vec<Vec<String>> =
            rows.iter().map(|row| vec![row.version.clone(), yanked(row), row.manifest.clone()]).collect();
        print::table(&["VERSION", "", "MANIFEST"], &cells)?;
    }
    Ok(DONE)
}
