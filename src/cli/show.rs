//! `show ID[@REQ]`: what a release says of itself, without its bytes.

use serde::Serialize;

use super::{
    DONE,
    global::Global,
    id::Wanted,
    print,
    release::{check_fresh, find},
    session,
};
use crate::{
    Result, clock,
    registry::{LookAlike, Release},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// handle/name or publisher-id/name, and @requirement: @1.2 is the newest 1.x from 1.2 on, @1.2.3 is that one
    package: Wanted,
    /// Fail unless a quorum of peers confirmed, within ten minutes, that this is the package's current state
    #[arg(long)]
    fresh: bool,
    /// Print the release as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    release: &'a Release,
    /// Of the publisher's key.
    fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    looks_like: Option<LookAlike>,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    session::with(global, async |node, _| {
        let Wanted(package) = &args.package;
        let registry = node.registry();
        let spinner = print::spinner("asking peers");
        let release = find(&*registry, package).await;
        spinner.finish_and_clear();
        let release = release?;
        check_fresh(args.fresh, &release.package, &release.freshness)?;
        let looks_like = match release.trust.is_bound() {
            true => None,
            false => registry.look_alike(&release.package.name, Some(release.package.publisher)).await?,
        };
        if args.json {
            let fingerprint = release.package.publisher.fingerprint();
            print::json(&Shown { release: &release, fingerprint, looks_like })?;
        } else {
            show(&release, looks_like.as_ref())?;
        }
        Ok(DONE)
    })
    .await
}

fn show(release: &Release, looks_like: Option<&LookAlike>) -> Result<()> {
    let manifest = &release.manifest;
    let needs: Vec<_> =
        manifest.dependencies.iter().map(|need| format!("{}@{}", need.called(), need.requirement)).collect();
    let yanked = if release.yanked { "yes: its publisher asks not to choose it" } else { "" };
    print::fields(&[
        ("id", format!("{}@{}", release.package, manifest.version)),
        ("handle", release.handle.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("fingerprint", release.package.publisher.fingerprint()),
        ("trust", release.trust.label().to_owned()),
        ("looks like", looks_like.map(ToString::to_string).unwrap_or_default()),
        ("yanked", yanked.to_owned()),
        ("title", manifest.title.clone().unwrap_or_default()),
        ("description", manifest.description.clone()),
        ("license", manifest.license.clone().unwrap_or_default()),
        ("categories", manifest.categories.join(", ")),
        ("tags", manifest.tags.join(", ")),
        ("authors", manifest.authors.join(", ")),
        ("repository", manifest.repository.clone().unwrap_or_default()),
        ("homepage", manifest.homepage.clone().unwrap_or_default()),
        ("dependencies", needs.join(", ")),
        ("ecosystem", if manifest.ecosystem.is_generic() { "" } else { manifest.ecosystem.as_str() }.to_owned()),
        ("file", manifest.file_name()),
        ("content", format!("{} ({} bytes)", manifest.content, manifest.size)),
        ("manifest", release.manifest_hash.to_string()),
        ("from", release.source.label().to_owned()),
        ("state", release.freshness.told(clock::now()).to_string()),
    ])
}
