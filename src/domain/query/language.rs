//! The search language: words, `"a phrase"`, `-not`, and filters such as `category:web` or
//! `updated:<30d`.
//!
//! A mistake is reported with its position, and the rest is searched all the same: nobody types a
//! query in one go.

use std::{ops::Range, time::Duration};

use super::words::{joined, runs, words};
use crate::{domain::text::is_joiner, ecosystem::Ecosystem};

/// The most words, excluded words and filters that count.
const MOST: usize = 16;

/// The properties by which packages are filtered, besides words.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Facet {
    /// A category.
    Category,
    /// A tag.
    Tag,
    /// A license.
    License,
    /// An ecosystem.
    Ecosystem,
    /// A publisher's handle or id.
    Publisher,
}

impl Facet {
    /// All facets.
    pub const ALL: [Self; 5] = [
        Self::Category,
        Self::Tag,
        Self::License,
        Self::Ecosystem,
        Self::Publisher,
    ];

    /// Returns its name in a search text.
    pub fn key(self) -> &'static str {
        match self {
            Self::Category => "category",
            Self::Tag => "tag",
            Self::License => "license",
            Self::Ecosystem => "eco",
            Self::Publisher => "publisher",
        }
    }

    /// Returns the filter for `value`, as written in a search text.
    pub fn filter(self, value: &str) -> String {
        let quote = if value.contains(char::is_whitespace) {
            "\""
        } else {
            ""
        };
        format!("{}:{quote}{}{quote}", self.key(), value.replace('"', ""))
    }
}

/// Adjacent words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phrase {
    /// Lower-case words; never empty.
    pub words: Vec<String>,
    /// The last word may be a prefix.
    pub open: bool,
}

impl Phrase {
    /// Returns the words as a person would have typed them.
    pub fn text(&self) -> String {
        joined(self.words.iter().map(String::as_str))
    }
}

/// A value that packages must have, or must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchFilter {
    /// The facet.
    pub facet: Facet,
    /// The value after [`fold`].
    pub value: String,
    /// Exclude packages with the value.
    pub not: bool,
}

/// Packages that are hidden unless asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IncludeHidden {
    /// Only packages of which every release is yanked.
    pub yanked: bool,
    /// Also packages of distrusted publishers.
    pub distrusted: bool,
}

/// A mistake in the text, with its position in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Its position in the text, in bytes.
    pub at: Range<usize>,
    /// A sentence about the mistake.
    pub why: String,
}

/// A parsed search text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchTerms {
    /// All of them must occur.
    pub wanted: Vec<Phrase>,
    /// None of them may occur.
    pub unwanted: Vec<Phrase>,
    /// All of them must hold.
    pub filters: Vec<SearchFilter>,
    /// Signed within this time.
    pub within: Option<Duration>,
    /// Signed longer ago than this.
    pub before: Option<Duration>,
    /// Packages asked for that are otherwise hidden.
    pub asked: IncludeHidden,
    /// The mistakes in the text.
    pub mistakes: Vec<Mistake>,
}

/// Returns a label in the form in which it is compared.
pub fn fold(label: &str) -> String {
    label.trim().to_lowercase().replace(is_joiner, "")
}

/// Returns the licenses named in an expression.
pub fn licenses(expression: &str) -> impl Iterator<Item = &str> {
    let parts =
        expression.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '/' | ',' | '|'));
    parts.filter(|part| !part.is_empty() && !matches!(*part, "OR" | "AND" | "WITH" | "or" | "and"))
}

/// A piece of the text between spaces; quotes keep spaces within it.
pub(super) struct TextPiece<'a> {
    pub(super) at: Range<usize>,
    pub(super) text: &'a str,
    is_last: bool,
}

pub(super) fn pieces(text: &str) -> Vec<TextPiece<'_>> {
    let (mut pieces, mut start, mut quoted) = (Vec::new(), None, false);
    let mut take = |at: Range<usize>| {
        if let Some(piece) = text.get(at.clone()) {
            pieces.push(TextPiece {
                at,
                text: piece,
                is_last: false,
            });
        }
    };
    for (at, c) in text.char_indices() {
        if c.is_whitespace() && !quoted {
            if let Some(start) = start.take() {
                take(start..at);
            }
            continue;
        }
        quoted ^= c == '"';
        start.get_or_insert(at);
    }
    if let Some(start) = start {
        take(start..text.len());
    }
    if let Some(last) = pieces.last_mut() {
        last.is_last = true;
    }
    pieces
}

/// Parses a search text.
pub fn parse(text: &str) -> SearchTerms {
    let mut terms = SearchTerms::default();
    for piece in pieces(text) {
        terms.take(&piece);
    }
    if terms.asks_nothing() && terms.mistakes.is_empty() {
        let why = "this only says what to leave out; add a word to search for";
        let start = text.len() - text.trim_start().len();
        terms.mistakes.push(Mistake {
            at: start..text.trim_end().len(),
            why: why.to_owned(),
        });
    }
    terms
}

impl SearchTerms {
    /// Returns true if nothing restricts the search, so that every visible package matches.
    pub fn is_everything(&self) -> bool {
        self.names_nothing() && self.unwanted.is_empty() && self.mistakes.is_empty()
    }

    /// Returns true if there is text but nothing in it says what is wanted. No package matches
    /// then, since returning all of them would be misleading.
    pub fn asks_nothing(&self) -> bool {
        self.names_nothing() && !(self.unwanted.is_empty() && self.mistakes.is_empty())
    }

    fn names_nothing(&self) -> bool {
        let Self {
            wanted,
            unwanted: _,
            filters,
            within,
            before,
            asked,
            mistakes: _,
        } = self;
        let nothing = wanted.is_empty() && filters.is_empty();
        nothing && within.is_none() && before.is_none() && *asked == IncludeHidden::default()
    }

