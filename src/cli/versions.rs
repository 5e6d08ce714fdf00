//! `versions ID`.

use serde::Serialize;

use super::{DONE, FAILED, global::Global, id::PackageArg, print, release::check_fresh, session};
use crate::{
    Result, clock,
    domain::{freshness::Freshness, hash::Hash, release, version::VersionText},
    registry::ReleaseState,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// handle/name or publisher-id/name, with @requirement to list only matching releases
    package: PackageArg,
    /// Fail unless a quorum of peers has confirmed the package's current state within ten minutes
    #[arg(long)]
    fresh: bool,
    /// Print the list as one JSON array
    #[arg(long)]
    json: bool,
}

/// A release in JSON output. The record's own field names are single letters, to save space in the
/// DHT.
#[derive(Serialize)]
struct VersionOutput {
    version: VersionText,
    #[serde(flatten)]
    state: ReleaseState,
    /// Tags that the owner gave to the version.
    tags: Vec<String>,
    /// Manifests in the order in which they were added; a release that was extended has several.
    manifests: Vec<Hash>,
    freshness: Freshness,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    session::with(global, async |node, _| {
        let PackageArg(package) = &args.package;
        let found = node.registry().get_package(package).await?;
        check_fresh(args.fresh, package, &found.freshness)?;
        if !args.json {
            print::note(format!("{}, {}", found.title(), found.trust.label()));
        }
        let (freshness, ecosystem) = (found.freshness, found.id.name.ecosystem());
        let wanted = package
            .requirement
            .as_ref()
            .map(|wanted| wanted.read(ecosystem))
            .transpose()?;
        let others = wanted
            .as_ref()
            .map(|wanted| release::instead(ecosystem, &found.releases, wanted));
        let others = others.unwrap_or_default();
        let mut releases = release::read(ecosystem, &found.releases);
        releases
            .retain(|(version, _)| wanted.as_ref().is_none_or(|wanted| wanted.matches(version)));
        releases.sort_by(|(a, _), (b, _)| b.cmp(a));
        let listed: Vec<VersionOutput> = releases
            .into_iter()
            .map(|(_, entry)| VersionOutput {
                version: entry.version.clone(),
                state: ReleaseState::of(entry),
                tags: found.tags_of(&entry.version),
                manifests: entry.manifests.clone(),
                freshness,
            })
            .collect();
        if listed.is_empty()
            && let Some(requirement) = &package.requirement
        {
            let instead = others
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ");
            print::note(format!(
                "no release matches {requirement}; available: {instead}"
            ));
        }
        show(&listed, args.json)?;
        if !args.json && !listed.is_empty() {
            print::note(freshness.describe(clock::now()).to_string());
        }
        Ok(if listed.is_empty() { FAILED } else { DONE })
    })
    .await
}

fn show(listed: &[VersionOutput], json: bool) -> Result<()> {
    if json {
        return print::json(&listed);
    }
    if listed.is_empty() {
        return Ok(());
    }
    let row = |entry: &VersionOutput| {
        let state = match &entry.state {
            ReleaseState { yanked: true, .. } => "yanked",
            ReleaseState {
                deprecated: Some(_),
                ..
            } => "deprecated",
            _ => "live",
        };
        let manifest = match entry.manifests.as_slice() {
            [] => "not known here".to_owned(),
            [only] => only.to_string(),
            [first, more @ ..] => format!("{first} and {} more", more.len()),
        };
        vec![
            entry.version.to_string(),
            state.to_owned(),
            entry.tags.join(", "),
            manifest,
        ]
    };
    print::table(
        &["VERSION", "STATE", "TAGS", "MANIFEST"],
        listed.iter().map(row).collect(),
    )
}
