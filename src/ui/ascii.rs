//! ASCII output for terminals without box drawing, blocks or symbols: each of the explorer's own
//! symbols is replaced by one ASCII character.
//!
//! Texts from other people are left as they are.

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

/// Replaces the explorer's symbols in a drawn frame with ASCII characters.
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
