//! Words: the one way in which texts are taken apart, for the index, for what is searched, and for judging what peers find.
//!
//! The index is given words with spaces between them and splits at nothing else, so it has no opinion of its own. Where the
//! two differed, an honest peer's index would find what its asker takes for a lie.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// The words of a text: runs of letters and digits in lower case, in compatibility form (NFKC), without combining marks. A mark
/// neither ends a word nor changes it.
pub fn words(text: &str) -> impl Iterator<Item = String> + use<> {
    let folded = if text.is_ascii() { text.to_ascii_lowercase() } else { folded(text) };
    let words: Vec<String> =
        folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect();
    words.into_iter()
}

/// Whether a character stands between words.
pub fn is_between_words(c: char) -> bool {
    !c.is_alphanumeric() && !is_combining_mark(c)
}

/// What words have of a character, decomposed, so that it can be compared one by one.
pub fn letters(text: &str) -> impl Iterator<Item = char> {
    text.nfkd()
        .filter(|c| !is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        // At the end of a word Greek writes its sigma otherwise, and a word may be the beginning of another.
        .map(|c| if c == 'ς' { 'σ' } else { c })
        // Lower case may bring a mark, as that of İ does.
        .nfkd()
        .filter(|c| !is_combining_mark(*c))
}

fn folded(text: &str) -> String {
    letters(text).nfc().collect()
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
        assert_eq!(all("Serialize, DE-serialize!"), ["serialize", "de", "serialize"]);
        let plain = ["serialize"];
        assert_eq!(all("seri\u{301}alize"), plain, "a mark inside");
        assert_eq!(all("ｓｅｒｉａｌｉｚｅ"), plain, "wide letters");
        assert_eq!(all("𝐬𝐞𝐫𝐢𝐚𝐥𝐢𝐳𝐞"), plain, "bold letters of mathematics");
        assert_eq!(all("caf\u{e9} cafe\u{301}"), ["cafe", "cafe"]);
        assert_eq!(all("ΟΔΟΣ οδος"), ["οδοσ", "οδοσ"]);
        assert_eq!(all("İstanbul"), ["istanbul"]);
        assert_eq!(all("한국어"), ["한국어"]);
        assert_eq!(all("\u{e000}a"), ["a"], "what stands for labels is in no text");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn words_are_made_of_themselves(text in any::<String>()) {
            let once = all(&text);
            prop_assert_eq!(&all(&once.join(" ")), &once);
            for word in &once {
                prop_assert!(word.chars().all(|c| c.is_alphanumeric()));
                prop_assert!(word.chars().eq(letters(word).nfc()));
            }
        }
    }
}
