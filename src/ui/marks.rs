//! Marks the parts of a text that match a search.

use std::ops::Range;

use crate::domain::query::{Phrase, letters, split};

/// Returns the byte ranges of `text` that match one of `phrases`: sorted, disjoint, on character
/// borders. Words are split as in the index, so that the marks show why a package was found.
pub fn marks(phrases: &[Phrase], text: &str) -> Vec<Range<usize>> {
    let words: Vec<Word<'_>> = split(text).collect();
    let mut found: Vec<Range<usize>> = Vec::new();
    for at in 0..words.len() {
        let rest = words.get(at..).unwrap_or_default();
        found.extend(phrases.iter().filter_map(|phrase| begins(rest, phrase)));
    }
    found.sort_by_key(|range| (range.start, range.end));
    let mut apart: Vec<Range<usize>> = Vec::new();
    for range in found {
        match apart.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => apart.push(range),
        }
    }
    apart
}

/// A word and the byte offset where it begins.
type Word<'a> = (usize, &'a str);

/// Returns the range that `phrase` matches at the beginning of `words`.
fn begins(words: &[Word<'_>], phrase: &Phrase) -> Option<Range<usize>> {
    let (start, _) = words.first()?;
    let last = phrase.words.len().checked_sub(1)?;
    let mut end = *start;
    for (number, wanted) in phrase.words.iter().enumerate() {
        let (from, word) = words.get(number)?;
        let (length, is_whole) = common(word, wanted)?;
        let may_go_on = phrase.open && number == last;
        if (length < word.len() || !is_whole) && !may_go_on {
            return None;
        }
        end = from + length;
    }
    Some(*start..end)
}

/// Returns how many bytes of `word` match `wanted`, which is normalised as in the index, so that
/// lengths may differ. The flag is false if the last character matches only in part, as "s" does in
/// "ß".
fn common(word: &str, wanted: &str) -> Option<(usize, bool)> {
    let mut left = letters(wanted).peekable();
    let mut rest = word.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let end = at + c.len_utf8();
        for letter in letters(c.encode_utf8(&mut [0; 4])) {
            match left.next() {
                Some(next) if next == letter => {}
                None => return Some((end, false)),
                Some(_) => return None,
            }
        }
        // Combining marks belong to the letter before them.
        let is_mark = |c: char| letters(c.encode_utf8(&mut [0; 4])).next().is_none();
        if left.peek().is_none() && rest.peek().is_none_or(|(_, next)| !is_mark(*next)) {
            return Some((end, true));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::query::parse;
    use proptest::prelude::*;

    fn marked<'a>(query: &str, text: &'a str) -> Vec<&'a str> {
        marks(&parse(query).wanted, text)
            .into_iter()
            .map(|range| &text[range])
            .collect()
    }

    #[test]
    fn what_is_marked_is_why_it_was_found() {
        assert_eq!(
            marked("json par", "serde-json: parses JSON"),
            ["json", "par", "JSON"]
        );
        assert_eq!(
            marked("par ", "a par parser"),
            ["par", "par"],
            "the last word may be a beginning"
        );
        assert_eq!(
            marked("\"web server\"", "A web server, web of servers"),
            ["web server"]
        );
        assert_eq!(
            marked("son", "json"),
            Vec::<&str>::new(),
            "the index does not find it either"
        );
        assert_eq!(marked("tag:json -json", "json"), Vec::<&str>::new());
        assert_eq!(marked("größ", "GRÖßE 日本"), ["GRÖß"]);
        assert_eq!(marked("日本", "日本語"), ["日本"]);
        assert_eq!(marked("本語", "日本語"), ["本語"]);
        assert_eq!(marked("本 語 ", "日本語"), ["本語"], "side by side");
        assert_eq!(marked("STRASSE", "die Straße"), ["Straße"]);
        assert_eq!(marked("stras", "die Straße"), ["Straß"]);
        assert_eq!(marked("\"stras\"", "die Straße"), Vec::<&str>::new());
        assert_eq!(marked("c++", "C++ and C"), ["C++"]);
        assert_eq!(
            marked("می\u{200c}خواهم", "می\u{200c}خواهم"),
            ["می\u{200c}خواهم"]
        );
    }

    proptest! {
        #[test]
        fn marks_are_in_the_text_and_apart(query in "\\PC{0,20}", text in "\\PC{0,60}") {
            let ranges = marks(&parse(&query).wanted, &text);
            for range in &ranges {
                prop_assert!(!range.is_empty() && text.get(range.clone()).is_some(), "{range:?}");
            }
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
        }

        #[test]
        fn a_word_of_the_text_is_found_in_it(words in proptest::collection::vec("[a-zA-Z0-9äÉ]{1,8}", 1..6), at in 0usize..6) {
            let word = &words[at % words.len()];
            let text = words.join("-");
            let found = marks(&parse(&format!("{word} ")).wanted, &text);
            prop_assert!(found.iter().any(|range| text[range.clone()].eq_ignore_ascii_case(word)), "{word} in {text}");
        }
    }
}
