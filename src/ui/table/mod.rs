//! Tables: filtering, sorting, selection, marks, and freezing. Every screen has one; the screens
//! draw the cells.

pub mod column;
pub mod export;
pub mod filter;

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
    hash::Hash,
    time::Duration,
};

use self::{
    column::{Column, Columns},
    filter::{CellValue, RowFilter},
};
use super::{action::CursorMove, widget::list::RowSelection};
use crate::domain::time::Timestamp;

/// Least time between two sorts.
const SORT_EVERY: Duration = Duration::from_secs(1);
/// Time after a key during which rows do not move.
const SORT_AFTER_KEY: Duration = Duration::from_secs(2);
/// A key on a row means the row that was there this long ago: nobody reads and presses faster.
const GLANCE: Duration = Duration::from_millis(500);

/// An item that a table has a row for.
pub trait TableEntry {
    type Id: Clone + Eq + Hash;
    /// Name of the table in the settings and in exported files.
    const NAME: &'static str;
    const COLUMNS: &'static [Column];
    /// Most rows; the earliest are dropped first.
    const MOST: usize;
    /// Without a sort column, the newest come first, and a selection at the top stays there.
    const NEWEST_FIRST: bool = false;
    /// Initial sort column; `None` for the order of arrival.
    const SORT: Option<&'static str> = None;
    /// Describes the entries that come first in any order; empty if there are none.
    const LEADING: &'static str = "";
    /// While the cursor is on a row, new entries wait above the list; otherwise they come at its
    /// end, where no row moves.
    const WAITS_ABOVE: bool = true;

    fn id(&self) -> Self::Id;

    /// Returns the value in a column, for filters, sorting and exports.
    fn value(&self, column: &'static str, now: Timestamp) -> CellValue;

    /// Returns the value for a file, where there is room for all of it.
    fn exported(&self, column: &'static str, now: Timestamp) -> CellValue {
        self.value(column, now)
    }

    /// Returns the text that the copy key copies.
    fn copied(&self) -> String;

    /// Returns true if it comes first in any order.
    fn leads(&self) -> bool {
        false
    }

    /// Returns the text that depends on the time alone, so that a change of it is noticed.
    fn age(&self, _now: Timestamp) -> Option<String> {
        None
    }
}

struct TableItem<E> {
    entry: E,
    /// Sequence number of its arrival.
    order: u64,
}

/// Changes that arrived while a table was frozen.
struct FrozenChanges<E: TableEntry> {
    /// `None` for removed entries.
    changes: HashMap<E::Id, Option<E>>,
    came: Vec<E::Id>,
}

pub struct Table<E: TableEntry> {
    items: HashMap<E::Id, TableItem<E>>,
    rows: Vec<E::Id>,
    shown: HashSet<E::Id>,
    /// New entries that wait above the list or came at its end, because the cursor is on a row.
    newer: Vec<E::Id>,
    /// The time at which another entry became the first, and the one before.
    top: (Timestamp, Option<E::Id>),
    waiting: Option<FrozenChanges<E>>,
    /// Changes that were dropped because too many were waiting.
    pub lost: u64,
    pub columns: Columns,
    pub sort: Option<&'static str>,
    pub reversed: bool,
    pub filter: RowFilter,
    pub selection: RowSelection<E::Id>,
    pub marked: HashSet<E::Id>,
    next: u64,
    sorted_at: Timestamp,
    key_at: Timestamp,
    unsorted: bool,
}

impl<E: TableEntry> Default for Table<E> {
    fn default() -> Self {
        Self {
            items: HashMap::new(),
            rows: Vec::new(),
            shown: HashSet::new(),
            newer: Vec::new(),
            top: (Timestamp(0), None),
            waiting: None,
            lost: 0,
            columns: Columns::new(E::COLUMNS),
            sort: E::SORT,
            reversed: false,
            filter: RowFilter::default(),
            selection: RowSelection::default(),
            marked: HashSet::new(),
            next: 0,
            sorted_at: Timestamp(0),
            key_at: Timestamp(0),
            unsorted: false,
        }
    }
}

impl<E: TableEntry> Table<E> {
    pub fn get(&self, id: &E::Id) -> Option<&E> {
        self.items.get(id).map(|item| &item.entry)
    }

