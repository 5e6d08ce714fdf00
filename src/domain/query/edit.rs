//! Edits a search text by its filters, as the facet list does.

use super::{Facet, MAX_TEXT, SearchFilter, SearchTerms, language::pieces, parse};

/// Returns `text` without the filters that are `unwanted`; `None` if it has none of them.
pub fn without(text: &str, unwanted: impl Fn(&SearchFilter) -> bool) -> Option<String> {
    let is_unwanted =
        |terms: &SearchTerms| matches!(terms.filters.as_slice(), [filter] if unwanted(filter));
    let mut gone = Vec::new();
    for piece in pieces(text)
        .iter()
        .filter(|piece| is_unwanted(&parse(piece.text)))
    {
        // Removes one space too: the one after it, which `with` added, otherwise the one before.
        let mut at = piece.at.clone();
        // In `cargo:serde` only the prefix is a filter; the name stays.
        if !parse(piece.text).wanted.is_empty() {
            at.end = at.start + piece.text.find(':').map_or(0, |colon| colon + 1);
            gone.push(at);
            continue;
        }
        match text.get(at.end..).and_then(|rest| rest.chars().next()) {
            Some(space) => at.end += space.len_utf8(),
            None => {
                let before = text
                    .get(..at.start)
                    .and_then(|start| start.chars().next_back());
                at.start -= before.map_or(0, char::len_utf8);
            }
        }
        gone.push(at);
    }
    if gone.is_empty() {
        return None;
    }
    let stays = |at: usize| !gone.iter().any(|gone| gone.contains(&at));
    Some(
        text.char_indices()
            .filter(|(at, _)| stays(*at))
            .map(|(_, c)| c)
            .collect(),
    )
}

/// Returns `text` with a filter in front; `None` for a value that the language cannot express.
///
/// The filter goes in front because the last word may be a prefix, which it would not be before a
/// filter.
pub fn with(text: &str, facet: Facet, value: &str) -> Option<String> {
    let filter = facet.filter(value);
    let is_one =
        matches!(parse(&filter).filters.as_slice(), [one] if one.facet == facet && !one.not);
    is_one.then(|| format!("{filter} {text}"))
}

/// Returns `text` with publishers replaced by their `meant` names, such as a key for a handle;
/// unchanged if it would exceed [`MAX_TEXT`].
pub fn name_publishers(text: &str, meant: impl Fn(&str) -> Option<String>) -> String {
    let mut named = text.to_owned();
    for filter in parse(text)
        .filters
        .into_iter()
        .filter(|filter| filter.facet == Facet::Publisher)
    {
        if let Some(meant) = meant(&filter.value)
            && let Some(rest) = without(&named, |one| *one == filter)
        {
            named = format!(
                "{}{} {rest}",
                if filter.not { "-" } else { "" },
                Facet::Publisher.filter(&meant)
            );
        }
    }
    if named.len() > MAX_TEXT {
        text.to_owned()
    } else {
        named
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fold, *};
    use proptest::prelude::*;

    fn is_cli(filter: &SearchFilter) -> bool {
        filter.facet == Facet::Tag && filter.value == "cli"
    }

    #[test]
    fn filters_go_wherever_they_are_and_the_rest_stays() {
        let gone = |text| without(text, is_cli).unwrap();
        assert_eq!(gone("web tag:cli server"), "web server");
        assert_eq!(gone("-tag:CLI web"), "web");
        assert_eq!(gone("web tag:\"cli\""), "web");
        assert_eq!(gone("tag:cli"), "");
        assert_eq!(gone("tag:cli a tag:cli b tag:cli"), "a b");
        assert_eq!(without("web cli tag:client \"tag:cli\"", is_cli), None);
    }

    #[test]
    fn a_name_within_its_ecosystem_stays_without_it() {
        let is_ecosystem = |filter: &SearchFilter| filter.facet == Facet::Ecosystem;
        assert_eq!(
            without("fast cargo:serde-json", is_ecosystem).as_deref(),
            Some("fast serde-json")
        );
    }

    #[test]
    fn a_beginning_stays_one() {
        let text = with("par", Facet::Tag, "web servers").unwrap();
        assert_eq!(text, "tag:\"web servers\" par");
        assert!(parse(&text).wanted[0].open);
        assert_eq!(with("par", Facet::Tag, ""), None);
        assert_eq!(
            with("par", Facet::Tag, ":x"),
            None,
            "the language takes it for a path"
        );
    }

    #[test]
    fn publishers_are_named_by_what_they_mean() {
        let meant = |handle: &str| (handle == "alice").then(|| "12D3KooWx".to_owned());
        assert_eq!(
            name_publishers("web publisher:alice par", meant),
            "publisher:12D3KooWx web par"
        );
        assert_eq!(
            name_publishers("-publisher:Alice web", meant),
            "-publisher:12D3KooWx web"
        );
        assert_eq!(
            name_publishers("publisher:bob \"publisher:alice\"", meant),
            "publisher:bob \"publisher:alice\""
        );
        let long = format!("publisher:alice {}", "x".repeat(MAX_TEXT - 16));
        assert_eq!(name_publishers(&long, meant), long);
    }

    proptest! {
        #[test]
        fn with_and_without_are_as_before(text in "[a-z\"日 :-]{0,40}", value in "[a-z+. ]{1,12}") {
            if let Some(more) = with(&text, Facet::Tag, &value) {
                let is_it = |filter: &SearchFilter| filter.facet == Facet::Tag && filter.value == fold(&value);
                prop_assume!(without(&text, is_it).is_none());
                prop_assert_eq!(without(&more, is_it), Some(text));
            }
        }
    }
}
