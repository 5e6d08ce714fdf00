//! Windows over a screen: their lines, and the frame around them.

pub mod about;
pub mod columns;
pub mod confirm;
pub mod conflict;
pub mod export;
pub mod facets;
pub mod help;
pub mod lookup;
pub mod package;
pub mod palette;
pub mod peer;
pub mod picker;
pub mod recent;
pub mod review;
pub mod run;
pub mod text;
pub mod transfer;

use ratatui::{
    Frame,
    style::Style,
    text::{Line, Span},
    widgets::{Block, BorderType, Clear, Paragraph},
};

use super::{
    action::Place,
    layout, lines,
    model::{Model, Popup},
    theme::Theme,
    widget::wrap::wrap,
};
use crate::domain::text::fit;

/// Width of the labels, in columns.
const LABEL: usize = 13;

pub fn draw(frame: &mut Frame<'_>, model: &Model, window: &Popup, theme: Theme) {
    let area = layout::window(model, window);
    let (width, height) = lines::inside(area.width, area.height);
    let text = lines::of(model, window, width, theme);
    let most = text.len().saturating_sub(height);
    // Keep the selected row of a list in view, together with the lines above the list.
    let chosen = |at: usize, above: usize| (at + above + 1).saturating_sub(height);
    let (title, keys, scroll) = match window {
        Popup::Help { scroll } => ("Keys".to_owned(), "Esc back", *scroll),
        Popup::About { scroll } => ("About".to_owned(), "Esc back", *scroll),
        Popup::Text { title, scroll, .. } => (title.clone(), "Esc back", *scroll),
        Popup::Peer { scroll, .. } => ("Peer".to_owned(), "Esc back", *scroll),
        Popup::Package(view) => (view.title.clone(), "R again · Esc back", view.scroll),
        Popup::Transfer { scroll, .. } => ("Transfer".to_owned(), "Esc back", *scroll),
        Popup::Conflict { scroll, .. } => ("Conflict".to_owned(), "Esc back", *scroll),
        Popup::Lookup { scroll, .. } => ("Lookup".to_owned(), "b buckets · Esc back", *scroll),
        Popup::Run { scroll, .. } => ("Package manager".to_owned(), "Esc back", *scroll),
        Popup::Buckets { scroll } => ("Routing table".to_owned(), "Esc back", *scroll),
        Popup::Columns { at } => (
            "Columns".to_owned(),
            "Esc back",
            chosen(*at, columns::ABOVE),
        ),
        Popup::Palette(palette) => (
            "Do what?".to_owned(),
            "Enter does it · Esc back",
            chosen(palette.at, palette::ABOVE),
        ),
        Popup::Confirm(question) => (question.title.to_owned(), "y n", 0),
        Popup::Review(review) => (
            "Publish this?".to_owned(),
            "Enter publishes · Esc back",
            review.scroll,
        ),
        Popup::Picker(picker) => (
            "Choose a file or directory".to_owned(),
            "Enter opens · Space takes · Esc back",
            chosen(picker.at, picker::ABOVE),
        ),
        Popup::Export(_) => ("Write to a file".to_owned(), "Enter writes · Esc back", 0),
        Popup::Facets => (
            "Narrow by".to_owned(),
            "Space · Esc back",
            facets::offset(model, &facets::all(model), height),
        ),
        Popup::Recent(window) => (
            "Recent searches".to_owned(),
            "Enter searches · Esc back",
            chosen(window.at, recent::ABOVE),
        ),
    };
    let scroll = scroll.min(most);
    let is_read = matches!(
        window.place(),
        Place::Window
            | Place::Peer
            | Place::Package
            | Place::Transfer
            | Place::Lookup
            | Place::Conflict
            | Place::Review
    );
    let place = match window {
        Popup::Columns { at } => Some((at + 1, model.table().columns().slots().len())),
        Popup::Palette(palette) => Some((palette.at + 1, palette.found().len())),
        Popup::Picker(picker) => Some((picker.at + 1, picker.len())),
        Popup::Recent(window) => Some((
            window.at + 1,
            model.search.recent.found(window.input.value()).len(),
        )),
        _ => None,
    };
    let hint = if let Some((at, count)) = place.filter(|(at, count)| most > 0 && at <= count) {
        format!(" {at} of {count} · {keys} ")
    } else if most > 0 && is_read {
        format!(
            " {} of {} · j k scroll · {keys} ",
            (scroll + height).min(text.len()),
            text.len()
        )
    } else {
        format!(" {keys} ")
    };
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.dim())
        .title(Span::styled(
            format!(" {} ", fit(&title, width.saturating_sub(2))),
            theme.title(),
        ))
        .title_bottom(Line::from(Span::styled(fit(&hint, width), theme.dim())).right_aligned())
        .padding(ratatui::widgets::Padding::horizontal(1));
    frame.render_widget(Clear, area);
    let shown: Vec<Line<'_>> = text.into_iter().skip(scroll).take(height).collect();
    frame.render_widget(
        Paragraph::new(shown)
            .style(theme.ground())
            .block(block.style(theme.ground())),
        area,
    );
    // Show the cursor in the text field.
    let at = match window {
        Popup::Palette(palette) => Some((2 + palette.input.visual_cursor(), 0)),
        Popup::Export(export) => Some((export.input.visual_cursor(), export::FIELD)),
        Popup::Recent(window) => Some((2 + window.input.visual_cursor(), 0)),
        _ => None,
    };
    if let Some((x, y)) = at {
        let x = x.min(width.saturating_sub(1)) as u16;
        frame.set_cursor_position((area.x + 2 + x, area.y + 1 + y));
    }
}

/// Adds a label and its text, wrapped beside the label, or below it if there is little room.
pub(super) fn field(
    lines: &mut Vec<Line<'static>>,
    label: &str,
    text: &str,
    style: Style,
    width: usize,
    theme: Theme,
) {
    let beside = if width >= 36 { LABEL } else { 2 };
    let wrapped = wrap(text, width.saturating_sub(beside).max(8));
    if beside == 2 {
        lines.push(Line::from(Span::styled(label.to_owned(), theme.dim())));
    }
    for (number, part) in wrapped.into_iter().enumerate() {
        let label = if number == 0 && beside == LABEL {
            label
        } else {
            ""
        };
        lines.push(Line::from(vec![
            Span::styled(format!("{label:<beside$}"), theme.dim()),
            Span::styled(part, style),
        ]));
    }
}

pub(super) fn heading(lines: &mut Vec<Line<'static>>, text: &str, theme: Theme) {
    lines.push(Line::default());
    lines.push(Line::from(Span::styled(text.to_owned(), theme.title())));
}
