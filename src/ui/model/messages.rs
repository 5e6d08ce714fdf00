//! Messages below the search field: mistakes in the query, and what was searched for instead.

use std::ops::Range;

use unicode_width::UnicodeWidthStr;

use super::search::SearchView;
use crate::{
    domain::query::Mistake,
    ui::{
        layout::{SEARCH_LABEL, field_view},
        widget::wrap::wrap,
    },
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchMessage {
    Mistake(String),
    Instead(String),
}

impl SearchView {
    /// Returns the messages as lines of `width` columns.
    pub fn messages(&self, width: usize) -> Vec<SearchMessage> {
        let mut lines: Vec<SearchMessage> = self
            .mistakes(width)
            .into_iter()
            .map(SearchMessage::Mistake)
            .collect();
        lines.extend(self.message_instead().map(SearchMessage::Instead));
        lines
    }

    /// Underlines every mistake and explains the first, beside the line if it fits and else below.
    fn mistakes(&self, width: usize) -> Vec<String> {
        let Some(first) = self.terms.mistakes.first() else {
            return Vec::new();
        };
        let places = self
            .terms
            .mistakes
            .iter()
            .map(|mistake| self.columns_of(mistake, width));
        let mut line = String::new();
        for place in places.filter(|place| !place.is_empty()) {
            line.push_str(&" ".repeat(place.start.saturating_sub(line.len())));
            line.push_str(&"^".repeat(place.end.saturating_sub(line.len())));
        }
        let left = width.saturating_sub(line.len() + 1);
        if line.is_empty() {
            return wrap(&first.why, width);
        }
        if first.why.width() <= left {
            return vec![format!("{line} {}", first.why)];
        }
        let mut lines = vec![line];
        lines.extend(wrap(&first.why, width));
        lines
    }

    /// Returns the columns below a mistake, as far as the field shows it.
    fn columns_of(&self, mistake: &Mistake, width: usize) -> Range<usize> {
        let (room, skipped) = field_view(width, SEARCH_LABEL, &self.input);
        let column = |at: usize| {
            let before = self.input.value().get(..at).unwrap_or_default().width();
            SEARCH_LABEL.width() + before.saturating_sub(skipped).min(room)
        };
        column(mistake.at.start)..column(mistake.at.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::query::parse;
    use proptest::prelude::*;
    use tui_input::Input;

    fn view(text: &str) -> SearchView {
        let mut view = SearchView::default();
        (view.terms, view.input) = (parse(text), Input::new(text.to_owned()));
        view
    }

    #[test]
    fn a_mistake_is_underlined_where_it_is() {
        let text = "web category: x";
        assert_eq!(
            view(text).mistakes(80),
            [format!(
                "{}^^^^^^^^^ the category is missing; write it directly after the colon",
                " ".repeat(12)
            )]
        );
        let lines = view("日本 colour:red tag:").mistakes(60);
        assert_eq!(lines[0], format!("{}^^^^^^^^^^ ^^^^", " ".repeat(13)));
        assert!(
            lines.len() == 3 && lines[1].starts_with("unknown filter colour:"),
            "{lines:?}"
        );
        assert!(view("web server").mistakes(80).is_empty());
    }

    proptest! {
        #[test]
        fn no_message_is_wider_than_its_place(text in "([a-z日]{1,9}:? ?){0,30}", width in 20usize..120) {
            for line in view(&text).mistakes(width) {
                prop_assert!(line.width() <= width, "{line:?}");
            }
        }
    }
}
