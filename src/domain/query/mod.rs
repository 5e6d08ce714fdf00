//! Search queries: their language, limits, ranking and results.

mod coverage;
mod edit;
mod hits;
mod judge;
mod language;
mod rank;
mod words;

pub use coverage::{estimate, share};
pub use edit::{name_publishers, with, without};
pub use hits::{
    Coverage, FacetCount, Facets, Hit, KnownReason, LookAlike, Namesake, SearchResults,
    SearchUpdate,
};
pub use judge::{could_match, distance, may_differ};
pub use language::{
    Facet, IncludeHidden, Mistake, Phrase, SearchFilter, SearchTerms, fold, licenses, parse,
};
pub use rank::{HitCandidate, Ranking};
pub use words::{joined, letters, runs, split, words};

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Longest search text in bytes. Longer ones are cut, because peers refuse them.
pub const MAX_TEXT: usize = 200;
/// The most hits that one search returns.
pub const MAX_HITS: usize = 200;
/// The most category or tag filters in one search.
pub const MAX_LABELS: usize = 8;
/// The largest offset: a person who would page further needs other words.
pub const MAX_OFFSET: usize = 10_000;

/// The largest offset served to other nodes: a node asks its peers for the first hits only.
pub const MAX_PUBLIC_OFFSET: usize = 500;

/// A search over packages. Empty text matches every package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// Text in the language of [`parse`].
    pub text: String,
    /// Categories that a package must all have.
    #[serde(default)]
    pub categories: Vec<String>,
    /// Tags that a package must all have.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The most hits to return, 1 to [`MAX_HITS`].
    pub limit: usize,
    /// The number of best hits to skip, 0 to [`MAX_OFFSET`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub offset: usize,
    /// Only peers with at least this score, 0 to 1, are asked.
    #[serde(default)]
    pub min_reputation: f64,
    /// Searches the local catalogue only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub local: bool,
    /// Time for peers to answer, instead of the node's `query_timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Query {
    /// Creates a query for a text, with a limit of 50 hits.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            categories: Vec::new(),
            tags: Vec::new(),
            limit: 50,
            offset: 0,
            min_reputation: 0.0,
            local: false,
            timeout: None,
        }
    }

    /// Returns the query cut to the limits that hold on every node.
    pub fn bounded(mut self) -> Self {
        let end = self.text.floor_char_boundary(MAX_TEXT);
        self.text.truncate(end);
        self.categories.truncate(MAX_LABELS);
        self.tags.truncate(MAX_LABELS);
        for label in self.categories.iter_mut().chain(&mut self.tags) {
            let end = label.floor_char_boundary(MAX_TEXT);
            label.truncate(end);
        }
        self.limit = self.limit.clamp(1, MAX_HITS);
        self.offset = self.offset.min(MAX_OFFSET);
        self.min_reputation = if self.min_reputation.is_finite() {
            self.min_reputation.clamp(0.0, 1.0)
        } else {
            0.0
        };
        self
    }

    /// Returns the query cut to the limits for other nodes.
    pub fn public(self) -> Self {
        let bounded = self.bounded();
        Self {
            offset: bounded.offset.min(MAX_PUBLIC_OFFSET),
            ..bounded
        }
    }

    /// Returns the conditions of the text and the labels together.
    pub fn terms(&self) -> SearchTerms {
        let mut terms = parse(&self.text);
        let label = |facet| {
            move |value: &String| SearchFilter {
                facet,
                value: fold(value),
                not: false,
            }
        };
        terms
            .filters
            .extend(self.categories.iter().map(label(Facet::Category)));
        terms
            .filters
            .extend(self.tags.iter().map(label(Facet::Tag)));
        terms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_split_like_the_index_splits_them() {
        let words = |text| words(text).collect::<Vec<_>>();
        assert_eq!(words("Serde-JSON  x2!"), ["serde", "json", "x2"]);
        assert!(words(" -\" ").is_empty());
    }

    proptest! {
        #[test]
        fn bounded_queries_keep_the_limits(text in ".{0,400}", limit in any::<usize>(), floor in any::<f64>()) {
            let query = Query { limit, offset: limit, min_reputation: floor, ..Query::text(text) }.bounded();
            prop_assert!(query.text.len() <= MAX_TEXT);
            prop_assert!((1..=MAX_HITS).contains(&query.limit));
            prop_assert!(query.offset <= MAX_OFFSET);
            prop_assert!((0.0..=1.0).contains(&query.min_reputation));
            prop_assert!(query.public().offset <= MAX_PUBLIC_OFFSET);
        }
    }
}
