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
    action::{Action, CursorMove, KeyPlace},
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
    let (title, scroll) = match window {
        Popup::Help { scroll } => ("Keys", *scroll),
        Popup::About { scroll } => ("About", *scroll),
        Popup::Text { title, scroll, .. } => (title.as_str(), *scroll),
        Popup::Peer { scroll, .. } => ("Peer", *scroll),
        Popup::Package(view) => (view.title.as_str(), view.scroll),
        Popup::Transfer { scroll, .. } => ("Transfer", *scroll),
        Popup::Conflict { scroll, .. } => ("Conflict", *scroll),
        Popup::Lookup { scroll, .. } => ("Lookup", *scroll),
        Popup::Run { scroll, .. } => ("Package manager", *scroll),
        Popup::Buckets { scroll } => ("Routing table", *scroll),
        Popup::Columns { at } => ("Columns", chosen(*at, columns::ABOVE)),
        Popup::Palette(palette) => ("Commands", chosen(palette.at, palette::ABOVE)),
        Popup::Confirm(question) => (question.title, 0),
        Popup::Review(review) => ("Publish this?", review.scroll),
        Popup::Picker(picker) => (
            "Choose a file or directory",
            chosen(picker.at, picker::ABOVE),
        ),
        Popup::Export(_) => ("Export", 0),
        Popup::Facets => (
            "Narrow by",
            facets::offset(model, &facets::all(model), height),
        ),
        Popup::Recent(window) => ("Recent searches", chosen(window.at, recent::ABOVE)),
    };
    let keys = keys(model, window);
    let scroll = scroll.min(most);
    let is_read = matches!(
        window.place(),
        KeyPlace::Window
            | KeyPlace::Peer
            | KeyPlace::Package
            | KeyPlace::Transfer
            | KeyPlace::Lookup
            | KeyPlace::Conflict
            | KeyPlace::Review
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
            " {} of {} · {} {}: scroll · {keys} ",
            (scroll + height).min(text.len()),
            text.len(),
            model.key(Action::Move(CursorMove::Down), window.place()),
            model.key(Action::Move(CursorMove::Up), window.place()),
        )
    } else {
        format!(" {keys} ")
    };
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.dim())
        .title(Span::styled(
            format!(" {} ", fit(title, width.saturating_sub(2))),
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

/// Returns the keys of a window, for its frame.
fn keys(model: &Model, window: &Popup) -> String {
    let own: &[(Action, &str)] = match window {
        Popup::Confirm(_) => {
            let [yes, no] = confirm::keys(model);
            return format!("{yes}: yes · {no}: no");
        }
        Popup::Package(_) => &[(Action::Refresh, "reload")],
        Popup::Lookup { .. } => &[(Action::Buckets, "routing table")],
        Popup::Palette(_) => &[(Action::Accept, "run"), (Action::LeaveField, "back")],
        Popup::Review(_) => &[(Action::Accept, "publish")],
        Popup::Picker(_) => &[(Action::Open, "open"), (Action::TakeDirectory, "choose")],
        Popup::Export(_) => &[(Action::Accept, "write"), (Action::LeaveField, "back")],
        Popup::Facets => &[(Action::ToggleFacet, "select")],
        Popup::Recent(_) => &[(Action::Accept, "search"), (Action::LeaveField, "back")],
        _ => &[],
    };
    let back = (Action::Back, "back");
    let leaves = own.iter().any(|(_, verb)| *verb == back.1);
    let keys = own.iter().chain((!leaves).then_some(&back));
    let hints: Vec<String> = keys
        .map(|(action, verb)| format!("{}: {verb}", model.key(*action, window.place())))
        .collect();
    hints.join(" · ")
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
