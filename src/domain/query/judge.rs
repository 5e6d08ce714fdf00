//! Checks that a package which a peer returned as a hit is relevant to the query.

use super::{Facet, SearchFilter, SearchTerms, fold, licenses, words};
use crate::domain::{
    manifest::Manifest,
    record::{Authorised, Head},
};

/// Returns the number of typos tolerated in a word: none in short ones, because everything would
/// resemble them.
pub fn may_differ(word: &str) -> usize {
    match word.chars().count() {
        0..4 => 0,
        4..8 => 1,
        _ => 2,
    }
}

/// Returns the edit distance: letters that are wrong, missing, added or swapped.
pub fn distance(a: &str, b: &str) -> usize {
    strsim::osa_distance(a, b)
}

/// Returns true if an honest node could have returned the package as a hit. It errs towards true,
/// because another version may fold letters differently and tolerates typos. The aim is to catch
/// peers that answer every query with packages they want to promote.
pub fn could_match(
    terms: &SearchTerms,
    head: &Authorised<Head>,
    manifest: &Authorised<Manifest>,
) -> bool {
    let texts = [
        manifest.name.as_str(),
        manifest.title.as_deref().unwrap_or_default(),
        &manifest.description,
    ];
    let labels = manifest
        .categories
        .iter()
        .chain(&manifest.tags)
        .map(String::as_str);
    let held: Vec<String> = texts.into_iter().chain(labels).flat_map(words).collect();
    let is_plain = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let foreign = held.iter().any(|word| !word.is_ascii());
    let occurs = |word: &str| {
        let most = may_differ(word);
        foreign
            || !is_plain(word)
            || held
                .iter()
                .any(|held| held.starts_with(word) || distance(held, word) <= most)
    };
    terms.words().all(occurs)
        && terms
            .filters
            .iter()
            .all(|filter| passes(filter, head, manifest))
}

fn passes(filter: &SearchFilter, head: &Authorised<Head>, manifest: &Authorised<Manifest>) -> bool {
    let SearchFilter { facet, value, not } = filter;
    let among = |labels: &[String]| labels.iter().any(|label| fold(label) == *value);
    let has = match facet {
        Facet::Category => among(&manifest.categories),
        Facet::Tag => among(&manifest.tags),
        Facet::License => {
            let license = manifest.license.as_deref().unwrap_or_default();
            fold(license) == *value || licenses(license).any(|one| fold(one) == *value)
        }
        Facet::Ecosystem => manifest.ecosystem.as_str() == value,
        Facet::Publisher => {
            head.handle
                .as_ref()
                .is_some_and(|handle| handle.as_str() == value)
                || fold(&head.owner().to_string()) == *value
        }
    };
    has != *not
}
