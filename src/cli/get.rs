//! `get ID[@REQ]`: the manifest, for now.

use semver::VersionReq;

use super::{DONE, global::Global, own_node, print};
use crate::{
    Result,
    domain::name::{Owner, PackageRef},
    node::Node,
    registry::Release,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// handle/name or publisher-id/name, and @requirement such as @1.2 or @=1.2.3
    package: PackageRef,
    /// Print the release as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    own_node::with(global, async |node, _| {
        let result = get(&node, &args).await;
        (node, result)
    })
    .await
}

async fn get(node: &Node, args: &Args) -> Result<u8> {
    let registry = node.registry();
    let requirement = match &args.package.requirement {
        Some(requirement) => requirement.clone(),
        // The release that is meant without one: the newest that is not yanked, proper releases first.
        None => {
            let package = registry.get_package(&args.package).await?;
            let latest = crate::domain::release::resolve(&package.releases, None);
            latest.map_or(VersionReq::STAR, |entry| exactly(&entry.version))
        }
    };
    let release = registry.get_package_version(&args.package, &requirement).await?;
    // Asking for it by its handle is a person's act: from now on the handle means this key here.
    if let Owner::Handle(handle) = &args.package.owner {
        registry.pin(handle, release.package.publisher).await?;
    }
    if args.json {
        print::json(&release)?
    } else {
        show(&release)?
    }
    Ok(DONE)
}

fn exactly(version: &semver::Version) -> VersionReq {
    VersionReq::parse(&format!("={version}")).unwrap_or(VersionReq::STAR)
}

fn show(release: &Release) -> Result<()> {
    let manifest = &release.manifest;
    let mut lines = vec![format!("{}@{}", release.package, manifest.version)];
    let mut field = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("  {name:<13} {value}"));
        }
    };
    field("called", release.handle.as_ref().map_or(String::new(), |handle| format!("{handle}/{}", manifest.name)));
    field("title", manifest.title.clone().unwrap_or_default());
    field("description", manifest.description.clone());
    field("license", manifest.license.clone().unwrap_or_default());
    field("categories", manifest.categories.join(", "));
    field("tags", manifest.tags.join(", "));
    field("authors", manifest.authors.join(", "));
    field("repository", manifest.repository.clone().unwrap_or_default());
    field("homepage", manifest.homepage.clone().unwrap_or_default());
    let needs = manifest.dependencies.iter().map(|needed| format!("{}@{}", needed.package, needed.requirement));
    field("dependencies", needs.collect::<Vec<_>>().join(", "));
    field("content", format!("{} ({} bytes)", manifest.content, manifest.size));
    field("manifest", release.manifest_hash.to_string());
    field("yanked", if release.yanked { "yes: its publisher asks not to choose it".to_owned() } else { String::new() });
    field("from", release.source.label().to_owned());
    print::lines(&lines.iter().map(|line| crate::domain::text::printable(line)).collect::<Vec<_>>().join("\n"))
}
