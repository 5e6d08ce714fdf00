//! The window of a conflict: both sides, the node's decision with its reason, and advice.

use ratatui::text::{Line, Span};

use super::{Page, Window};
use crate::{
    clock,
    domain::{
        conflict::{Case, ConflictId, ConflictSide, Kind},
        time::Ago,
        trust::Trust,
    },
    ui::{
        action::{Action, KeyPlace},
        model::Model,
        screen::conflicts::{sign, style},
    },
};

/// Width in columns from which two sides are shown side by side.
const SIDE_BY_SIDE: usize = 88;
/// Columns between two sides.
const GAP: usize = 3;

pub struct ConflictWindow {
    pub id: ConflictId,
}

impl Window for ConflictWindow {
    fn place(&self) -> KeyPlace {
        KeyPlace::Conflict
    }

    fn title(&self) -> &str {
        "Conflict"
    }

    fn lines(&self, model: &Model, page: &mut Page) {
        let theme = page.theme;
        let Some(case) = model.conflicts.table.get(&self.id) else {
            return page.line("This conflict is no longer known.");
        };
        let head = format!("{} {}: {}", sign(case), case.kind.label(), case.about());
        page.text(&head, style(case, theme));
        // Show the differences first: the explanation is read only once.
        if let [one] = case.keys().as_slice() {
            key(page, one);
        }
        sides(page, model, case);
        if case.more > 0 {
            page.blank();
            page.styled(format!("and {} more keys", case.more), theme.dim());
        }
        page.blank();
        page.text(&case.meaning(), theme.text());
        page.blank();
        page.field_in("what to do", case.remedy(), theme.strong());
        page.field("in force", &case.why_in_force());
        let (evidence, looks) = evidence(model, case);
        let looks = if looks { theme.text() } else { theme.fair() };
        page.field_in("evidence", &evidence, looks);
        let (day, ago) = (clock::day(case.seen_at), model.now.since(case.seen_at));
        page.field("seen here", &format!("{day} ({} ago)", Ago(ago)));
        page.field_in("id", &case.id.to_string(), theme.dim());
    }
}

/// Describes the evidence, and returns true if it proves something.
fn evidence(model: &Model, case: &Case) -> (String, bool) {
    if !case.is_provable() {
        let why = "one-sided: this node no longer has what was signed first, so it proves nothing \
                   to others";
        return (why.to_owned(), false);
    }
    let export = model.key(Action::Evidence, KeyPlace::Conflict);
    let manifests = case.sides.iter().filter(|side| side.manifest).count();
    let with = if manifests == 2 {
        " with their manifests"
    } else {
        ""
    };
    let text = format!("both signed sides{with}, which anyone can verify ({export}: export)");
    (text, true)
}

fn key(page: &mut Page, side: &ConflictSide) {
    let looks = match side.trust {
        Trust::Pinned | Trust::Own => page.theme.good(),
        Trust::Unknown => page.theme.strong(),
        Trust::Distrusted => page.theme.bad(),
    };
    let short = format!("{}, {}", side.publisher.fingerprint(), side.trust.label());
    page.field_in("fingerprint", &short, looks);
    page.field("key", &side.publisher.to_string());
}

/// Adds the sides: two of them side by side if there is room.
fn sides(page: &mut Page, model: &Model, case: &Case) {
    let (theme, width) = (page.theme, page.width);
    if case.sides.len() != 2 || width < SIDE_BY_SIDE {
        (0..case.sides.len()).for_each(|at| side(page, model, case, at));
        return;
    }
    let half = (width - GAP) / 2;
    let [left, right] = [0, 1].map(|at| {
        let mut page = Page::new(half, theme);
        side(&mut page, model, case, at);
        page.lines
    });
    let rows = left.len().max(right.len());
    let (mut left, mut right) = (left.into_iter(), right.into_iter());
    for _ in 0..rows {
        let mut line: Line<'static> = left.next().unwrap_or_default();
        let room = half.saturating_sub(line.width()) + GAP;
        line.push_span(Span::raw(" ".repeat(room)));
        line.extend(right.next().unwrap_or_default().spans);
        page.line(line);
    }
}

fn side(page: &mut Page, model: &Model, case: &Case, at: usize) {
    let theme = page.theme;
    let Some(one) = case.sides.get(at) else {
        return;
    };
    let several = case.keys().len() > 1;
    let selected = several
        && model
            .conflicts
            .key(case)
            .is_some_and(|key| key.publisher == one.publisher);
    let mark = if selected { "▸ " } else { "" };
    page.heading(&format!("{mark}{}", title(case, at)));
    if several {
        key(page, one);
    }
    if let Some(since) = one.since {
        page.field("first seen", &clock::day(since));
    }
    if let Some(package) = &one.package {
        page.field("package", package.as_str());
    }
    let (label, looks) = match case.kind {
        Kind::Version | Kind::File | Kind::Removed => ("manifest", theme.strong()),
        Kind::Fork => ("head", theme.strong()),
        Kind::Handle => ("head", theme.text()),
    };
    page.hash(label, &one.hash.to_string(), looks);
    let signed = match (one.seq, one.signed_at) {
        (Some(seq), Some(at)) => format!("revision {seq}, {}", clock::day(at)),
        (Some(seq), None) => format!("revision {seq}"),
        (None, _) if one.held => "in a page of older releases".to_owned(),
        (None, _) => "no longer on this node".to_owned(),
    };
    page.field("signed in", &signed);
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
