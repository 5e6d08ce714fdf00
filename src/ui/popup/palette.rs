//! The command palette: the text field, and the matching actions.

use ratatui::{layout::Rect, text::Span};
use tui_input::Input;

use super::{Page, Reply, Window, boxed};
use crate::{
    domain::text::fit,
    ui::{
        action::{Action, KeyPlace},
        model::{Model, palette::Palette},
        update,
    },
};

/// Lines above the first action.
const ABOVE: usize = 2;
/// Width of the column of keys.
const KEYS: usize = 14;
const PROMPT: &str = ": ";

pub struct PaletteWindow {
    pub input: Input,
    pub palette: Palette,
}

impl Window for PaletteWindow {
    fn place(&self) -> KeyPlace {
        KeyPlace::Palette
    }

    fn title(&self) -> &str {
        "Commands"
    }

    fn lines(&self, _model: &Model, page: &mut Page) {
        let theme = page.theme;
        page.line(vec![
            Span::styled(PROMPT, theme.key()),
            Span::styled(self.input.value().to_owned(), theme.strong()),
        ]);
        page.blank();
        let found = self.palette.matching(self.input.value());
        if found.is_empty() {
            page.styled("No matching command.", theme.text());
        }
        for command in found {
            let keys = fit(&command.keys, KEYS - 1);
            let text = fit(command.text, page.width.saturating_sub(KEYS));
            page.line(vec![
                Span::styled(format!("{keys:<KEYS$}"), theme.key()),
                Span::raw(text),
            ]);
        }
    }

    fn area(&self, model: &Model) -> Rect {
        boxed(model, 84, 22)
    }

    fn keys(&self) -> &'static [(Action, &'static str)] {
        &[(Action::Accept, "run"), (Action::LeaveField, "back")]
    }

    fn rows(&self, _model: &Model) -> Option<Vec<usize>> {
        let found = self.palette.matching(self.input.value()).len();
        Some((ABOVE..ABOVE + found).collect())
    }

    fn click(&self, _again: bool) -> Option<Action> {
        Some(Action::Accept)
    }

    fn cursor(&self) -> Option<(usize, usize)> {
        Some((PROMPT.len() + self.input.visual_cursor(), 0))
    }

    fn input(&mut self) -> Option<&mut Input> {
        Some(&mut self.input)
    }

    fn act(&mut self, model: &mut Model, at: &mut usize, action: Action) -> Reply {
        if action != Action::Accept {
            return Reply::Pass;
        }
        let found = self.palette.matching(self.input.value());
        let chosen = found.get(*at).map(|command| command.action);
        Reply::Close(chosen.map_or_else(Vec::new, |action| update::act(model, action)))
    }
}
