//! Draws a table: columns leave by priority when there is no room, the rest share what is left.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};
use unicode_width::UnicodeWidthStr;

use crate::{
    domain::text::fit,
    ui::{
        table::{
            Entry, Table,
            column::{GAP, columns_in},
        },
        theme::Theme,
    },
};

/// A cell's text and style.
pub type Cell = (String, Style);

fn aligned(text: &str, width: usize, right: bool) -> String {
    let text = fit(text, width);
    let pad = " ".repeat(width.saturating_sub(text.width()));
    if right { pad + &text } else { text + &pad }
}

/// Draws the rows of `table` that are in view; `cell` says what is in a column.
pub fn draw<E: Entry>(
    buffer: &mut Buffer,
    area: Rect,
    table: &Table<E>,
    theme: Theme,
    cell: impl Fn(&E, &'static str) -> Cell,
) {
    if area.height == 0 {
        return;
    }
    let layout = columns_in(&table.columns.wanted(), usize::from(area.width));
    let mut lines: Vec<Line<'_>> = Vec::new();
    let arrow = if table.is_descending() { "▼" } else { "▲" };
    lines.push(joined(layout.iter().map(|(column, width)| {
        let title = if table.sort == Some(column.key) && !column.title.is_empty() {
            format!("{}{arrow}", fit(column.title, width.saturating_sub(1)))
        } else {
            column.title.to_owned()
        };
        Span::styled(aligned(&title, *width, column.right), theme.dim())
    })));
    let selected = table.selection.current(table.rows());
    for entry in table.in_view(usize::from(area.height.saturating_sub(1))) {
        let id = entry.id();
        let (is_selected, is_marked) = (selected.as_ref() == Some(&id), table.marked.contains(&id));
        let mut line = joined(layout.iter().map(|(column, width)| {
            let (text, style) = cell(entry, column.key);
            let style = match (is_selected, is_marked) {
                (true, _) => theme.selected(),
                (false, true) => theme.marked(),
                _ => style,
            };
            Span::styled(aligned(&text, *width, column.right), style)
        }));
        if is_selected {
            line = line.style(theme.selected());
        } else if is_marked {
            line = line.style(theme.marked());
        }
        lines.push(line);
    }
    for (y, line) in (area.y..area.bottom()).zip(lines) {
        buffer.set_style(Rect { y, height: 1, ..area }, line.style);
        buffer.set_line(area.x, y, &line, area.width);
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