    /// Returns every wanted word, in order.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.wanted
            .iter()
            .flat_map(|phrase| phrase.words.iter().map(String::as_str))
    }

    fn take(&mut self, piece: &TextPiece<'_>) {
        let (not, rest) = match piece.text.strip_prefix('-') {
            Some(rest) if !rest.is_empty() => (true, rest),
            _ => (false, piece.text),
        };
        if let Some((key, value)) = rest.split_once(':')
            && !key.is_empty()
            && key.chars().all(char::is_alphabetic)
            && !value.starts_with([':', '/'])
        {
            return self.take_filter(piece, not, key, value);
        }
        self.take_words(piece, not, rest);
    }

    fn take_words(&mut self, piece: &TextPiece<'_>, not: bool, text: &str) {
        let quotes = text.matches('"').count();
        if quotes % 2 == 1 {
            self.mistake(piece, "the quote that begins here is not closed".to_owned());
        }
        let open = piece.is_last && quotes == 0 && !not;
        let mut found: Vec<Phrase> = if quotes == 2 && text.starts_with('"') && text.ends_with('"')
        {
            let words: Vec<String> = words(text).collect();
            if words.is_empty() {
                vec![]
            } else {
                vec![Phrase { words, open: false }]
            }
        } else {
            runs(text)
                .into_iter()
                .map(|words| Phrase { words, open: false })
                .collect()
        };
        // A hyphen at the end begins an exclusion that is still being typed.
        if found.is_empty() && quotes.is_multiple_of(2) && !(piece.is_last && text == "-") {
            self.mistake(piece, "it has no letter or digit to search for".to_owned());
        }
        if let Some(last) = found.last_mut() {
            last.open = open;
        }
        // `-web-server` excludes a package of that name, not packages without both words.
        if not && found.len() > 1 {
            found = vec![Phrase {
                words: found.into_iter().flat_map(|phrase| phrase.words).collect(),
                open: false,
            }];
        }
        let into = if not {
            &mut self.unwanted
        } else {
            &mut self.wanted
        };
        into.extend(found);
        if into.len() > MOST {
            into.truncate(MOST);
            self.mistake(
                piece,
                format!("more than {MOST} words: the rest is ignored"),
            );
        }
    }

    fn take_filter(&mut self, piece: &TextPiece<'_>, not: bool, key: &str, value: &str) {
        let value = value.trim_matches('"');
        let facet = match key.to_lowercase().as_str() {
            "category" | "cat" => Facet::Category,
            "tag" => Facet::Tag,
            "license" | "licence" => Facet::License,
            "eco" | "ecosystem" => Facet::Ecosystem,
            "publisher" | "by" => Facet::Publisher,
            "updated" => {
                return match age(value) {
                    Some((true, age)) if !not => self.within = Some(age),
                    Some((false, age)) if !not => self.before = Some(age),
                    _ => self.mistake(
                        piece,
                        "expected an age, such as updated:<30d, updated:>1y or <12h".to_owned(),
                    ),
                };
            }
            "is" => {
                return match (not, value.to_lowercase().as_str()) {
                    (false, "yanked") => self.asked.yanked = true,
                    (false, "distrusted") => self.asked.distrusted = true,
                    _ => {
                        self.mistake(piece, "expected is:yanked or is:distrusted".to_owned());
                    }
                };
            }
            // An ecosystem prefix, as in an id.
            other
                if !value.is_empty()
                    && Ecosystem::KNOWN.iter().any(|one| one.as_str() == other) =>
            {
                self.take_words(piece, not, value);
                if !not {
                    self.take_one(
                        piece,
                        SearchFilter {
                            facet: Facet::Ecosystem,
                            value: other.to_owned(),
                            not,
                        },
                    );
                }
                return;
            }
            other => {
                let why = format!(
                    "unknown filter {other}: (use category: tag: license: eco: publisher: \
                    updated: is:)"
                );
                return self.mistake(piece, why);
            }
        };
        let value = fold(value);
        if value.is_empty() {
            let what = if facet == Facet::Ecosystem {
                "ecosystem"
            } else {
                facet.key()
            };
            return self.mistake(
                piece,
                format!("the {what} is missing; write it directly after the colon"),
            );
        }
        self.take_one(piece, SearchFilter { facet, value, not });
    }

    fn take_one(&mut self, piece: &TextPiece<'_>, filter: SearchFilter) {
        if self.filters.len() < MOST {
            self.filters.push(filter);
        } else {
            self.mistake(
                piece,
                format!("more than {MOST} filters: this one is ignored"),
            );
        }
    }

    fn mistake(&mut self, piece: &TextPiece<'_>, why: String) {
        if self.mistakes.len() < MOST {
            self.mistakes.push(Mistake {
                at: piece.at.clone(),
                why,
            });
        }
    }
}

/// Parses `<30d` into true for less than, and the duration.
fn age(text: &str) -> Option<(bool, Duration)> {
    let (less, rest) = match text.strip_prefix('>') {
        Some(rest) => (false, rest),
        None => (true, text.strip_prefix('<').unwrap_or(text)),
    };
    let digits = rest.trim_end_matches(char::is_alphabetic);
    let hours = match rest.strip_prefix(digits)? {
        "h" => 1,
        "d" => 24,
        "w" => 24 * 7,
        "m" | "mo" => 24 * 30,
        "y" => 24 * 365,
        _ => return None,
    };
    let count: u64 = digits.parse().ok()?;
    Some((less, Duration::from_secs(count.checked_mul(hours * 3_600)?)))
}

#[cfg(test)]
mod tests;
