//! The facets of search results as lines, with the selected ones marked.

use crate::{
    domain::{
        query::{Facet, SearchFilter, SearchTerms, fold, with, without},
        text::{has_unsafe, printable},
    },
    registry::{FacetCount, Facets},
};

/// A facet and one of its values, as a search names it.
pub type FacetId = (Facet, String);

/// The way the search text mentions a value: it requires it or excludes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FacetMode {
    No,
    Yes,
    Not,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FacetLine {
    Heading(Facet),
    Value {
        id: FacetId,
        shown: String,
        /// Number of matching packages; `None` if the value is in the search text but no result has
        /// it.
        packages: Option<u64>,
        asked: FacetMode,
    },
    /// Number of values for which there was no room.
    More(usize),
}

impl FacetLine {
    pub fn id(&self) -> Option<&FacetId> {
        match self {
            Self::Value { id, .. } => Some(id),
            Self::Heading(_) | Self::More(_) => None,
        }
    }
}

pub fn name(facet: Facet) -> &'static str {
    match facet {
        Facet::Category => "category",
        Facet::Tag => "tag",
        Facet::License => "license",
        Facet::Ecosystem => "ecosystem",
        Facet::Publisher => "publisher",
    }
}

/// Returns true if `filter` is about this value. A facet has the publisher's key, while the text
/// may also have the handle.
fn is_for(filter: &SearchFilter, count: &FacetCount) -> bool {
    filter.facet == count.facet
        && (filter.value == fold(&count.value)
            || count.facet == Facet::Publisher && filter.value == fold(&count.shown))
}

/// Returns the facets as lines: at most `most` values of each, those named in `terms` first.
pub fn lines(facets: &Facets, terms: &SearchTerms, most: usize) -> Vec<FacetLine> {
    let mut lines = Vec::new();
    for facet in Facet::ALL {
        let counts = facets
            .counts
            .iter()
            .filter(|count| count.facet == facet && !count.value.is_empty());
        let mut values: Vec<FacetLine> =
            counts.clone().map(|count| counted(count, terms)).collect();
        let unknown = terms.filters.iter().filter(|filter| {
            filter.facet == facet && !facets.counts.iter().any(|count| is_for(filter, count))
        });
        values.extend(unknown.map(|filter| FacetLine::Value {
            id: (facet, filter.value.clone()),
            shown: printable(&filter.value),
            packages: None,
            asked: if filter.not {
                FacetMode::Not
            } else {
                FacetMode::Yes
            },
        }));
        // The sort is stable and keeps the order of the others.
        values.sort_by_key(|value| {
            matches!(
                value,
                FacetLine::Value {
                    asked: FacetMode::No,
                    ..
                }
            )
        });
        if values.is_empty() {
            continue;
        }
        let more = values.len().saturating_sub(most);
        lines.push(FacetLine::Heading(facet));
        lines.extend(values.into_iter().take(most));
        lines.extend((more > 0).then_some(FacetLine::More(more)));
    }
    lines
}

fn counted(count: &FacetCount, terms: &SearchTerms) -> FacetLine {
    let filter = terms.filters.iter().find(|filter| is_for(filter, count));
    FacetLine::Value {
        id: (count.facet, count.value.clone()),
        shown: printable(&count.shown),
        packages: Some(count.packages),
        asked: match filter {
            Some(SearchFilter { not: true, .. }) => FacetMode::Not,
            Some(_) => FacetMode::Yes,
            None => FacetMode::No,
        },
    }
}

/// Removes the filter for `id` from the text, or adds it; `None` if the text cannot express it.
pub fn toggled(text: &str, facets: &Facets, id: &FacetId) -> Option<String> {
    let (facet, value) = id;
    let count = facets
        .counts
        .iter()
        .find(|count| count.facet == *facet && count.value == *value);
    let is_it = |filter: &SearchFilter| match count {
        Some(count) => is_for(filter, count),
        None => filter.facet == *facet && filter.value == fold(value),
    };
    // The value comes from another person and would be shown unescaped in the search field.
    let is_harmless = !has_unsafe(value);
    without(text, is_it).or_else(|| with(text, *facet, value).filter(|_| is_harmless))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::query::parse;

    fn facets() -> Facets {
        let count = |facet, value: &str, shown: &str, packages| FacetCount {
            facet,
            value: value.to_owned(),
            shown: shown.to_owned(),
            packages,
        };
        let counts = vec![
            count(Facet::Category, "web", "Web", 9),
            count(Facet::Category, "parsing", "parsing", 4),
            count(Facet::Category, "games", "games", 2),
            count(Facet::Publisher, "12d3", "alice", 9),
        ];
        Facets {
            total: 9,
            counts,
            sampled: false,
        }
    }

    fn written(text: &str, most: usize) -> Vec<String> {
        let line = |line: FacetLine| match line {
            FacetLine::Heading(facet) => name(facet).to_owned(),
            FacetLine::Value { shown, asked, .. } => format!("{asked:?} {shown}"),
            FacetLine::More(more) => format!("{more} more"),
        };
        lines(&facets(), &parse(text), most)
            .into_iter()
            .map(line)
            .collect()
    }

    #[test]
    fn what_is_asked_for_comes_first_whether_it_was_found_or_not() {
        let all = [
            "category",
            "No Web",
            "No parsing",
            "No games",
            "publisher",
            "No alice",
        ];
        assert_eq!(written("web", 9), all);
        let asked = written("-category:Games tag:cli publisher:alice", 2);
        let wanted = [
            "category",
            "Not games",
            "No Web",
            "1 more",
            "tag",
            "Yes cli",
            "publisher",
            "Yes alice",
        ];
        assert_eq!(asked, wanted);
    }

    #[test]
    fn toggling_twice_is_as_before() {
        for text in ["", "par", "par ", "\"web server\" -java"] {
            for id in lines(&facets(), &parse(text), 9)
                .iter()
                .filter_map(FacetLine::id)
            {
                let once = toggled(text, &facets(), id).unwrap();
                assert!(
                    parse(&once).filters.len() == 1 && once.ends_with(text),
                    "{once}"
                );
                assert_eq!(toggled(&once, &facets(), id).as_deref(), Some(text));
            }
        }
        let alice = (Facet::Publisher, "12d3".to_owned());
        assert_eq!(
            toggled("publisher:alice web", &facets(), &alice).as_deref(),
            Some("web"),
            "by her handle"
        );
    }
}
