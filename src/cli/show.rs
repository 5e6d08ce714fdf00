//! `show ID[@REQ]`: prints a release's metadata.

use libp2p::PeerId;
use serde::Serialize;

use super::{
    DONE,
    global::Global,
    id::PackageArg,
    print,
    release::{check_fresh, find},
    session,
};
use crate::{
    Result, clock,
    domain::{
        manifest::{Dependency, File},
        name::short_id,
    },
    registry::{LookAlike, Release, ReleaseFile},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// handle/name or publisher-id/name, with @requirement: @1.2 means the newest 1.x from 1.2,
    /// @1.2.3 exactly that version
    package: PackageArg,
    /// Fail unless a quorum of peers has confirmed the package's current state within ten minutes
    #[arg(long)]
    fresh: bool,
    /// Print the release as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct ShowOutput<'a> {
    #[serde(flatten)]
    release: &'a Release,
    /// Fingerprint of the publisher's key.
    fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    looks_like: Option<LookAlike>,
    /// Nodes that hold the content, as far as this node and the DHT know.
    copies: Vec<PeerId>,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    session::with(global, async |node, _| {
        let PackageArg(package) = &args.package;
        let registry = node.registry();
        let spinner = print::spinner("asking peers");
        let release = find(&*registry, package).await;
        spinner.finish_and_clear();
        let release = release?;
        check_fresh(args.fresh, &release.package, &release.freshness)?;
        let looks_like = match release.trust.is_bound() {
            true => None,
            false => {
                registry
                    .look_alike(&release.package.name, Some(release.package.owner))
                    .await?
            }
        };
        let spinner = print::spinner("looking up its providers");
        let copies = node
            .contents()
            .holders(release.manifest.content().root)
            .await;
        spinner.finish_and_clear();
        let copies = copies?;
        if args.json {
            let fingerprint = release.package.owner.fingerprint();
            print::json(&ShowOutput {
                release: &release,
                fingerprint,
                looks_like,
                copies,
            })?;
        } else {
            let here = node.status().await?.node.peer_id;
            show(&release, looks_like.as_ref(), &on(&copies, &here))?;
        }
        Ok(DONE)
    })
    .await
}

/// Describes which nodes hold the content.
fn on(copies: &[PeerId], here: &PeerId) -> String {
    /// Nodes that are named.
    const NAMED: usize = 4;
    let others: Vec<&PeerId> = copies.iter().filter(|peer| *peer != here).collect();
    let named = others.iter().take(NAMED).map(|peer| short_id(peer));
    let mut places: Vec<String> = (others.len() < copies.len())
        .then(|| "this node".to_owned())
        .into_iter()
        .chain(named)
        .collect();
    if others.len() > NAMED {
        places.push(format!("{} more", others.len() - NAMED));
    }
    if places.is_empty() {
        "no known node".to_owned()
    } else {
        places.join(", ")
    }
}

fn show(release: &Release, looks_like: Option<&LookAlike>, copies: &str) -> Result<()> {
    let manifest = &release.manifest;
    let needs: Vec<_> = manifest
        .dependencies
        .iter()
        .map(Dependency::describe)
        .collect();
    let one = |file: &ReleaseFile| {
        let File {
            name,
            size,
            sha256,
            published_at,
            ..
        } = &file.file;
        let yanked = match file.yanked.as_deref() {
            Some("") => ", yanked".to_owned(),
            Some(why) => format!(", yanked: {why}"),
            None => String::new(),
        };
        let made = published_at.map_or(String::new(), |at| {
            format!(", originally published {}", clock::day(at))
        });
        format!(
            "{name} ({size} bytes, signed {}{made}{yanked}, SHA-256 {sha256})",
            clock::day(file.signed_at)
        )
    };
    let mut files: Vec<String> = release.files.iter().map(one).collect();
    if release.missing > 0 {
        files.push(format!(
            "and those of {} manifests that could not be loaded",
            release.missing
        ));
    }
    let mut fields = vec![
        ("id", format!("{}@{}", release.package, manifest.version)),
        (
            "handle",
            release
                .handle
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ),
        ("fingerprint", release.package.owner.fingerprint()),
        ("trust", release.trust.label().to_owned()),
        (
            "looks like",
            looks_like.map(ToString::to_string).unwrap_or_default(),
        ),
        ("tagged", release.tags.join(", ")),
        ("warning", release.state.warnings().join("; ")),
        ("title", manifest.title.clone().unwrap_or_default()),
        ("description", manifest.description.clone()),
        ("license", manifest.license.clone().unwrap_or_default()),
        ("categories", manifest.categories.join(", ")),
        ("tags", manifest.tags.join(", ")),
        ("authors", manifest.authors.join(", ")),
        (
            "repository",
            manifest.repository.clone().unwrap_or_default(),
        ),
        ("homepage", manifest.homepage.clone().unwrap_or_default()),
        ("dependencies", needs.join(", ")),
        (
            "ecosystem",
            if manifest.ecosystem.is_generic() {
                ""
            } else {
                manifest.ecosystem.as_str()
            }
            .to_owned(),
        ),
    ];
    let label = if files.len() == 1 { "file" } else { "files" };
    fields.extend(
        files
            .into_iter()
            .enumerate()
            .map(|(n, file)| (if n == 0 { label } else { "" }, file)),
    );
    fields.extend([
        ("content", manifest.content().root.to_string()),
        ("bytes on", copies.to_owned()),
        ("manifest", release.manifest_hash.to_string()),
        ("from", release.source.label().to_owned()),
        (
            "state",
            release.freshness.describe(clock::now()).to_string(),
        ),
    ]);
    print::fields(&fields)
}
