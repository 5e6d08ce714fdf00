//! The window of recent searches: the text field, and the matching searches.

use ratatui::text::{Line, Span};

use crate::{
    domain::text::fit,
    ui::{
        model::{Model, recent::RecentWindow},
        theme::Theme,
    },
};

/// Lines above the first search.
pub const ABOVE: usize = 2;

pub fn lines(
    model: &Model,
    window: &RecentWindow,
    width: usize,
    theme: Theme,
) -> Vec<Line<'static>> {
    let found = model.search.recent.found(window.input.value());
    let mut lines = vec![
        Line::from(vec![
            Span::styled("> ", theme.key()),
            Span::styled(window.input.value().to_owned(), theme.strong()),
        ]),
        Line::default(),
    ];
    if found.is_empty() {
        let said = if model.search.recent.len() == 0 {
            "No recent searches."
        } else {
            "No matching search."
        };
        lines.push(Line::from(Span::styled(said, theme.dim())));
    }
    for (number, text) in found.into_iter().enumerate() {
        let text = fit(text, width);
        let line = if number == window.at {
            Span::styled(format!("{text:<width$}"), theme.selected())
        } else {
            Span::styled(text, theme.text())
        };
        lines.push(Line::from(line));
    }
    lines
}
