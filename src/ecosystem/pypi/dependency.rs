//! Dependencies of Python packages (PEP 508): `name[extra] >=1.0,<2; python_version < "3.9"`.

use super::{
    super::{Ecosystem, InvalidText},
    marker::Marker,
    normalise,
};

/// Longest dependency, in bytes.
const MAX_DEPENDENCY: usize = 4_096;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PypiDependency {
    /// The name as written.
    pub name: String,
    /// The extras as written.
    pub extras: Vec<String>,
    pub wanted: VersionsOrUrl,
    /// The condition under which it is needed; `None` for always.
    pub marker: Option<Marker>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionsOrUrl {
    /// A specifier set as [`Ecosystem::requirement`] accepts it, without optional parentheses;
    /// empty for any version.
    Versions(String),
    /// A file at a URL, which PyPI does not accept in packages.
    Url(String),
}

impl PypiDependency {
    /// Parses a dependency.
    ///
    /// # Errors
    /// `packaging` rejects it, or no package may have the name.
    pub fn parse(text: &str) -> Result<Self, InvalidText> {
        if text.len() > MAX_DEPENDENCY {
            return Err(InvalidText(format!(
                "is longer than {MAX_DEPENDENCY} bytes"
            )));
        }
        let (name, rest) = word(trim_start(text))
            .ok_or_else(|| InvalidText::because("must start with a package name"))?;
        normalise(name).map_err(|why| InvalidText(format!("has a name that {why}")))?;
        let (extras, rest) = extras(trim_start(rest))?;
        let (wanted, rest) = match rest.strip_prefix('@') {
            Some(rest) => url(trim_start(rest))?,
            None => versions(rest)?,
        };
        let marker = match rest.strip_prefix(';') {
            Some(marker) => Some(
                Marker::parse(trim(marker))
                    .map_err(|why| InvalidText(format!("has a condition that {why}")))?,
            ),
            None if rest.is_empty() => None,
            None => {
                return Err(InvalidText::because(
                    "has something other than a semicolon and a condition at its end",
                ));
            }
        };
        Ok(Self {
            name: name.to_owned(),
            extras,
            wanted,
            marker,
        })
    }
}

/// Parses `[a, b]`, or nothing.
fn extras(text: &str) -> Result<(Vec<String>, &str), InvalidText> {
    let Some(inner) = text.strip_prefix('[') else {
        return Ok((Vec::new(), text));
    };
    let unclosed = || InvalidText::because("has an opening bracket for extras and no closing one");
    let (inner, rest) = inner.split_once(']').ok_or_else(unclosed)?;
    if trim(inner).is_empty() {
        return Ok((Vec::new(), trim_start(rest)));
    }
    let one = |extra: &str| match word(trim(extra)) {
        Some((extra, "")) => Ok(extra.to_owned()),
        _ => Err(InvalidText::because("has an extra that is not a name")),
    };
    Ok((
        inner.split(',').map(one).collect::<Result<_, _>>()?,
        trim_start(rest),
    ))
}

/// Parses a URL, which ends at a space; a semicolon is part of it.
fn url(text: &str) -> Result<(VersionsOrUrl, &str), InvalidText> {
    let end = text.find(super::is_space).unwrap_or(text.len());
    let (url, rest) = text
        .split_at_checked(end)
        .filter(|(url, _)| !url.is_empty())
        .ok_or_else(|| InvalidText::because("needs a URL after the @"))?;
    Ok((VersionsOrUrl::Url(url.to_owned()), trim_start(rest)))
}

/// Parses a specifier set, in parentheses or not, up to a semicolon or the end.
fn versions(text: &str) -> Result<(VersionsOrUrl, &str), InvalidText> {
    let (set, rest) = match text.strip_prefix('(') {
        Some(inner) => {
            let (set, rest) = inner
                .split_once(')')
                .ok_or_else(|| InvalidText::because("has an opening bracket and no closing one"))?;
            (set, trim_start(rest))
        }
        None => text
            .split_at_checked(text.find(';').unwrap_or(text.len()))
            .unwrap_or((text, "")),
    };
    let set = trim(set);
    if !set.chars().all(|c| matches!(c, '\t' | ' '..='~')) {
        return Err(InvalidText::because(
            "has a character in its versions that is not ASCII",
        ));
    }
    Ecosystem::Pypi.requirement(set)?;
    // Only a set by itself may have empty parts.
    let parts = set.strip_suffix(',').unwrap_or(set);
    if !set.is_empty() && parts.split(',').any(|part| trim(part).is_empty()) {
        return Err(InvalidText::because("has a comma with nothing before it"));
    }
    Ok((VersionsOrUrl::Versions(set.to_owned()), rest))
}

/// Parses a name at the front: letters, digits, dots, hyphens and underscores, ending in neither a
/// dot nor a hyphen.
fn word(text: &str) -> Option<(&str, &str)> {
    let is_in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let end = text.find(|c| !is_in_name(c)).unwrap_or(text.len());
    let (word, _) = text.split_at_checked(end)?;
    let (word, rest) = text.split_at_checked(word.trim_end_matches(['.', '-']).len())?;
    // A letter of another script continues the word, as in Python.
    let goes_on = rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    (word.starts_with(|c: char| c.is_ascii_alphanumeric()) && !goes_on).then_some((word, rest))
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

fn trim(text: &str) -> &str {
    text.trim_matches(is_blank)
}

fn trim_start(text: &str) -> &str {
    text.trim_start_matches(is_blank)
}
