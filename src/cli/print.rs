//! Output for scripts and for eyes.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::{
    RegistryError, Result,
    domain::text::{fit, printable},
};

/// Columns where stdout is no terminal: nothing is cut.
const UNLIMITED: usize = 10_000;

/// Writes lines to stdout. A reader that has seen enough and closed the pipe is no error.
pub(super) fn lines(text: &str) -> Result<()> {
    match io::stdout().lock().write_all(format!("{}\n", text.trim_end_matches('\n')).as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(RegistryError::file("stdout", "written to")),
    }
}

/// Writes one JSON value to stdout.
pub(super) fn json<T: Serialize>(value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| RegistryError::Internal { what: "writing JSON", why: error.to_string() })?;
    lines(&text)
}

/// Columns of the terminal.
fn width() -> usize {
    if !io::stdout().is_terminal() {
        return UNLIMITED;
    }
    std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok())
        .or_else(|| crossterm::terminal::size().ok().map(|(columns, _)| usize::from(columns)))
        .unwrap_or(80)
}

/// Aligned columns; the last one takes what room is left.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> Result<()> {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            let cells = std::iter::once(&head).chain(&rows).filter_map(|row| row.get(column));
            cells.map(|cell| cell.width()).max().unwrap_or(0)
        })
        .collect();
    let most = width();
    let text: Vec<String> = std::iter::once(&head)
        .chain(&rows)
        .map(|row| {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width.saturating_sub(cell.width()) + 2));
            }
            fit(line.trim_end(), most)
        })
        .collect();
    lines(&text.join("\n"))
}
