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
            column::{Column, GAP, columns_in, lettered},
        },
        theme::Theme,
    },
};

/// A cell's text and style.
pub type Cell = (String, Style);

/// Cuts the title of a package to `columns`: first its owner, and its end only if the name is too
/// long. A text of another form is cut at its end.
fn fit_title(text: &str, columns: usize) -> String {
    let Some(at) = text
        .rfind('/')
        .filter(|_| columns > 0 && text.width() > columns)
    else {
        return fit(text, columns);
    };
    let (owner, name) = text.split_at(at);
    let room = columns.saturating_sub(name.width());
    if room > 0 {
        // The sign for the rest of the owner takes one column.
        format!("{}{name}", fit(owner, room))
    } else {
        format!("…{}", fit(name, columns.saturating_sub(1)))
    }
}

/// Aligns a `text` that was `fitted` to `width` columns, with `marks` in bold and underlined, so
/// that they do not
/// depend on colour.
fn aligned(
    text: &str,
    fitted: &str,
    width: usize,
    right: bool,
    style: Style,
    marks: &[Range<usize>],
) -> Vec<Span<'static>> {
    let pad = Span::styled(" ".repeat(width.saturating_sub(fitted.width())), style);
    // Do not mark text that was cut out, nor the sign in its place.
    let same =
        |pairs: &mut dyn Iterator<Item = (u8, u8)>| pairs.take_while(|(a, b)| a == b).count();
    let start = same(&mut text.bytes().zip(fitted.bytes()));
    let start = fitted.floor_char_boundary(start);
    let end = same(&mut text.bytes().rev().zip(fitted.bytes().rev()));
    let end = fitted.ceil_char_boundary(fitted.len() - end).max(start);
    let from_end = |at: usize| (at + fitted.len()).saturating_sub(text.len());
    let mut spans = Vec::new();
    let mut take = |range: Range<usize>, style| {
        let part = fitted.get(range).filter(|part| !part.is_empty());
        spans.extend(part.map(|part| Span::styled(part.to_owned(), style)));
    };
    let mut at = 0;
    let before = marks.iter().map(|mark| mark.start..mark.end.min(start));
    let after = marks
        .iter()
        .map(|mark| from_end(mark.start).max(end)..from_end(mark.end));
    let marks = before.chain(after);
    for mark in marks.filter(|mark| mark.start < mark.end) {
        take(at..mark.start, style);
        at = mark.end;
        take(
            mark,
            style.add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
        );
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
        let title = lettered(E::COLUMNS, column);
        let title = if table.sort == Some(column.key) && !title.is_empty() {
            format!("{}{arrow}", fit(&title, width.saturating_sub(1)))
        } else {
            title
        };
        aligned(&title, &title, *width, column.right, theme.dim(), &[])
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
            let fitted = if column.title_of_package {
                fit_title(&text, *width)
            } else {
                fit(&text, *width)
            };
            aligned(
                &text,
                &fitted,
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_name_of_a_package_is_cut_last() {
        let title = "amsterdam-panda/cargo:ratatui-core";
        assert_eq!(fit_title(title, 40), title);
        assert_eq!(fit_title(title, 23), "ams…/cargo:ratatui-core");
        assert_eq!(fit_title(title, 16), "…/cargo:ratatui…");
        assert_eq!(fit_title("ratatui-core", 8), "ratatui…");
    }

    #[test]
    fn marks_stay_on_their_letters() {
        let title = "amsterdam-panda/cargo:ratatui-core";
        let fitted = fit_title(title, 23);
        let marks = [0..3, 10..15, 22..29];
        let spans = aligned(title, &fitted, 23, false, Style::new(), &marks);
        let marked: Vec<&str> = spans
            .iter()
            .filter(|span| span.style.add_modifier.contains(Modifier::BOLD))
            .map(|span| span.content.as_ref())
            .collect();
        assert_eq!(marked, ["ams", "ratatui"]);
    }

    proptest! {
        #[test]
        fn a_title_fits_and_keeps_its_text(
            text in "[a-z日/…]{0,30}", width in 0usize..40, at in 0usize..20,
        ) {
            let fitted = fit_title(&text, width);
            prop_assert!(fitted.width() <= width, "{fitted:?}");
            let mark = text.floor_char_boundary(at)..text.ceil_char_boundary(at + 4);
            let spans = aligned(&text, &fitted, width, false, Style::new(), &[mark]);
            let whole: String = spans.iter().map(|span| span.content.as_ref()).collect();
            prop_assert_eq!(whole.trim_end(), fitted.trim_end());
        }
    }
}