    /// Returns the ids of the entries that pass the filter, in order.
    pub fn rows(&self) -> &[E::Id] {
        &self.rows
    }

    /// Returns the `page` rows in view.
    pub fn in_view(&self, page: usize) -> impl Iterator<Item = &E> {
        self.rows
            .iter()
            .skip(self.selection.offset)
            .take(page)
            .filter_map(|id| self.get(id))
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn current(&self) -> Option<&E> {
        self.get(&self.selection.current(&self.rows)?)
    }

    pub fn all(&self) -> impl Iterator<Item = &E> {
        self.items.values().map(|item| &item.entry)
    }

    /// Adds or updates entries, oldest first.
    pub fn put(&mut self, entries: impl IntoIterator<Item = E>, now: Timestamp) {
        let mut entries = entries.into_iter().peekable();
        if entries.peek().is_none() {
            return;
        }
        if let Some(waiting) = &mut self.waiting {
            for entry in entries {
                self.lost += u64::from(waiting.put(entry.id(), Some(entry), E::MOST));
            }
            return;
        }
        let was_empty = self.rows.is_empty();
        let top = self.rows.first().cloned();
        let (mut new, mut hidden) = (Vec::new(), false);
        for entry in entries {
            let id = entry.id();
            let passes = self.passes(&entry, now);
            let is_shown = self.shown.contains(&id);
            let order = self.items.get(&id).map_or(self.next, |item| item.order);
            self.next += u64::from(order == self.next);
            self.items.insert(id.clone(), TableItem { entry, order });
            match (passes, is_shown) {
                (true, false) => {
                    self.shown.insert(id.clone());
                    new.push(id);
                }
                (false, true) => {
                    self.shown.remove(&id);
                    hidden = true;
                }
                _ => {}
            }
        }
        if hidden {
            self.keep_shown();
        }
        let on_top = self.sort.is_none() && E::NEWEST_FIRST != self.reversed;
        let held = self.is_held() && !was_empty;
        if held && (on_top || self.sort.is_some()) {
            self.newer.extend(new.iter().cloned());
        }
        if held && E::WAITS_ABOVE && (on_top || self.sort.is_some()) {
            new.clear();
        }
        if on_top {
            self.rows.splice(0..0, new.into_iter().rev());
        } else {
            // Add at the end until the next sort, so that rows do not move while they are read.
            self.rows.append(&mut new);
        }
        self.keep_to_most();
        self.unsorted = self.sort.is_some();
        if was_empty {
            self.sort_now(now);
        } else {
            self.sort_if_due(now);
        }
        self.note_top(top, now);
    }

    /// Returns true while the cursor is on a row: the order stays, and new entries wait.
    fn is_held(&self) -> bool {
        self.selection.selected.is_some()
    }

    /// Returns the number of new entries that wait above the list, and of those at its end.
    fn newer_rows(&self) -> (usize, usize) {
        match E::WAITS_ABOVE {
            true => (self.newer.len(), 0),
            false => (0, self.newer.len()),
        }
    }

    fn keep_shown(&mut self) {
        self.rows.retain(|id| self.shown.contains(id));
        self.newer.retain(|id| self.shown.contains(id));
    }

    /// Notes when the first row changes, so that a key can mean the row that a person saw there.
    fn note_top(&mut self, before: Option<E::Id>, now: Timestamp) {
        if before.is_some() && before.as_ref() != self.rows.first() {
            self.top = (now, before);
        }
    }

    /// Puts the cursor on the row that a person sees it on, if the list has moved by itself so far.
    fn hold_row(&mut self, now: Timestamp) {
        if self.is_held() {
            return;
        }
        let (changed, before) = &self.top;
        let seen = before
            .clone()
            .filter(|id| now.since(*changed) < GLANCE && self.rows.contains(id));
        self.selection.selected = seen.or_else(|| self.rows.first().cloned());
    }

    pub fn remove(&mut self, ids: &[E::Id]) {
        if let Some(waiting) = &mut self.waiting {
            for id in ids {
                self.lost += u64::from(waiting.put(id.clone(), None, E::MOST));
            }
            return;
        }
        if ids.is_empty() {
            return;
        }
        for id in ids {
            self.items.remove(id);
            self.shown.remove(id);
            self.marked.remove(id);
        }
        self.keep_shown();
    }

    /// Replaces all entries: those not in `entries` are removed.
    pub fn replace(&mut self, entries: Vec<E>, now: Timestamp) {
        let kept: HashSet<E::Id> = entries.iter().map(TableEntry::id).collect();
        let gone: Vec<E::Id> = self
            .items
            .keys()
            .filter(|id| !kept.contains(*id))
            .cloned()
            .collect();
        self.remove(&gone);
        self.put(entries, now);
    }

    pub fn clear(&mut self) {
        self.items.clear();
        self.newer.clear();
        self.top.1 = None;
        self.rows.clear();
        self.shown.clear();
        self.marked.clear();
    }

    fn keep_to_most(&mut self) {
        let over = self.items.len().saturating_sub(E::MOST);
        if over == 0 {
            return;
        }
        let mut orders: Vec<u64> = self.items.values().map(|item| item.order).collect();
        let (_, last, _) = orders.select_nth_unstable(over - 1);
        let last = *last;
        let gone: Vec<E::Id> = self
            .items
            .iter()
            .filter(|(_, item)| item.order <= last)
            .map(|(id, _)| id.clone())
            .collect();
        self.remove(&gone);
    }

    fn passes(&self, entry: &E, now: Timestamp) -> bool {
        self.filter
            .terms
            .pass(E::COLUMNS, |column| entry.value(column, now))
    }

    /// Sorts at most once a second, not within two seconds after a key, and not while the cursor is
    /// on a row. Returns true if rows moved.
    pub fn sort_if_due(&mut self, now: Timestamp) -> bool {
        let due = self.unsorted
            && !self.is_held()
            && now.since(self.sorted_at) >= SORT_EVERY
            && now.since(self.key_at) >= SORT_AFTER_KEY;
        if !due {
            return false;
        }
        let before = self.rows.clone();
        self.sort_now(now);
        self.note_top(before.first().cloned(), now);
        before != self.rows
    }

    /// Filters and sorts now.
    pub fn sort_now(&mut self, now: Timestamp) {
        let descending = self.is_descending();
        let sort = self.sort;
        // Compute each row's sort key once.
        let mut rows: Vec<(bool, Option<CellValue>, u64, &E::Id)> = (self.items.iter())
            .filter(|(_, item)| self.passes(&item.entry, now))
            .map(|(id, item)| {
                (
                    item.entry.leads(),
                    sort.map(|sort| item.entry.value(sort, now)),
                    item.order,
                    id,
                )
            })
            .collect();
        rows.sort_by(|(a_leads, a, a_order, _), (b_leads, b, b_order, _)| {
            let order = match (a, b) {
                (Some(a), Some(b)) => compare(a, b, descending).then(a_order.cmp(b_order)),
                _ if descending => b_order.cmp(a_order),
                _ => a_order.cmp(b_order),
            };
            b_leads.cmp(a_leads).then(order)
        });
        self.rows = rows.into_iter().map(|(_, _, _, id)| id.clone()).collect();
        self.shown = self.rows.iter().cloned().collect();
        self.newer.clear();
        (self.sorted_at, self.unsorted) = (now, false);
    }

    /// Returns true if the highest values come first.
    pub fn is_descending(&self) -> bool {
        let by_itself = match self.sort {
            Some(sort) => E::COLUMNS
                .iter()
                .any(|column| column.key == sort && column.highest_first),
            None => E::NEWEST_FIRST,
        };
        by_itself != self.reversed
    }

    pub fn is_frozen(&self) -> bool {
        self.waiting.is_some()
    }

    /// Returns the number of entries that changed while frozen.
    pub fn waiting(&self) -> usize {
        self.waiting
            .as_ref()
            .map_or(0, |waiting| waiting.changes.len())
    }
}

impl<E: TableEntry> FrozenChanges<E> {
    /// Returns true if an earlier change had to be dropped.
    fn put(&mut self, id: E::Id, change: Option<E>, most: usize) -> bool {
        if self.changes.insert(id.clone(), change).is_some() {
            return false;
        }
        self.came.push(id);
        let full = self.came.len() > most;
        if full {
            self.changes.remove(&self.came.remove(0));
        }
        full
    }
}

/// Compares two values; missing ones come last in either direction.
fn compare(a: &CellValue, b: &CellValue, descending: bool) -> Ordering {
    let order = match (a, b) {
        (CellValue::Nothing, CellValue::Nothing) => return Ordering::Equal,
        (CellValue::Nothing, _) => return Ordering::Greater,
        (_, CellValue::Nothing) => return Ordering::Less,
        (CellValue::Number(a), CellValue::Number(b)) => a.total_cmp(b),
        (CellValue::Text(a), CellValue::Text(b)) => a.cmp(b),
        (CellValue::Number(_), CellValue::Text(_)) => Ordering::Less,
        (CellValue::Text(_), CellValue::Number(_)) => Ordering::Greater,
    };
    if descending { order.reverse() } else { order }
}

/// The operations on a table that do not depend on its entries, for keys and the mouse.
pub trait AnyTable {
    fn name(&self) -> &'static str;
    fn columns(&self) -> &Columns;
    fn columns_mut(&mut self) -> &mut Columns;
    fn known_columns(&self) -> &'static [Column];
    fn filter(&self) -> &RowFilter;
    fn filter_mut(&mut self) -> &mut RowFilter;
    /// Applies a changed filter text.
    fn filtered(&mut self, now: Timestamp);
    fn touched(&mut self, now: Timestamp);
    fn step(&mut self, step: CursorMove, page: usize);
    /// Puts the cursor on the row that a person sees it on, before a key acts on that row.
    fn hold(&mut self, now: Timestamp);
    /// Takes in what came while the cursor was on a row; the cursor stays on its entry.
    fn catch_up(&mut self, now: Timestamp);
    /// Returns the number of new entries that wait above the list, and of those at its end.
    fn newer(&self) -> (usize, usize);
    /// Returns true if the newest entries come first.
    fn is_by_time(&self) -> bool;
    /// Selects a row in view; returns true if it was selected already.
    fn select_in_view(&mut self, row: usize) -> bool;
    fn settle(&mut self, page: usize);
    fn sort_next(&mut self, now: Timestamp);
    /// Sorts by a column, or reverses the order if it is the sort column already.
    fn sort_by(&mut self, key: &'static str, now: Timestamp);
    /// Returns the column that a letter sorts by.
    fn column_of(&self, letter: char) -> Option<&'static str> {
        let columns = self.known_columns();
        let at = column::letters(columns)
            .iter()
            .position(|one| *one == Some(letter))?;
        columns.get(at).map(|column| column.key)
    }
    /// Describes the order of the rows.
    fn order(&self) -> String;
    /// Returns true if a move to the first row would follow new rows again.
    fn can_follow(&self) -> bool;
    /// Describes the entries that come first in any order; empty if there are none.
    fn leading(&self) -> &'static str;
    fn reverse(&mut self, now: Timestamp);
    fn sort_again(&mut self, now: Timestamp);
    fn sort_if_due(&mut self, now: Timestamp) -> bool;
    fn toggle_frozen(&mut self, now: Timestamp);
    fn is_frozen(&self) -> bool;
    fn toggle_mark(&mut self, page: usize);
    fn unmark(&mut self) -> bool;
    fn marked(&self) -> usize;
    /// Returns the text to copy, of marked rows or else the selected one, and the number of rows.
    fn copied(&self) -> (String, usize);
    fn export(&self, now: Timestamp) -> export::ExportSheet;
    /// Returns the texts in view that depend on the time alone.
    fn ages(&self, page: usize, now: Timestamp) -> Vec<String>;
    /// Returns the first row in view.
    fn offset(&self) -> usize;
    /// Returns the numbers of entries shown, known, waiting, and dropped.
    fn counts(&self) -> [u64; 4];
}

impl<E: TableEntry> AnyTable for Table<E> {
    fn name(&self) -> &'static str {
        E::NAME
    }

