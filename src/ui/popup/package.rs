//! The window of a package: description, owner, source, and freshness.

use std::time::Duration;

use ratatui::{
    style::{Modifier, Style},
    text::{Line, Span},
};

use super::{field, heading};
use crate::{
    domain::{
        hash::ContentRoot,
        manifest::{File, Manifest},
        name::short_id,
        release::{self, ReleaseEntry},
        size::Size,
        text::{fit, printable},
        time::{Ago, Timestamp, Took},
        transfer::TransferState,
        trust::Trust,
    },
    registry::{Held, Package, ReleaseFile, ReleaseState, Source},
    ui::{
        action::{Action, KeyPlace},
        model::{
            Model,
            package::{ContentState, PackageState, PackageView, ReadmeState, ReleaseFiles},
            readme::{ReadmeBlock, ReadmeText},
            transfers::percent,
        },
        theme::Theme,
        widget::wrap::wrap,
    },
};

pub fn lines(model: &Model, view: &PackageView, width: usize, theme: Theme) -> Vec<Line<'static>> {
    match &view.state {
        PackageState::Looking => vec![Line::from(
            "looking on this node, in the DHT, and at other peers…",
        )],
        PackageState::Failed(why) => {
            let mut lines = vec![Line::from(Span::styled(
                "Cannot load this package",
                theme.bad(),
            ))];
            lines.extend(wrap(why, width).into_iter().map(Line::from));
            lines.push(Line::default());
            lines.push(Line::from(Span::styled(
                format!("{}: retry", again(model)),
                theme.dim(),
            )));
            lines
        }
        PackageState::Found(package) => found(model, view, package, width, theme),
    }
}

fn found(
    model: &Model,
    view: &PackageView,
    package: &Package,
    width: usize,
    theme: Theme,
) -> Vec<Line<'static>> {
    let now = model.now;
    let mut lines = Vec::new();
    match &package.latest {
        Some(manifest) => {
            for (label, text) in [
                ("latest", manifest.version.to_string()),
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
            ] {
                if !text.is_empty() {
                    field(
                        &mut lines,
                        label,
                        &printable(&text),
                        theme.text(),
                        width,
                        theme,
                    );
                }
            }
            content(&mut lines, model, view, manifest, width, theme);
        }
        None => {
            let yanked = package.releases.iter().all(|entry| entry.is_yanked()) && package.complete;
            let text = if yanked {
                "none: every release is yanked, but can still be downloaded by its version"
                    .to_owned()
            } else {
                format!("its manifest was not found ({}: retry)", again(model))
            };
            field(&mut lines, "latest", &text, theme.fair(), width, theme);
        }
    }

    heading(&mut lines, "Publisher", theme);
    let handle = package
        .handle
        .as_ref()
        .map_or("none", |handle| handle.as_str());
    field(&mut lines, "handle", handle, theme.strong(), width, theme);
    field(
        &mut lines,
        "fingerprint",
        &package.id.owner.fingerprint(),
        theme.strong(),
        width,
        theme,
    );
    field(
        &mut lines,
        "id",
        &package.id.owner.to_string(),
        theme.text(),
        width,
        theme,
    );
    let pin = model.key(Action::TrustPublisher, KeyPlace::Package);
    let unpinned = format!("unpinned: anyone may claim the handle ({pin}: pin it to this key)");
    let (trust, style) = match package.trust {
        Trust::Own => ("your own key", theme.good()),
        Trust::Pinned => (
            "pinned: on this node the handle means this key",
            theme.good(),
        ),
        Trust::Unknown if package.handle.is_some() => (unpinned.as_str(), theme.text()),
        Trust::Unknown => ("unpinned: it has no handle", theme.text()),
        Trust::Distrusted => ("distrusted: its releases are hidden", theme.bad()),
    };
    field(&mut lines, "trust", trust, style, width, theme);

    heading(&mut lines, "Source and freshness", theme);
    let source = match package.source {
        Source::Cache => "this node's cache".to_owned(),
        Source::Local => "this node's own catalogue".to_owned(),
        Source::Dht => "the DHT".to_owned(),
        Source::Peer(peer) => format!("peer {}", short_id(&peer)),
    };
    field(&mut lines, "found in", &source, theme.text(), width, theme);
    let signed = format!(
        "{} ago, revision {}",
        Ago(now.since(package.signed_at)),
        package.seq
    );
    field(&mut lines, "signed", &signed, theme.text(), width, theme);
    let style = if package.freshness.is_fresh(now) {
        theme.text()
    } else {
        theme.fair()
    };
    field(
        &mut lines,
        "state",
        &package.freshness.describe(now).to_string(),
        style,
        width,
        theme,
    );

    heading(
        &mut lines,
        &format!("Releases ({})", package.releases.len()),
        theme,
    );
    let mut releases = release::read(package.id.name.ecosystem(), &package.releases);
    releases.sort_by(|(a, _), (b, _)| b.cmp(a));
    lines.extend(
        releases
            .into_iter()
            .flat_map(|(_, entry)| release_lines(package, entry, width, theme)),
    );
    if !package.complete {
        lines.push(Line::from(Span::styled(
            format!("older ones could not be loaded ({}: retry)", again(model)),
            theme.fair(),
        )));
    }

    let needs = package
        .latest
        .iter()
        .flat_map(|manifest| &manifest.dependencies);
    let needs: Vec<String> = needs
        .map(|needed| {
            printable(&format!(
                "{} {}{}",
                needed.called(),
                needed.requirement,
                needed.circumstances()
            ))
        })
        .collect();
    heading(
        &mut lines,
        &format!("Dependencies ({})", needs.len()),
        theme,
    );
    lines.extend(
        needs
            .iter()
            .flat_map(|needed| wrap(needed, width))
            .map(Line::from),
    );

    if !package.conflicts.is_empty() {
        heading(
            &mut lines,
            "Conflicts: changed manifests that were refused",
            theme,
        );
        for conflict in &package.conflicts {
            let (kept, offered) = (conflict.kept.fingerprint(), conflict.offered.fingerprint());
            let text = format!("{}: kept {kept}, refused {offered}", conflict.version);
            lines.extend(
                wrap(&text, width)
                    .into_iter()
                    .map(|line| Line::from(Span::styled(line, theme.bad()))),
            );
        }
    }
    readme(&mut lines, model, &view.readme, width, theme);
    lines
}

