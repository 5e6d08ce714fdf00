//! Errors of TOML files: where, the line itself, and why, in TOML's words.

use std::path::Path;

use toml::de::DeTable;

use super::RegistryError;
use crate::domain::{
    text::{fit, printable},
    toml::in_toml,
};

/// One sentence about a TOML text that does not parse: where, the line itself, and why.
pub(crate) fn toml_error(path: &Path, text: &str, error: &toml::de::Error) -> RegistryError {
    let at = error.span().map_or(0, |span| span.start);
    let key = key_at(text, at);
    let what = key
        .as_deref()
        .map(|key| format!("{key}: "))
        .unwrap_or_default();
    let how = key
        .as_deref()
        .and_then(how_to_write)
        .unwrap_or("correct it and try again");
    told(
        path,
        text,
        line_of(text, at),
        &format!("{what}{}; {how}", in_toml(error.message())),
    )
}

/// The key at the top of a file whose value has the byte `at` in it.
fn key_at(text: &str, at: usize) -> Option<String> {
    let table = DeTable::parse(text).ok()?;
    let keys = table.get_ref().keys().filter(|key| key.span().start <= at);
    let last = keys.max_by_key(|key| key.span().start)?;
    // An entry that is missing has no place in the file.
    (at > 0).then(|| printable(last.get_ref()))
}

/// Says how a key of a release's file is written, where that is not plain.
fn how_to_write(key: &str) -> Option<&'static str> {
    Some(match key {
        "dependencies" => {
            "write them as a list of tables, such as dependencies = [{ package = \"alice/json\", requirement = \"^1.2\" }]"
        }
        "version" => "write all of it, such as version = \"1.2.0\"",
        "categories" | "tags" | "authors" | "exclude" | "include" => {
            "write a list of texts, such as tags = [\"cli\", \"web\"]"
        }
        _ => return None,
    })
}

/// The same without the key that it is about.
pub(crate) fn broken(
    path: &Path,
    text: &str,
    number: usize,
    error: &toml::de::Error,
) -> RegistryError {
    told(
        path,
        text,
        number,
        &format!("{}; correct it and try again", in_toml(error.message())),
    )
}

/// A sentence about a line of a file, with the line itself.
fn told(path: &Path, text: &str, number: usize, why: &str) -> RegistryError {
    let line = fit(
        &printable(
            text.lines()
                .nth(number.saturating_sub(1))
                .unwrap_or_default(),
        ),
        60,
    );
    let why = printable(why);
    let shown = if line.is_empty() {
        String::new()
    } else {
        format!(" ({line})")
    };
    RegistryError::Usage(format!("{}, line {number}{shown}: {why}", path.display()))
}

/// The line, counted from 1, that the byte `at` is in. One that is missing at the end is that of
/// the last line.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    let before = if at >= text.len() {
        before.trim_ascii_end()
    } else {
        before
    };
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}
