//! Examples of the search language, shown above the newest packages while the field is empty.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};
use unicode_width::UnicodeWidthStr;

use crate::ui::theme::Theme;

/// Examples of queries, and what each of them finds.
pub const LANGUAGE: [(&str, &str); 10] = [
    ("web server", "both words, anywhere"),
    ("\"web server\"", "this phrase"),
    ("web -java", "without this word"),
    ("category:web", "of this category"),
    ("tag:cli", "with this tag"),
    ("license:MIT", "under this license"),
    ("eco:cargo", "of this ecosystem"),
    ("publisher:alice", "by this publisher"),
    ("updated:<30d", "signed within 30 days"),
    ("is:yanked", "yanked releases"),
];

/// Width of an example, and of an example with its explanation, in columns.
const EXAMPLE: usize = 17;
const BOTH: usize = 39;

/// Returns the number of lines for a width of `width` columns; 0 if there is no room.
pub fn lesson_height(width: u16) -> u16 {
    match columns(width) {
        0 | 1 => 0,
        // One more line stays free below.
        columns => LANGUAGE.len().div_ceil(columns) as u16 + 1,
    }
}

fn columns(width: u16) -> usize {
    (usize::from(width) / BOTH).min(3)
}

/// Renders an example and its explanation.
pub fn example((example, finds): (&str, &str), theme: Theme) -> Line<'static> {
    Line::from(pair(example, finds, theme).to_vec())
}

fn pair(example: &str, finds: &str, theme: Theme) -> [Span<'static>; 2] {
    [
        Span::styled(format!("{example:<EXAMPLE$}"), theme.key()),
        Span::styled(finds.to_owned(), theme.dim()),
    ]
}

pub fn draw(frame: &mut Frame<'_>, theme: Theme, area: Rect) {
    if area.height == 0 {
        return;
    }
    // Fill the columns from top to bottom.
    let rows = LANGUAGE.len().div_ceil(columns(area.width).max(1));
    let line = |row: usize| {
        let mut spans = Vec::new();
        for (example, finds) in LANGUAGE.iter().skip(row).step_by(rows.max(1)) {
            spans.push(Span::raw(" "));
            spans.extend(pair(example, finds, theme));
            spans.push(Span::raw(
                " ".repeat(BOTH.saturating_sub(1 + EXAMPLE + finds.width())),
            ));
        }
        Line::from(spans)
    };
    frame.render_widget(
        Paragraph::new((0..rows).map(line).collect::<Vec<_>>()),
        area,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::query::parse;

    #[test]
    fn what_is_taught_is_understood_and_fits() {
        for (example, finds) in LANGUAGE {
            assert!(
                parse(example).mistakes.is_empty() && !parse(example).is_everything(),
                "{example}"
            );
            assert!(
                example.len() < EXAMPLE && 1 + EXAMPLE + finds.len() <= BOTH,
                "{example}"
            );
        }
        assert_eq!([39, 80, 120, 200].map(lesson_height), [0, 6, 5, 5]);
    }
}
