//! The prompt for the name of an exported file.

use ratatui::text::{Line, Span};

use crate::{
    domain::text::printable,
    ui::{
        model::{Export, Model},
        theme::Theme,
        widget::wrap::wrap,
    },
};

/// Line of the text field in the window.
pub const FIELD: u16 = 1;

pub fn lines(_model: &Model, export: &Export, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let rows = match export.rows {
        _ if export.evidence.is_some() => "The evidence goes".to_owned(),
        1 => "1 row goes".to_owned(),
        rows => format!("{rows} rows go"),
    };
    let mut lines = vec![
        Line::from(Span::styled(format!("{rows} into this file:"), theme.dim())),
        Line::from(Span::styled(
            export.input.value().to_owned(),
            theme.strong(),
        )),
        Line::default(),
    ];
    if let Some(problem) = &export.problem {
        let said = wrap(&format!("! {}", printable(problem)), width);
        lines.extend(
            said.into_iter()
                .map(|line| Line::from(Span::styled(line, theme.bad()))),
        );
    }
    let hint = if export.evidence.is_some() {
        "Anybody can verify it without a node: swarmdex conflict verify FILE. Enter writes it."
    } else {
        "A name that ends with .json makes it JSON, any other CSV. Enter writes it."
    };
    lines.extend(
        wrap(hint, width)
            .into_iter()
            .map(|line| Line::from(Span::styled(line, theme.dim()))),
    );
    lines
}
