//! The help: every key from the table of keys, and the meaning of signs.

use ratatui::text::{Line, Span};

use super::heading;
use crate::ui::{
    keymap::{self, KEYS, When},
    model::Model,
    screen::search::LANGUAGE,
    theme::Theme,
    widget::wrap::wrap,
};

const SIGNS: [(&str, &str); 10] = [
    ("●", "connected"),
    ("○", "known, and not connected now"),
    (
        "◆",
        "connected, and in the gossip mesh: announcements go through it first",
    ),
    ("✓", "the publisher's signature was verified here"),
    ("↓ ↑", "fetched to this node; served by it to another"),
    (
        "pinned",
        "you have opened or fetched it: its handle means this key here",
    ),
    ("unpinned", "known by its signatures only"),
    (
        "used by",
        "so many packages need it; where none does, so many peers were seen to have it",
    ),
    (
        "~98 %",
        "so much of all packages, as far as can be told, was searched",
    ),
    (
        "score",
        "from 0 to 1: how good a peer has been to ask; open one to see why",
    ),
];

const FILTERS: [(&str, &str); 5] = [
    ("berlin", "rows with this text in any column"),
    ("agent:swarm", "rows with this text in that column"),
    ("score:<0.4", "by number: < <= > >= ="),
    ("-berlin", "rows without it"),
    ("\"two words\"", "as one text"),
];

const MOUSE: [(&str, &str); 4] = [
    (
        "click",
        "a screen's name, a row, a field, a filter; the same row again opens it",
    ),
    ("on a head", "sorts by the column, and the other way round"),
    ("wheel", "moves the selection, or a text"),
    (
        "M",
        "off and on: off, the terminal selects text by itself (or hold Shift)",
    ),
];

pub fn lines(model: &Model, width: usize, theme: Theme) -> Vec<Line<'static>> {
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
            let on = match keymap::places(row) {
                places if places.is_empty() => places,
                places => format!(" ({places})"),
            };
            entry(
                &mut lines,
                &model.keymap.labels(row),
                &format!("{}{on}", row.help),
                width,
                theme,
            );
        }
    }
    heading(&mut lines, "Searches", theme);
    for (words, meaning) in LANGUAGE {
        entry(&mut lines, words, meaning, width, theme);
    }
    heading(&mut lines, "Filters of lists", theme);
    for (words, meaning) in FILTERS {
        entry(&mut lines, words, meaning, width, theme);
    }
    heading(&mut lines, "Mouse", theme);
    for (what, meaning) in MOUSE {
        entry(&mut lines, what, meaning, width, theme);
    }
    heading(&mut lines, "Signs", theme);
    for (sign, meaning) in SIGNS {
        entry(&mut lines, sign, meaning, width, theme);
    }
    lines
}

fn entry(lines: &mut Vec<Line<'static>>, key: &str, text: &str, width: usize, theme: Theme) {
    const KEY: usize = 15;
    for (number, part) in wrap(text, width.saturating_sub(KEY).max(8))
        .into_iter()
        .enumerate()
    {
        let key = if number == 0 { key } else { "" };
        lines.push(Line::from(vec![
            Span::styled(format!("{key:<KEY$}"), theme.key()),
            Span::raw(part),
        ]));
    }
}
