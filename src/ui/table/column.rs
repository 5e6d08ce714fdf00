//! Columns of tables, and the user's choice of columns, order and widths.

use crate::domain::text::printable;

/// A column's header and its part in the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name in filters, settings and exports.
    pub key: &'static str,
    pub title: &'static str,
    /// Least width in columns.
    pub width: usize,
    /// Width that it gets before a column of a lower rank is shown at all.
    pub ideal: usize,
    /// Largest useful width.
    pub most: usize,
    /// Columns with higher numbers are dropped first if there is no room; 0 is never dropped.
    pub priority: u8,
    pub right: bool,
    /// Sorts the highest values first unless reversed, for values where more is better.
    pub highest_first: bool,
    /// Unit of its numbers; empty for counts and texts.
    pub unit: &'static str,
    /// A picture of another column, which cannot be sorted or filtered by.
    pub picture: bool,
    /// A title such as `alice/cargo:serde`: if it is too long, its owner is cut, not its name.
    pub title_of_package: bool,
}

impl Column {
    pub const fn new(key: &'static str, title: &'static str, width: usize, priority: u8) -> Self {
        Self {
            key,
            title,
            width,
            ideal: width,
            most: width,
            priority,
            right: false,
            highest_first: false,
            unit: "",
            picture: false,
            title_of_package: false,
        }
    }

    pub const fn right(self) -> Self {
        Self {
            right: true,
            ..self
        }
    }

    pub const fn up_to(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Sets the ideal width, for texts that are of little use when cut off.
    pub const fn rather(self, ideal: usize) -> Self {
        Self { ideal, ..self }
    }

    pub const fn highest_first(self) -> Self {
        Self {
            highest_first: true,
            ..self
        }
    }

    pub const fn unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }

    /// Returns its name in an exported file, with the unit: `rtt_ms`.
    pub fn with_unit(&self) -> String {
        if self.unit.is_empty() {
            self.key.to_owned()
        } else {
            format!("{}_{}", self.key, self.unit)
        }
    }

    pub const fn title_of_package(self) -> Self {
        Self {
            title_of_package: true,
            ..self
        }
    }

    pub const fn picture(self) -> Self {
        Self {
            picture: true,
            ..self
        }
    }
}

/// Returns the letter that sorts by each column: the first of its title that no column before it
/// has. A picture has none.
pub fn letters(columns: &[Column]) -> Vec<Option<char>> {
    let mut taken = Vec::new();
    let letter = |column: &Column| {
        let free = |c: &char| c.is_ascii_lowercase() && !taken.contains(c);
        let letter = column.title.chars().find(free).filter(|_| !column.picture);
        taken.extend(letter);
        letter
    };
    columns.iter().map(letter).collect()
}

/// Returns the title of a column with its letter as a capital.
pub fn lettered(columns: &[Column], column: &Column) -> String {
    let at = columns.iter().position(|one| one.key == column.key);
    let letter = at.and_then(|at| letters(columns).get(at).copied().flatten());
    match letter {
        Some(letter) => column
            .title
            .replacen(letter, &letter.to_ascii_uppercase().to_string(), 1),
        None => column.title.to_owned(),
    }
}

/// One column as the user configured it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    pub column: Column,
    pub hidden: bool,
    /// Columns added to its own width, or taken from it.
    pub extra: i16,
}

/// Most columns that a width can be increased by.
const MOST_EXTRA: i16 = 80;
/// Least width of a narrowed column.
const LEAST_WIDTH: i16 = 3;

/// All columns of a table, in the user's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns(Vec<Slot>);

impl Columns {
    pub fn new(columns: &[Column]) -> Self {
        Self(
            columns
                .iter()
                .map(|column| Slot {
                    column: *column,
                    hidden: false,
                    extra: 0,
                })
                .collect(),
        )
    }

    pub fn slots(&self) -> &[Slot] {
        &self.0
    }

    /// Returns the visible columns with the widths that the user chose.
    pub fn wanted(&self) -> Vec<Column> {
        let widened = |slot: &Slot| {
            let by = |width: usize| {
                usize::try_from(width as i64 + i64::from(slot.extra))
                    .unwrap_or(0)
                    .max(1)
            };
            let Column {
                width, ideal, most, ..
            } = slot.column;
            Column {
                width: by(width),
                ideal: by(ideal),
                most: by(most),
                ..slot.column
            }
        };
        self.0
            .iter()
            .filter(|slot| !slot.hidden)
            .map(widened)
            .collect()
    }

