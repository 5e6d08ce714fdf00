//! A yes-or-no question.

use ratatui::text::{Line, Span};

use crate::ui::{
    action::{Action, KeyPlace},
    keymap,
    model::{Model, YesNoQuestion},
    theme::Theme,
    widget::wrap::wrap,
};

/// Returns the keys for yes and no.
pub fn keys(model: &Model) -> [String; 2] {
    let no = keymap::rows(false, KeyPlace::Confirm).find(|row| row.id == "no");
    let no = no.and_then(|row| model.keymap.keys(row).first());
    [
        model.key(Action::Accept, KeyPlace::Confirm),
        no.map_or_else(
            || model.key(Action::Back, KeyPlace::Confirm),
            |chord| chord.label(),
        ),
    ]
}

pub fn lines(
    model: &Model,
    question: &YesNoQuestion,
    width: usize,
    theme: Theme,
) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = wrap(&question.text, width)
        .into_iter()
        .map(Line::from)
        .collect();
    let [yes, no] = keys(model);
    lines.push(Line::default());
    lines.push(Line::from(vec![
        Span::styled(yes, theme.key()),
        Span::raw(format!(": {}    ", question.title.to_lowercase())),
        Span::styled(no, theme.key()),
        Span::raw(": no"),
    ]));
    lines
}
