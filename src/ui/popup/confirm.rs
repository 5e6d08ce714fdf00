//! A question that is answered with yes or no.

use ratatui::{layout::Rect, text::Span};

use super::{Page, Reply, Window, fitting};
use crate::ui::{
    action::{Action, KeyPlace},
    effect::Effect,
    model::{Model, publish::Replacement},
    update::publish,
};

pub struct ConfirmWindow {
    pub title: &'static str,
    pub text: String,
    pub on_yes: OnYes,
}

/// The consequence of a yes.
#[derive(Clone, Debug)]
pub enum OnYes {
    Run(Vec<Effect>),
    /// Replaces the current draft with another form.
    Replace(Replacement),
    Quit,
}

impl Window for ConfirmWindow {
    fn place(&self) -> KeyPlace {
        KeyPlace::Confirm
    }

    fn title(&self) -> &str {
        self.title
    }

    fn lines(&self, model: &Model, page: &mut Page) {
        let key = |action| Span::styled(model.key(action, KeyPlace::Confirm), page.theme.key());
        let (yes, no) = (key(Action::Accept), key(Action::Decline));
        page.text(&self.text, page.theme.text());
        page.blank();
        page.line(vec![
            yes,
            Span::raw(format!(": {}    ", self.title.to_lowercase())),
            no,
            Span::raw(": no"),
        ]);
    }

    fn area(&self, model: &Model) -> Rect {
        fitting(model, self, 64)
    }

    fn keys(&self) -> &'static [(Action, &'static str)] {
        &[(Action::Accept, "yes"), (Action::Decline, "no")]
    }

    fn act(&mut self, model: &mut Model, _at: &mut usize, action: Action) -> Reply {
        if action == Action::Decline {
            return Reply::Close(Vec::new());
        }
        if action != Action::Accept {
            return Reply::Pass;
        }
        Reply::Close(match self.on_yes.clone() {
            OnYes::Run(effects) => effects,
            OnYes::Replace(with) => publish::fill_form(model, with),
            OnYes::Quit => {
                model.quit = true;
                Vec::new()
            }
        })
    }
}
