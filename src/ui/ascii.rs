//! Frames for terminals that have no box drawing, blocks or signs: each of ours becomes a character
//! of ASCII.
//!
//! Other people's text stays as it is: it is not ours to spell.

use ratatui::buffer::Buffer;

const SIGNS: [(&str, &str); 51] = [
    ("─", "-"),
    ("│", "|"),
    ("╭", "+"),
    ("╮", "+"),
    ("╰", "+"),
    ("╯", "+"),
    ("├", "+"),
    ("┤", "+"),
    ("┬", "+"),
    ("┴", "+"),
    ("┼", "+"),
    ("┌", "+"),
    ("┐", "+"),
    ("└", "+"),
    ("┘", "+"),
    ("█", "#"),
    ("░", "."),
    ("▁", "_"),
    ("▂", "."),
    ("▃", "-"),
    ("▄", "="),
    ("▅", "+"),
    ("▆", "*"),
    ("▇", "%"),
    ("●", "*"),
    ("○", "o"),
    ("◆", "@"),
    ("⊘", "X"),
    ("▓", "="),
    ("▒", "-"),
    ("▕", "["),
    ("▏", "]"),
    ("◐", "%"),
    ("✓", "v"),
    ("✗", "x"),
    ("▸", ">"),
    ("•", "-"),
    ("▼", "v"),
    ("▲", "^"),
    ("·", "-"),
    ("…", "~"),
    ("×", "x"),
    ("→", ">"),
    ("←", "<"),
    ("↑", "^"),
    ("↓", "v"),
    ("≥", ">"),
    ("≤", "<"),
    ("⠿", "#"),
    ("“", "\""),
    ("”", "\""),
];

/// Spells a drawn frame in ASCII.
pub fn spell(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if cell.symbol().is_ascii() {
            continue;
        }
        if let Some((_, ascii)) = SIGNS.iter().find(|(sign, _)| *sign == cell.symbol()) {
            cell.set_symbol(ascii);
        }
    }
}
