//! The help: every key from the table of keys, and the meaning of signs.

use ratatui::text::{Line, Span};

use super::heading;
use crate::ui::{
    action::Action,
    keymap::{self, KEYS, When},
    model::Model,
    screen::search::LANGUAGE,
    theme::Theme,
    widget::wrap::wrap,
};

const SIGNS: [(&str, &str); 10] = [
    ("●", "connected"),
    ("○", "known, not connected"),
    (
        "◆",
        "connected and in the gossip mesh, which relays announcements",
    ),
    ("✓", "the publisher's signature was verified here"),
    ("↓ ↑", "download; upload"),
    ("pinned", "this node ties the handle to this key"),
    (
        "unpinned",
        "anyone may claim the handle: check the fingerprint",
    ),
    (
        "used by",
        "number of packages that need it, or else of peers that have it",
    ),
    ("~98 %", "estimated share of all packages that was searched"),
    (
        "score",
        "reliability of a peer, from 0 to 1; open a peer for the reasons",
    ),
];

const FILTERS: [(&str, &str); 5] = [
    ("berlin", "rows with this text in any column"),
    ("agent:swarm", "rows with this text in that column"),
    ("score:<0.4", "numbers: < <= > >= ="),
    ("-berlin", "rows without it"),
    ("\"two words\"", "as one phrase"),
];

const MOUSE: [(&str, &str); 3] = [
    (
        "click",
        "selects a screen, row or field; a second click opens the row",
    ),
    (
        "on a header",
        "sorts by the column; a second click reverses",
    ),
    ("wheel", "scrolls"),
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
    let mouse = model.key(Action::Mouse, model.screen);
    let meaning = "turns the mouse on or off; off, the terminal selects text (or hold Shift)";
    entry(&mut lines, &mouse, meaning, width, theme);
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
