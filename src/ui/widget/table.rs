//! Draws tables: columns are dropped by priority until the others fit and share the width.

use std::ops::Range;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
    text::{Line, Span},
};
use unicode_width::UnicodeWidthStr;

use crate::{
    domain::text::fit,
    ui::{
        table::{
            Table, TableEntry,
            column::{Column, GAP, columns_in},
        },
        theme::Theme,
    },
};

/// A cell's text and style.
pub type Cell = (String, Style);

/// Aligns `text` in `width` columns, with `marks` in bold and underlined, so that they do not
/// depend on colour.
fn aligned(
    text: &str,
    width: usize,
    right: bool,
    style: Style,
    marks: &[Range<usize>],
) -> Vec<Span<'static>> {
    let fitted = fit(text, width);
    let pad = Span::styled(" ".repeat(width.saturating_sub(fitted.width())), style);
    // Do not mark text that was cut off, nor the sign in its place.
    let same = text
        .bytes()
        .zip(fitted.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    let whole = fitted.floor_char_boundary(same);
    let mut spans = Vec::new();
    let mut take = |range: Range<usize>, style| {
        let part = fitted.get(range).filter(|part| !part.is_empty());
        spans.extend(part.map(|part| Span::styled(part.to_owned(), style)));
    };
    let mut at = 0;
    for mark in marks.iter().filter(|mark| mark.start < whole) {
        let end = mark.end.min(whole);
        take(at..mark.start, style);
        take(
            mark.start..end,
            style.add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
        );
        at = end;
    }
    take(at..fitted.len(), style);
    if right {
        spans.insert(0, pad);
    } else {
        spans.push(pad);
    }
    spans
}

/// Draws the rows of `table` in view; `cell` returns the content of a column.
pub fn draw<E: TableEntry>(
    buffer: &mut Buffer,
    area: Rect,
    table: &Table<E>,
    theme: Theme,
    cell: impl Fn(&E, &'static str) -> Cell,
) {
    draw_marked(buffer, area, table, theme, cell, |_, _| Vec::new());
}

/// Draws the rows with marked parts; `marks` returns their byte ranges in a column's text.
pub fn draw_marked<E: TableEntry>(
    buffer: &mut Buffer,
    area: Rect,
    table: &Table<E>,
    theme: Theme,
    cell: impl Fn(&E, &'static str) -> Cell,
    marks: impl Fn(&'static str, &str) -> Vec<Range<usize>>,
) {
    draw_columns(
        buffer,
        area,
        table,
        &table.columns.wanted(),
        theme,
        cell,
        marks,
    );
}

/// Draws the rows with the given columns instead of the user's.
pub fn draw_columns<E: TableEntry>(
    buffer: &mut Buffer,
    area: Rect,
    table: &Table<E>,
    wanted: &[Column],
    theme: Theme,
    cell: impl Fn(&E, &'static str) -> Cell,
    marks: impl Fn(&'static str, &str) -> Vec<Range<usize>>,
) {
    if area.height == 0 {
        return;
    }
    let layout = columns_in(wanted, usize::from(area.width));
    let mut lines: Vec<Line<'_>> = Vec::new();
    let arrow = if table.is_descending() { "▼" } else { "▲" };
    lines.push(joined(layout.iter().map(|(column, width)| {
        let title = if table.sort == Some(column.key) && !column.title.is_empty() {
            format!("{}{arrow}", fit(column.title, width.saturating_sub(1)))
        } else {
            column.title.to_owned()
        };
        aligned(&title, *width, column.right, theme.dim(), &[])
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
            aligned(
                &text,
                *width,
                column.right,
                style,
                &marks(column.key, &text),
            )
        }));
        if is_selected {
            line = line.style(theme.selected());
        } else if is_marked {
            line = line.style(theme.marked());
        }
        lines.push(line);
    }
    for (y, line) in (area.y..area.bottom()).zip(lines) {
        buffer.set_style(
            Rect {
                y,
                height: 1,
                ..area
            },
            line.style,
        );
        buffer.set_line(area.x, y, &line, area.width);
    }
}

fn joined<'a>(cells: impl Iterator<Item = Vec<Span<'a>>>) -> Line<'a> {
    let mut spans = Vec::new();
    for cell in cells {
        if !spans.is_empty() {
            spans.push(Span::raw(" ".repeat(GAP)));
        }
        spans.extend(cell);
    }
    Line::from(spans)
}
