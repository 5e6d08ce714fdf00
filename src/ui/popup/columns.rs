//! The columns of the table below: which, in which order, how wide.

use ratatui::text::{Line, Span};

use crate::ui::{model::Model, theme::Theme};

/// Lines above the first column.
pub const ABOVE: usize = 2;

pub fn lines(model: &Model, at: usize, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let hint = "Space hides and shows, < > move, + - change the width";
    let mut lines = vec![Line::from(Span::styled(crate::domain::text::fit(hint, width), theme.dim())), Line::default()];
    for (number, slot) in model.table().columns().slots().iter().enumerate() {
        let sign = if slot.hidden { "○" } else { "●" };
        let extra = match slot.extra {
            0 => String::new(),
            extra => format!("{extra:+}"),
        };
        let text = format!("{sign} {:<16}{extra:>6}", slot.column.key);
        let style = match (number == at, slot.hidden) {
            (true, _) => theme.selected(),
            (false, true) => theme.dim(),
            (false, false) => theme.text(),
        };
        lines.push(Line::from(Span::styled(text, style)));
    }
    lines
}
