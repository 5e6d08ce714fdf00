//! The lines of a window while they are written.

use ratatui::{
    style::Style,
    text::{Line, Span},
};

use crate::{
    domain::text::fit,
    ui::{
        table::column::{Column, columns_in},
        theme::Theme,
        widget::wrap::wrap,
    },
};

/// Width of the labels, in columns.
const LABEL: usize = 13;
/// Columns from which a text stands beside its label; in fewer, it stands below.
const SIDE_BY_SIDE: usize = 36;

/// Lines of `width` columns.
pub struct Page {
    pub width: usize,
    pub theme: Theme,
    pub lines: Vec<Line<'static>>,
}

impl Page {
    pub fn new(width: usize, theme: Theme) -> Self {
        Self {
            width,
            theme,
            lines: Vec::new(),
        }
    }

    /// Adds a line as it is.
    pub fn line(&mut self, line: impl Into<Line<'static>>) {
        self.lines.push(line.into());
    }

    /// Adds a line in one style, as it is.
    pub fn styled(&mut self, text: impl Into<String>, style: Style) {
        self.line(Span::styled(text.into(), style));
    }

    pub fn blank(&mut self) {
        self.lines.push(Line::default());
    }

    /// Adds a text, wrapped.
    pub fn text(&mut self, text: &str, style: Style) {
        for line in wrap(text, self.width) {
            self.styled(line, style);
        }
    }

    /// Adds a heading without a gap above it.
    pub fn title(&mut self, text: &str) {
        self.styled(text, self.theme.title());
    }

    pub fn heading(&mut self, text: &str) {
        self.blank();
        self.title(text);
    }

    /// Adds a label and its text.
    pub fn field(&mut self, label: &str, text: &str) {
        self.field_in(label, text, self.theme.text());
    }

    /// Adds a label and its text in a style, wrapped beside the label, or below it if there is
    /// little room.
    pub fn field_in(&mut self, label: &str, text: &str, style: Style) {
        if self.width < SIDE_BY_SIDE {
            self.styled(label, self.theme.dim());
            self.entry(2, Span::raw(""), text, style);
        } else {
            let label = Span::styled(label.to_owned(), self.theme.dim());
            self.entry(LABEL, label, text, style);
        }
    }

    /// Adds a label and a whole hash of 64 digits, in two halves if it does not fit beside its
    /// label.
    pub fn hash(&mut self, label: &str, hash: &str, style: Style) {
        let halves = hash.split_at_checked(32).unwrap_or((hash, ""));
        let spaced = format!("{} {}", halves.0, halves.1);
        match self.width.saturating_sub(LABEL) {
            64.. => self.field_in(label, hash, style),
            32..64 => self.field_in(label, &spaced, style),
            _ => {
                self.styled(label, self.theme.dim());
                self.entry(2, Span::raw(""), &spaced, style);
            }
        }
    }

    /// Adds a text, wrapped and indented, with `head` in the indent of its first line.
    pub fn entry(&mut self, indent: usize, head: Span<'static>, text: &str, style: Style) {
        let mut head = Some(head);
        for part in wrap(text, self.width.saturating_sub(indent).max(8)) {
            let mut head = head.take().unwrap_or_default();
            let gap = indent.saturating_sub(head.width());
            head.content.to_mut().push_str(&" ".repeat(gap));
            self.line(vec![head, Span::styled(part, style)]);
        }
    }

    /// Adds a small table: its titles, and a row for each of `rows`. Columns that do not fit are
    /// left out. `cell` gets a row, the key of a column and its width.
    pub fn table<R>(
        &mut self,
        columns: &[Column],
        rows: impl IntoIterator<Item = R>,
        mut cell: impl FnMut(&R, &'static str, usize) -> (String, Style),
    ) {
        let columns = columns_in(columns, self.width);
        let row = |cell: &mut dyn FnMut(&Column, usize) -> (String, Style)| {
            let mut spans = Vec::new();
            for (column, width) in &columns {
                let (text, style) = cell(column, *width);
                let text = fit(&text, *width);
                let text = if column.right {
                    format!("{text:>width$}")
                } else {
                    format!("{text:<width$}")
                };
                spans.extend([Span::styled(text, style), Span::raw(" ")]);
            }
            spans.pop();
            Line::from(spans)
        };
        let dim = self.theme.dim();
        self.lines
            .push(row(&mut |column, _| (column.title.to_owned(), dim)));
        for one in rows {
            let line = row(&mut |column, width| cell(&one, column.key, width));
            self.lines.push(line);
        }
    }
}