/// Adds a release in one line, and below it the owner's notice about it.
fn release_lines(
    package: &Package,
    entry: &ReleaseEntry,
    width: usize,
    theme: Theme,
) -> Vec<Line<'static>> {
    let manifest = entry
        .first()
        .map_or_else(|| "unknown".to_owned(), |first| first.fingerprint());
    let more = match entry.manifests.len() {
        0 | 1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    let state = ReleaseState::of(entry);
    let tags = printable(&package.tags_of(&entry.version).join(", "));
    let marks = [
        (state.yanked, "yanked", theme.fair()),
        (state.deprecated.is_some(), "deprecated", theme.fair()),
        (!tags.is_empty(), tags.as_str(), theme.link()),
    ];
    let mut spans = vec![
        Span::raw(format!("{:<16}", entry.version.to_string())),
        Span::styled(format!("manifest {manifest}{more}"), theme.dim()),
    ];
    let marks = marks.into_iter().filter(|(is_so, ..)| *is_so);
    spans.extend(marks.map(|(_, word, style)| Span::styled(format!("  {word}"), style)));
    let warnings = if state.has_words() {
        state.warnings()
    } else {
        Vec::new()
    };
    let warnings = warnings
        .iter()
        .flat_map(|warning| wrap(warning, width.saturating_sub(2)));
    let warnings = warnings.map(|line| Line::from(Span::styled(format!("  {line}"), theme.fair())));
    std::iter::once(Line::from(spans)).chain(warnings).collect()
}

/// Adds the state of the latest release's content.
fn content(
    lines: &mut Vec<Line<'static>>,
    model: &Model,
    view: &PackageView,
    manifest: &Manifest,
    width: usize,
    theme: Theme,
) {
    let mut say =
        |label: &str, text: &str, style: Style| field(lines, label, text, style, width, theme);
    if !manifest.ecosystem.is_generic() {
        say("ecosystem", manifest.ecosystem.as_str(), theme.text());
    }
    match &view.files {
        Some(ReleaseFiles::Are(files, missing)) => {
            for one in files {
                let style = if one.yanked.is_some() {
                    theme.fair()
                } else {
                    theme.text()
                };
                say("file", &file_text(&one.file, Some((one, model.now))), style);
            }
            if *missing > 0 {
                say(
                    "",
                    &format!(
                        "{missing} of its manifests could not be loaded, so files are missing ({}: \
                         retry)",
                        again(model)
                    ),
                    theme.fair(),
                );
            }
        }
        others => {
            manifest
                .files
                .iter()
                .for_each(|file| say("file", &file_text(file, None), theme.text()));
            match others {
                Some(ReleaseFiles::Failed(why)) => say(
                    "",
                    &format!("other files could not be loaded: {}", printable(why)),
                    theme.fair(),
                ),
                Some(_) => say("", "looking for files that were added later…", theme.dim()),
                None => {}
            }
        }
    }
    let root = manifest.content().root;
    say("content", &root.to_string(), theme.text());
    let (text, style) = presence(model, &view.content, root, theme);
    say("here", &text, style);
}

