//! The window of a conflict: both sides, the node's decision with its reason, and advice.

use ratatui::{
    style::Style,
    text::{Line, Span},
};

use super::{field, heading};
use crate::{
    clock,
    domain::{
        conflict::{Case, ConflictId, ConflictSide, Kind},
        hash::Hash,
        time::Ago,
        trust::Trust,
    },
    ui::{
        action::{Action, KeyPlace},
        model::Model,
        screen::conflicts::{sign, style},
        theme::Theme,
        widget::wrap::wrap,
    },
};

/// Width in columns from which two sides are shown side by side.
const BESIDE: usize = 88;
/// Columns between two sides.
const GAP: usize = 3;

pub fn lines(model: &Model, id: &ConflictId, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let Some(case) = model.conflicts.table.get(id) else {
        return vec![Line::from("This conflict is no longer known.")];
    };
    let mut lines = Vec::new();
    let head = format!("{} {}: {}", sign(case), case.kind.label(), case.about());
    lines.extend(
        wrap(&head, width)
            .into_iter()
            .map(|line| Line::from(Span::styled(line, style(case, theme)))),
    );
    // Show the differences first: the explanation is read only once.
    if let [one] = case.keys().as_slice() {
        key(&mut lines, one, width, theme);
    }
    if case.sides.len() == 2 && width >= BESIDE {
        beside(
            &mut lines,
            [0, 1].map(|at| side(model, case, at, (width - GAP) / 2, theme)),
            width,
        );
    } else {
        lines.extend((0..case.sides.len()).flat_map(|at| side(model, case, at, width, theme)));
    }
    if case.more > 0 {
        lines.push(Line::default());
        lines.push(Line::from(Span::styled(
            format!("and {} more keys", case.more),
            theme.dim(),
        )));
    }
    lines.push(Line::default());
    lines.extend(
        wrap(&case.meaning(), width)
            .into_iter()
            .map(|line| Line::from(Span::styled(line, theme.text()))),
    );
    lines.push(Line::default());
    field(
        &mut lines,
        "what to do",
        case.remedy(),
        theme.strong(),
        width,
        theme,
    );
    field(
        &mut lines,
        "in force",
        &case.why_in_force(),
        theme.text(),
        width,
        theme,
    );
    let write = model.key(Action::Evidence, KeyPlace::Conflict);
    let (evidence, looks) = match (
        case.is_provable(),
        case.sides.iter().filter(|side| side.manifest).count(),
    ) {
        (false, _) => (
            "one-sided: this node no longer has what was signed first, so it proves nothing to \
             others"
                .to_owned(),
            theme.fair(),
        ),
        (true, 2) => (
            format!(
                "both signed sides with their manifests, which anyone can verify ({write}: \
                     export)"
            ),
            theme.text(),
        ),
        (true, _) => (
            format!("both signed sides, which anyone can verify ({write}: export)"),
            theme.text(),
        ),
    };
    field(&mut lines, "evidence", &evidence, looks, width, theme);
    let seen = format!(
        "{} ({} ago)",
        clock::day(case.seen_at),
        Ago(model.now.since(case.seen_at))
    );
    field(&mut lines, "seen here", &seen, theme.text(), width, theme);
    field(
        &mut lines,
        "id",
        &case.id.to_string(),
        theme.dim(),
        width,
        theme,
    );
    lines
}

fn key(lines: &mut Vec<Line<'static>>, side: &ConflictSide, width: usize, theme: Theme) {
    let looks = match side.trust {
        Trust::Pinned | Trust::Own => theme.good(),
        Trust::Unknown => theme.strong(),
        Trust::Distrusted => theme.bad(),
    };
    let short = format!("{}, {}", side.publisher.fingerprint(), side.trust.label());
    field(lines, "fingerprint", &short, looks, width, theme);
    field(
        lines,
        "key",
        &side.publisher.to_string(),
        theme.text(),
        width,
        theme,
    );
}

/// Joins two texts side by side.
fn beside(lines: &mut Vec<Line<'static>>, [left, right]: [Vec<Line<'static>>; 2], width: usize) {
    let half = (width - GAP) / 2;
    let rows = left.len().max(right.len());
    let (mut left, mut right) = (left.into_iter(), right.into_iter());
    for _ in 0..rows {
        let mut line = left.next().unwrap_or_default();
        let room = half.saturating_sub(line.width()) + GAP;
        line.push_span(Span::raw(" ".repeat(room)));
        line.extend(right.next().unwrap_or_default().spans);
        lines.push(line);
    }
}

fn side(model: &Model, case: &Case, at: usize, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let Some(one) = case.sides.get(at) else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    let several = case.keys().len() > 1;
    let meant = several
        && model
            .conflicts
            .key(case)
            .is_some_and(|key| key.publisher == one.publisher);
    let mark = if meant { "▸ " } else { "" };
    heading(&mut lines, &format!("{mark}{}", title(case, at)), theme);
    if several {
        key(&mut lines, one, width, theme);
    }
    if let Some(since) = one.since {
        field(
            &mut lines,
            "first seen",
            &clock::day(since),
            theme.text(),
            width,
            theme,
        );
    }
    if let Some(package) = &one.package {
        field(
            &mut lines,
            "package",
            package.as_str(),
            theme.text(),
            width,
            theme,
        );
    }
    let (label, looks) = match case.kind {
        Kind::Version | Kind::File | Kind::Removed => ("manifest", theme.strong()),
        Kind::Fork => ("head", theme.strong()),
        Kind::Handle => ("head", theme.text()),
    };
    hash(&mut lines, label, &one.hash, looks, width, theme);
    let signed = match (one.seq, one.signed_at) {
        (Some(seq), Some(at)) => format!("revision {seq}, {}", clock::day(at)),
        (Some(seq), None) => format!("revision {seq}"),
        (None, _) if one.held => "in a page of older releases".to_owned(),
        (None, _) => "no longer on this node".to_owned(),
    };
    field(&mut lines, "signed in", &signed, theme.text(), width, theme);
    lines
}

/// Shows a whole hash, in two halves if it does not fit beside its label.
fn hash(
    lines: &mut Vec<Line<'static>>,
    label: &str,
    hash: &Hash,
    looks: Style,
    width: usize,
    theme: Theme,
) {
    let text = hash.to_string();
    let halves = text.split_at_checked(32).unwrap_or((&text, ""));
    let spaced = format!("{} {}", halves.0, halves.1);
    match width {
        // The label takes 13 columns.
        77.. => field(lines, label, &text, looks, width, theme),
        45..77 => field(lines, label, &spaced, looks, width, theme),
        _ => {
            lines.push(Line::from(Span::styled(label.to_owned(), theme.dim())));
            let rows = wrap(&spaced, width.saturating_sub(2));
            lines.extend(
                rows.into_iter()
                    .map(|row| Line::from(Span::styled(format!("  {row}"), looks))),
            );
        }
    }
}

fn title(case: &Case, at: usize) -> String {
    match (case.kind, at) {
        (Kind::Version | Kind::File, 0) => "Seen first: in force".to_owned(),
        (Kind::Version | Kind::File, _) => "Seen later: refused".to_owned(),
        (Kind::Removed, 0) => "Listed by the previous revision".to_owned(),
        (Kind::Removed, _) => "Missing from this revision".to_owned(),
        (Kind::Fork, 0) => "Counts".to_owned(),
        (Kind::Fork, _) => "Not in force".to_owned(),
        (Kind::Handle, at) => format!("Key {}", at + 1),
    }
}
