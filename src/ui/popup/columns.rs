//! The window to show, hide, reorder and resize the columns of the table below it.

use ratatui::text::{Line, Span};

use crate::ui::{model::Model, theme::Theme, widget::wrap::wrap};

/// Lines above the first column.
pub const ABOVE: usize = 0;

pub fn lines(model: &Model, at: usize, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for (number, slot) in model.table().columns().slots().iter().enumerate() {
        let sign = if slot.hidden { "○" } else { "●" };
        let extra = match slot.extra {
            0 => String::new(),
            extra => format!("{extra:+}"),
        };
        let (key, title) = (slot.column.key, slot.column.title);
        let title = if title == key { "" } else { title };
        let text = format!("{sign} {key:<10} {title:<12}{extra:>4}");
        let style = match (number == at, slot.hidden) {
            (true, _) => theme.selected(),
            (false, true) => theme.dim(),
            (false, false) => theme.text(),
        };
        lines.push(Line::from(Span::styled(text, style)));
    }
    let kept = if model.demo {
        "Changes last for this run only: a demo does not change your settings.".to_owned()
    } else {
        format!("Changes are saved in {}", model.places.config.display())
    };
    lines.push(Line::default());
    lines.extend(
        wrap(&kept, width)
            .into_iter()
            .map(|line| Line::from(Span::styled(line, theme.dim()))),
    );
    lines
}
