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
        _ if export.evidence.is_some() => "Export the evidence".to_owned(),
        1 => "Export 1 row".to_owned(),
        rows => format!("Export {rows} rows"),
    };
    let mut lines = vec![
        Line::from(Span::styled(format!("{rows} to this file:"), theme.dim())),
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
        "Anyone can verify it without a node: swarmdex conflict verify FILE"
    } else {
        "A name that ends in .json gives JSON, any other CSV."
    };
    lines.extend(
        wrap(hint, width)
            .into_iter()
            .map(|line| Line::from(Span::styled(line, theme.dim()))),
    );
    lines
}
