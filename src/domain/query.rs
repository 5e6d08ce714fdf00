//! What a search asks for.

use serde::{Deserialize, Serialize};

/// Longest search text, in bytes; longer ones are cut at a character, because peers refuse them.
pub const MAX_TEXT: usize = 200;
/// Most hits one search returns.
pub const MAX_HITS: usize = 200;
/// Most category or tag filters in one search.
pub const MAX_LABELS: usize = 8;

/// A search over packages. Empty text matches every package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// Words that must all occur in name, title, description, tags or categories; the last one as a prefix.
    pub text: String,
    /// Categories that must all be there.
    #[serde(default)]
    pub categories: Vec<String>,
    /// Tags that must all be there.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Most hits wanted, 1 to [`MAX_HITS`].
    pub limit: usize,
    /// Peers below this score, in 0 to 1, are not asked.
    #[serde(default)]
    pub min_reputation: f64,
}

impl Query {
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), categories: Vec::new(), tags: Vec::new(), limit: 50, min_reputation: 0.0 }
    }

    /// The same query within the limits that every node keeps.
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
        self.min_reputation = if self.min_reputation.is_finite() { self.min_reputation.clamp(0.0, 1.0) } else { 0.0 };
        self
    }

    /// The words of the text: runs of letters and digits, lower case, as the full-text index splits them.
    pub fn words(&self) -> Vec<String> {
        self.text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_split_like_the_index_splits_them() {
        assert_eq!(Query::text("Serde-JSON  x2!").words(), ["serde", "json", "x2"]);
        assert!(Query::text(" -\" ").words().is_empty());
    }

    proptest! {
        #[test]
        fn bounded_queries_keep_the_limits(text in ".{0,400}", limit in any::<usize>(), floor in any::<f64>()) {
            let query = Query { limit, min_reputation: floor, ..Query::text(text) }.bounded();
            prop_assert!(query.text.len() <= MAX_TEXT);
            prop_assert!((1..=MAX_HITS).contains(&query.limit));
            prop_assert!((0.0..=1.0).contains(&query.min_reputation));
        }
    }
}
