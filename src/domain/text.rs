//! Checks and cleans untrusted text for display.

use unicode_normalization::char::{canonical_combining_class, is_combining_mark};
use unicode_width::UnicodeWidthChar;

/// Returns true for characters that move the cursor, colour the terminal or reorder text: control
/// characters, bidirectional overrides and isolates, and invisible format characters.
pub fn is_unsafe_char(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Returns true for the zero-width joiners, by which some scripts control ligatures: Persian words
/// and Hindi conjuncts use them.
pub fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// Returns every character of `text` with a flag that is true if it is unsafe in its place. A
/// joiner is safe where its script uses it: between two of its letters, as a joiner proper after
/// one, or after a virama (RFC 5892, appendix A, by blocks instead of joining types).
pub fn safe_or_not(text: &str) -> impl Iterator<Item = (char, bool)> {
    let after = text.chars().skip(1).map(Some).chain([None]);
    text.chars()
        .zip(after)
        .scan(None, |before: &mut Option<char>, (c, after)| {
            let before = before.replace(c);
            let behind = before.is_some_and(is_joined);
            let in_place = behind
                && (c == '\u{200d}'
                    || before.is_some_and(is_virama)
                    || after.is_some_and(is_joined));
            Some((c, is_unsafe_char(c) && !(is_joiner(c) && in_place)))
        })
}

/// Returns true if any character is unsafe in its place.
pub fn has_unsafe(text: &str) -> bool {
    safe_or_not(text).any(|(_, is_unsafe)| is_unsafe)
}

/// Returns true for letters and marks of Arabic, of Indian scripts and of those related to either.
fn is_joined(c: char) -> bool {
    matches!(c,
        '\u{600}'..='\u{74f}' | '\u{750}'..='\u{77f}' | '\u{7c0}'..='\u{7ff}' | '\u{840}'..='\u{8ff}'
        | '\u{900}'..='\u{dff}' | '\u{f00}'..='\u{109f}' | '\u{1700}'..='\u{18af}' | '\u{1a20}'..='\u{1bff}'
        | '\u{a840}'..='\u{a8df}' | '\u{a980}'..='\u{a9df}' | '\u{aae0}'..='\u{aaff}'
        | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}' | '\u{11000}'..='\u{1147f}')
        && (c.is_alphabetic() || is_combining_mark(c))
}

/// Returns true for a virama, a mark that removes the vowel of a consonant and so joins it to the
/// next one.
fn is_virama(c: char) -> bool {
    canonical_combining_class(c) == 9
}

/// Encodes a name or version as part of a file name that is valid on any system: other characters
/// become `%2F` and the like. Distinct texts stay distinct. The caller must add something other
/// than dots before or after it.
pub fn as_file(text: &str) -> String {
    let mut file = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'+' | b'~' | b'-' | b'@' => {
                file.push(char::from(byte))
            }
            byte => file.push_str(&format!("%{byte:02X}")),
        }
    }
    file
}

/// Returns `text` safe to show: unsafe characters become spaces, and runs of space one space.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (c, is_unsafe) in safe_or_not(text) {
        let c = if is_unsafe || c.is_whitespace() {
            ' '
        } else {
            c
        };
        if c != ' ' || !out.ends_with(' ') {
            out.push(c);
        }
    }
    out.trim().to_owned()
}

/// Returns `text` cut to at most `columns` terminal columns, with `…` if something is missing.
pub fn fit(text: &str, columns: usize) -> String {
    let width = |c: char| c.width().unwrap_or(0);
    if text.chars().map(width).sum::<usize>() <= columns {
        return text.to_owned();
    }
    let mut used = 0;
    let mut out: String = text
        .chars()
        .take_while(|c| {
            used += width(*c);
            used < columns
        })
        .collect();
    if columns > 0 {
        out.push('…');
    }
    out
}

/// Writes a number of things: `1 peer`, `2 peers`.
pub fn quantity(count: usize, thing: &str) -> String {
    match count {
        1 => format!("1 {thing}"),
        count => format!("{count} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unicode_width::UnicodeWidthStr;

    #[test]
    fn escape_sequences_lose_their_teeth() {
        assert_eq!(printable("a\u{1b}[31mred\r\n\tb"), "a [31mred b");
        assert_eq!(printable("safe\u{202e}exe.txt"), "safe exe.txt");
    }

    #[test]
    fn joiners_stay_where_their_scripts_need_them() {
        for needed in [
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "क्\u{200c}ष",
            "ന്\u{200d}",
            "ه\u{200d}",
            "ක්\u{200d}ෂ",
        ] {
            assert!(!has_unsafe(needed), "{needed}");
            assert_eq!(printable(needed), needed);
        }
        for odd in [
            "web\u{200c}server",
            "\u{200d}می",
            "می\u{200c}",
            "می\u{200c}\u{200c}خ",
            "می\u{200c} خ",
            "a\u{200d}",
            "👩\u{200d}💻",
        ] {
            assert!(has_unsafe(odd), "{odd:?}");
        }
        assert!(has_unsafe("می\u{202e}خ"));
    }

    proptest! {
        #[test]
        fn printable_text_has_nothing_unsafe(text in prop_oneof![".*", "[می\u{200c}\u{200d}\u{202e} a]{0,9}"]) {
            let shown = printable(&text);
            prop_assert!(!has_unsafe(&shown));
            prop_assert_eq!(printable(&shown), shown.clone());
        }

        #[test]
        fn fitted_text_fits(text in "\\PC*", columns in 0usize..40) {
            prop_assert!(fit(&text, columns).width() <= columns || columns == 0);
        }
    }
}
