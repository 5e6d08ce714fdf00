//! A package: what it is, whose it is, where it was found and how fresh that is.

use ratatui::text::{Line, Span};

use super::{field, heading};
use crate::domain::name::short_id;
use crate::{
    domain::{
        text::printable,
        time::{Ago, Timestamp},
        trust::Trust,
    },
    registry::{Package, Source},
    ui::{
        model::{
            Model,
            package::{Looked, PackageView},
        },
        theme::Theme,
        widget::wrap::wrap,
    },
};

pub fn lines(model: &Model, view: &PackageView, width: usize, theme: Theme) -> Vec<Line<'static>> {
    match &view.state {
        Looked::Looking => vec![Line::from("looking: here, in the DHT, and at other peers…")],
        Looked::Failed(why) => {
            let mut lines = vec![Line::from(Span::styled("It could not be had", theme.bad()))];
            lines.extend(wrap(why, width).into_iter().map(Line::from));
            lines.push(Line::default());
            lines.push(Line::from(Span::styled("R tries again", theme.dim())));
            lines
        }
        Looked::Found(package) => found(model.now, package, width, theme),
    }
}

fn found(now: Timestamp, package: &Package, width: usize, theme: Theme) -> Vec<Line<'static>> {
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
                ("repository", manifest.repository.clone().unwrap_or_default()),
                ("homepage", manifest.homepage.clone().unwrap_or_default()),
                ("content", format!("{} bytes, {}", manifest.size, manifest.content)),
            ] {
                if !text.is_empty() {
                    field(&mut lines, label, &printable(&text), theme.text(), width, theme);
                }
            }
        }
        None => {
            let yanked = package.releases.iter().all(|entry| entry.yanked) && package.complete;
            let text = if yanked {
                "no release to choose: every one is yanked; it is still there for who names it"
            } else {
                "its manifest was not found; R tries again"
            };
            field(&mut lines, "latest", text, theme.fair(), width, theme);
        }
    }

    heading(&mut lines, "Publisher", theme);
    let handle = package.handle.as_ref().map_or("none", |handle| handle.as_str());
    field(&mut lines, "handle", handle, theme.strong(), width, theme);
    field(&mut lines, "id", &package.id.publisher.to_string(), theme.text(), width, theme);
    let (trust, style) = match package.trust {
        Trust::Pinned => ("pinned: the handle means this key here", theme.good()),
        Trust::Unknown if package.handle.is_some() => {
            ("unpinned until now; opening it has pinned the handle to this key", theme.text())
        }
        Trust::Unknown => ("known by its signatures only", theme.text()),
        Trust::Distrusted => ("distrusted: you asked not to see its releases", theme.bad()),
    };
    field(&mut lines, "trust", trust, style, width, theme);

    heading(&mut lines, "Where from, how fresh", theme);
    let source = match package.source {
        Source::Cache => "memory of this node".to_owned(),
        Source::Local => "this node's own catalogue".to_owned(),
        Source::Dht => "the DHT".to_owned(),
        Source::Peer(peer) => format!("peer {}", short_id(&peer)),
    };
    field(&mut lines, "found in", &source, theme.text(), width, theme);
    let signed = format!("{} ago, as state {} of the package", Ago(now.since(package.signed_at)), package.seq);
    field(&mut lines, "signed", &signed, theme.text(), width, theme);
    if package.is_expired(now) {
        let text =
            format!("unconfirmed since {} ago: its publisher has not renewed it", Ago(now.since(package.expires)));
        field(&mut lines, "state", &text, theme.fair(), width, theme);
    } else {
        let text = match package.confirmed_at {
            Some(at) => format!("{} ago by another peer", Ago(now.since(at))),
            None => "by nobody else yet".to_owned(),
        };
        field(&mut lines, "confirmed", &text, theme.text(), width, theme);
    }

    heading(&mut lines, &format!("Releases ({})", package.releases.len()), theme);
    for entry in package.releases.iter().rev() {
        let mut spans = vec![
            Span::raw(format!("{:<16}", entry.version.to_string())),
            Span::styled(format!("manifest {}", entry.manifest.fingerprint()), theme.dim()),
        ];
        if entry.yanked {
            spans.push(Span::styled("  yanked", theme.fair()));
        }
        lines.push(Line::from(spans));
    }
    if !package.complete {
        lines.push(Line::from(Span::styled("older ones could not be had; R tries again", theme.fair())));
    }

    let needs = package.latest.iter().flat_map(|manifest| &manifest.dependencies);
    let needs: Vec<String> = needs
        .map(|needed| {
            let optional = if needed.optional { " (optional)" } else { "" };
            printable(&format!("{} {}{optional}", needed.package, needed.requirement))
        })
        .collect();
    heading(&mut lines, &format!("Dependencies ({})", needs.len()), theme);
    lines.extend(needs.iter().flat_map(|needed| wrap(needed, width)).map(Line::from));

    if !package.conflicts.is_empty() {
        heading(&mut lines, "Conflicts: a second manifest for a version, refused", theme);
        for conflict in &package.conflicts {
            let (kept, offered) = (conflict.kept.fingerprint(), conflict.offered.fingerprint());
            let text = format!("{}: kept {kept}, refused {offered}", conflict.version);
            lines.extend(wrap(&text, width).into_iter().map(|line| Line::from(Span::styled(line, theme.bad()))));
        }
    }
    lines
}
