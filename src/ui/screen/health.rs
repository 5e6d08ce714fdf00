//! The Health screen: the state of this node's network, its causes, and advice.

use ratatui::{
    Frame,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{Areas, line, sentences, status, table_status};
use crate::{
    domain::{health::HealthState, text::fit},
    ui::{
        layout,
        model::{
            Model,
            health::{HealthRow, SPARK},
        },
        theme::Theme,
        widget::{
            bar::sparkline,
            table::{self, Cell},
        },
    },
};

pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    let health = &model.health;
    let Some(verdict) = health.history.verdict() else {
        let text = "The node is starting; the first measurements follow in a moment.";
        sentences(frame, areas.body, vec![Line::from(text)]);
        return status(frame, model, areas, "", theme);
    };
    let (mark, looks, head) = if health.starting {
        ("…", theme.dim(), "STARTING".to_owned())
    } else {
        let head = verdict.state.label().to_uppercase();
        (sign(verdict.state), style(verdict.state, theme), head)
    };
    let mut lines = Vec::new();
    for (number, text) in layout::verdict_lines(health, usize::from(areas.top.width))
        .into_iter()
        .enumerate()
    {
        // The first line begins with the state.
        lines.push(match text.strip_prefix(&head).filter(|_| number == 0) {
            Some(rest) => Line::from(vec![
                Span::styled(format!("{mark} {head}"), looks),
                Span::styled(rest.to_owned(), theme.strong()),
            ]),
            None => Line::from(text),
        });
    }
    frame.render_widget(Paragraph::new(lines), areas.top);
    table::draw(
        frame.buffer_mut(),
        areas.body,
        &health.table,
        theme,
        |row, column| cell(row, column, theme),
    );
    changes(frame, model, theme, areas);
    table_status(frame, model, areas, ["measure", "measures"], theme);
}

fn changes(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    let area = areas.below;
    let mut rows = (area.y..area.bottom()).map(|y| ratatui::layout::Rect {
        y,
        height: 1,
        ..area
    });
    let Some(head) = rows.next() else { return };
    line(
        frame,
        head,
        vec![Span::styled("Health history, newest first", theme.dim())],
    );
    let changes: Vec<_> = model.health.history.changes().collect();
    if changes.is_empty()
        && let Some(row) = rows.next()
    {
        return line(
            frame,
            row,
            vec![Span::styled(
                "no change since this explorer started",
                theme.dim(),
            )],
        );
    }
    for (row, change) in rows.zip(changes) {
        let text = format!("  {}", change.to.cause);
        line(
            frame,
            row,
            vec![
                Span::styled(crate::clock::here(change.at), theme.dim()),
                Span::raw(format!("  {} → ", change.from.label())),
                Span::styled(change.to.state.label(), style(change.to.state, theme)),
                Span::raw(fit(&text, usize::from(area.width).saturating_sub(34))),
            ],
        );
    }
}

/// Returns the sign of a state. Shapes differ, so that it is readable without colour.
pub fn sign(state: HealthState) -> &'static str {
    match state {
        HealthState::Good => "✓",
        HealthState::Degraded => "▲",
        HealthState::Bad => "✗",
    }
}

pub fn style(state: HealthState, theme: Theme) -> Style {
    match state {
        HealthState::Good => theme.good(),
        HealthState::Degraded => theme.fair(),
        HealthState::Bad => theme.bad(),
    }
}

fn cell(one: &HealthRow, column: &str, theme: Theme) -> Cell {
    let row = &one.row;
    match column {
        "sign" => row.state.map_or((String::new(), theme.dim()), |state| {
            (sign(state).to_owned(), style(state, theme))
        }),
        "state" => row.state.map_or((String::new(), theme.dim()), |state| {
            (state.label().to_owned(), style(state, theme))
        }),
        "measure" => (row.measure.name().to_owned(), theme.strong()),
        "value" => (row.shown.clone(), theme.text()),
        "trend" => (sparkline(&one.history, SPARK), theme.link()),
        "threshold" => (row.threshold.clone(), theme.dim()),
        _ => (row.measure.hint().to_owned(), theme.dim()),
    }
}
