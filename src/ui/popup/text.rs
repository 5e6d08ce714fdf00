//! A window with a text to read.

use super::{Page, Window};
use crate::ui::model::Model;

pub struct TextWindow {
    pub title: String,
    pub text: String,
}

impl Window for TextWindow {
    fn title(&self) -> &str {
        &self.title
    }

    fn lines(&self, _model: &Model, page: &mut Page) {
        for line in self.text.lines() {
            page.text(line, page.theme.text());
        }
    }
}