    fn columns(&self) -> &Columns {
        &self.columns
    }

    fn columns_mut(&mut self) -> &mut Columns {
        &mut self.columns
    }

    fn known_columns(&self) -> &'static [Column] {
        E::COLUMNS
    }

    fn filter(&self) -> &RowFilter {
        &self.filter
    }

    fn filter_mut(&mut self) -> &mut RowFilter {
        &mut self.filter
    }

    fn filtered(&mut self, now: Timestamp) {
        self.filter.parse(E::COLUMNS);
        self.sort_now(now);
    }

    fn touched(&mut self, now: Timestamp) {
        self.key_at = now;
    }

    fn step(&mut self, step: CursorMove, page: usize) {
        let now = self.key_at.max(self.sorted_at);
        let at_top = self.is_held() && self.selection.index(&self.rows) == Some(0);
        let upwards = matches!(
            step,
            CursorMove::Up | CursorMove::HalfUp | CursorMove::PageUp | CursorMove::First
        );
        if upwards && at_top || step == CursorMove::First {
            self.sort_now(now);
        }
        self.hold_row(now);
        self.selection.step(step, &self.rows, page);
        // Back at the top: follow what comes.
        let top = self.selection.selected.as_ref() == self.rows.first();
        if top && self.newer.is_empty() && (E::NEWEST_FIRST || self.sort.is_some()) {
            self.selection.selected = None;
        }
    }

