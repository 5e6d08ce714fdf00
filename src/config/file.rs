//! The settings file: its entries by line, and everything that is wrong with it.

use std::path::{Path, PathBuf};

use toml::{Spanned, de::DeTable, de::DeValue};

use super::{KEYS, Paths, Settings};
use crate::{
    RegistryError, Result,
    error::{broken, line_of},
};

/// One thing that is wrong in a settings file.
#[derive(Debug)]
pub struct Problem {
    /// Counted from 1.
    pub line: usize,
    /// One sentence that names the file and the line, what is written there, and what to write
    /// instead.
    pub error: RegistryError,
}

/// One setting as the file has it.
pub(super) struct Entry {
    /// With dots for a table's entries.
    pub name: String,
    pub line: usize,
    pub value: toml::Value,
}

/// Everything that is wrong with `text`, which is or will be the settings file `path`; nothing when
/// it can be used.
///
/// `more` says what is wrong with what only the explorer understands: theme, keys and columns; each
/// sentence names the entry.
///
/// # Errors
/// [`RegistryError::File`] for a file that cannot be read.
pub fn problems(
    path: &Path,
    text: &str,
    more: impl Fn(&Settings) -> Vec<String>,
) -> Result<Vec<Problem>> {
    let nowhere = PathBuf::new();
    let paths = Paths {
        config: path.to_owned(),
        data: nowhere.clone(),
        state: nowhere.clone(),
        runtime: nowhere,
    };
    let mut settings = Settings::defaults(paths)?;
    let (entries, broken) = entries(path, text);
    let mut problems = settings.take_entries(path, &entries, broken);
    let read = |key: &str| {
        settings.origins.contains_key(key) || entries.iter().all(|entry| entry.name != key)
    };
    for (pair, error) in settings.conflicts() {
        // A value that could not be read has been complained about, and its default conflicts with
        // nothing.
        if pair.iter().all(|key| read(key)) {
            let lines = entries
                .iter()
                .filter(|entry| pair.contains(&entry.name.as_str()))
                .map(|entry| entry.line);
            let line = lines.max().unwrap_or(1);
            let error = RegistryError::Usage(format!("{}, line {line}: {error}", path.display()));
            problems.push(Problem { line, error });
        }
    }
    for why in more(&settings) {
        // The last of the entries that it names is the one that broke it.
        let names = |entry: &&Entry| {
            why.starts_with(&entry.name) || why.contains(&entry.name) && entry.name.contains('.')
        };
        let named = entries.iter().rev().find(names);
        let line = named.map_or(1, |entry| entry.line);
        let error = RegistryError::Usage(format!("{}, line {line}: {why}", path.display()));
        problems.push(Problem { line, error });
    }
    problems.sort_by_key(|problem| problem.line);
    Ok(problems)
}

/// The entries of a TOML text as far as it can be read, and where it cannot.
pub(super) fn entries(path: &Path, text: &str) -> (Vec<Entry>, Vec<Problem>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reading = Reading {
        path,
        text,
        entries: Vec::new(),
        problems: Vec::new(),
    };
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        reading.wrong(at, error);
    }
    reading.table("", table.get_ref());
    // The parser keeps its tables in the order of their names; a person reads from the top.
    reading.entries.sort_by_key(|entry| entry.line);
    reading.problems.sort_by_key(|problem| problem.line);
    (reading.entries, reading.problems)
}

struct Reading<'a> {
    path: &'a Path,
    text: &'a str,
    entries: Vec<Entry>,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    /// A table without entries stands for itself, so that a misspelt one is found out.
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            match value.get_ref() {
                DeValue::Table(inner) => {
                    let inside = format!("{name}.");
                    if inner.is_empty() && !KEYS.iter().any(|key| key.name.starts_with(&inside)) {
                        let line = line_of(self.text, key.span().start);
                        self.entries.push(Entry {
                            name,
                            line,
                            value: toml::Value::Table(toml::Table::new()),
                        });
                    }
                    self.table(&inside, inner);
                }
                _ => self.entry(name, key.span().start, value),
            }
        }
    }

    fn entry(&mut self, name: String, at: usize, value: &Spanned<DeValue<'_>>) {
        let line = line_of(self.text, at);
        if self.problems.iter().any(|problem| problem.line == line) {
            return;
        }
        match self
            .text
            .get(value.span())
            .unwrap_or_default()
            .parse::<toml::Value>()
        {
            Ok(value) => self.entries.push(Entry { name, line, value }),
            Err(error) => self.wrong(at, &error),
        }
    }

    /// One complaint a line: what follows from the first is not worth reading.
    fn wrong(&mut self, at: usize, error: &toml::de::Error) {
        let line = line_of(self.text, at);
        if self.problems.iter().all(|problem| problem.line != line) {
            self.problems.push(Problem {
                line,
                error: broken(self.path, self.text, line, error),
            });
        }
    }
}
