//! Output for scripts and people.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::{
    RegistryError, Result,
    domain::text::{fit, printable, safe_or_not},
    ui,
};

/// Columns between two cells.
const GAP: usize = 2;
/// Least width of a column.
const LEAST: usize = 8;

/// Prints a line to stderr. Unlike `eprintln!`, it does not panic if stderr is closed.
pub(super) fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{}", printable(&text.to_string()));
}

/// Prints a row to stderr and keeps the spaces that align its columns.
pub(super) fn note_row(row: &str) {
    let row: String = safe_or_not(row)
        .map(|(c, is_unsafe)| if is_unsafe { ' ' } else { c })
        .collect();
    let _ = writeln!(io::stderr(), "{row}");
}

/// Prints lines to stdout. A closed pipe is not an error: the reader has seen enough.
pub(super) fn lines(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{}", text.trim_end_matches('\n')).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(RegistryError::file("stdout", "written to")),
    }
}

/// Prints a JSON value to stdout on one line.
pub(super) fn json<T: Serialize>(value: &T) -> Result<()> {
    let text = serde_json::to_string(value).map_err(|error| internal("writing JSON", error))?;
    lines(&text)
}

/// Returns a progress bar on stderr, hidden unless stderr is a terminal that can redraw a line.
pub(super) fn bar(length: u64) -> ProgressBar {
    match ui::is_dumb() {
        true => ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden()),
        false => ProgressBar::new(length),
    }
}

/// Returns a progress bar for a number of bytes, hidden unless stderr is a terminal.
pub(super) fn progress(what: &str, bytes: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{msg} {bytes} of {total_bytes} ({bytes_per_sec}) {wide_bar}");
    let bar = bar(bytes).with_message(printable(what));
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Returns a spinner on stderr, hidden unless stderr is a terminal.
pub(super) fn spinner(what: &str) -> ProgressBar {
    /// Time per frame of the spinner.
    const TURN: Duration = Duration::from_millis(120);
    let spinner = match ui::is_dumb() {
        true => ProgressBar::hidden(),
        false => ProgressBar::new_spinner().with_message(printable(what)),
    };
    spinner.enable_steady_tick(TURN);
    spinner
}

/// Returns the error for a failure that should be impossible.
pub(super) fn internal(what: &'static str, why: impl Display) -> RegistryError {
    RegistryError::Internal {
        what,
        why: why.to_string(),
    }
}

/// Prints names and values, one a line, without those that have no value.
pub(super) fn fields(fields: &[(&str, String)]) -> Result<()> {
    let width = fields
        .iter()
        .map(|(name, _)| name.width())
        .max()
        .unwrap_or(0);
    let fields = fields
        .iter()
        .map(|(name, value)| (name, printable(value)))
        .filter(|(_, value)| !value.is_empty());
    let text: Vec<String> = fields
        .map(|(name, value)| format!("{name:<width$}  {value}"))
        .collect();
    lines(&text.join("\n"))
}

/// Prints aligned columns; on a terminal, cells are cut so that each row fits on one line.
pub(super) fn table(head: &[&str], rows: Vec<Vec<String>>) -> Result<()> {
    let columns = io::stdout()
        .is_terminal()
        .then(terminal_size::terminal_size)
        .flatten();
    lines(&aligned(
        head,
        rows,
        columns.map_or(usize::MAX, |(width, _)| usize::from(width.0)),
    ))
}

fn aligned(head: &[&str], rows: Vec<Vec<String>>, most: usize) -> String {
    let head = head.iter().map(|name| (*name).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head)
        .chain(rows)
        .map(|row| row.iter().map(|cell| printable(cell)).collect())
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widest = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.width())
            .max()
            .unwrap_or(0)
    };
    let mut widths: Vec<usize> = (0..columns).map(widest).collect();
    narrow(&mut widths, most);
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let cell = fit(cell, *width);
            line.push_str(&cell);
            line.push_str(&" ".repeat(width.saturating_sub(cell.width()) + GAP));
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Narrows the widest columns until a row fits.
fn narrow(widths: &mut [usize], most: usize) {
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > most {
        match widths.iter_mut().max().filter(|width| **width > LEAST) {
            Some(widest) => *widest -= 1,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_cut_where_there_is_no_room() {
        let rows = || {
            vec![
                vec!["a".to_owned(), "x".repeat(40)],
                vec!["long-enough".to_owned(), "y\u{1b}[2J".to_owned()],
            ]
        };
        let wide = aligned(&["NAME", "WHAT"], rows(), usize::MAX);
        let lines: Vec<_> = wide.lines().collect();
        assert_eq!(lines[0], "NAME         WHAT");
        assert_eq!(lines[1], format!("a            {}", "x".repeat(40)));
        assert_eq!(
            lines[2], "long-enough  y [2J",
            "an escape sequence has lost its teeth"
        );
        let narrow = aligned(&["NAME", "WHAT"], rows(), 30);
        assert!(narrow.lines().all(|line| line.width() <= 30), "{narrow}");
        assert!(
            narrow.contains("long-enough") && narrow.contains("xxx…"),
            "{narrow}"
        );
    }

    #[test]
    fn a_terminal_without_room_is_left_to_wrap() {
        let rows = vec![vec!["x".repeat(40); 4]];
        let text = aligned(&["A", "B", "C", "D"], rows, 3);
        assert_eq!(text.lines().last().unwrap().width(), 4 * LEAST + 3 * GAP);
    }
}