/// Describes a file in a line. A file that was added after the release has its time and the owner's
/// notice about it too.
fn file_text(file: &File, listed: Option<(&ReleaseFile, Timestamp)>) -> String {
    let text = format!(
        "{}, {} ({} bytes)",
        printable(&file.name),
        Size(file.size),
        file.size
    );
    let Some((listed, now)) = listed else {
        return text;
    };
    let yanked = match listed.yanked.as_deref() {
        None => String::new(),
        Some("") => ", yanked".to_owned(),
        Some(why) => format!(", yanked: {}", printable(why)),
    };
    format!(
        "{text}, signed {} ago{yanked}",
        Ago(now.since(listed.signed_at))
    )
}

fn presence(
    model: &Model,
    presence: &ContentState,
    root: ContentRoot,
    theme: Theme,
) -> (String, Style) {
    if let ContentState::Here(held) = presence {
        return (
            held.as_deref()
                .map_or_else(|| "yes, verified".to_owned(), came),
            theme.good(),
        );
    }
    let fetch = model.key(Action::Download, KeyPlace::Package);
    if let Some(transfer) = model.transfers.fetch(root) {
        let percent = percent(transfer);
        match &transfer.state {
            TransferState::Waiting | TransferState::Running => {
                return (format!("downloading: {percent} %"), theme.link());
            }
            TransferState::Paused => {
                return (
                    format!("paused at {percent} % ({fetch}: resume)"),
                    theme.fair(),
                );
            }
            TransferState::Failed(why) => {
                return (
                    format!("no: {} ({fetch}: retry)", printable(why)),
                    theme.bad(),
                );
            }
            TransferState::Done | TransferState::Cancelled => {}
        }
    }
    match presence {
        ContentState::Unknown(why) => (format!("unknown: {}", printable(why)), theme.fair()),
        ContentState::NotHere => (format!("no ({fetch}: download)"), theme.fair()),
        ContentState::Asking | ContentState::Here(_) => ("looking…".to_owned(), theme.dim()),
    }
}

/// Describes who sent a content that is here, the biggest sender first.
fn came(held: &Held) -> String {
    let Some(origin) = held
        .origin
        .as_ref()
        .filter(|origin| !origin.shares.is_empty())
    else {
        let of = if held.own {
            "your own"
        } else {
            "added on this machine"
        };
        return format!("yes, verified: {of}");
    };
    let mut shares: Vec<_> = origin
        .shares
        .iter()
        .filter(|share| share.bytes > 0)
        .collect();
    shares.sort_by_key(|share| (std::cmp::Reverse(share.bytes), share.peer));
    let all = held.content.size.max(1);
    let givers: Vec<String> = shares
        .iter()
        .map(|share| format!("{} ({} %)", short_id(&share.peer), share.bytes * 100 / all))
        .collect();
    let time = Took(Duration::from_millis(origin.millis));
    format!("yes, verified: from {} in {time}", givers.join(", "))
}

/// Returns the key that reloads the window.
fn again(model: &Model) -> String {
    model.key(Action::Refresh, KeyPlace::Package)
}

fn readme(
    lines: &mut Vec<Line<'static>>,
    model: &Model,
    readme: &ReadmeState,
    width: usize,
    theme: Theme,
) {
    if matches!(readme, ReadmeState::None) {
        return;
    }
    heading(lines, "Readme", theme);
    match readme {
        ReadmeState::None => {}
        ReadmeState::Loading => lines.push(Line::from(Span::styled("downloading…", theme.dim()))),
        ReadmeState::Failed(why) => {
            let text = format!("{} ({}: retry)", printable(why), again(model));
            lines.extend(
                wrap(&text, width)
                    .into_iter()
                    .map(|line| Line::from(Span::styled(line, theme.fair()))),
            );
        }
        ReadmeState::Is(ReadmeText { blocks, cut }) => {
            if blocks.is_empty() {
                lines.push(Line::from(Span::styled("empty", theme.dim())));
            }
            lines.extend(blocks.iter().flat_map(|one| block(one, width, theme)));
            if *cut {
                let text = "… the rest is not shown";
                lines.push(Line::from(Span::styled(text, theme.dim())));
            }
        }
    }
}

fn block(block: &ReadmeBlock, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let styled = |text: &str, style: Style| -> Vec<Line<'static>> {
        wrap(text, width)
            .into_iter()
            .map(|line| Line::from(Span::styled(line, style)))
            .collect()
    };
    match block {
        ReadmeBlock::Gap => vec![Line::default()],
        ReadmeBlock::Heading(text) => styled(text, theme.text().add_modifier(Modifier::BOLD)),
        ReadmeBlock::Text(text) => styled(text, theme.text()),
        ReadmeBlock::Code(text) => vec![Line::from(Span::styled(fit(text, width), theme.dim()))],
        ReadmeBlock::Bullet(indent, text) => {
            let set_in = " ".repeat(*indent);
            let room = width.saturating_sub(indent + 2).max(8);
            let mark = |number: usize| if number == 0 { "• " } else { "  " };
            let lines = wrap(text, room).into_iter().enumerate();
            lines
                .map(|(number, line)| Line::from(format!("{set_in}{}{line}", mark(number))))
                .collect()
        }
    }
}
