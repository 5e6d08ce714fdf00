//! Words: the one way to split texts, for the index, for queries and for judging peers' hits.
//!
//! The index is given words separated by spaces and splits at nothing else. If the two differed, an
//! honest peer's index would find hits that the asking node takes for lies.
//!
//! Scripts written without spaces cannot be split without a dictionary. There, each character is a
//! word, and a query matches adjacent characters. That takes half the space of character pairs, and
//! also finds single ones.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// Returns the words of a text: runs of letters and digits, case-folded, in compatibility form
/// (NFKC), without combining marks and joiners, which neither end a word nor change it. `c++` and
/// `c#` are words as well.
pub fn words(text: &str) -> impl Iterator<Item = String> + use<> {
    let folded = folded(text);
    split(&folded)
        .map(|(_, word)| word.to_owned())
        .collect::<Vec<_>>()
        .into_iter()
}

/// Returns the words of a text, grouped where nothing separates them: `日本語` is one run of three.
pub fn runs(text: &str) -> Vec<Vec<String>> {
    let folded = folded(text);
    let mut runs: Vec<Vec<String>> = Vec::new();
    let mut end = None;
    for (start, word) in split(&folded) {
        match runs.last_mut().filter(|_| end == Some(start)) {
            Some(run) => run.push(word.to_owned()),
            None => runs.push(vec![word.to_owned()]),
        }
        end = Some(start + word.len());
    }
    runs
}

/// Returns the words of a text as written, each with its byte offset.
pub fn split(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let start = at + rest.find(|c: char| !is_between_words(c))?;
        let rest = text.get(start..)?;
        let length = length(rest);
        at = start + length;
        Some((start, rest.get(..length)?))
    })
}

/// Returns the length in bytes of the word that `text` begins with.
fn length(text: &str) -> usize {
    let mut letters = text
        .char_indices()
        .skip(1)
        .skip_while(|(_, c)| is_within_words(*c));
    if text.starts_with(is_unspaced) {
        return letters.next().map_or(text.len(), |(at, _)| at);
    }
    let end = letters
        .find(|(_, c)| is_between_words(*c) || is_unspaced(*c))
        .map_or(text.len(), |(at, _)| at);
    let (word, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    if rest.starts_with("++") {
        return end + 2;
    }
    let is_sharp = rest
        .strip_prefix('#')
        .is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
    let is_one = word.chars().filter(|c| !is_within_words(*c)).count() == 1;
    if is_sharp && is_one { end + 1 } else { end }
}

/// Returns true if a character separates words.
pub fn is_between_words(c: char) -> bool {
    !c.is_alphanumeric() && !is_within_words(c)
}

/// Returns true for marks, joiners and the soft hyphen, which belong to the letter before them.
fn is_within_words(c: char) -> bool {
    is_combining_mark(c) || matches!(c, '\u{ad}' | '\u{200c}' | '\u{200d}')
}

/// Returns true for letters of scripts written without spaces: Thai, Lao, Myanmar, Khmer, Han, Kana
/// and Bopomofo.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{eff}'
        | '\u{1000}'..='\u{109f}' | '\u{a9e0}'..='\u{a9ff}' | '\u{aa60}'..='\u{aa7f}'
        | '\u{1780}'..='\u{17ff}'
        | '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}' | '\u{3040}'..='\u{312f}' | '\u{31a0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}'
        | '\u{ff66}'..='\u{ff9f}')
        && c.is_alphanumeric()
}

/// Returns the folded letters of a text, decomposed, so that they can be compared one by one.
pub fn letters(text: &str) -> impl Iterator<Item = char> {
    text.nfkd()
        .filter(|c| !is_within_words(*c))
        // Fold by way of upper case, where ß is SS and both small Greek sigmas are one: this is
        // Unicode's CaseFolding, except that Turkish ı also becomes i. ẞ is upper case already and
        // expands only in lower case, hence the first step.
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        // Greek writes its sigma differently at the end of a word, and a word may be the prefix of
        // another.
        .map(|c| if c == 'ς' { 'σ' } else { c })
        // Lower case may add a mark, as that of İ does.
        .nfkd()
        .filter(|c| !is_within_words(*c))
}

