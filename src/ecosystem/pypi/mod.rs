//! PyPI's names, versions and requirements as in the Python library `packaging` 26.4, its file
//! names, and dependencies between its packages.

pub mod dependency;
pub mod file;
pub mod marker;
mod specifier;
mod version;

pub(super) use specifier::Requirement;
pub(super) use version::Version;

use super::InvalidText;

/// Returns the name in lower case with one hyphen for each run of `-`, `_` and `.` (PEP 503), if it
/// is valid (PEP 508).
pub(super) fn normalise(name: &str) -> Result<String, InvalidText> {
    if !name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || is_separator(b.into()))
    {
        return Err(InvalidText::because(
            "may only have letters a to z, digits, dots, underscores and hyphens",
        ));
    }
    if name.is_empty() || name.starts_with(is_separator) || name.ends_with(is_separator) {
        return Err(InvalidText::because(
            "must start and end with a letter or a digit",
        ));
    }
    Ok(collapsed(name))
}

/// Applies PEP 503 to any text.
fn collapsed(text: &str) -> String {
    let mut collapsed = String::with_capacity(text.len());
    for c in text
        .chars()
        .flat_map(char::to_lowercase)
        .map(|c| if is_separator(c) { '-' } else { c })
    {
        if c != '-' || !collapsed.ends_with('-') {
            collapsed.push(c);
        }
    }
    collapsed
}

fn is_separator(c: char) -> bool {
    matches!(c, '-' | '_' | '.')
}

/// Returns true for Python's white space, which includes four ASCII separators.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

#[cfg(test)]
mod tests;