    /// Hides or shows a column; the last visible one stays.
    pub fn toggle(&mut self, at: usize) {
        let shown = self.0.iter().filter(|slot| !slot.hidden).count();
        if let Some(slot) = self.0.get_mut(at)
            && (slot.hidden || shown > 1)
        {
            slot.hidden = !slot.hidden;
        }
    }

    /// Moves a column one place left or right; returns its new place.
    pub fn shift(&mut self, at: usize, right: bool) -> usize {
        let to = if right { at + 1 } else { at.saturating_sub(1) };
        if at < self.0.len() && to < self.0.len() {
            self.0.swap(at, to);
            to
        } else {
            at
        }
    }

    pub fn widen(&mut self, at: usize, by: i16) {
        if let Some(slot) = self.0.get_mut(at) {
            let least = LEAST_WIDTH.min(slot.column.width as i16) - slot.column.width as i16;
            slot.extra = slot.extra.saturating_add(by).clamp(least, MOST_EXTRA);
        }
    }

    /// Returns the columns as the settings store them: `key`, `-key` if hidden, `key+4` or `key-2`
    /// for another width.
    pub fn to_words(&self) -> Vec<String> {
        let word = |slot: &Slot| {
            let hidden = if slot.hidden { "-" } else { "" };
            let extra = if slot.extra == 0 {
                String::new()
            } else {
                format!("{:+}", slot.extra)
            };
            format!("{hidden}{}{extra}", slot.column.key)
        };
        self.0.iter().map(word).collect()
    }

    /// Parses columns from the settings. Columns that are not named follow with their defaults;
    /// unknown names are ignored.
    pub fn from_words(columns: &[Column], words: &[String]) -> Self {
        let mut slots: Vec<Slot> = Vec::new();
        for word in words {
            let (hidden, rest) = word
                .strip_prefix('-')
                .map_or((false, word.as_str()), |rest| (true, rest));
            let (key, extra) = match rest.find(['+', '-']) {
                Some(at) => rest.split_at(at),
                None => (rest, ""),
            };
            let Some(column) = columns.iter().find(|column| column.key == key) else {
                continue;
            };
            if slots.iter().all(|slot| slot.column.key != key) {
                slots.push(Slot {
                    column: *column,
                    hidden,
                    extra: 0,
                });
                let at = slots.len() - 1;
                let mut held = Self(std::mem::take(&mut slots));
                held.widen(at, extra.parse().unwrap_or(0));
                slots = held.0;
            }
        }
        for column in columns {
            if slots.iter().all(|slot| slot.column.key != column.key) {
                slots.push(Slot {
                    column: *column,
                    hidden: false,
                    extra: 0,
                });
            }
        }
        if slots.iter().all(|slot| slot.hidden)
            && let Some(first) = slots.first_mut()
        {
            first.hidden = false;
        }
        Self(slots)
    }
}

/// Returns a sentence for each word in the settings that names no column.
pub fn unknown(columns: &[Column], words: &[String]) -> Vec<String> {
    let known = columns
        .iter()
        .map(|column| column.key)
        .collect::<Vec<_>>()
        .join(", ");
    let is_known = |word: &&String| {
        let word = word.strip_prefix('-').unwrap_or(word);
        let (key, extra) = word
            .find(['+', '-'])
            .map_or((word, "+0"), |at| word.split_at(at));
        columns.iter().any(|column| column.key == key) && extra.parse::<i16>().is_ok()
    };
    let wrong = words.iter().filter(|word| !is_known(word));
    wrong
        .map(|word| {
            format!(
                "there is no column {}; choose from {known}",
                printable(word)
            )
        })
        .collect()
}

/// Columns between two columns of a table.
pub const GAP: usize = 1;

