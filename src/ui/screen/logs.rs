//! The Logs screen: the node's log, newest first.

use ratatui::{Frame, text::Line};

use super::{Areas, follow_hint, no_match, sentences, status};
use crate::{
    domain::text::printable,
    ui::{
        action::Action,
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
            format!(
                "No entries at this level. {} shows the next level.",
                model.key(Action::LogLevel, model.screen)
            )
        } else {
            no_match(model, "entry")
        };
        sentences(frame, areas.body, vec![Line::default(), Line::from(text)]);
    }
    status(frame, model, areas, &summary(model), theme);
}

fn summary(model: &Model) -> String {
    let logs = &model.logs;
    let follows = if logs.table.selection.selected.is_none() {
        "following the newest".to_owned()
    } else {
        follow_hint(model)
    };
    let from = match logs.least {
        LogLevel::Trace => "all levels".to_owned(),
        least => format!("{} and above", least.name()),
    };
    let lost = if logs.lost > 0 {
        format!(", {} missed", logs.lost)
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