    fn hold(&mut self, now: Timestamp) {
        self.hold_row(now);
    }

    fn catch_up(&mut self, now: Timestamp) {
        if !self.is_frozen() {
            self.sort_now(now);
        }
    }

    fn newer(&self) -> (usize, usize) {
        self.newer_rows()
    }

    fn is_by_time(&self) -> bool {
        match self.sort {
            None => E::NEWEST_FIRST && self.is_descending(),
            Some(sort) => {
                let unit = |column: &&Column| column.key == sort && column.unit == "s_ago";
                !self.is_descending() && E::COLUMNS.iter().any(|column| unit(&column))
            }
        }
    }

    fn select_in_view(&mut self, row: usize) -> bool {
        let Some(id) = self.rows.get(self.selection.offset + row).cloned() else {
            return false;
        };
        let again = self.selection.selected.as_ref() == Some(&id);
        self.selection.selected = Some(id);
        again
    }

    fn settle(&mut self, page: usize) {
        self.selection.settle(&self.rows, page);
    }

    fn sort_next(&mut self, now: Timestamp) {
        let mut keys: Vec<Option<&'static str>> = Vec::new();
        // A table that begins in order of arrival can be sorted by arrival again.
        keys.extend(E::SORT.is_none().then_some(None));
        keys.extend(
            self.columns
                .wanted()
                .iter()
                .filter(|column| !column.picture)
                .map(|column| Some(column.key)),
        );
        let next = keys
            .iter()
            .position(|key| *key == self.sort)
            .map_or(0, |here| (here + 1) % keys.len().max(1));
        self.sort = keys.get(next).copied().unwrap_or(E::SORT);
        self.reversed = false;
        self.sort_now(now);
    }

