//! The text of windows as lines: for drawing them, and for knowing how far they scroll.

use ratatui::text::Line;

use super::{
    layout,
    model::{Model, Popup},
    popup,
    theme::Theme,
};

/// Every line of a window, `width` columns wide.
pub fn of<'a>(model: &'a Model, window: &'a Popup, width: usize, theme: Theme) -> Vec<Line<'a>> {
    match window {
        Popup::Help { .. } => popup::help::lines(width, theme),
        Popup::Peer { id, .. } => popup::peer::lines(model, id, width, theme),
        Popup::Package(view) => popup::package::lines(model, view, width, theme),
    }
}

/// Lines a window has, and how many of them are shown.
pub fn extent(model: &Model, window: &Popup) -> (usize, usize) {
    let area = layout::drawer(model);
    let (width, height) = inside(area.width, area.height);
    (of(model, window, width, Theme::new(false)).len(), height)
}

/// What a window's frame leaves.
pub fn inside(width: u16, height: u16) -> (usize, usize) {
    (usize::from(width.saturating_sub(4)), usize::from(height.saturating_sub(2)))
}
