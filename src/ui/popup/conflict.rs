//! A conflict: both sides, what counts here and why, what it means and what to do.

use ratatui::text::{Line, Span};

use super::{field, heading};
use crate::{
    clock,
    domain::{
        conflict::{Case, ConflictId, Kind, Side},
        time::Ago,
        trust::Trust,
    },
    ui::{
        model::Model,
        screen::conflicts::{sign, style},
        theme::Theme,
        widget::wrap::wrap,
    },
};

/// From this width on two sides stand beside one another.
const BESIDE: usize = 88;
/// Between them.
const GAP: usize = 3;

pub fn lines(model: &Model, id: &ConflictId, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let Some(case) = model.conflicts.table.get(id) else {
        return vec![Line::from("It is not known any more")];
    };
    let mut lines = Vec::new();
    let head = format!("{} {}: {}", sign(case), case.kind.label(), case.about());
    lines.extend(wrap(&head, width).into_iter().map(|line| Line::from(Span::styled(line, style(case, theme)))));
    lines.push(Line::default());
    lines.extend(wrap(&case.meaning(), width).into_iter().map(|line| Line::from(Span::styled(line, theme.text()))));
    lines.push(Line::default());
    field(&mut lines, "what to do", case.remedy(), theme.strong(), width, theme);
    field(&mut lines, "in force", &case.why_in_force(), theme.text(), width, theme);
    let seen = format!("{} ({} ago)", clock::stamp(case.seen_at), Ago(model.now.since(case.seen_at)));
    field(&mut lines, "seen", &seen, theme.text(), width, theme);
    let evidence = if case.is_provable() {
        ("both sides are held as they were signed; e writes them to a file that anybody can verify", theme.text())
    } else {
        ("one-sided: what was signed first is not held here, so that nothing can be proven to others", theme.fair())
    };
    field(&mut lines, "evidence", evidence.0, evidence.1, width, theme);
    field(&mut lines, "id", &case.id.to_string(), theme.dim(), width, theme);
    if case.sides.len() == 2 && width >= BESIDE {
        let half = (width - GAP) / 2;
        let [left, right] = [0, 1].map(|at| side(model, case, at, half, theme));
        let rows = left.len().max(right.len());
        let (mut left, mut right) = (left.into_iter(), right.into_iter());
        for _ in 0..rows {
            let mut line = left.next().unwrap_or_default();
            let room = half.saturating_sub(line.width()) + GAP;
            line.push_span(Span::raw(" ".repeat(room)));
            line.extend(right.next().unwrap_or_default().spans);
            lines.push(line);
        }
    } else {
        for at in 0..case.sides.len() {
            lines.extend(side(model, case, at, width, theme));
        }
    }
    if case.more > 0 {
        lines.push(Line::default());
        lines.push(Line::from(Span::styled(format!("and {} further keys", case.more), theme.dim())));
    }
    lines
}

fn side(model: &Model, case: &Case, at: usize, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let Some(one) = case.sides.get(at) else { return Vec::new() };
    let mut lines = Vec::new();
    let several = case.keys().len() > 1;
    let meant = several && model.conflicts.key(case).is_some_and(|key| key.publisher == one.publisher);
    let mark = if meant { "▸ " } else { "" };
    heading(&mut lines, &format!("{mark}{}", title(case, at)), theme);
    let mut say = |label: &str, text: &str, style| field(&mut lines, label, text, style, width, theme);
    if several || at == 0 || width < BESIDE {
        say("fingerprint", &one.publisher.fingerprint(), theme.strong());
        say("key", &one.publisher.to_string(), theme.text());
        say("trust", one.trust.label(), trust(one, theme));
    }
    if let Some(package) = &one.package {
        say("package", package.as_str(), theme.text());
    }
    let (label, hash) = if case.kind == Kind::Version { ("manifest", theme.strong()) } else { ("head", theme.text()) };
    say(label, &one.hash.to_string(), hash);
    let state = match (one.seq, one.held) {
        (Some(seq), _) => seq.to_string(),
        (None, true) => "in a page of older releases, which bears no time".to_owned(),
        (None, false) => "not held any more".to_owned(),
    };
    say("state", &state, theme.text());
    let signed = one.signed_at.map_or("not known".to_owned(), |at| format!("{}, by its own word", clock::stamp(at)));
    say("signed", &signed, theme.text());
    if case.kind == Kind::Version {
        let held = if one.manifest { "held, and part of the evidence" } else { "not held" };
        say("its manifest", held, theme.dim());
    }
    lines
}

fn title(case: &Case, at: usize) -> String {
    match (case.kind, at) {
        (Kind::Version, 0) => "Seen first: counts".to_owned(),
        (Kind::Version, _) => "Offered then: refused".to_owned(),
        (Kind::Fork, 0) => "Counts".to_owned(),
        (Kind::Fork, _) => "Does not count".to_owned(),
        (Kind::Handle, at) => format!("Key {}", at + 1),
    }
}

fn trust(side: &Side, theme: Theme) -> ratatui::style::Style {
    match side.trust {
        Trust::Pinned => theme.good(),
        Trust::Unknown => theme.text(),
        Trust::Distrusted => theme.bad(),
    }
}