    fn sort_by(&mut self, key: &'static str, now: Timestamp) {
        self.reversed = self.sort == Some(key) && !self.reversed;
        self.sort = Some(key);
        self.sort_now(now);
    }

    fn can_follow(&self) -> bool {
        E::NEWEST_FIRST
            && self.sort.is_none()
            && self.is_descending()
            && self.selection.selected.is_some()
    }

    fn order(&self) -> String {
        let Some(sort) = self.sort else {
            return match (
                E::NEWEST_FIRST,
                self.is_descending(),
                &self.selection.selected,
            ) {
                (true, true, None) => "following the newest".to_owned(),
                (true, true, Some(_)) => "newest first".to_owned(),
                (_, true, _) => "latest first".to_owned(),
                (_, false, _) => "in order of arrival".to_owned(),
            };
        };
        let column = E::COLUMNS.iter().find(|column| column.key == sort);
        let name = column.map_or(sort, |column| {
            if column.title.is_empty() {
                column.key
            } else {
                column.title
            }
        });
        let way = if self.is_descending() {
            "highest first"
        } else {
            "lowest first"
        };
        let texts = self
            .rows
            .first()
            .and_then(|id| self.items.get(id))
            .map(|item| item.entry.value(sort, self.sorted_at));
        let way = match (texts, self.is_descending()) {
            (Some(CellValue::Text(_)), true) => "Z to A",
            (Some(CellValue::Text(_)), false) => "A to Z",
            _ => way,
        };
        match (column.is_some_and(|column| column.unit == "s_ago"), way) {
            (true, "lowest first") => "newest first".to_owned(),
            (true, "highest first") => "oldest first".to_owned(),
            _ => format!("by {name}, {way}"),
        }
    }

