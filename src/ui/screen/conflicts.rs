//! The Conflicts screen: handles claimed by several keys, changed versions, and forked heads.

use ratatui::{
    Frame,
    style::Style,
    text::{Line, Span},
};

use super::{Areas, no_match, sentences, status, table_figures};
use crate::{
    domain::{
        conflict::{Case, Kind},
        time::Ago,
    },
    ui::{
        model::{
            Model,
            conflicts::{evidence, hash},
        },
        theme::Theme,
        widget::table::{self, Cell},
    },
};

pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    let conflicts = &model.conflicts.table;
    if conflicts.is_empty() {
        let head = if model.conflicts.is_known {
            "There are no conflicts."
        } else {
            "Asking the node…"
        };
        let text = "Conflicts appear here if several keys claim one handle, or if a publisher \
                    changes a release or \
                    signs two heads with one revision: both sides, the one in force and why, and \
                    evidence \
                    that others can verify.";
        let lines = vec![
            Line::from(Span::styled(head, theme.strong())),
            Line::default(),
            Line::from(text),
        ];
        sentences(frame, areas.body, lines);
        return status(frame, model, areas, "", theme);
    }
    table::draw(
        frame.buffer_mut(),
        areas.body,
        conflicts,
        theme,
        |one, column| cell(model, one, column, theme),
    );
    if conflicts.rows().is_empty() {
        let text = no_match(model, "conflict");
        sentences(frame, areas.body, vec![Line::default(), Line::from(text)]);
    }
    let forgotten = match model.conflicts.forgotten {
        0 => String::new(),
        count => format!(", {count} older ones dropped"),
    };
    let room = usize::from(areas.status.width).saturating_sub(forgotten.len());
    let figures = table_figures(model, ["conflict", "conflicts"], room);
    status(frame, model, areas, &format!("{figures}{forgotten}"), theme);
}

/// Colours open conflicts by their severity; settled ones are dim.
pub fn style(case: &Case, theme: Theme) -> Style {
    match case.kind {
        _ if case.is_settled() => theme.dim(),
        Kind::Version | Kind::File | Kind::Removed => theme.bad(),
        Kind::Handle => theme.fair(),
        Kind::Fork => theme.text(),
    }
}

pub fn sign(case: &Case) -> &'static str {
    match case.kind {
        _ if case.is_settled() => "✓",
        Kind::Version | Kind::File | Kind::Removed => "✗",
        Kind::Handle => "!",
        Kind::Fork => "○",
    }
}

fn cell(model: &Model, one: &Case, column: &str, theme: Theme) -> Cell {
    let plain = if one.is_settled() {
        theme.dim()
    } else {
        theme.text()
    };
    match column {
        "sign" => (sign(one).to_owned(), style(one, theme)),
        "kind" => (one.kind.label().to_owned(), style(one, theme)),
        "about" => (
            one.about(),
            if one.is_settled() {
                theme.text()
            } else {
                theme.strong()
            },
        ),
        "key" => {
            let key = model
                .conflicts
                .key(one)
                .map_or(String::new(), |side| side.publisher.fingerprint());
            let others = (one.keys().len() + one.more).saturating_sub(1);
            (
                if others > 0 {
                    format!("{key} +{others}")
                } else {
                    key
                },
                plain,
            )
        }
        "force" => (one.in_force_label().to_owned(), plain),
        "trust" => (one.standing().to_owned(), plain),
        "evidence" => (
            evidence(one).to_owned(),
            if one.is_provable() {
                plain
            } else {
                theme.fair()
            },
        ),
        "seen" => (Ago(model.now.since(one.seen_at)).to_string(), theme.dim()),
        "id" => (one.id.short(), theme.dim()),
        "kept" => (hash(one, 0), plain),
        _ => (hash(one, 1), plain),
    }
}
