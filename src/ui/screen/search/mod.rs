//! The Search screen: results as you type, facets, and coverage.

mod lesson;
mod summary;

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};
use unicode_width::UnicodeWidthStr;

pub use lesson::{LANGUAGE, lesson_height};

use super::{Areas, key_cell, line, sentences, status};
use crate::{
    domain::{text::printable, time::Ago},
    registry::{Hit, Source, claimed},
    ui::{
        layout::SEARCH_LABEL,
        marks::marks,
        model::{
            Model,
            messages::SearchMessage,
            search::{category, summary},
        },
        popup,
        theme::Theme,
        widget::{
            number::{count, grouped},
            table::{self, Cell},
        },
    },
};

pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    let search = &model.search;
    below_field(frame, model, theme, areas.field);
    if model.notices.shown().is_some() {
        beside_field(frame, model, theme, areas.field);
    }
    lesson::draw(frame, theme, areas.top);
    let phrases = search.phrases();
    let marked = |column, text: &str| match column {
        "package" | "summary" => marks(&phrases, text),
        _ => Vec::new(),
    };
    let cell = |hit: &Hit, column| cell(model, hit, column, theme);
    table::draw_marked(
        frame.buffer_mut(),
        areas.body,
        &search.hits,
        theme,
        cell,
        marked,
    );
    if search.hits.rows().is_empty() && search.answered {
        let room = Rect {
            y: areas.body.y + 1,
            height: areas.body.height.saturating_sub(1),
            ..areas.body
        };
        sentences(frame, room, nothing(model, theme, usize::from(room.height)));
    }
    if areas.side.height > 0 {
        popup::facets::pane(frame, model, theme, areas.side);
    }
    status(
        frame,
        model,
        areas,
        &summary::of(model, usize::from(areas.status.width)),
        theme,
    );
}

/// Draws the figures beside the field if a notice has their place, as is usual in a busy network.
fn beside_field(frame: &mut Frame<'_>, model: &Model, theme: Theme, field: Rect) {
    let taken = SEARCH_LABEL.width() + model.search.input.value().width() + 3;
    let room = usize::from(field.width).saturating_sub(taken);
    let figures = summary::of(model, room);
    let width = figures.width().min(usize::from(field.width)) as u16;
    if usize::from(width) <= room {
        let place = Rect {
            x: field.right() - width,
            width,
            ..field
        };
        line(frame, place, vec![Span::styled(figures, theme.dim())]);
    }
}

/// Draws mistakes in the query, and what was searched for instead.
fn below_field(frame: &mut Frame<'_>, model: &Model, theme: Theme, field: Rect) {
    let messages = model.search.messages(usize::from(field.width));
    for (y, message) in (field.y + 1..field.bottom()).zip(messages) {
        let (text, style) = match message {
            SearchMessage::Mistake(text) => (text, theme.fair()),
            SearchMessage::Instead(text) => (text, theme.strong()),
        };
        line(
            frame,
            Rect {
                y,
                height: 1,
                ..field
            },
            vec![Span::styled(text, style)],
        );
    }
}

/// Returns advice for a search without results, in `height` lines.
fn nothing(model: &Model, theme: Theme, height: usize) -> Vec<Line<'static>> {
    let search = &model.search;
    let advice = |text: &'static str| Line::from(Span::styled(text, theme.text()));
    if search.is_blank() {
        return vec![advice(
            "No packages are known yet. New ones appear here by themselves.",
        )];
    }
    if search.running {
        return vec![advice(
            "No results on this node; peers are still being asked.",
        )];
    }
    let mut lines = vec![
        Line::from(Span::styled("No results.", theme.strong())),
        Line::default(),
    ];
    if !search.terms.filters.is_empty() {
        lines.push(advice("Remove a filter: results must match all of them."));
    }
    if search.terms.within.is_some() || search.terms.before.is_some() {
        lines.push(advice("Remove updated:, or allow more time."));
    }
    lines.push(advice(
        "Try fewer or shorter words: all words must match; the last may be a prefix.",
    ));
    lines.push(Line::default());
    if lines.len() + LANGUAGE.len() <= height {
        lines.extend(LANGUAGE.iter().map(|one| lesson::example(*one, theme)));
    }
    lines
}

fn cell(model: &Model, hit: &Hit, column: &str, theme: Theme) -> Cell {
    let warned = hit.yanked || hit.deprecated || hit.looks_like.is_some();
    match column {
        "package" => (claimed(&hit.package, hit.handle.as_ref()), theme.strong()),
        "version" => (
            hit.version.to_string(),
            if warned { theme.fair() } else { theme.text() },
        ),
        "summary" => (
            summary(hit),
            if warned { theme.fair() } else { theme.text() },
        ),
        "category" => (category(hit), theme.text()),
        "used" if hit.dependents == 0 => (String::new(), theme.text()),
        "used" => (grouped(hit.dependents), theme.text()),
        "held" if hit.providers == 0 => (String::new(), theme.text()),
        "held" => (count(hit.providers, "peer", "peers"), theme.text()),
        "trust" => {
            let publisher = (&hit.package.owner, hit.handle.as_ref(), hit.trust);
            key_cell(model, publisher, theme)
        }
        "from" => {
            let style = match hit.source {
                Source::Local | Source::Cache => theme.dim(),
                Source::Peer(_) | Source::Dht => theme.link(),
            };
            (hit.source.label().to_owned(), style)
        }
        "signed" => (Ago(model.now.since(hit.signed_at)).to_string(), theme.dim()),
        "license" => (
            printable(hit.license.as_deref().unwrap_or_default()),
            theme.dim(),
        ),
        "ecosystem" => (printable(&hit.ecosystem), theme.dim()),
        "match" => (format!("{:.2}", hit.score), theme.dim()),
        _ => (String::new(), theme.text()),
    }
}
