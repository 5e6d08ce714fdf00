//! `yank`, `unyank`, `deprecate` and `tag`: an owner's notices about published releases.

use super::{DONE, global::Global, id::OneRelease, publish, session};
use crate::{Result, domain::name::PackageRef, registry::Change};

#[derive(Debug, clap::Args)]
pub(super) struct Yank {
    /// handle/name@version or publisher-id/name@version
    release: OneRelease,
    /// Reason, in up to 500 characters, shown to everyone who looks at or requests this version
    #[arg(long, value_name = "REASON", default_value = "")]
    why: String,
    /// Yank only this file of the release
    #[arg(long, value_name = "NAME")]
    file: Option<String>,
    /// Print the receipt as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Unyank {
    /// handle/name@version or publisher-id/name@version
    release: OneRelease,
    /// Undo the yank of this file of the release
    #[arg(long, value_name = "NAME")]
    file: Option<String>,
    /// Print the receipt as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Deprecate {
    /// handle/name@version or publisher-id/name@version
    release: OneRelease,
    /// Advice on what to use instead, or a reason, in up to 500 characters
    #[arg(required_unless_present = "undo", conflicts_with = "undo")]
    message: Option<String>,
    /// Remove the message
    #[arg(long)]
    undo: bool,
    /// Print the receipt as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Tag {
    /// handle/name@version or publisher-id/name@version; with --remove, the package without a
    /// version
    release: String,
    /// One word, such as latest or next
    tag: String,
    /// Remove the tag
    #[arg(long)]
    remove: bool,
    /// Print the receipt as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn yank(global: &Global, args: Yank) -> Result<u8> {
    let OneRelease { package, version } = args.release;
    say(
        global,
        &package,
        Change::Yank {
            version,
            file: args.file,
            why: args.why,
        },
        args.json,
    )
    .await
}

pub(super) async fn unyank(global: &Global, args: Unyank) -> Result<u8> {
    let OneRelease { package, version } = args.release;
    say(
        global,
        &package,
        Change::Unyank {
            version,
            file: args.file,
        },
        args.json,
    )
    .await
}

pub(super) async fn deprecate(global: &Global, args: Deprecate) -> Result<u8> {
    let OneRelease { package, version } = args.release;
    say(
        global,
        &package,
        Change::Deprecate {
            version,
            message: args.message,
        },
        args.json,
    )
    .await
}

pub(super) async fn tag(global: &Global, args: Tag) -> Result<u8> {
    if args.remove {
        let package: PackageRef = args.release.parse()?;
        return say(
            global,
            &package,
            Change::Tag {
                tag: args.tag,
                version: None,
            },
            args.json,
        )
        .await;
    }
    let release: std::result::Result<OneRelease, String> = args.release.parse();
    let OneRelease { package, version } = release.map_err(crate::RegistryError::Usage)?;
    say(
        global,
        &package,
        Change::Tag {
            tag: args.tag,
            version: Some(version),
        },
        args.json,
    )
    .await
}

async fn say(global: &Global, package: &PackageRef, change: Change, json: bool) -> Result<u8> {
    session::with(global, async |node, settings| {
        let receipt = node.registry().change(package, change).await?;
        publish::conclude(node, &receipt, json, settings.node.net.query_timeout).await?;
        Ok(DONE)
    })
    .await
}
