//! One table for every screen: columns leave by priority when there is no room, the rest share what is left.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Widget,
};
use unicode_width::UnicodeWidthStr;

use crate::{domain::text::fit, ui::theme::Theme};

/// A column's head and how it takes part in the layout.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub title: &'static str,
    /// Columns it needs.
    pub width: usize,
    /// Columns it can use at most.
    pub most: usize,
    /// Leaves earlier the higher it is; 0 stays.
    pub priority: u8,
    pub right: bool,
}

impl Column {
    pub const fn new(title: &'static str, width: usize, priority: u8) -> Self {
        Self { title, width, most: width, priority, right: false }
    }

    pub const fn right(self) -> Self {
        Self { right: true, ..self }
    }

    pub const fn up_to(self, most: usize) -> Self {
        Self { most, ..self }
    }
}

/// Space between columns.
const GAP: usize = 1;

/// Which columns are shown in `width`, and how wide each is.
pub fn columns_in(columns: &[Column], width: usize) -> Vec<(usize, usize)> {
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    let needed = |shown: &[usize]| {
        let widths = shown.iter().filter_map(|index| columns.get(*index)).map(|column| column.width);
        widths.sum::<usize>() + GAP * shown.len().saturating_sub(1)
    };
    while needed(&shown) > width && shown.len() > 1 {
        let priority = |index: &usize| columns.get(*index).map_or(0, |column| column.priority);
        let Some(leaves) = shown.iter().copied().max_by_key(|index| (priority(index), *index)) else { break };
        shown.retain(|index| *index != leaves);
    }
    let mut spare = width.saturating_sub(needed(&shown));
    shown
        .into_iter()
        .filter_map(|index| {
            let column = columns.get(index)?;
            let more = (column.most - column.width).min(spare);
            spare -= more;
            Some((index, (column.width + more).min(width)))
        })
        .collect()
}

/// A cell's text and style.
pub type Cell = (String, Style);

/// A table of the rows that are shown.
pub struct Table<'a> {
    pub columns: &'a [Column],
    pub rows: Vec<Vec<Cell>>,
    /// Among `rows`.
    pub selected: Option<usize>,
    /// The column it is sorted by, and whether highest first.
    pub sorted: Option<(usize, bool)>,
    pub theme: Theme,
}

fn aligned(text: &str, width: usize, right: bool) -> String {
    let text = fit(text, width);
    let pad = " ".repeat(width.saturating_sub(text.width()));
    if right { pad + &text } else { text + &pad }
}

impl Widget for Table<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let layout = columns_in(self.columns, usize::from(area.width));
        let mut lines: Vec<Line<'_>> = Vec::new();
        let head = layout.iter().filter_map(|(index, width)| {
            let column = self.columns.get(*index)?;
            let title = match self.sorted {
                Some((sorted, down)) if sorted == *index => {
                    let arrow = if down { "▼" } else { "▲" };
                    format!("{}{arrow}", fit(column.title, width.saturating_sub(1)))
                }
                _ => column.title.to_owned(),
            };
            Some(Span::styled(aligned(&title, *width, column.right), self.theme.dim()))
        });
        lines.push(joined(head));
        for (number, row) in self.rows.iter().enumerate() {
            let is_selected = self.selected == Some(number);
            let cells = layout.iter().filter_map(|(index, width)| {
                let (text, style) = row.get(*index)?;
                let right = self.columns.get(*index)?.right;
                let style = if is_selected { self.theme.selected() } else { *style };
                Some(Span::styled(aligned(text, *width, right), style))
            });
            let mut line = joined(cells);
            if is_selected {
                line = line.style(self.theme.selected());
            }
            lines.push(line);
        }
        for (y, line) in (area.y..area.bottom()).zip(lines) {
            buffer.set_style(Rect { y, height: 1, ..area }, line.style);
            buffer.set_line(area.x, y, &line, area.width);
        }
    }
}

fn joined<'a>(cells: impl Iterator<Item = Span<'a>>) -> Line<'a> {
    let mut spans = Vec::new();
    for cell in cells {
        if !spans.is_empty() {
            spans.push(Span::raw(" ".repeat(GAP)));
        }
        spans.push(cell);
    }
    Line::from(spans)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COLUMNS: [Column; 4] = [
        Column::new("id", 12, 0),
        Column::new("agent", 16, 3),
        Column::new("score", 10, 1).right(),
        Column::new("address", 10, 2).up_to(30),
    ];

    #[test]
    fn columns_leave_by_priority_and_share_what_is_left() {
        let shown = |width| columns_in(&COLUMNS, width).into_iter().map(|(index, _)| index).collect::<Vec<_>>();
        assert_eq!(shown(80), [0, 1, 2, 3]);
        assert_eq!(shown(40), [0, 2, 3]);
        assert_eq!(shown(30), [0, 2]);
        assert_eq!(shown(12), [0]);
        assert_eq!(columns_in(&COLUMNS, 80).last(), Some(&(3, 30)));
    }

    proptest! {
        #[test]
        fn a_row_is_never_wider_than_the_table(width in 1usize..200) {
            let layout = columns_in(&COLUMNS, width);
            let total: usize = layout.iter().map(|(_, width)| width).sum::<usize>() + layout.len() - 1;
            prop_assert!(total <= width);
        }
    }
}
