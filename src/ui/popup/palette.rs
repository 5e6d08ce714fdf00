//! The command palette: the text field, and the matching actions.

use ratatui::text::{Line, Span};

use crate::{
    domain::text::fit,
    ui::{
        model::{Model, palette::Palette},
        theme::Theme,
    },
};

/// Lines above the first action.
pub const ABOVE: usize = 2;
/// Width of the column of keys.
const KEYS: usize = 14;

pub fn lines(_model: &Model, palette: &Palette, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let found = palette.found();
    let mut lines = vec![
        Line::from(vec![
            Span::styled(": ", theme.key()),
            Span::styled(palette.input.value().to_owned(), theme.strong()),
        ]),
        Line::default(),
    ];
    if found.is_empty() {
        lines.push(Line::from("No matching command."));
    }
    for (number, offer) in found.iter().enumerate() {
        let keys = fit(&offer.keys, KEYS - 1);
        let text = fit(offer.text, width.saturating_sub(KEYS));
        if number == palette.at {
            let line = format!("{keys:<KEYS$}{text}");
            lines.push(Line::from(Span::styled(
                format!("{line:<width$}"),
                theme.selected(),
            )));
        } else {
            lines.push(Line::from(vec![
                Span::styled(format!("{keys:<KEYS$}"), theme.key()),
                Span::raw(text),
            ]));
        }
    }
    lines
}
