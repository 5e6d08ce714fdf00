//! A window with a text to read.

use ratatui::text::Line;

use crate::ui::{theme::Theme, widget::wrap::wrap};

pub fn lines(text: &str, width: usize, _theme: Theme) -> Vec<Line<'static>> {
    text.lines()
        .flat_map(|line| wrap(line, width))
        .map(Line::from)
        .collect()
}
