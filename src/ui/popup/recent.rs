//! The window of recent searches: the text field, and the matching searches.

use ratatui::{layout::Rect, text::Span};
use tui_input::Input;

use super::{Page, Reply, Window, boxed};
use crate::{
    domain::text::fit,
    ui::{
        action::{Action, KeyPlace},
        model::Model,
        update::search,
    },
};

/// Lines above the first search.
const ABOVE: usize = 2;
const PROMPT: &str = "> ";

#[derive(Default)]
pub struct RecentWindow {
    pub input: Input,
}

impl RecentWindow {
    fn found<'a>(&self, model: &'a Model) -> Vec<&'a str> {
        model.search.recent.found(self.input.value())
    }
}

impl Window for RecentWindow {
    fn place(&self) -> KeyPlace {
        KeyPlace::Recent
    }

    fn title(&self) -> &str {
        "Recent searches"
    }

    fn lines(&self, model: &Model, page: &mut Page) {
        let theme = page.theme;
        page.line(vec![
            Span::styled(PROMPT, theme.key()),
            Span::styled(self.input.value().to_owned(), theme.strong()),
        ]);
        page.blank();
        let found = self.found(model);
        if found.is_empty() {
            let why = if model.search.recent.len() == 0 {
                "No recent searches."
            } else {
                "No matching search."
            };
            page.styled(why, theme.dim());
        }
        for text in found {
            page.styled(fit(text, page.width), theme.text());
        }
    }

    fn area(&self, model: &Model) -> Rect {
        boxed(model, 64, ABOVE + model.search.recent.len().clamp(3, 12))
    }

    fn keys(&self) -> &'static [(Action, &'static str)] {
        &[(Action::Accept, "search"), (Action::LeaveField, "back")]
    }

    fn rows(&self, model: &Model) -> Option<Vec<usize>> {
        Some((ABOVE..ABOVE + self.found(model).len()).collect())
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
        let text = self.found(model).get(*at).map(|text| (*text).to_owned());
        Reply::Close(text.map_or_else(Vec::new, |text| {
            model.search.typing = true;
            search::search_for(model, text)
        }))
    }
}
