//! Windows over a screen: the text of each as lines, and the frame around it.

pub mod help;
pub mod package;
pub mod peer;

use ratatui::{
    Frame,
    style::Style,
    text::{Line, Span},
    widgets::{Block, BorderType, Clear, Paragraph},
};

use super::{
    layout, lines,
    model::{Model, Popup, package::PackageView},
    theme::Theme,
    widget::wrap::wrap,
};
use crate::domain::text::fit;

/// Width of the labels' column.
const LABEL: usize = 13;

pub fn draw(frame: &mut Frame<'_>, model: &Model, window: &Popup, theme: Theme) {
    let area = layout::drawer(model);
    let (width, height) = lines::inside(area.width, area.height);
    let text = lines::of(model, window, width, theme);
    let most = text.len().saturating_sub(height);
    let scroll = window.scroll().min(most);
    let title = match window {
        Popup::Help { .. } => "Keys".to_owned(),
        Popup::Peer { .. } => "Peer".to_owned(),
        Popup::Package(view) => package_title(view),
    };
    let mut hint = String::from(" Esc back ");
    if most > 0 {
        hint = format!(" {} of {} · j k scroll · Esc back ", (scroll + height).min(text.len()), text.len());
    }
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.dim())
        .title(Span::styled(format!(" {} ", fit(&title, width.saturating_sub(2))), theme.title()))
        .title_bottom(Line::from(Span::styled(fit(&hint, width), theme.dim())).right_aligned())
        .padding(ratatui::widgets::Padding::horizontal(1));
    frame.render_widget(Clear, area);
    let shown: Vec<Line<'_>> = text.into_iter().skip(scroll).take(height).collect();
    frame.render_widget(Paragraph::new(shown).block(block), area);
}

fn package_title(view: &PackageView) -> String {
    view.title.clone()
}

/// A label and its text, wrapped beside it; below it where there is little room.
pub(super) fn field(lines: &mut Vec<Line<'static>>, label: &str, text: &str, style: Style, width: usize, theme: Theme) {
    let beside = if width >= 36 { LABEL } else { 2 };
    let wrapped = wrap(text, width.saturating_sub(beside).max(8));
    if beside == 2 {
        lines.push(Line::from(Span::styled(label.to_owned(), theme.dim())));
    }
    for (number, part) in wrapped.into_iter().enumerate() {
        let label = if number == 0 && beside == LABEL { label } else { "" };
        lines.push(Line::from(vec![Span::styled(format!("{label:<beside$}"), theme.dim()), Span::styled(part, style)]));
    }
}

pub(super) fn heading(lines: &mut Vec<Line<'static>>, text: &str, theme: Theme) {
    lines.push(Line::default());
    lines.push(Line::from(Span::styled(text.to_owned(), theme.title())));
}
