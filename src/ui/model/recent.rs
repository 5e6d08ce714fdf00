//! Recent searches.

use std::collections::VecDeque;

use crate::domain::text::printable;

/// Most searches kept.
const MOST: usize = 50;
/// Longest search kept, in characters: the limit of the search field.
const LONGEST: usize = 200;

/// Recent searches, newest first and without duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecentSearches {
    texts: VecDeque<String>,
    /// The newest one may be an unfinished text: it was noted while the user paused.
    is_beginning: bool,
}

impl RecentSearches {
    /// Restores saved searches, with the same limits: the file may have been edited.
    pub fn from_texts(texts: impl IntoIterator<Item = String>) -> Self {
        let mut recent = Self::default();
        for text in texts {
            let text: String = printable(&text).chars().take(LONGEST).collect();
            if !text.is_empty() && !recent.texts.contains(&text) && recent.texts.len() < MOST {
                recent.texts.push_back(text);
            }
        }
        recent
    }

    pub fn to_texts(&self) -> Vec<String> {
        self.texts.iter().cloned().collect()
    }

    /// Notes a search; returns true if the list changes. A text that has not `ended` is replaced by
    /// a longer one that begins with it, so that the list does not fill up with prefixes.
    pub fn note(&mut self, text: &str, ended: bool) -> bool {
        let text = printable(text);
        if text.is_empty() {
            return false;
        }
        let before = self.texts.clone();
        if self.is_beginning
            && self
                .texts
                .front()
                .is_some_and(|newest| text.contains(newest.as_str()))
        {
            self.texts.pop_front();
        }
        self.texts.retain(|other| *other != text);
        self.texts.push_front(text);
        self.texts.truncate(MOST);
        self.is_beginning = !ended;
        before != self.texts
    }

    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Returns the searches that contain every typed word, also as part of a longer one.
    pub fn found(&self, typed: &str) -> Vec<&str> {
        let words: Vec<String> = typed.split_whitespace().map(str::to_lowercase).collect();
        let has_all = |text: &&str| {
            let text = text.to_lowercase();
            words.iter().all(|word| text.contains(word.as_str()))
        };
        self.texts
            .iter()
            .map(String::as_str)
            .filter(has_all)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_beginning_gives_way_and_what_has_ended_stays() {
        let mut recent = RecentSearches::default();
        for (text, ended) in [
            ("pa", false),
            ("parser", false),
            ("parser js", true),
            ("parser json", false),
        ] {
            assert!(recent.note(text, ended), "{text}");
        }
        assert_eq!(recent.to_texts(), ["parser json", "parser js"]);
        assert!(!recent.note(" parser json ", true), "the same is no news");
        assert!(!recent.note(" ", true));
        recent.note("category:web parser json", false);
        recent.note("parser js", true);
        assert_eq!(
            recent.to_texts(),
            ["parser js", "category:web parser json", "parser json"]
        );
        assert_eq!(recent.found("WEB par"), ["category:web parser json"]);
        assert_eq!(recent.found("").len(), 3);
    }

    proptest! {
        #[test]
        fn the_list_is_bounded_and_has_nothing_twice(texts in proptest::collection::vec(("[a-c ]{0,4}", any::<bool>()), 0..120)) {
            let mut recent = RecentSearches::default();
            for (text, ended) in &texts {
                recent.note(text, *ended);
                let text = printable(text);
                prop_assert!(text.is_empty() || recent.texts.front() == Some(&text));
            }
            let all = recent.to_texts();
            let apart: std::collections::HashSet<&String> = all.iter().collect();
            prop_assert!(all.len() <= MOST && apart.len() == all.len());
            prop_assert_eq!(RecentSearches::from_texts(all.clone()).to_texts(), all);
        }
    }
}
