//! PyPI's names, versions and requirements, as the Python library `packaging` 26.4 has them, and what the names of its files say.

pub mod file;
mod specifier;
mod version;

pub(super) use specifier::Requirement;
pub(super) use version::Version;

use super::Refused;

/// The name in lower case, with one hyphen for each run of `-`, `_` and `.` (PEP 503), if it is one (PEP 508).
pub(super) fn normalise(name: &str) -> Result<String, Refused> {
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || is_separator(b.into())) {
        return Err(Refused::because("may have letters a to z, digits, dots, underscores and hyphens only"));
    }
    if name.is_empty() || name.starts_with(is_separator) || name.ends_with(is_separator) {
        return Err(Refused::because("must start and end with a letter or a digit"));
    }
    let words: Vec<&str> = name.split(is_separator).filter(|word| !word.is_empty()).collect();
    Ok(words.join("-").to_ascii_lowercase())
}

fn is_separator(c: char) -> bool {
    matches!(c, '-' | '_' | '.')
}

/// White space as Python has it, which counts four separators of ASCII among it.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

#[cfg(test)]
mod tests;
