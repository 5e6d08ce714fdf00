//! Ranks hits: by the name above all, then by the place of the words, then by the number of
//! dependents.
//!
//! The index only tells which packages match. For names, people's expectations are firmer than any
//! statistics of words.

use super::{SearchTerms, words};

/// Weights, relative to their sum. An exact name outweighs anything else a package has to show.
const EXACT: f64 = 3.0;
const BEGINS: f64 = 0.8;
/// Weight of the share of the name that the text covers.
const COVERED: f64 = 0.6;
/// Weight of a name that is one word: `libreoffice` is meant more often than `libreoffice-core`.
const ONE: f64 = 0.35;
/// Weight of a short name: packages have short names, and their extensions longer ones.
const SHORT: f64 = 0.25;
const WORDS: f64 = 1.6;
const POPULAR: f64 = 1.2;

/// The number of dependents above which more of them do not count.
const MANY: f64 = 5_000.0;

/// The properties of a package that its rank depends on.
#[derive(Clone, Copy, Debug)]
pub struct HitCandidate<'a> {
    /// The package's name.
    pub name: &'a str,
    /// The title, if there is one.
    pub title: Option<&'a str>,
    /// The one-line summary.
    pub summary: &'a str,
    /// Separated by anything but letters and digits.
    pub categories: &'a str,
    /// The tags, separated like the categories.
    pub tags: &'a str,
    /// The number of packages that depend on it.
    pub dependents: u64,
    /// The number of peers seen to have it.
    pub providers: u64,
}

/// Scores packages for a query. Built once for a search, because each keystroke scores hundreds.
#[derive(Clone, Debug)]
pub struct Ranking {
    asked: Vec<String>,
    /// All words without spaces.
    text: String,
    /// The last word may be a prefix.
    open: bool,
}

impl Ranking {
    /// Creates the ranking for a parsed search text.
    pub fn of(terms: &SearchTerms) -> Self {
        let asked: Vec<String> = terms.words().map(str::to_owned).collect();
        let open = terms.wanted.last().is_some_and(|phrase| phrase.open);
        Self {
            text: asked.concat(),
            asked,
            open,
        }
    }

    /// Returns a package's score, 0 to 1. It depends on the arguments only, so hits of many nodes
    /// can be merged into one order.
    pub fn score(&self, candidate: &HitCandidate<'_>) -> f64 {
        let HitCandidate {
            name,
            title,
            summary,
            categories,
            tags,
            dependents,
            providers,
        } = *candidate;
        let popular = (1.0 + dependents as f64).ln() / (1.0 + MANY).ln()
            + 0.05 * (1.0 + providers as f64).ln();
        let popular = POPULAR * popular.min(1.0);
        let most = EXACT + BEGINS + COVERED + ONE + SHORT + WORDS + POPULAR;
        if self.asked.is_empty() {
            return popular / most;
        }
        // The name without separators.
        let plain: String = split(name).collect();
        let parts = split(name).count();
        let by_name = if plain == self.text {
            EXACT + BEGINS + COVERED + ONE
        } else if plain.starts_with(&self.text) {
            let one = if parts == 1 { ONE } else { 0.0 };
            BEGINS + COVERED * self.text.len() as f64 / plain.len() as f64 + one
        } else {
            0.0
        };
        let beside = || title.into_iter().flat_map(split).chain(split(summary));
        let everywhere = || beside().chain(split(categories)).chain(split(tags));
        let last = self.asked.len() - 1;
        let in_words: f64 = self
            .asked
            .iter()
            .enumerate()
            .map(|(at, word)| {
                if split(name).any(|held| held == word) {
                    1.0
                } else if split(name).any(|held| held.starts_with(word.as_str())) {
                    0.8
                } else if beside().take(8).any(|held| is(held, word)) {
                    0.6
                } else if plain.contains(word.as_str()) {
                    0.5
                } else if everywhere().any(|held| is(held, word)) {
                    0.45
                } else if at == last && self.open && everywhere().any(|held| begins(held, word)) {
                    0.25
                } else {
                    // Somewhere in the description, or spelt differently.
                    0.05
                }
            })
            .sum();
        let short = SHORT / parts.max(1) as f64;
        (by_name + short + WORDS * in_words / self.asked.len() as f64 + popular) / most
    }
}

/// Splits a text into words as written.
fn split(text: &str) -> impl Iterator<Item = &str> {
    words::split(text).map(|(_, word)| word)
}

/// Returns true if a written word equals the folded `word`.
fn is(held: &str, word: &str) -> bool {
    if held.is_ascii() {
        held.eq_ignore_ascii_case(word)
    } else {
        words::folded(held) == word
    }
}

fn begins(held: &str, word: &str) -> bool {
    match held.get(..word.len()) {
        Some(begin) if held.is_ascii() => begin.eq_ignore_ascii_case(word),
        _ => words::folded(held).starts_with(word),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::parse, *};
    use proptest::prelude::*;

    fn candidate(name: &str, dependents: u64) -> HitCandidate<'_> {
        HitCandidate {
            name,
            title: None,
            summary: "a thing",
            categories: "",
            tags: "",
            dependents,
            providers: 0,
        }
    }

    fn of(text: &str, name: &str, dependents: u64) -> f64 {
        Ranking::of(&parse(text)).score(&candidate(name, dependents))
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
        fn a_score_is_one_and_dependents_never_hurt(text in "[a-z \
            -]{0,20}", name in "[a-z][a-z0-9-]{0,20}", dependents in 0u64..1 << 40) {
            let now = of(&text, &name, dependents);
            prop_assert!((0.0..=1.0).contains(&now), "{now}");
            prop_assert!(of(&text, &name, dependents + 1) >= now);
        }
    }
}
