//! The command palette: every action, found by fuzzy matching.

use crate::ui::{
    action::{Action, KeyPlace},
    keymap::{self, Keymap, When},
};

/// An action in the palette.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    pub action: Action,
    pub text: &'static str,
    /// Other words to match: the name in the settings and the footer's word.
    words: [&'static str; 2],
    pub keys: String,
}

impl Command {
    fn score(&self, typed: &str) -> Option<i32> {
        self.words
            .iter()
            .chain([&self.text])
            .filter_map(|text| score(typed, text))
            .max()
    }
}

#[derive(Clone, Debug)]
pub struct Palette {
    commands: Vec<Command>,
}

impl Palette {
    /// Lists every action that has a key at `place`.
    pub fn new(keymap: &Keymap, place: KeyPlace) -> Self {
        let mut commands: Vec<Command> = Vec::new();
        // Moving the cursor makes no sense from the palette.
        let about = |action: Action| {
            matches!(
                action,
                Action::Palette | Action::Move(_) | Action::Back | Action::SortBy(_)
            )
        };
        for row in keymap::rows(false, place)
            .filter(|row| row.when == When::Browsing && !about(row.action))
        {
            if commands.iter().all(|command| command.action != row.action) {
                let words = [row.id, row.short];
                commands.push(Command {
                    action: row.action,
                    text: row.help,
                    words,
                    keys: keymap.labels(row),
                });
            }
        }
        Self { commands }
    }

    /// Returns the actions that match, best first.
    pub fn matching(&self, typed: &str) -> Vec<&Command> {
        let mut found: Vec<(i32, usize, &Command)> = (self.commands.iter().enumerate())
            .filter_map(|(index, command)| Some((command.score(typed)?, index, command)))
            .collect();
        // Of two equal matches, the shorter text matches more of itself.
        let length = |command: &Command| {
            if typed.is_empty() {
                0
            } else {
                command.text.len()
            }
        };
        found.sort_by_key(|(score, index, command)| (-score, length(command), *index));
        found.into_iter().map(|(_, _, command)| command).collect()
    }
}

/// Scores how well a text matches letters in order; `None` if it does not. Letters at the start of
/// a word and consecutive letters score higher.
pub fn score(typed: &str, text: &str) -> Option<i32> {
    let text: Vec<char> = text.to_lowercase().chars().collect();
    // Greedy places for the first letters may leave none for the last, so try again without.
    placed(typed, &text, true).or_else(|| placed(typed, &text, false))
}

fn placed(typed: &str, text: &[char], best: bool) -> Option<i32> {
    let (mut score, mut last) = (0, None);
    let mut from = 0;
    for wanted in typed.to_lowercase().chars().filter(|c| !c.is_whitespace()) {
        let starts = |at: usize| {
            at == 0
                || text
                    .get(at - 1)
                    .is_some_and(|before| !before.is_alphanumeric())
        };
        let candidates = (from..text.len()).filter(|at| text.get(*at) == Some(&wanted));
        let worth = |at: usize| match (last.is_some_and(|last| last + 1 == at), starts(at)) {
            _ if !best => 0,
            (true, _) => 4,
            (_, true) => 3,
            _ => 0,
        };
        let at = candidates.max_by_key(|at| (worth(*at), usize::MAX - at))?;
        score += worth(at);
        score -= i32::from(worth(at) == 0);
        last = Some(at);
        from = at + 1;
    }
    Some(score)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::action::Screen;

    #[test]
    fn letters_in_order_find_it() {
        assert_eq!(score("", "Show every key"), Some(0));
        assert!(score("sek", "Show every key").is_some());
        assert_eq!(score("xyz", "Show every key"), None);
        assert!(score("key", "Show every key") > score("key", "Makes every way"));
        assert!(score("exp", "Write the export") > score("exp", "The next page"));
    }

    #[test]
    fn the_words_of_the_footer_find_it_too() {
        for (word, action) in [
            ("freeze", Action::Freeze),
            ("reverse", Action::Reverse),
            ("draft", Action::ContinueDraft),
        ] {
            let palette = Palette::new(&Keymap::default(), KeyPlace::Screen(Screen::Publish));
            assert_eq!(palette.matching(word)[0].action, action, "{word}");
        }
    }

    #[test]
    fn every_command_is_found_by_its_own_words() {
        let palette = Palette::new(&Keymap::default(), KeyPlace::Screen(Screen::Publish));
        assert!(palette.commands.len() > 25);
        for command in &palette.commands {
            let found = palette.matching(command.text);
            assert_eq!(found[0].action, command.action, "{}", command.text);
        }
    }
}
