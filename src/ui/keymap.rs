//! The one table of keys. Dispatch, footer, help and the README's table all come from it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::action::{
    Action::{self, *},
    Edit::*,
    Move::*,
    Screen,
};

/// A key as it is pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chord {
    pub code: KeyCode,
    pub ctrl: bool,
    pub alt: bool,
}

impl Chord {
    pub fn of(event: &KeyEvent) -> Self {
        let has = |modifier| event.modifiers.contains(modifier);
        Self { code: event.code, ctrl: has(KeyModifiers::CONTROL), alt: has(KeyModifiers::ALT) }
    }

    /// The character it types, if it types one.
    pub fn text(self) -> Option<char> {
        match self.code {
            KeyCode::Char(c) if !self.ctrl && !self.alt => Some(c),
            _ => None,
        }
    }

    fn label(self) -> String {
        let key = match self.code {
            KeyCode::Char(' ') => "Space".to_owned(),
            KeyCode::Char(c) => c.to_string(),
            KeyCode::F(n) => format!("F{n}"),
            KeyCode::Up => "Up".to_owned(),
            KeyCode::Down => "Down".to_owned(),
            KeyCode::Left => "Left".to_owned(),
            KeyCode::Right => "Right".to_owned(),
            KeyCode::PageUp => "PgUp".to_owned(),
            KeyCode::PageDown => "PgDn".to_owned(),
            KeyCode::BackTab => "Shift-Tab".to_owned(),
            other => format!("{other:?}"),
        };
        match (self.ctrl, self.alt) {
            (true, _) => format!("Ctrl-{key}"),
            (_, true) => format!("Alt-{key}"),
            _ => key,
        }
    }
}

const fn key(code: KeyCode) -> Chord {
    Chord { code, ctrl: false, alt: false }
}

const fn c(c: char) -> Chord {
    key(KeyCode::Char(c))
}

const fn ctrl(c: char) -> Chord {
    Chord { code: KeyCode::Char(c), ctrl: true, alt: false }
}

const fn alt(c: char) -> Chord {
    Chord { code: KeyCode::Char(c), ctrl: false, alt: true }
}

/// When a key means what its row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Anywhere,
    /// Letters are commands.
    Browsing,
    /// A text field has the focus.
    Typing,
}

/// One row: what one action is called, and the keys for it.
pub struct Row {
    pub when: When,
    /// The screen it is for; `None` for all.
    pub on: Option<Screen>,
    pub keys: &'static [Chord],
    pub action: Action,
    /// Word in the footer; empty for one that is only in the help.
    pub short: &'static str,
    pub help: &'static str,
}

const fn row(
    when: When,
    on: Option<Screen>,
    keys: &'static [Chord],
    action: Action,
    short: &'static str,
    help: &'static str,
) -> Row {
    Row { when, on, keys, action, short, help }
}

use When::{Anywhere, Browsing, Typing};

