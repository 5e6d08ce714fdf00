//! `versions ID`.

use serde::Serialize;

use super::{DONE, FAILED, global::Global, id::Wanted, print, session};
use crate::{Result, domain::hash::Hash};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// handle/name or publisher-id/name, and @requirement to list only what matches
    package: Wanted,
    /// Print the list as one JSON array
    #[arg(long)]
    json: bool,
}

/// A release for scripts: the record's own field names are one letter long, to fit into a DHT value.
#[derive(Serialize)]
struct Listed {
    version: semver::Version,
    yanked: bool,
    manifest: Hash,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    session::with(global, async |node, _| {
        let Wanted(package) = &args.package;
        let mut releases = node.registry().list_versions(package).await?;
        releases.retain(|entry| package.requirement.as_ref().is_none_or(|wanted| wanted.matches(&entry.version)));
        releases.sort_by(|a, b| b.version.cmp(&a.version));
        let listed: Vec<Listed> = releases
            .into_iter()
            .map(|entry| Listed { version: entry.version, yanked: entry.yanked, manifest: entry.manifest })
            .collect();
        show(&listed, args.json)?;
        Ok(if listed.is_empty() { FAILED } else { DONE })
    })
    .await
}

fn show(listed: &[Listed], json: bool) -> Result<()> {
    if json {
        return print::json(&listed);
    }
    if listed.is_empty() {
        print::note("no release matches");
        return Ok(());
    }
    let row = |entry: &Listed| {
        let state = if entry.yanked { "yanked" } else { "live" };
        vec![entry.version.to_string(), state.to_owned(), entry.manifest.to_string()]
    };
    print::table(&["VERSION", "STATE", "MANIFEST"], listed.iter().map(row).collect())
}
