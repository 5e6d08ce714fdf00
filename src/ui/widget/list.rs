//! A selection that stays on the same item while the list changes.

use crate::ui::action::CursorMove;

/// The scroll position and the selected item of a list.
#[derive(Clone, Debug)]
pub struct RowSelection<Id> {
    pub selected: Option<Id>,
    pub offset: usize,
}

impl<Id> Default for RowSelection<Id> {
    fn default() -> Self {
        Self {
            selected: None,
            offset: 0,
        }
    }
}

impl<Id: Clone + PartialEq> RowSelection<Id> {
    /// Returns the row of the selected item; the first row if it is not in the list.
    pub fn index(&self, rows: &[Id]) -> Option<usize> {
        let found = self
            .selected
            .as_ref()
            .and_then(|selected| rows.iter().position(|row| row == selected));
        found.or((!rows.is_empty()).then_some(0))
    }

    /// Returns the selected item if it is in the list.
    pub fn current(&self, rows: &[Id]) -> Option<Id> {
        rows.get(self.index(rows)?).cloned()
    }

    pub fn step(&mut self, step: CursorMove, rows: &[Id], page: usize) {
        let Some(here) = self.index(rows) else { return };
        let there = target(step, here, rows.len(), page);
        self.selected = rows.get(there).cloned();
    }

    /// Scrolls so that the selected row is among the `page` rows in view.
    pub fn settle(&mut self, rows: &[Id], page: usize) {
        let here = self.index(rows).unwrap_or(0);
        let page = page.max(1);
        self.offset = self
            .offset
            .min(rows.len().saturating_sub(page))
            .min(here)
            .max((here + 1).saturating_sub(page));
    }
}

/// Returns where a move from row `here` leads in a list of `len` rows.
pub fn target(step: CursorMove, here: usize, len: usize, page: usize) -> usize {
    let last = len.saturating_sub(1);
    let half = (page / 2).max(1);
    match step {
        CursorMove::Up => here.saturating_sub(1),
        CursorMove::Down => (here + 1).min(last),
        CursorMove::HalfUp => here.saturating_sub(half),
        CursorMove::HalfDown => (here + half).min(last),
        CursorMove::PageUp => here.saturating_sub(page.max(1)),
        CursorMove::PageDown => (here + page.max(1)).min(last),
        CursorMove::First => 0,
        CursorMove::Last => last,
        CursorMove::Left | CursorMove::Right => here,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOVES: [CursorMove; 8] = [
        CursorMove::Up,
        CursorMove::Down,
        CursorMove::HalfUp,
        CursorMove::HalfDown,
        CursorMove::PageUp,
        CursorMove::PageDown,
        CursorMove::First,
        CursorMove::Last,
    ];

    #[test]
    fn the_selection_follows_its_thing() {
        let mut selection = RowSelection {
            selected: Some('c'),
            offset: 0,
        };
        assert_eq!(selection.index(&['a', 'b', 'c']), Some(2));
        assert_eq!(selection.index(&['c', 'a', 'b']), Some(0));
        selection.step(CursorMove::Down, &['c', 'a', 'b'], 10);
        assert_eq!(selection.selected, Some('a'));
        assert_eq!(
            selection.current(&['x']),
            Some('x'),
            "what is gone leaves the first row selected"
        );
        assert_eq!(selection.current(&[]), None);
    }

    proptest! {
        #[test]
        fn the_selected_row_is_always_shown(
            steps in proptest::collection::vec((0usize..8, 0usize..40), 0..40), page in 1usize..12,
        ) {
            let mut selection = RowSelection::default();
            for (step, len) in steps {
                let rows: Vec<usize> = (0..len).collect();
                selection.step(MOVES[step], &rows, page);
                selection.settle(&rows, page);
                if let Some(here) = selection.index(&rows) {
                    prop_assert!((selection.offset..selection.offset + page).contains(&here));
                }
            }
        }
    }
}
