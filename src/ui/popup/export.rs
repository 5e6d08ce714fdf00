//! The prompt for the name of an exported file.

use ratatui::layout::Rect;
use tui_input::Input;

use super::{Page, Reply, Window, fitting};
use crate::{
    domain::{conflict::ConflictId, text::printable},
    ui::{
        action::{Action, KeyPlace},
        effect::Effect,
        model::Model,
    },
};

/// Line of the text field in the window.
const FIELD: usize = 1;

pub struct ExportWindow {
    pub input: Input,
    pub rows: usize,
    /// If set, the evidence of this conflict is exported instead of rows.
    pub evidence: Option<ConflictId>,
    /// The reason why this name could not be used.
    pub problem: Option<String>,
}

impl Window for ExportWindow {
    fn place(&self) -> KeyPlace {
        KeyPlace::Export
    }

    fn title(&self) -> &str {
        "Export"
    }

    fn lines(&self, _model: &Model, page: &mut Page) {
        let what = match self.rows {
            _ if self.evidence.is_some() => "Export the evidence".to_owned(),
            1 => "Export 1 row".to_owned(),
            rows => format!("Export {rows} rows"),
        };
        page.styled(format!("{what} to this file:"), page.theme.dim());
        page.styled(self.input.value(), page.theme.strong());
        page.blank();
        if let Some(problem) = &self.problem {
            page.text(&format!("! {}", printable(problem)), page.theme.bad());
        }
        let hint = if self.evidence.is_some() {
            "Anyone can verify it without a node: swarmdex conflict verify FILE"
        } else {
            "A name that ends in .json gives JSON, any other CSV."
        };
        page.text(hint, page.theme.dim());
    }

    fn area(&self, model: &Model) -> Rect {
        fitting(model, self, 64)
    }

    fn keys(&self) -> &'static [(Action, &'static str)] {
        &[(Action::Accept, "write"), (Action::LeaveField, "back")]
    }

    fn cursor(&self) -> Option<(usize, usize)> {
        Some((self.input.visual_cursor(), FIELD))
    }

    fn input(&mut self) -> Option<&mut Input> {
        Some(&mut self.input)
    }

    fn edited(&mut self) {
        self.problem = None;
    }

    /// Writes the file. The window stays open with its text until the file exists.
    fn act(&mut self, model: &mut Model, _at: &mut usize, action: Action) -> Reply {
        if action != Action::Accept {
            return Reply::Pass;
        }
        let path = self.input.value().trim().to_owned();
        Reply::Stay(match self.evidence {
            _ if path.is_empty() => Vec::new(),
            Some(id) => vec![Effect::ExportEvidence { path, id }],
            None => {
                let sheet = model.table().export(model.now);
                vec![Effect::Export { path, sheet }]
            }
        })
    }
}
