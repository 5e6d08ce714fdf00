//! A yes-or-no question.

use ratatui::text::{Line, Span};

use crate::ui::{model::Question, theme::Theme, widget::wrap::wrap};

pub fn lines(question: &Question, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = wrap(&question.text, width)
        .into_iter()
        .map(Line::from)
        .collect();
    lines.push(Line::default());
    lines.push(Line::from(vec![
        Span::styled("y", theme.key()),
        Span::raw(" yes    "),
        Span::styled("n", theme.key()),
        Span::raw(" no, change nothing"),
    ]));
    lines
}
