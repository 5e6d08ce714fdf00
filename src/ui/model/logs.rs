//! Rows of the log.

use crate::{
    bus::Level,
    control::Logged,
    domain::time::Timestamp,
    ui::table::{Table, TableEntry, column::Column, filter::CellValue},
};

/// An entry of the node's log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// Number of the entry since the node started.
    pub number: u64,
    pub at: Timestamp,
    pub level: LogLevel,
    /// The module that logged it.
    pub target: String,
    pub text: String,
}

/// Severity of an entry, least severe first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    #[default]
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl LogLevel {
    pub const ALL: [Self; 5] = [
        Self::Trace,
        Self::Debug,
        Self::Info,
        Self::Warn,
        Self::Error,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// Returns the level of a notice with the same severity.
    pub fn level(self) -> Level {
        match self {
            Self::Warn => Level::Warning,
            Self::Error => Level::Error,
            _ => Level::Info,
        }
    }
}

impl LogLevel {
    /// Parses the name of a level; unknown names count as the least severe.
    pub fn named(name: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|level| level.name() == name)
            .unwrap_or_default()
    }
}

impl TableEntry for LogLine {
    type Id = u64;
    const NAME: &'static str = "logs";
    const COLUMNS: &'static [Column] = &[
        Column::new("time", "time", 8, 2),
        Column::new("level", "level", 5, 0),
        Column::new("target", "from", 16, 3).up_to(32),
        Column::new("text", "what", 20, 0).up_to(1_000),
    ];
    const MOST: usize = 2_000;
    const NEWEST_FIRST: bool = true;

    fn id(&self) -> u64 {
        self.number
    }

    fn value(&self, column: &'static str, _: Timestamp) -> CellValue {
        match column {
            "time" => CellValue::text(crate::clock::here(self.at)),
            "level" => CellValue::text(self.level.name()),
            "target" => CellValue::text(self.target.as_str()),
            "text" => CellValue::text(self.text.as_str()),
            _ => CellValue::Nothing,
        }
    }

    fn exported(&self, column: &'static str, now: Timestamp) -> CellValue {
        match column {
            "time" => CellValue::text(crate::clock::stamp(self.at)),
            column => self.value(column, now),
        }
    }

    fn copied(&self) -> String {
        format!(
            "{} {} {} {}",
            crate::clock::here(self.at),
            self.level.name(),
            self.target,
            self.text
        )
    }
}

#[derive(Default)]
pub struct LogsView {
    pub table: Table<LogLine>,
    /// The least severe level that is shown.
    pub least: LogLevel,
    /// Number of the next entry to read.
    pub next: u64,
    /// Path of the current log file.
    pub path: Option<std::path::PathBuf>,
    /// Entries that were overwritten before they were read.
    pub lost: u64,
    all: std::collections::VecDeque<LogLine>,
}

impl LogsView {
    /// Adds entries that the node logged from `next` on; returns true if there were any.
    pub fn take(&mut self, logged: Logged, now: Timestamp) -> bool {
        let first = logged.next.saturating_sub(logged.entries.len() as u64);
        // Numbers go backwards if the same entries were requested twice, or if the node restarted.
        let skipped = if logged.next < self.next {
            0
        } else {
            self.next.saturating_sub(first)
        };
        let lines = logged
            .entries
            .into_iter()
            .zip(first..)
            .map(|(entry, number)| LogLine {
                number,
                at: entry.at,
                level: LogLevel::named(&entry.level),
                target: entry.target,
                text: entry.message,
            });
        let lines: Vec<LogLine> = lines
            .skip(usize::try_from(skipped).unwrap_or(usize::MAX))
            .collect();
        self.next = logged.next;
        self.path = logged.file;
        self.lost += logged.lost;
        let any = !lines.is_empty();
        self.put(lines, now);
        any
    }

    pub fn put(&mut self, lines: Vec<LogLine>, now: Timestamp) {
        for line in &lines {
            if self.all.len() >= LogLine::MOST {
                self.all.pop_front();
            }
            self.all.push_back(line.clone());
        }
        self.table.put(
            lines.into_iter().filter(|line| line.level >= self.least),
            now,
        );
    }

    /// Shows entries of every level.
    pub fn show_all(&mut self, now: Timestamp) {
        while self.least != LogLevel::default() {
            self.next_level(now);
        }
    }

    /// Shows entries from the next level on, wrapping around.
    pub fn next_level(&mut self, now: Timestamp) {
        let here = LogLevel::ALL
            .iter()
            .position(|level| *level == self.least)
            .unwrap_or(0);
        self.least = LogLevel::ALL
            .get((here + 1) % LogLevel::ALL.len())
            .copied()
            .unwrap_or_default();
        self.table.replace(
            self.all
                .iter()
                .filter(|line| line.level >= self.least)
                .cloned()
                .collect(),
            now,
        );
        self.table.sort_now(now);
    }
}
