//! Shortens, cleans or leaves out untrusted metadata so that it can be signed.

use crate::domain::{
    hash::ContentRoot,
    manifest::{Artifacts, Content, Dependency, DependencyKind, Draft, Ecosystem, File, limit},
    name::{NameError, PublisherId},
    record::{MAX_MANIFEST, MAX_NUMBER, encode, signed_len},
    text::{fit, is_joiner, printable},
    time::Timestamp,
};

/// Bytes of a signed manifest reserved for additions at publication.
const KEPT_FREE: usize = 1_024;

/// A package's metadata as written.
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
    let authors = facts
        .authors
        .iter()
        .filter_map(|author| without_address(author))
        .collect();
    Ok(Draft {
        handle: None,
        name: facts
            .name
            .parse()
            .map_err(|error: NameError| error.to_string())?,
        version: facts
            .version
            .parse()
            .map_err(|error: NameError| error.to_string())?,
        title: None,
        description: clean(facts.description, limit::DESCRIPTION),
        categories: labels(facts.categories, limit::CATEGORIES, limit::LABEL),
        tags: labels(facts.tags, limit::TAGS, limit::LABEL),
        license: facts
            .license
            .map(|license| clean(license, limit::LICENSE))
            .filter(|license| !license.is_empty()),
        authors: labels(authors, limit::AUTHORS, limit::AUTHOR),
        repository: facts.repository.and_then(link),
        homepage: facts.homepage.and_then(link),
        dependencies: Vec::new(),
        ecosystem: facts.ecosystem,
    })
}

/// Returns the draft if it can be signed.
pub(crate) fn checked(draft: Draft) -> Result<Draft, String> {
    match draft.check(Timestamp::default()) {
        Ok(_) => Ok(draft),
        Err(errors) => Err(errors.first().map(ToString::to_string).unwrap_or_default()),
    }
}

/// Returns the draft with as many dependencies as fit into a manifest, required ones first, and the
/// rest as messages for a person.
pub(crate) fn with_dependencies(draft: Draft, needs: Vec<Dependency>) -> (Draft, Vec<String>) {
    let beside = Some(Content {
        root: ContentRoot::of(b""),
        size: limit::BESIDE,
    });
    let empty = File::of(&draft.ecosystem, "x".repeat(limit::FILE), b"");
    let published_at = Some(Timestamp(MAX_NUMBER));
    let file = File {
        size: MAX_NUMBER,
        native: beside,
        published_at,
        ..empty
    };
    let artifacts = Artifacts {
        files: vec![file],
        readme: beside,
        native: beside,
    };
    let base = draft
        .clone()
        .into_manifest(PublisherId::nobody(), artifacts, Timestamp(MAX_NUMBER));
    let mut room = base.map_or(0, |base| {
        MAX_MANIFEST.saturating_sub(KEPT_FREE + signed_len(&base))
    });
    let (mut kept, mut left_out): (Vec<Dependency>, Vec<String>) = (Vec::new(), Vec::new());
    let mut needs = needs;
    needs.sort_by_key(|need| need.optional || need.kind != DependencyKind::Runtime);
    for need in needs {
        let why = match need.problem(&draft.ecosystem) {
            Some(problem) => Some(problem),
            None if kept.contains(&need) => continue,
            None if kept.len() == limit::DEPENDENCIES => {
                Some("a manifest has no room for more".to_owned())
            }
            None => match encode(&need)
                .ok()
                .and_then(|bytes| room.checked_sub(bytes.len()))
            {
                Some(left) => {
                    room = left;
                    None
                }
                None => Some("a manifest has no room for it".to_owned()),
            },
        };
        match why {
            Some(why) => left_out.push(format!("{}: {why}", fit(&printable(need.written()), 80))),
            None => kept.push(need),
        }
    }
    (
        Draft {
            dependencies: kept,
            ..draft
        },
        left_out,
    )
}

/// Returns one line of at most `most` bytes without unsafe characters.
pub(crate) fn clean(text: &str, most: usize) -> String {
    shorten(printable(text), most)
}

/// Returns `text` cut to at most `most` bytes, with `…` if something is missing.
pub(crate) fn shorten(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most.saturating_sub('…'.len_utf8())));
        // A joiner needs something to join.
        text.truncate(
            text.trim_end_matches(|c: char| c.is_whitespace() || is_joiner(c))
                .len(),
        );
        text.push('…');
    }
    text
}

/// Returns at most `most` distinct labels, cleaned.
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

/// Returns the name in `Name <address>`: nobody agreed to have their address published.
pub(crate) fn without_address(author: &str) -> Option<String> {
    let name = author.split('<').next().unwrap_or_default().trim();
    (!name.is_empty() && !name.contains('@')).then(|| name.to_owned())
}

/// Returns the text if it is a link that can be shown.
pub(crate) fn link(text: &str) -> Option<String> {
    let link = text.trim();
    let is_link = link.starts_with("https://") || link.starts_with("http://");
    (is_link && link.len() <= limit::LINK && printable(link) == link && !link.contains(' '))
        .then(|| link.to_owned())
}