    fn leading(&self) -> &'static str {
        if self.sort.is_some() && self.items.values().any(|item| item.entry.leads()) {
            E::LEADING
        } else {
            ""
        }
    }

    fn reverse(&mut self, now: Timestamp) {
        self.reversed = !self.reversed;
        self.sort_now(now);
    }

    fn sort_again(&mut self, now: Timestamp) {
        self.sort_now(now);
    }

    fn sort_if_due(&mut self, now: Timestamp) -> bool {
        Table::sort_if_due(self, now)
    }

    fn toggle_frozen(&mut self, now: Timestamp) {
        let Some(mut waiting) = self.waiting.take() else {
            self.waiting = Some(FrozenChanges {
                changes: HashMap::new(),
                came: Vec::new(),
            });
            self.lost = 0;
            return;
        };
        let (mut came, mut gone) = (Vec::new(), Vec::new());
        for id in waiting.came {
            match waiting.changes.remove(&id).flatten() {
                Some(entry) => came.push(entry),
                None => gone.push(id),
            }
        }
        self.remove(&gone);
        self.put(came, now);
        self.lost = 0;
    }

    fn is_frozen(&self) -> bool {
        Table::is_frozen(self)
    }

    fn toggle_mark(&mut self, page: usize) {
        let Some(id) = self.selection.current(&self.rows) else {
            return;
        };
        if !self.marked.remove(&id) {
            self.marked.insert(id);
        }
        self.selection.step(CursorMove::Down, &self.rows, page);
    }

    fn unmark(&mut self) -> bool {
        let any = !self.marked.is_empty();
        self.marked.clear();
        any
    }

    fn marked(&self) -> usize {
        self.marked.len()
    }

    fn copied(&self) -> (String, usize) {
        let chosen: Vec<&E> = self.chosen();
        let texts: Vec<String> = chosen.iter().map(|entry| entry.copied()).collect();
        (texts.join("\n"), texts.len())
    }

    fn export(&self, now: Timestamp) -> export::ExportSheet {
        let columns: Vec<Column> = self
            .columns
            .wanted()
            .into_iter()
            .filter(|column| !column.picture)
            .collect();
        let all: Vec<&E> = if self.marked.is_empty() {
            self.rows.iter().filter_map(|id| self.get(id)).collect()
        } else {
            self.chosen()
        };
        let row = |entry: &E| {
            columns
                .iter()
                .map(|column| entry.exported(column.key, now))
                .collect()
        };
        export::ExportSheet {
            rows: all.into_iter().map(row).collect(),
            columns: columns.iter().map(Column::with_unit).collect(),
        }
    }

    fn ages(&self, page: usize, now: Timestamp) -> Vec<String> {
        self.in_view(page)
            .filter_map(|entry| entry.age(now))
            .collect()
    }

    fn offset(&self) -> usize {
        self.selection.offset
    }

    fn counts(&self) -> [u64; 4] {
        [
            self.rows.len() as u64,
            self.items.len().saturating_sub(self.newer_rows().0) as u64,
            self.waiting() as u64,
            self.lost,
        ]
    }
}

impl<E: TableEntry> Table<E> {
    /// Returns the marked entries in order, or else the selected one.
    pub fn chosen(&self) -> Vec<&E> {
        if self.marked.is_empty() {
            return self.current().into_iter().collect();
        }
        self.rows
            .iter()
            .filter(|id| self.marked.contains(*id))
            .filter_map(|id| self.get(id))
            .collect()
    }
}

#[cfg(test)]
mod tests;
