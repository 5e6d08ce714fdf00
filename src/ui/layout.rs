//! Where everything is: one answer for drawing and for scrolling.

use ratatui::layout::Rect;

use super::{action::Screen, model::Model};

/// Below this there is only room for a sentence.
pub const LEAST: (u16, u16) = (40, 12);
/// From here on the header has two rows, and the bar names every screen.
pub const WIDE: u16 = 100;
/// Rows from which on the header has two.
const TALL: u16 = 16;

pub struct Areas {
    pub header: Rect,
    pub tabs: Rect,
    /// The filter or the search field; no height when there is none.
    pub field: Rect,
    pub body: Rect,
    pub status: Rect,
    pub footer: Rect,
}

pub fn areas(model: &Model) -> Areas {
    let (width, height) = model.size;
    let header = if height >= TALL { 2 } else { 1 };
    let field = match model.screen {
        Screen::Peers => u16::from(model.peers.filter.is_shown()),
        Screen::Feed => u16::from(model.feed.filter.is_shown()),
        Screen::Search => 1,
    };
    let row = |y: u16, height: u16| Rect { x: 0, y, width, height };
    let body = height.saturating_sub(header + 1 + field + 2);
    Areas {
        header: row(0, header),
        tabs: row(header, 1),
        field: row(header + 1, field),
        body: row(header + 1 + field, body),
        status: row(height.saturating_sub(2), 1),
        footer: row(height.saturating_sub(1), 1),
    }
}

/// Rows of a list that are shown: the body without the head of the table.
pub fn page(model: &Model) -> usize {
    usize::from(areas(model).body.height.saturating_sub(1))
}

/// A drawer: the right part of the body where there is room beside it, else all of it.
pub fn drawer(model: &Model) -> Rect {
    let Areas { tabs, status, .. } = areas(model);
    let body = Rect { y: tabs.bottom(), height: status.y.saturating_sub(tabs.bottom()), ..tabs };
    if body.width < WIDE {
        return body;
    }
    let width = (body.width * 3 / 5).max(64);
    Rect { x: body.right().saturating_sub(width), width, ..body }
}
