//! The Logs screen: the node's log, newest first.

use ratatui::{Frame, text::Line};

use super::{Areas, sentences, status};
use crate::{
    domain::text::printable,
    ui::{
        model::{
            Model,
            logs::{LogLevel, LogLine},
        },
        theme::Theme,
        widget::table::{self, Cell},
    },
};

pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    let logs = &model.logs;
    table::draw(
        frame.buffer_mut(),
        areas.body,
        &logs.table,
        theme,
        |line, column| cell(line, column, theme),
    );
    if logs.table.rows().is_empty() {
        let text = if logs.table.is_empty() {
            "Nothing has been written down from this level on. l shows another level."
        } else {
            "No entry has these words. Esc in the list takes the filter off."
        };
        sentences(frame, areas.body, vec![Line::default(), Line::from(text)]);
    }
    status(frame, model, areas, &summary(model), theme);
}

fn summary(model: &Model) -> String {
    let logs = &model.logs;
    let follows = if logs.table.selection.selected.is_none() {
        "following the newest"
    } else {
        "g follows the newest"
    };
    let from = match logs.least {
        LogLevel::Trace => "all levels".to_owned(),
        least => format!("from {} on", least.name()),
    };
    let lost = if logs.lost > 0 {
        format!(", {} not kept here", logs.lost)
    } else {
        String::new()
    };
    let file = logs
        .path
        .as_ref()
        .map(|path| format!(" · file {}", printable(&path.to_string_lossy())));
    format!(
        "{} entries, {from}{lost}, {follows}{}",
        logs.table.rows().len(),
        file.unwrap_or_default()
    )
}

fn cell(line: &LogLine, column: &str, theme: Theme) -> Cell {
    let style = theme.level(line.level.level());
    match column {
        "time" => (crate::clock::here(line.at), theme.dim()),
        "level" => (line.level.name().to_owned(), style),
        "target" => (line.target.clone(), theme.dim()),
        _ => (line.text.clone(), style),
    }
}
