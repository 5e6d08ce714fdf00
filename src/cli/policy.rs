//! `names`, `why`, `block` and `unblock`: which publisher's packages bare names mean, for package
//! managers.

use std::str::FromStr;

use serde::Serialize;

use super::{DONE, FAILED, global::Global, print, session};
use crate::{
    RegistryError, Result,
    control::Control,
    domain::{
        name::{NameError, PackageId, PackageName, PublisherId},
        names::{NameDecision, NamePattern, RuleAuthor, TrustedKey},
        version::VersionText,
    },
    registry::{NameTable, Registry},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: NamesVerb,
}

#[derive(Debug, clap::Subcommand)]
enum NamesVerb {
    /// List rules, trusted keys, blocks, and the publishers that names were served from
    List(Json),
    /// Map a name, or all names that match a pattern, to a publisher: cargo:serde, npm:@bar/*
    Set(SetArgs),
    /// Remove a rule, and forget which publisher the name was served from
    Unset(Unset),
    /// Explain whose package a name is: same as `why`
    Why(WhyArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct Json {
    /// Print it as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct SetArgs {
    /// Name with its ecosystem, such as cargo:serde; * matches any text
    name: NamePattern,
    /// The publisher's id
    owner: PublisherId,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Unset {
    /// Name or pattern as `names list` shows it
    name: NamePattern,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct WhyArgs {
    /// Name with its ecosystem, such as cargo:serde
    name: PackageName,
    /// Print it as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct BlockArgs {
    /// Name with its ecosystem, and @VERSION for one version: cargo:serde@1.0.0
    name: Blocked,
    /// Reason, which clients that ask for it are told
    #[arg(long, default_value = "blocked by the user")]
    why: String,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct UnblockArgs {
    /// Name or version as `names list` shows it
    name: Blocked,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// A name, or one version of it.
#[derive(Clone, Debug)]
struct Blocked {
    name: PackageName,
    version: Option<VersionText>,
}

impl FromStr for Blocked {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        // An npm scope begins with @ too.
        match text
            .rsplit_once('@')
            .filter(|(name, _)| !name.is_empty() && !name.ends_with(':'))
        {
            Some((name, version)) => Ok(Self {
                name: name.parse()?,
                version: Some(version.parse()?),
            }),
            None => Ok(Self {
                name: text.parse()?,
                version: None,
            }),
        }
    }
}

#[derive(Serialize)]
struct NamesOutput<'a> {
    name: &'a str,
    done: bool,
}

fn told(name: &str, done: bool, json: bool, text: String) -> Result<u8> {
    if json {
        print::json(&NamesOutput { name, done })?;
    } else {
        print::lines(&text)?;
    }
    Ok(if done { DONE } else { FAILED })
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    match args.what {
        NamesVerb::List(Json { json }) => list(global, json).await,
        NamesVerb::Set(set) => self::set(global, set).await,
        NamesVerb::Unset(unset) => self::unset(global, unset).await,
        NamesVerb::Why(why) => self::why(global, why).await,
    }
}

async fn list(global: &Global, json: bool) -> Result<u8> {
    session::with(global, async |node, _| {
        let table = node.names().table().await?;
        if json {
            print::json(&table)?;
            return Ok(DONE);
        }
        let NameTable {
            rules,
            trusted,
            blocks,
            served,
        } = table;
        let rules = rules.into_iter().map(|rule| {
            let written = match rule.written {
                RuleAuthor::Settings => "settings",
                RuleAuthor::Command => "names set",
            };
            vec![
                rule.pattern.to_string(),
                written.to_owned(),
                rule.owner.to_string(),
            ]
        });
        let trusted = trusted.into_iter().map(|key| {
            vec![
                key.names.to_string(),
                "trusted".to_owned(),
                key.publisher.to_string(),
            ]
        });
        let blocks = blocks.into_iter().map(|block| {
            let version = block
                .version
                .map_or(String::new(), |version| format!("@{version}"));
            let file = block.file.map_or(String::new(), |file| format!(" {file}"));
            vec![
                format!("{}{version}{file}", block.name),
                "blocked".to_owned(),
                block.why,
            ]
        });
        let served = served.into_iter().map(|one| {
            vec![
                one.name.to_string(),
                "served".to_owned(),
                one.owner.to_string(),
            ]
        });
        let rows: Vec<_> = rules.chain(trusted).chain(blocks).chain(served).collect();
        if rows.is_empty() {
            print::note("no names are set, so package managers only get your own packages");
            return Ok(DONE);
        }
        print::table(&["NAME", "BY", "OWNER"], rows)?;
        Ok(DONE)
    })
    .await
}

async fn set(global: &Global, SetArgs { name, owner, json }: SetArgs) -> Result<u8> {
    session::with(global, async |node, _| {
        let names = node.names();
        let before = match name.exactly() {
            Some(name) => names.why(&name).await?.owner(),
            None => None,
        };
        names.set_name(name.clone(), owner).await?;
        if let Some(before) = before.filter(|before| *before != owner) {
            print::note(format!(
                "{name} was {before} until now ({}): caches and lock files of package managers \
                 still refer to that package; clear them to get the new one",
                before.fingerprint()
            ));
        }
        told(
            &name.to_string(),
            true,
            json,
            format!(
                "{name} is now {owner} ({}) on this node",
                owner.fingerprint()
            ),
        )
    })
    .await
}

async fn unset(global: &Global, Unset { name, json }: Unset) -> Result<u8> {
    session::with(global, async |node, _| {
        let done = node.names().unset_name(name.clone()).await?;
        let text = match done {
            true => format!("{name} is no longer set"),
            false => format!("{name} was not set; `swarmdex names list` shows what is"),
        };
        told(&name.to_string(), done, json, text)
    })
    .await
}

/// The newest release of the package that a name means.
#[derive(Serialize)]
struct Newest {
    version: VersionText,
    file: String,
    size: u64,
    /// The node holds its content.
    held: bool,
    /// Providers of its content, as far as the DHT knows.
    holders: usize,
}

#[derive(Serialize)]
struct WhyOutput<'a> {
    #[serde(flatten)]
    decided: &'a NameDecision,
    owner: Option<PublisherId>,
    reason: String,
    newest: Option<Newest>,
}

pub(super) async fn why(global: &Global, WhyArgs { name, json }: WhyArgs) -> Result<u8> {
    session::with(global, async |node, _| {
        let decided = node.names().why(&name).await?;
        let owner = decided.owner();
        let newest = match owner {
            Some(owner) => {
                newest(
                    node,
                    &PackageId {
                        owner,
                        name: name.clone(),
                    },
                )
                .await?
            }
            None => None,
        };
        let reason = decided.reason();
        if json {
            print::json(&WhyOutput {
                decided: &decided,
                owner,
                reason,
                newest,
            })?;
            return Ok(if owner.is_some() { DONE } else { FAILED });
        }
        let Some(owner) = owner else {
            return Err(RegistryError::NameRefused(reason));
        };
        let others = decided
            .passed_over
            .iter()
            .map(|key| format!("{key} ({})", key.fingerprint()));
        let mut fields = vec![
            ("name", name.to_string()),
            ("owner", format!("{owner} ({})", owner.fingerprint())),
            ("because", reason),
            ("not from", others.collect::<Vec<_>>().join(", ")),
        ];
        match newest {
            Some(Newest {
                version,
                file,
                size,
                held,
                holders,
            }) => {
                fields.push(("signer", owner.to_string()));
                fields.push(("newest", version.to_string()));
                fields.push(("file", format!("{file}, {size} bytes")));
                let here = if held { "this node and " } else { "" };
                fields.push((
                    "who has it",
                    format!("{here}{holders} nodes, according to the DHT"),
                ));
            }
            None => fields.push(("newest", "no release of it could be loaded".to_owned())),
        }
        print::fields(&fields)?;
        Ok(DONE)
    })
    .await
}

async fn newest(node: &dyn Control, id: &PackageId) -> Result<Option<Newest>> {
    let registry: std::sync::Arc<dyn Registry> = node.registry();
    let package = match registry.get_package(&id.to_string().parse()?).await {
        Ok(package) => package,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(release) = package.latest_release() else {
        return Ok(None);
    };
    let content = release.manifest.content();
    let held = node.contents().held(content.root).await?.is_some();
    let holders = node
        .contents()
        .holders(content.root)
        .await?
        .len()
        .saturating_sub(usize::from(held));
    let file = release
        .manifest
        .first()
        .map_or(String::new(), |file| file.name.clone());
    Ok(Some(Newest {
        version: release.manifest.version,
        file,
        size: content.size,
        held,
        holders,
    }))
}

fn called(Blocked { name, version }: &Blocked) -> String {
    version
        .as_ref()
        .map_or(name.to_string(), |version| format!("{name}@{version}"))
}

pub(super) async fn block(
    global: &Global,
    BlockArgs {
        name: blocked,
        why,
        json,
    }: BlockArgs,
) -> Result<u8> {
    session::with(global, async |node, _| {
        let name = called(&blocked);
        node.names()
            .block(blocked.name, blocked.version, None, why)
            .await?;
        told(
            &name,
            true,
            json,
            format!("{name} is blocked; undo this with `swarmdex unblock {name}`"),
        )
    })
    .await
}

pub(super) async fn unblock(
    global: &Global,
    UnblockArgs {
        name: blocked,
        json,
    }: UnblockArgs,
) -> Result<u8> {
    session::with(global, async |node, _| {
        let name = called(&blocked);
        let done = node.names().unblock(blocked.name, blocked.version).await?;
        let text = match done {
            true => format!("{name} is no longer blocked"),
            false => format!("{name} was not blocked; `swarmdex names list` shows what is"),
        };
        told(&name, done, json, text)
    })
    .await
}

/// Lists the keys that are trusted for names.
pub(super) async fn list_trusted(global: &Global, json: bool) -> Result<u8> {
    session::with(global, async |node, _| {
        let trusted = node.names().table().await?.trusted;
        if json {
            print::json(&trusted)?;
            return Ok(DONE);
        }
        if trusted.is_empty() {
            print::note(
                "no keys are trusted for names, so package managers only get your own packages",
            );
            return Ok(DONE);
        }
        let row = |key: TrustedKey| {
            vec![
                key.publisher.to_string(),
                key.publisher.fingerprint(),
                key.names.to_string(),
            ]
        };
        print::table(
            &["PUBLISHER", "FINGERPRINT", "NAMES"],
            trusted.into_iter().map(row).collect(),
        )?;
        Ok(DONE)
    })
    .await
}
