//! What somebody wrote about a package, made such that it can be signed: cut, cleaned or left out.

use crate::domain::{
    hash::ContentRoot,
    manifest::{Content, Draft, Ecosystem, limit},
    name::{NameError, PackageName, PublisherId},
    text::{is_joiner, printable},
    time::Timestamp,
    version::RequirementText,
};

/// Dependencies kept, and the bytes their keys, names and requirements may take: a manifest then still fits into the envelope
/// that the network carries.
const MAX_NEEDS: usize = 32;
const MAX_NEEDS_BYTES: usize = 1_968;
/// The text of a publisher's key, before each of them.
const KEY: usize = 52;

/// A package that another one needs, before it is known who publishes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    pub name: PackageName,
    pub requirement: RequirementText,
    pub optional: bool,
}

/// What is known of a package, as somebody wrote it.
pub(crate) struct Facts<'a> {
    pub ecosystem: Ecosystem,
    pub name: &'a str,
    pub version: &'a str,
    pub description: &'a str,
    pub categories: Vec<String>,
    pub tags: Vec<String>,
    pub license: Option<&'a str>,
    pub authors: Vec<String>,
    pub repository: Option<&'a str>,
    pub homepage: Option<&'a str>,
}

pub(crate) fn draft(facts: Facts<'_>) -> Result<Draft, String> {
    let authors = facts.authors.iter().filter_map(|author| without_address(author)).collect();
    Ok(Draft {
        handle: None,
        name: facts.name.parse().map_err(|error: NameError| error.to_string())?,
        version: facts.version.parse().map_err(|error: NameError| error.to_string())?,
        title: None,
        description: clean(facts.description, limit::DESCRIPTION),
        categories: labels(facts.categories, limit::CATEGORIES, limit::LABEL),
        tags: labels(facts.tags, limit::TAGS, limit::LABEL),
        license: facts.license.map(|license| clean(license, limit::LICENSE)).filter(|license| !license.is_empty()),
        authors: labels(authors, limit::AUTHORS, limit::AUTHOR),
        repository: facts.repository.and_then(link),
        homepage: facts.homepage.and_then(link),
        dependencies: Vec::new(),
        ecosystem: facts.ecosystem,
    })
}

/// The draft, if it can be signed as it is.
pub(crate) fn checked(draft: Draft) -> Result<Draft, String> {
    let content = Content { root: ContentRoot::of(b""), size: 0 };
    match draft.clone().into_manifest(PublisherId::nobody(), content, Timestamp::default()) {
        Ok(_) => Ok(draft),
        Err(errors) => Err(errors.first().map(ToString::to_string).unwrap_or_default()),
    }
}

/// As many of them as a manifest has room for, each once.
pub(crate) fn bounded(needs: impl Iterator<Item = Need>) -> Vec<Need> {
    let mut room = MAX_NEEDS_BYTES;
    let mut kept: Vec<Need> = Vec::new();
    for need in needs.take(limit::DEPENDENCIES) {
        let bytes = KEY + need.name.as_str().len() + need.requirement.to_string().len();
        let known = kept.iter().any(|known| known.name == need.name);
        if kept.len() < MAX_NEEDS && bytes <= room && !known {
            room -= bytes;
            kept.push(need);
        }
    }
    kept
}

/// One line of at most `most` bytes without anything that moves a cursor.
pub(crate) fn clean(text: &str, most: usize) -> String {
    shorten(printable(text), most)
}

/// `text` cut to at most `most` bytes, with `…` where something is missing.
pub(crate) fn shorten(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most.saturating_sub('…'.len_utf8())));
        // A joiner is nothing without what it joins.
        text.truncate(text.trim_end_matches(|c: char| c.is_whitespace() || is_joiner(c)).len());
        text.push('…');
    }
    text
}

/// As many of them as `most`, each cleaned and once.
pub(crate) fn labels(texts: Vec<String>, most: usize, longest: usize) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for text in texts {
        let label = clean(&text, longest);
        if !label.is_empty() && !labels.contains(&label) && labels.len() < most {
            labels.push(label);
        }
    }
    labels
}

/// The name in `Name <address>`: nobody asked for their address to be gossiped.
pub(crate) fn without_address(author: &str) -> Option<String> {
    let name = author.split('<').next().unwrap_or_default().trim();
    (!name.is_empty() && !name.contains('@')).then(|| name.to_owned())
}

/// The text, if it is a link that can be shown.
pub(crate) fn link(text: &str) -> Option<String> {
    let link = text.trim();
    let is_link = link.starts_with("https://") || link.starts_with("http://");
    (is_link && link.len() <= limit::LINK && printable(link) == link && !link.contains(' ')).then(|| link.to_owned())
}