pub static KEYS: &[Row] = &[
    row(Browsing, None, &[c('?')], Help, "help", "Show every key"),
    row(Browsing, None, &[c('q')], Quit, "quit", "Quit; closes a window that is open first"),
    row(Anywhere, None, &[key(KeyCode::F(1))], Help, "", "Show every key, from anywhere"),
    row(Browsing, None, &[c('1')], Go(Screen::Peers), "", "Peers: who is there, and how good they are to ask"),
    row(Browsing, None, &[c('3')], Go(Screen::Feed), "", "Feed: announcements as they arrive"),
    row(Browsing, None, &[c('4')], Go(Screen::Search), "", "Search: packages, here and at other peers"),
    row(Anywhere, None, &[alt('1')], Go(Screen::Peers), "", "Peers, from anywhere"),
    row(Anywhere, None, &[alt('3')], Go(Screen::Feed), "", "Feed, from anywhere"),
    row(Anywhere, None, &[alt('4')], Go(Screen::Search), "", "Search, from anywhere"),
    row(Browsing, None, &[key(KeyCode::Tab), c(']')], Step(1), "", "Next screen"),
    row(Browsing, None, &[key(KeyCode::BackTab), c('[')], Step(-1), "", "Previous screen"),
    row(Browsing, None, &[c('j'), key(KeyCode::Down)], Move(Down), "", "Down"),
    row(Browsing, None, &[c('k'), key(KeyCode::Up)], Move(Up), "", "Up"),
    row(Browsing, None, &[c('g'), key(KeyCode::Home)], Move(First), "", "To the first row"),
    row(Browsing, None, &[c('G'), key(KeyCode::End)], Move(Last), "", "To the last row"),
    row(Browsing, None, &[ctrl('d')], Move(HalfDown), "", "Half a page down"),
    row(Browsing, None, &[ctrl('u')], Move(HalfUp), "", "Half a page up"),
    row(Browsing, None, &[key(KeyCode::PageDown)], Move(PageDown), "", "A page down"),
    row(Browsing, None, &[key(KeyCode::PageUp)], Move(PageUp), "", "A page up"),
    row(Browsing, None, &[key(KeyCode::Enter)], Open, "open", "Open what is selected"),
    row(Browsing, None, &[key(KeyCode::Esc)], Back, "back", "Close a window, or take the filter off"),
    row(Browsing, Some(Screen::Peers), &[c('/')], Filter, "filter", "Show only peers with this text in a column"),
    row(Browsing, Some(Screen::Feed), &[c('/')], Filter, "filter", "Show only announcements with this text"),
    row(Browsing, Some(Screen::Search), &[c('/')], Filter, "type", "Go to the search field"),
    row(Browsing, Some(Screen::Peers), &[c('s')], Sort, "sort", "Sort by the next column"),
    row(Browsing, Some(Screen::Peers), &[c('S')], Reverse, "reverse", "Turn the order round"),
    row(Browsing, Some(Screen::Feed), &[c('f')], Freeze, "freeze", "Hold the feed still, and let it go on"),
    row(Browsing, None, &[c('R')], Refresh, "", "Sort again, or search again, now"),
    row(Anywhere, None, &[ctrl('c')], QuitNow, "", "Quit at once, from anywhere"),
    row(Anywhere, None, &[ctrl('z')], Suspend, "", "Back to the shell; `fg` returns here"),
    row(Typing, None, &[key(KeyCode::Esc)], LeaveField, "leave", "Leave the field and keep its text"),
    row(Typing, None, &[key(KeyCode::Tab), key(KeyCode::BackTab)], LeaveField, "", "From the field to the list"),
    row(Typing, None, &[key(KeyCode::Enter)], Open, "open", "Open what is selected in the list"),
    row(Typing, None, &[key(KeyCode::Up)], Move(Up), "select", "Selection of the list up"),
    row(Typing, None, &[key(KeyCode::Down)], Move(Down), "", "Selection of the list down"),
    row(Typing, None, &[ctrl('u')], Edit(Clear), "clear", "Clear the field"),
    row(Typing, None, &[ctrl('w')], Edit(DeleteWord), "", "Delete the word before"),
    row(Typing, None, &[key(KeyCode::Backspace)], Edit(DeleteBefore), "", "Delete the character before"),
    row(Typing, None, &[key(KeyCode::Delete)], Edit(DeleteAfter), "", "Delete the character after"),
    row(Typing, None, &[key(KeyCode::Left)], Edit(Left), "", "Left in the text"),
    row(Typing, None, &[key(KeyCode::Right)], Edit(Right), "", "Right in the text"),
    row(Typing, None, &[key(KeyCode::Home)], Edit(Start), "", "To the start of the text"),
    row(Typing, None, &[key(KeyCode::End)], Edit(End), "", "To the end of the text"),
];

/// Rows that hold now.
pub fn rows(typing: bool, screen: Screen) -> impl Iterator<Item = &'static Row> {
    let mode = if typing { Typing } else { Browsing };
    KEYS.iter()
        .filter(move |row| row.when == Anywhere || row.when == mode)
        .filter(move |row| row.on.is_none_or(|on| on == screen))
}

/// What a key means now.
pub fn find(chord: Chord, typing: bool, screen: Screen) -> Option<Action> {
    rows(typing, screen).find(|row| row.keys.contains(&chord)).map(|row| row.action)
}

/// The keys of a row, as a person reads them.
pub fn labels(row: &Row) -> String {
    row.keys.iter().map(|chord| chord.label()).collect::<Vec<_>>().join(" ")
}

/// The table as Markdown.
pub fn markdown() -> String {
    let mut out = String::from("| When | Keys | What they do |\n|---|---|---|\n");
    for row in KEYS {
        let when = match (row.when, row.on) {
            (Anywhere, _) => "anywhere".to_owned(),
            (Typing, _) => "typing".to_owned(),
            (Browsing, None) => "browsing".to_owned(),
            (Browsing, Some(screen)) => format!("browsing, {}", screen.name()),
        };
        let keys: Vec<String> = row.keys.iter().map(|chord| format!("`{}`", chord.label())).collect();
        out.push_str(&format!("| {when} | {} | {} |\n", keys.join(" "), row.help));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_at_a_time() {
        for screen in Screen::ALL {
            for typing in [false, true] {
                let mut seen: Vec<Chord> = Vec::new();
                for row in rows(typing, screen) {
                    for chord in row.keys {
                        assert!(!seen.contains(chord), "{} on {screen:?}, typing {typing}", chord.label());
                        seen.push(*chord);
                    }
                    assert_eq!(find(row.keys[0], typing, screen), Some(row.action));
                    assert!(!row.help.is_empty());
                }
            }
        }
    }

    #[test]
    fn while_typing_letters_are_text() {
        for code in "abcqs?/1234 [".chars() {
            assert_eq!(find(c(code), true, Screen::Search), None, "{code}");
        }
    }
}
