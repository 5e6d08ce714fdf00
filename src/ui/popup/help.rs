//! Every key, from the table of keys; and what signs mean.

use ratatui::text::{Line, Span};

use super::heading;
use crate::ui::{
    keymap::{self, KEYS, Row, When},
    theme::Theme,
    widget::wrap::wrap,
};

const SIGNS: [(&str, &str); 7] = [
    ("●", "connected"),
    ("○", "known, and not connected now"),
    ("◆", "connected, and in the gossip mesh: announcements go through it first"),
    ("✓", "the publisher's signature was verified here"),
    ("pinned", "you have opened or fetched it: its handle means this key here"),
    ("unpinned", "known by its signatures only"),
    ("score", "from 0 to 1: how good a peer has been to ask; open one to see why"),
];

pub fn lines(width: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for (title, when) in [
        ("Browsing: letters are commands", When::Browsing),
        ("Typing: letters are text", When::Typing),
        ("Anywhere", When::Anywhere),
    ] {
        if lines.is_empty() {
            lines.push(Line::from(Span::styled(title, theme.title())));
        } else {
            heading(&mut lines, title, theme);
        }
        for row in KEYS.iter().filter(|row| row.when == when) {
            let on = row.on.map_or(String::new(), |screen| format!(" ({})", screen.name()));
            entry(&mut lines, &keymap::labels(row), &format!("{}{on}", text(row)), width, theme);
        }
    }
    heading(&mut lines, "Signs", theme);
    for (sign, meaning) in SIGNS {
        entry(&mut lines, sign, meaning, width, theme);
    }
    lines
}

fn text(row: &Row) -> &'static str {
    row.help
}

fn entry(lines: &mut Vec<Line<'static>>, key: &str, text: &str, width: usize, theme: Theme) {
    const KEY: usize = 15;
    for (number, part) in wrap(text, width.saturating_sub(KEY).max(8)).into_iter().enumerate() {
        let key = if number == 0 { key } else { "" };
        lines.push(Line::from(vec![Span::styled(format!("{key:<KEY$}"), theme.key()), Span::raw(part)]));
    }
}
