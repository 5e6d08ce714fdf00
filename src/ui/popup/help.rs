//! The help: every key from the table of keys, and the meaning of signs.

use ratatui::text::Span;

use super::{Page, Reply, Window};
use crate::ui::{
    action::Action,
    keymap::{self, KEYS, When},
    model::Model,
    screen::search::LANGUAGE,
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

pub struct HelpWindow;

impl Window for HelpWindow {
    fn title(&self) -> &str {
        "Keys"
    }

    fn lines(&self, model: &Model, page: &mut Page) {
        for (title, when) in [
            ("Browsing: letters are commands", When::Browsing),
            ("Typing: letters are text", When::Typing),
            ("Anywhere", When::Anywhere),
        ] {
            if page.lines.is_empty() {
                page.title(title);
            } else {
                page.heading(title);
            }
            for row in KEYS.iter().filter(|row| row.when == when) {
                let on = match keymap::places(row) {
                    places if places.is_empty() => places,
                    places => format!(" ({places})"),
                };
                let meaning = format!("{}{on}", row.help);
                entry(page, &model.keymap.labels(row), &meaning);
            }
        }
        entries(page, "Searches", &LANGUAGE);
        entries(page, "Filters of lists", &FILTERS);
        entries(page, "Mouse", &MOUSE);
        let mouse = model.key(Action::Mouse, model.screen);
        let meaning = "turns the mouse on or off; off, the terminal selects text (or hold Shift)";
        entry(page, &mouse, meaning);
        entries(page, "Signs", &SIGNS);
    }

    /// Help for the help would be the same again.
    fn act(&mut self, _model: &mut Model, _at: &mut usize, action: Action) -> Reply {
        match action {
            Action::Help => Reply::Stay(Vec::new()),
            _ => Reply::Pass,
        }
    }
}

fn entries(page: &mut Page, title: &str, entries: &[(&str, &str)]) {
    page.heading(title);
    for (head, meaning) in entries {
        entry(page, head, meaning);
    }
}

fn entry(page: &mut Page, head: &str, text: &str) {
    const HEAD: usize = 15;
    let head = Span::styled(head.to_owned(), page.theme.key());
    page.entry(HEAD, head, text, page.theme.text());
}
