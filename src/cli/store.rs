//! `contents`, `pin`, `unpin`, `gc` and `verify`: the content that this node holds.

use indicatif::HumanBytes;

use super::{DONE, FAILED, global::Global, id::PackageArg, print, release::find, session};
use crate::{
    Result, clock,
    domain::held::{Held, Lost},
    domain::time::Ago,
};

#[derive(Debug, clap::Args)]
pub(super) struct ContentsArgs {
    /// Print them as one JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReleaseArgs {
    /// handle/name or publisher-id/name, with @requirement
    package: PackageArg,
}

#[derive(Debug, clap::Args)]
pub(super) struct Gc {
    /// Evict all such content, not just what is over the quota
    #[arg(long)]
    all: bool,
    /// Print what was freed as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// Print the counts as one JSON object
    #[arg(long)]
    json: bool,
}

fn what(held: &Held) -> String {
    held.what
        .clone()
        .unwrap_or_else(|| "not published, or left by a publish".to_owned())
}

fn missing(lost: &Lost) -> String {
    let what = lost
        .what
        .clone()
        .unwrap_or_else(|| lost.content.root.to_string());
    let whose = if lost.own { ", which is your own," } else { "" };
    format!(
        "{what}{whose} is incomplete: it was damaged, or left out of a backup; the node asks other \
         peers for it, or you can publish its file again"
    )
}

pub(super) async fn list(global: &Global, args: ContentsArgs) -> Result<u8> {
    session::with(global, async |node, _| {
        let contents = node.contents();
        let held = contents.list().await?;
        if args.json {
            print::json(&held)?;
            return Ok(DONE);
        }
        let now = clock::now();
        let row = |held: &Held| {
            let kept = match (held.own, held.pinned) {
                (true, _) => "own",
                (false, true) => "pinned",
                (false, false) if held.for_others => "for others",
                (false, false) => "",
            };
            vec![
                what(held),
                HumanBytes(held.content.size).to_string(),
                kept.to_owned(),
                Ago(now.since(held.used_at)).to_string(),
                held.content.root.to_string(),
            ]
        };
        if !held.is_empty() {
            print::table(
                &["WHAT", "SIZE", "KEPT", "USED", "CONTENT"],
                held.iter().map(row).collect(),
            )?;
        }
        for lost in contents.lost().await? {
            print::note(missing(&lost));
        }
        let usage = contents.usage().await?;
        print::note(format!(
            "{} contents, {} of {}, of which {} are your own or pinned",
            held.len(),
            HumanBytes(usage.bytes),
            HumanBytes(usage.quota),
            HumanBytes(usage.kept)
        ));
        Ok(DONE)
    })
    .await
}

pub(super) async fn keep(global: &Global, args: ReleaseArgs, pinned: bool) -> Result<u8> {
    session::with(global, async |node, _| {
        let release = find(&*node.registry(), &args.package.0).await?;
        let manifest = &release.manifest;
        let contents = node.contents();
        let id = format!("{}@{}", release.package, manifest.version);
        let mut kept = None;
        for file in &release.files {
            if contents.keep(file.file.root, id.clone(), pinned).await? {
                kept.get_or_insert(file.file.root);
                if let Some(native) = file.file.native {
                    contents.keep(native.root, id.clone(), pinned).await?;
                }
            }
        }
        let Some(kept) = kept else {
            print::note(format!(
                "error: the content of {} {} is not on this node; download it with `swarmdex get`",
                manifest.name, manifest.version
            ));
            return Ok(FAILED);
        };
        for beside in [manifest.readme, manifest.native].into_iter().flatten() {
            contents.keep(beside.root, id.clone(), pinned).await?;
        }
        let held = contents.held(kept).await?;
        let (own, others) = held.map_or((false, Vec::new()), |held| (held.own, held.pinned_for));
        let how = match (pinned, own, others.as_slice()) {
            (true, ..) => "is kept regardless of the quota".to_owned(),
            (false, true, _) => "is your own and always kept".to_owned(),
            (false, false, []) => "may be evicted when space is needed".to_owned(),
            (false, false, others) => {
                format!(
                    "is no longer pinned; its content stays, because it is pinned for {} too",
                    others.join(", ")
                )
            }
        };
        print::note(format!("{} {} {how}", manifest.name, manifest.version));
        Ok(DONE)
    })
    .await
}

pub(super) async fn gc(global: &Global, args: Gc) -> Result<u8> {
    session::with(global, async |node, _| {
        let freed = node.contents().clean_up(args.all).await?;
        if args.json {
            print::json(&freed)?;
        } else {
            print::lines(&format!(
                "{} contents removed, {} freed",
                freed.contents,
                HumanBytes(freed.bytes)
            ))?;
        }
        Ok(DONE)
    })
    .await
}

pub(super) async fn verify(global: &Global, args: Verify) -> Result<u8> {
    session::with(global, async |node, _| {
        let contents = node.contents();
        let held = contents.list().await?;
        let bar = print::bar(held.iter().map(|held| held.content.size).sum());
        // Content that was found damaged earlier and has not been downloaded again still counts.
        let before = contents.lost().await?;
        let mut damaged: Vec<_> = before.iter().map(|lost| lost.content.root).collect();
        before
            .iter()
            .for_each(|lost| bar.suspend(|| print::note(missing(lost))));
        for one in &held {
            if !contents.check(one.content.root).await? {
                bar.suspend(|| {
                    print::note(format!(
                        "damaged and dropped: {} ({})",
                        what(one),
                        one.content.root
                    ))
                });
                damaged.push(one.content.root);
            }
            bar.inc(one.content.size);
        }
        bar.finish_and_clear();
        let sound = held.len() + before.len() - damaged.len();
        if args.json {
            print::json(&serde_json::json!({ "verified": sound, "damaged": damaged }))?;
        } else {
            print::lines(&format!(
                "{sound} contents verify, {} are damaged",
                damaged.len()
            ))?;
        }
        if !damaged.is_empty() {
            print::note("damaged content is downloaded again from peers that have it");
        }
        Ok(if damaged.is_empty() { DONE } else { FAILED })
    })
    .await
}
