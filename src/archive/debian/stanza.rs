//! Turns an untrusted stanza into a draft that can be signed. Name and version must be valid and
//! fields unambiguous; everything else is shortened, cleaned or left out.

use std::{collections::HashMap, str};

use super::tags::tags;
use crate::{
    archive::sanitise::{checked, labels, link, shorten, with_dependencies, without_address},
    domain::{
        manifest::{Dependency, Draft, Ecosystem, limit},
        name::{NameError, PackageName, WrittenName},
        text::{fit, printable},
        version::RequirementText,
    },
};

/// A package of an index, ready to be published: its draft is valid, without a handle. Of
/// alternative dependencies it has the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stanza {
    pub draft: Draft,
    /// Dependencies that the draft cannot express, each with the reason.
    pub left_out: Vec<String>,
    /// The whole description after its first line.
    pub details: Option<String>,
    /// The stanza as in the index, ending with one line feed. It is not cleaned: do not display it.
    pub text: String,
}

/// The reason why a stanza is not a valid package.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StanzaError {
    #[error("it is too long")]
    TooLong,
    #[error("it is not UTF-8")]
    NotText,
    #[error("it has a line that is not a field: \"{0}\"")]
    NotField(String),
    #[error("it has the field {0} twice")]
    Twice(String),
    #[error("it has no {0}")]
    Missing(&'static str),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("{0}")]
    Unsignable(String),
}

impl Stanza {
    /// Parses the lines of one stanza.
    ///
    /// Text that is not UTF-8, which policy 5.1 requires, is refused and not repaired: signed text
    /// is kept for good.
    pub(in crate::archive) fn of(text: &[u8]) -> Result<Self, StanzaError> {
        let text = str::from_utf8(text)
            .map_err(|_| StanzaError::NotText)?
            .trim_end_matches(['\r', '\n']);
        let fields = fields(text)?;
        let field = |name: &str| fields.get(name).copied().filter(|value| !value.is_empty());
        let list = |name: &str| field(name).into_iter().flat_map(|value| value.split(','));

        let debian = field("package").ok_or(StanzaError::Missing("Package"))?;
        let name: WrittenName = debian.parse()?;
        let draft = Draft {
            handle: None,
            version: field("version")
                .ok_or(StanzaError::Missing("Version"))?
                .parse()?,
            title: None,
            name,
            description: shorten(
                field("description").map(lines).unwrap_or_default(),
                limit::DESCRIPTION,
            ),
            categories: labels(
                field("section").and_then(category).into_iter().collect(),
                limit::CATEGORIES,
                limit::LABEL,
            ),
            tags: field("tag").map(tags).unwrap_or_default(),
            license: None,
            authors: labels(
                field("maintainer")
                    .and_then(without_address)
                    .into_iter()
                    .collect(),
                limit::AUTHORS,
                limit::AUTHOR,
            ),
            repository: None,
            homepage: field("homepage").and_then(link),
            dependencies: Vec::new(),
            ecosystem: Ecosystem::Debian,
        };
        let text = format!("{text}\n");
        let draft = checked(draft).map_err(StanzaError::Unsignable)?;
        let details = field("description")
            .and_then(|value| value.split_once('\n'))
            .map(|(_, details)| lines(details));
        let details = details.filter(|details| !details.is_empty());
        let (needs, unsaid) = needs(list("pre-depends").chain(list("depends")));
        let (draft, mut left_out) = with_dependencies(draft, needs);
        left_out.extend(unsaid);
        Ok(Self {
            draft,
            left_out,
            details,
            text,
        })
    }
}

/// Returns the fields by name in lower case (policy 5.1). A duplicate field is an error, because
/// some programs use the first and others the last.
pub(in crate::archive) fn fields(text: &str) -> Result<HashMap<String, &str>, StanzaError> {
    let mut fields = HashMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let field;
        (field, rest) = first_field(rest);
        let shown = |text: &str| fit(&printable(text), 40);
        let (name, value) = field
            .split_once(':')
            .filter(|(name, _)| !name.is_empty() && !name.contains(char::is_whitespace))
            .ok_or_else(|| StanzaError::NotField(shown(field)))?;
        if fields
            .insert(name.to_ascii_lowercase(), value.trim())
            .is_some()
        {
            return Err(StanzaError::Twice(shown(name)));
        }
    }
    Ok(fields)
}

/// Splits off the first field with all its lines: a line that begins with a space continues it.
fn first_field(text: &str) -> (&str, &str) {
    let mut ends = text
        .match_indices('\n')
        .map(|(end, _)| (text.get(..end), text.get(end + 1..)));
    ends.find_map(|(field, rest)| {
        Some((field?, rest.filter(|rest| !rest.starts_with([' ', '\t']))?))
    })
    .unwrap_or((text, ""))
}

/// Removes the leading space of each line; a lone dot is a blank line (policy 5.6.13).
fn lines(value: &str) -> String {
    let lines = value.lines().map(|line| {
        if line.trim() == "." {
            String::new()
        } else {
            printable(line)
        }
    });
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// Returns the section without the archive area: `non-free/net` is `net`.
fn category(section: &str) -> Option<String> {
    section.rsplit('/').next().map(str::to_owned)
}

/// Returns each package once, merging requirements while they fit: `a (>= 1), a (<< 2)` is one
/// dependency with both bounds. Also returns those that cannot be expressed.
fn needs<'a>(relations: impl Iterator<Item = &'a str>) -> (Vec<Dependency>, Vec<String>) {
    let (mut needs, mut unsaid): (Vec<Dependency>, Vec<String>) = (Vec::new(), Vec::new());
    for relation in relations
        .map(str::trim)
        .filter(|relation| !relation.is_empty())
    {
        let Some(need) = need(relation) else {
            unsaid.push(format!(
                "{}: it is not a package name",
                fit(&printable(relation), 80)
            ));
            continue;
        };
        let known = needs.iter_mut().find(|known| known.on == need.on);
        match known.and_then(|known| Some((both(&known.requirement, &need.requirement)?, known))) {
            Some((both, known)) => known.requirement = both,
            None => needs.push(need),
        }
    }
    (needs, unsaid)
}

/// Returns the first alternative of `libc6:any (>= 2.36) [amd64] <!nocheck> | libc` (policy 7.1);
/// `None` if its name cannot be published.
fn need(relation: &str) -> Option<Dependency> {
    let first = relation.split('|').next()?.trim();
    let name = first.split([':', ' ', '\t', '\n', '(', '[', '<']).next()?;
    // dpkg lowercases names.
    let name: WrittenName = name.to_ascii_lowercase().parse().ok()?;
    PackageName::of(&Ecosystem::Debian, &name).ok()?;
    let version = first
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'));
    let requirement =
        version.and_then(|(version, _)| version.trim().parse::<RequirementText>().ok());
    // An invalid version relation restricts nothing.
    let requirement = requirement.filter(|asked| asked.read(&Ecosystem::Debian).is_ok());
    Some(Dependency::bare(
        name,
        requirement.unwrap_or_else(RequirementText::any),
    ))
}

/// Combines the bounds of both requirements.
fn both(one: &RequirementText, other: &RequirementText) -> Option<RequirementText> {
    match (one.as_str(), other.as_str()) {
        (_, "*") => Some(one.clone()),
        ("*", _) => Some(other.clone()),
        (one, other) => format!("{one}, {other}").parse().ok(),
    }
}