/// Chooses the columns that fit in `width`, and their widths.
pub fn columns_in(columns: &[Column], width: usize) -> Vec<(Column, usize)> {
    let mut shown: Vec<(usize, Column)> = columns.iter().copied().enumerate().collect();
    let gaps = |shown: &[(usize, Column)]| GAP * shown.len().saturating_sub(1);
    // Every column but the last to be added must have its ideal width first.
    let needed = |shown: &[(usize, Column)]| {
        let last = shown
            .iter()
            .map(|(_, column)| column.priority)
            .max()
            .unwrap_or_default();
        let width = |column: &Column| {
            if column.priority < last {
                column.ideal
            } else {
                column.width
            }
        };
        shown.iter().map(|(_, column)| width(column)).sum::<usize>() + gaps(shown)
    };
    while needed(&shown) > width && shown.len() > 1 {
        let Some(leaves) = shown
            .iter()
            .max_by_key(|(index, column)| (column.priority, *index))
            .map(|(index, _)| *index)
        else {
            break;
        };
        shown.retain(|(index, _)| *index != leaves);
    }
    let least = shown.iter().map(|(_, column)| column.width).sum::<usize>() + gaps(&shown);
    let mut spare = width.saturating_sub(least);
    let mut widths: Vec<usize> = shown
        .iter()
        .map(|(_, column)| column.width.min(width))
        .collect();
    for wanted in [
        |column: &Column| column.ideal,
        |column: &Column| column.most,
    ] {
        for ((_, column), wide) in shown.iter().zip(&mut widths) {
            let more = wanted(column).saturating_sub(*wide).min(spare);
            spare -= more;
            *wide += more;
        }
    }
    shown
        .into_iter()
        .map(|(_, column)| column)
        .zip(widths)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COLUMNS: [Column; 4] = [
        Column::new("id", "id", 12, 0),
        Column::new("agent", "agent", 16, 3),
        Column::new("score", "score", 10, 1).right(),
        Column::new("address", "address", 10, 2).up_to(30),
    ];

    #[test]
    fn columns_leave_by_priority_and_share_what_is_left() {
        let shown = |width| {
            columns_in(&COLUMNS, width)
                .into_iter()
                .map(|(column, _)| column.key)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(shown(80), "id agent score address");
        assert_eq!(shown(40), "id score address");
        assert_eq!(shown(30), "id score");
        assert_eq!(shown(12), "id");
        assert_eq!(
            columns_in(&COLUMNS, 80).last().map(|(_, width)| *width),
            Some(30)
        );
    }

    #[test]
    fn a_text_is_readable_before_figures_come_in() {
        let columns = [
            Column::new("name", "", 8, 0),
            Column::new("text", "", 10, 1).rather(20).up_to(40),
            Column::new("n", "", 4, 2),
        ];
        let widths = |width| {
            columns_in(&columns, width)
                .into_iter()
                .map(|(_, width)| width)
                .collect::<Vec<_>>()
        };
        assert_eq!(widths(22), [8, 13]);
        assert_eq!(widths(33), [8, 24], "4 more would leave it 19");
        assert_eq!(widths(34), [8, 20, 4]);
        assert_eq!(widths(60), [8, 40, 4]);
    }

    #[test]
    fn what_is_wanted_is_kept_in_words() {
        let mut columns = Columns::new(&COLUMNS);
        columns.toggle(1);
        assert_eq!(columns.shift(3, false), 2);
        columns.widen(2, 5);
        columns.widen(0, -100);
        let words = columns.to_words();
        assert_eq!(words, ["id-9", "-agent", "address+5", "score"]);
        assert_eq!(Columns::from_words(&COLUMNS, &words), columns);
        let wanted = columns.wanted();
        assert_eq!(
            wanted.iter().map(|column| column.width).collect::<Vec<_>>(),
            [3, 15, 10]
        );
    }

    #[test]
    fn words_that_mean_no_column_are_told() {
        let words = ["-id", "score+4", "agent-2", "scroe", "id+x"].map(str::to_owned);
        let told = unknown(&COLUMNS, &words);
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(
            told[0],
            "there is no column scroe; choose from id, agent, score, address"
        );
    }

    #[test]
    fn one_column_always_stays() {
        let mut columns = Columns::new(&COLUMNS);
        (0..4).for_each(|at| columns.toggle(at));
        assert_eq!(columns.wanted().len(), 1);
        let all_hidden: Vec<String> = COLUMNS
            .iter()
            .map(|column| format!("-{}", column.key))
            .collect();
        assert_eq!(Columns::from_words(&COLUMNS, &all_hidden).wanted().len(), 1);
    }

    proptest! {
        #[test]
        fn a_row_is_never_wider_than_the_table(width in 1usize..200) {
            let layout = columns_in(&COLUMNS, width);
            let total: usize = layout.iter().map(|(_, width)| width).sum::<usize>() + layout.len() - 1;
            prop_assert!(total <= width);
        }

        #[test]
        fn any_words_make_every_column_once(words in proptest::collection::vec("-?(id|agent|score|x)[+-]?[0-9]{0,6}", 0..8)) {
            let columns = Columns::from_words(&COLUMNS, &words);
            prop_assert_eq!(columns.slots().len(), COLUMNS.len());
            prop_assert_eq!(Columns::from_words(&COLUMNS, &columns.to_words()), columns);
        }
    }
}
