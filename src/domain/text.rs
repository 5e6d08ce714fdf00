//! Text that came from somebody else.

use unicode_width::UnicodeWidthChar;

/// True for characters that move the cursor, colour the terminal or reorder what follows: control characters,
/// bidirectional overrides and isolates, and invisible format characters.
pub fn is_unsafe_char(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `text` as it may be shown: unsafe characters become a space, runs of space become one.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let c = if is_unsafe_char(c) || c.is_whitespace() { ' ' } else { c };
        if c != ' ' || !out.ends_with(' ') {
            out.push(c);
        }
    }
    out.trim().to_owned()
}

/// `text` cut to at most `columns` terminal columns, with `…` where something is missing.
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

    proptest! {
        #[test]
        fn printable_text_has_nothing_unsafe(text in ".*") {
            let shown = printable(&text);
            prop_assert!(!shown.chars().any(is_unsafe_char));
            prop_assert_eq!(printable(&shown), shown.clone());
        }

        #[test]
        fn fitted_text_fits(text in "\\PC*", columns in 0usize..40) {
            prop_assert!(fit(&text, columns).width() <= columns || columns == 0);
        }
    }
}
