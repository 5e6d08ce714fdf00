//! The lines of each window, for drawing it and for measuring how far it scrolls.

use ratatui::text::Line;

use super::{
    layout,
    model::{Model, Popup},
    popup,
    theme::Theme,
};

/// Returns all lines of a window that is `width` columns wide.
pub fn of<'a>(model: &'a Model, window: &'a Popup, width: usize, theme: Theme) -> Vec<Line<'a>> {
    match window {
        Popup::Help { .. } => popup::help::lines(model, width, theme),
        Popup::About { .. } => popup::about::lines(model, width, theme),
        Popup::Text { text, .. } => popup::text::lines(text, width, theme),
        Popup::Peer { id, .. } => popup::peer::lines(model, id, width, theme),
        Popup::Package(view) => popup::package::lines(model, view, width, theme),
        Popup::Transfer { id, .. } => popup::transfer::lines(model, id, width, theme),
        Popup::Conflict { id, .. } => popup::conflict::lines(model, id, width, theme),
        Popup::Lookup { id, .. } => popup::lookup::lines(model, *id, width, theme),
        Popup::Run { id, .. } => popup::run::lines(model, *id, width, theme),
        Popup::Buckets { .. } => popup::lookup::buckets(model, width, theme),
        Popup::Columns { at } => popup::columns::lines(model, *at, width, theme),
        Popup::Palette(palette) => popup::palette::lines(model, palette, width, theme),
        Popup::Confirm(question) => popup::confirm::lines(model, question, width, theme),
        Popup::Review(review) => popup::review::lines(model, review, width, theme),
        Popup::Picker(picker) => popup::picker::lines(picker, width, theme),
        Popup::Export(export) => popup::export::lines(model, export, width, theme),
        Popup::Facets => popup::facets::lines(model, width, theme),
        Popup::Recent(window) => popup::recent::lines(model, window, width, theme),
    }
}

/// Returns the number of lines that a window has and the number that it shows.
pub fn extent(model: &Model, window: &Popup) -> (usize, usize) {
    let area = layout::window(model, window);
    let (width, height) = inside(area.width, area.height);
    (of(model, window, width, Theme::plain()).len(), height)
}

/// Returns the columns and rows inside a window's frame.
pub fn inside(width: u16, height: u16) -> (usize, usize) {
    (
        usize::from(width.saturating_sub(4)),
        usize::from(height.saturating_sub(2)),
    )
}
