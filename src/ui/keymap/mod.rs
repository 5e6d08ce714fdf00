//! The one table of keys. Dispatch, footer, help, hints and the documentation come from it.

mod chord;
mod rows;

use std::collections::BTreeMap;

pub use chord::Chord;
pub use rows::KEYS;

use super::action::{Action, KeyPlace, Screen};

/// The letters of columns, in the order of the keys of the row that sorts by them.
pub const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";

/// The mode in which a row applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Anywhere,
    /// No text field has the focus: letters are commands.
    Browsing,
    /// A text field has the focus: letters are text.
    Typing,
}

/// The places in which a row applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyScope {
    All,
    /// Any screen with no window over it.
    Screens,
    /// Any screen except these.
    ScreensBut(&'static [Screen]),
    /// Any screen, and these windows.
    ScreensAnd(&'static [KeyPlace]),
    In(&'static [KeyPlace]),
}

impl KeyScope {
    pub fn holds(self, place: KeyPlace) -> bool {
        let screen = matches!(place, KeyPlace::Screen(_));
        match self {
            Self::All => true,
            Self::Screens => screen,
            Self::ScreensBut(but) => {
                matches!(place, KeyPlace::Screen(screen) if !but.contains(&screen))
            }
            Self::ScreensAnd(places) => screen || places.contains(&place),
            Self::In(places) => places.contains(&place),
        }
    }
}

/// One row of the table: an action, its keys, and its descriptions.
pub struct KeyRow {
    /// The action's name in the settings.
    pub id: &'static str,
    pub when: When,
    pub on: KeyScope,
    pub keys: &'static [Chord],
    pub action: Action,
    /// Word in the footer; empty if the action is only in the help.
    pub short: &'static str,
    pub help: &'static str,
}

/// Keys from the settings, by the id of the row that they replace.
pub type Overrides = BTreeMap<String, Vec<String>>;

/// The table of keys with the user's changes.
#[derive(Clone, Debug, Default)]
pub struct Keymap {
    own: BTreeMap<&'static str, Vec<Chord>>,
}

impl Keymap {
    /// Applies keys from the settings to the table.
    ///
    /// # Errors
    /// A sentence for every unknown action, every key that cannot be parsed, and every key that
    /// would trigger two actions.
    pub fn new(overrides: &Overrides) -> Result<Self, Vec<String>> {
        let (mut own, mut problems) = (BTreeMap::new(), Vec::new());
        for (id, keys) in overrides {
            let Some(row) = KEYS.iter().find(|row| row.id == id) else {
                let nearest = KEYS.iter().map(|row| row.id).max_by(|a, b| {
                    strsim::jaro_winkler(a, id).total_cmp(&strsim::jaro_winkler(b, id))
                });
                problems.push(format!(
                    "keys.{id}: unknown action; did you mean {}?",
                    nearest.unwrap_or("help")
                ));
                continue;
            };
            let mut chords = Vec::new();
            for key in keys {
                match key.parse() {
                    Ok(chord) => chords.push(chord),
                    Err(problem) => problems.push(format!("keys.{id}: {problem}")),
                }
            }
            own.insert(row.id, chords);
        }
        let keymap = Self { own };
        problems.extend(keymap.conflicts());
        if problems.is_empty() {
            Ok(keymap)
        } else {
            Err(problems)
        }
    }

    /// Lists the keys that would trigger two actions in the same place.
    fn conflicts(&self) -> Vec<String> {
        let mut out = Vec::new();
        for (number, a) in KEYS.iter().enumerate() {
            for b in KEYS.iter().skip(number + 1) {
                if !meet(a, b) {
                    continue;
                }
                for chord in self
                    .keys(a)
                    .iter()
                    .filter(|chord| self.keys(b).contains(chord))
                {
                    out.push(format!(
                        "the key {} has two actions: keys.{} ({}) and keys.{} ({}); change one of \
                         them",
                        chord.label(),
                        a.id,
                        a.help,
                        b.id,
                        b.help
                    ));
                }
            }
            if a.when != When::Browsing
                && let Some(letter) = self.keys(a).iter().find(|chord| chord.text().is_some())
            {
                out.push(format!(
                    "keys.{} ({}): {} is text while typing; use a key with Ctrl or Alt",
                    a.id,
                    a.help,
                    letter.label()
                ));
            }
        }
        out
    }

    pub fn keys(&self, row: &KeyRow) -> &[Chord] {
        self.own.get(row.id).map_or(row.keys, Vec::as_slice)
    }

    /// Returns the action that a key triggers.
    pub fn find(&self, chord: Chord, typing: bool, place: KeyPlace) -> Option<Action> {
        rows(typing, place).find_map(|row| {
            let at = self.keys(row).iter().position(|key| *key == chord)?;
            // The row of sort keys has one key for each letter.
            Some(match row.action {
                Action::SortBy(_) => Action::SortBy(LETTERS.chars().nth(at)?),
                action => action,
            })
        })
    }

    /// Returns the label of the first key that triggers `action`.
    pub fn key_for(&self, action: Action, typing: bool, place: KeyPlace) -> Option<String> {
        rows(typing, place)
            .filter(|row| row.action == action)
            .find_map(|row| self.keys(row).first().map(|chord| chord.label()))
    }

    /// Returns the label of the key for `action` in a place, for texts that mention it: a key that
    /// works outside of text fields if there is one. An action without a key is `unbound`.
    pub fn hint(&self, action: Action, place: KeyPlace) -> String {
        [false, true]
            .into_iter()
            .find_map(|typing| self.key_for(action, typing, place))
            .unwrap_or_else(|| "unbound".to_owned())
    }

    /// Returns the labels of a row's keys.
    pub fn labels(&self, row: &KeyRow) -> String {
        labels(self.keys(row)).join(" ")
    }
}

/// Returns the labels of keys; of many, the first and the last.
fn labels(keys: &[Chord]) -> Vec<String> {
    const MANY: usize = 8;
    match keys {
        [first, .., last] if keys.len() > MANY => {
            vec![format!("{}..{}", first.label(), last.label())]
        }
        keys => keys.iter().map(|chord| chord.label()).collect(),
    }
}

/// Returns true if there is a place and mode in which both rows apply.
fn meet(a: &KeyRow, b: &KeyRow) -> bool {
    let modes = a.when == b.when || a.when == When::Anywhere || b.when == When::Anywhere;
    modes && KeyPlace::all().any(|place| a.on.holds(place) && b.on.holds(place))
}

/// Returns the rows that apply in a place and mode.
pub fn rows(typing: bool, place: KeyPlace) -> impl Iterator<Item = &'static KeyRow> {
    let mode = if typing { When::Typing } else { When::Browsing };
    KEYS.iter()
        .filter(move |row| row.when == When::Anywhere || row.when == mode)
        .filter(move |row| row.on.holds(place))
}

/// Names the places where a row applies; empty if there are too many to name.
pub fn places(row: &KeyRow) -> String {
    let KeyScope::In(places) = row.on else {
        return String::new();
    };
    if places.len() > 4 {
        return String::new();
    }
    places
        .iter()
        .map(|place| place.name())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Renders the table as Markdown.
pub fn markdown() -> String {
    let mut out = String::from(
        "| Mode | Where | Keys | Action | Name in the settings |\n|---|---|---|---|---|\n",
    );
    for row in KEYS {
        let mode = match row.when {
            When::Anywhere => "anywhere",
            When::Typing => "typing",
            When::Browsing => "browsing",
        };
        let places = places(row);
        let keys: Vec<String> = labels(row.keys)
            .into_iter()
            .map(|label| format!("`{label}`"))
            .collect();
        out.push_str(&format!(
            "| {mode} | {places} | {} | {} | `{}` |\n",
            keys.join(" "),
            row.help,
            row.id
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{rows::c, *};
    use crossterm::event::KeyCode;

    #[test]
    fn no_key_means_two_things_at_a_time() {
        let keymap = Keymap::default();
        assert_eq!(keymap.conflicts(), Vec::<String>::new());
        let ids: std::collections::HashSet<&str> = KEYS.iter().map(|row| row.id).collect();
        assert_eq!(ids.len(), KEYS.len(), "an id twice");
        for row in KEYS {
            assert!(!row.help.is_empty());
            if let KeyScope::In(places) | KeyScope::ScreensAnd(places) = row.on {
                let known = |place| KeyPlace::all().any(|other| other == place);
                assert!(places.iter().copied().all(known), "{}", row.id);
            }
            let mut reached = false;
            for place in KeyPlace::all().filter(|place| row.on.holds(*place)) {
                for typing in [false, true] {
                    if rows(typing, place).any(|other| other.id == row.id) {
                        reached = true;
                        for chord in row.keys {
                            let found = keymap.find(*chord, typing, place);
                            if let Action::SortBy(_) = row.action {
                                let KeyCode::Char(letter) = chord.code else {
                                    panic!()
                                };
                                assert_eq!(found, Some(Action::SortBy(letter)));
                                continue;
                            }
                            assert_eq!(found, Some(row.action), "{} in {place:?}", row.id);
                        }
                    }
                }
            }
            assert!(reached, "{}", row.id);
        }
    }

    #[test]
    fn while_typing_letters_are_text() {
        for code in "abcqs?/1234 [".chars() {
            for place in KeyPlace::all() {
                assert_eq!(Keymap::default().find(c(code), true, place), None, "{code}");
            }
        }
    }

    #[test]
    fn every_key_is_read_back_as_it_is_written() {
        for chord in KEYS.iter().flat_map(|row| row.keys) {
            assert_eq!(chord.label().parse(), Ok(*chord), "{}", chord.label());
        }
        for text in ["", "Ctrl-", "Hyper-x", "F99", "ab"] {
            assert!(text.parse::<Chord>().is_err(), "{text}");
        }
    }

    #[test]
    fn own_keys_replace_the_others_and_conflicts_name_both_rows() {
        let own = |id: &str, keys: &[&str]| {
            Overrides::from([(
                id.to_owned(),
                keys.iter().map(|key| (*key).to_owned()).collect(),
            )])
        };
        let keymap = Keymap::new(&own("quit", &["Q", "Ctrl-q"])).unwrap();
        let here = KeyPlace::Screen(Screen::Peers);
        assert_eq!(keymap.find(c('Q'), false, here), Some(Action::Quit));
        assert_eq!(keymap.find(c('q'), false, here), None);
        let problems = Keymap::new(&own("quit", &["?"])).unwrap_err();
        assert!(
            problems[0].contains("keys.help") && problems[0].contains("keys.quit"),
            "{problems:?}"
        );
        assert!(
            Keymap::new(&own("clear", &["x"])).unwrap_err()[0].contains("is text while typing")
        );
        assert!(Keymap::new(&own("qiut", &["x"])).unwrap_err()[0].contains("did you mean quit"));
    }
}
