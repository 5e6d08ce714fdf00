//! How good a hit is: by its name above all, then by where the words stand, then by how many packages depend on it.
//!
//! The index only says what matches; on names, people's expectations are firmer than any statistics of words.

use super::{Terms, language::words};

/// Weights, in parts of the whole. An exact name comes before whatever else a package has to show.
const EXACT: f64 = 3.0;
const BEGINS: f64 = 0.8;
/// How much of the name the text is.
const COVERED: f64 = 0.6;
/// And that it is one word: `libreoffice` is what is meant sooner than `libreoffice-core`.
const ONE: f64 = 0.35;
/// A package is named shortly, and what is built around it longer.
const SHORT: f64 = 0.25;
const WORDS: f64 = 1.6;
const POPULAR: f64 = 1.2;

/// Dependents beyond which more of them say nothing new.
const MANY: f64 = 5_000.0;

/// What of a package is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub name: &'a str,
    pub title: Option<&'a str>,
    pub summary: &'a str,
    /// Categories and tags, with anything but letters and digits between them.
    pub labels: &'a str,
    pub dependents: u64,
    /// Peers that were seen to have it.
    pub providers: u64,
}

/// How good a package is for what is asked, 0 to 1. A pure function of what it is given, so that the hits of many nodes
/// can be put in one order.
pub fn score(terms: &Terms, candidate: &Candidate<'_>) -> f64 {
    let Candidate { name, title, summary, labels, dependents, providers } = *candidate;
    let popular = (1.0 + dependents as f64).ln() / (1.0 + MANY).ln() + 0.05 * (1.0 + providers as f64).ln();
    let popular = POPULAR * popular.min(1.0);
    let asked: Vec<&str> = terms.words().collect();
    let most = EXACT + BEGINS + COVERED + ONE + SHORT + WORDS + POPULAR;
    if asked.is_empty() {
        return popular / most;
    }
    let plain = plain(name);
    let text: String = asked.concat();
    let name: Vec<String> = words(name).collect();
    let by_name = if plain == text {
        EXACT + BEGINS + COVERED + ONE
    } else if plain.starts_with(&text) {
        let one = if name.len() == 1 { ONE } else { 0.0 };
        BEGINS + COVERED * text.len() as f64 / plain.len() as f64 + one
    } else {
        0.0
    };
    let beside: Vec<String> = title.into_iter().flat_map(words).chain(words(summary)).collect();
    let labels: Vec<String> = words(labels).collect();
    let last = asked.len() - 1;
    let open = terms.wanted.last().is_some_and(|phrase| phrase.open);
    let in_words: f64 = asked
        .iter()
        .enumerate()
        .map(|(at, word)| {
            let begins = |held: &String| held.starts_with(word);
            if name.iter().any(|held| held == word) {
                1.0
            } else if name.iter().any(begins) {
                0.8
            } else if beside.iter().take(8).any(|held| held == word) {
                0.6
            } else if plain.contains(word) {
                0.5
            } else if labels.iter().any(|held| held == word) || beside.iter().any(|held| held == word) {
                0.45
            } else if at == last && open && beside.iter().chain(&labels).any(begins) {
                0.25
            } else {
                // Somewhere in the description, or spelt otherwise.
                0.05
            }
        })
        .sum();
    let short = SHORT / name.len().max(1) as f64;
    (by_name + short + WORDS * in_words / asked.len() as f64 + popular) / most
}

/// A name without what stands between its words.
fn plain(name: &str) -> String {
    words(name).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::parse, *};
    use proptest::prelude::*;

    fn candidate(name: &str, dependents: u64) -> Candidate<'_> {
        Candidate { name, title: None, summary: "a thing", labels: "", dependents, providers: 0 }
    }

    fn of(text: &str, name: &str, dependents: u64) -> f64 {
        score(&parse(text), &candidate(name, dependents))
    }

    #[test]
    fn names_come_first() {
        assert!(of("git", "git", 0) > of("git", "git-man", 1_000_000));
        assert!(of("git", "gitk", 10) > of("git", "digit", 10));
        assert!(of("serde json", "serde-json", 0) > of("serde json", "serde-json-core", 100));
        assert!(of("web", "webkit", 500) > of("web", "webfoo", 0));
    }

    proptest! {
        #[test]
        fn a_score_is_one_and_dependents_never_hurt(text in "[a-z -]{0,20}", name in "[a-z][a-z0-9-]{0,20}", dependents in 0u64..1 << 40) {
            let now = of(&text, &name, dependents);
            prop_assert!((0.0..=1.0).contains(&now), "{now}");
            prop_assert!(of(&text, &name, dependents + 1) >= now);
        }
    }
}