/// Joins words as a person would have typed them.
pub fn joined<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for word in words {
        let beside = text.ends_with(is_unspaced) || word.starts_with(is_unspaced);
        if !text.is_empty() && !beside {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

pub(super) fn folded(text: &str) -> String {
    if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        letters(text).nfc().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &str) -> Vec<String> {
        words(text).collect()
    }

    #[test]
    fn one_word_is_one_word_however_it_is_written() {
        assert_eq!(
            all("Serialize, DE-serialize!"),
            ["serialize", "de", "serialize"]
        );
        let plain = ["serialize"];
        assert_eq!(all("seri\u{301}alize"), plain, "a mark inside");
        assert_eq!(all("ｓｅｒｉａｌｉｚｅ"), plain, "wide letters");
        assert_eq!(all("𝐬𝐞𝐫𝐢𝐚𝐥𝐢𝐳𝐞"), plain, "bold letters of mathematics");
        assert_eq!(all("seri\u{ad}alize"), plain, "a soft hyphen");
        assert_eq!(all("caf\u{e9} cafe\u{301}"), ["cafe", "cafe"]);
        assert_eq!(all("ΟΔΟΣ οδος"), ["οδοσ", "οδοσ"]);
        assert_eq!(all("İstanbul ısı"), ["istanbul", "isi"]);
        assert_eq!(
            all("Straße STRASSE STRAẞE"),
            ["strasse", "strasse", "strasse"]
        );
        assert_eq!(all("می\u{200c}خواهم"), all("میخواهم"), "a joiner inside");
        assert_eq!(all("한국어"), ["한국어"]);
        assert_eq!(
            all("\u{e000}a"),
            ["a"],
            "what stands for labels is in no text"
        );
    }

    #[test]
    fn languages_for_programs_are_words() {
        assert_eq!(
            all("C++ and c#, F# or C"),
            ["c++", "and", "c#", "f#", "or", "c"]
        );
        assert_eq!(
            all("libstdc++6 c++11 g++-12"),
            ["libstdc++", "6", "c++", "11", "g++", "12"]
        );
        assert_eq!(
            all("1+1 a+b c+ ++ +++ issue#5 no#1 #tag c#sharp"),
            [
                "1", "1", "a", "b", "c", "issue", "5", "no", "1", "tag", "c", "sharp"
            ]
        );
        assert_eq!(all("Ｃ＋＋"), ["c++"], "wide letters");
    }

    #[test]
    fn where_there_are_no_spaces_each_character_is_a_word() {
        assert_eq!(all("日本語"), ["日", "本", "語"]);
        assert_eq!(
            runs("日本語tool の web-server c++11"),
            [
                vec!["日", "本", "語", "tool"],
                vec!["の"],
                vec!["web"],
                vec!["server"],
                vec!["c++", "11"]
            ]
        );
        assert_eq!(all("ｶﾞ ガ が"), ["カ", "カ", "か"]);
        assert_eq!(
            joined(["日", "本", "tool", "web", "server"]),
            "日本tool web server"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn words_are_made_of_themselves(text in prop_oneof![any::<String>(), "[a-cß+# \
            -日本ｶﾞ\u{301}]{0,12}"]) {
            let once = all(&text);
            prop_assert_eq!(&all(&once.join(" ")), &once);
            prop_assert_eq!(&runs(&text).concat(), &once);
            for word in &once {
                prop_assert!(word.chars().all(|c| c.is_alphanumeric() || matches!(c, '+' | '#')));
                prop_assert!(word.chars().eq(letters(word).nfc()));
            }
        }

        #[test]
        fn what_is_split_is_in_the_text(text in prop_oneof![any::<String>(), "[a-cß+# \
            -日本ｶﾞ\u{301}]{0,12}"]) {
            let mut end = 0;
            for (start, word) in split(&text) {
                prop_assert!(start >= end && !word.is_empty());
                prop_assert_eq!(text.get(start..start + word.len()), Some(word));
                prop_assert!(text[end..start].chars().all(is_between_words));
                end = start + word.len();
            }
            prop_assert!(text[end..].chars().all(is_between_words));
        }
    }
}
