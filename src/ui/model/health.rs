//! Rows of the Health screen with their recent values, and the history of verdicts.

use crate::{
    domain::{
        health::{HealthState, HealthVerdict, History, Measure, MeasureRow, Sample, rows, verdict},
        time::Timestamp,
    },
    ui::table::{Table, TableEntry, column::Column, filter::CellValue},
};

/// Samples kept of each measure.
const KEPT: usize = 60;
/// Width of the sparkline in columns.
pub const SPARK: usize = 10;

#[derive(Clone, Debug)]
pub struct HealthRow {
    pub row: MeasureRow,
    /// Samples, oldest first.
    pub history: Vec<f32>,
}

impl TableEntry for HealthRow {
    type Id = Measure;
    const NAME: &'static str = "health";
    const COLUMNS: &'static [Column] = &[
        Column::new("sign", "", 1, 0).picture(),
        Column::new("measure", "measure", 16, 0),
        Column::new("value", "value", 21, 0).up_to(28),
        Column::new("trend", "lately", SPARK, 3).picture(),
        Column::new("threshold", "healthy if", 16, 2).up_to(20),
        Column::new("state", "state", 8, 1),
        Column::new("hint", "description", 30, 4).up_to(200),
    ];
    const MOST: usize = Measure::ALL.len();

    fn id(&self) -> Measure {
        self.row.measure
    }

    fn value(&self, column: &'static str, _: Timestamp) -> CellValue {
        match column {
            "state" => CellValue::text(self.row.state.map(HealthState::label).unwrap_or_default()),
            "measure" => CellValue::text(self.row.measure.name()),
            "value" => CellValue::text(self.row.shown.as_str()),
            "threshold" => CellValue::text(self.row.threshold.as_str()),
            "hint" => CellValue::text(self.row.measure.hint()),
            _ => CellValue::Nothing,
        }
    }

    fn copied(&self) -> String {
        let state = self.row.state.map_or("", HealthState::label);
        format!("{}: {} {state}", self.row.measure.name(), self.row.shown)
    }
}

#[derive(Default)]
pub struct Health {
    pub table: Table<HealthRow>,
    pub history: History,
    /// The node looks for its first peers: nothing is judged yet.
    pub starting: bool,
    /// The verdict before the connection was lost.
    before: Option<HealthState>,
}

impl Health {
    /// Records that the node does not answer.
    pub fn lost(&mut self, why: &str, now: Timestamp) {
        self.before = self.history.verdict().map(|verdict| verdict.state);
        let verdict = HealthVerdict {
            state: HealthState::Bad,
            cause: format!("the node does not answer: {why}"),
            remedy: "wait, since this explorer reconnects by itself; if the node has ended, start \
                     it again"
                .to_owned(),
        };
        self.history.note(verdict, now);
        self.starting = false;
    }

    /// Records that the node answers again. The next samples judge it.
    pub fn back(&mut self, cause: &str, now: Timestamp) {
        let verdict = HealthVerdict {
            state: self.before.take().unwrap_or_default(),
            cause: cause.to_owned(),
            remedy: String::new(),
        };
        self.history.note(verdict, now);
    }

    /// Adds a sample; returns true if the verdict has changed.
    pub fn apply(&mut self, sample: &Sample, now: Timestamp) -> bool {
        let rows = rows(sample).into_iter().map(|row| {
            let mut history = self
                .table
                .get(&row.measure)
                .map(|held| held.history.clone())
                .unwrap_or_default();
            history.extend(row.value.map(|value| value as f32));
            history.drain(..history.len().saturating_sub(KEPT));
            HealthRow { row, history }
        });
        let rows: Vec<HealthRow> = rows.collect();
        self.table.put(rows, now);
        let verdict = verdict(sample);
        self.starting = sample.peers() == 0 && verdict.state == HealthState::Good;
        self.history.take(verdict, now)
    }

    /// Describes the last changes of the verdict, newest first.
    pub fn changes(&self) -> String {
        let changes: Vec<String> = (self.history.changes())
            .map(|change| {
                let (from, to) = (change.from.label(), &change.to);
                let remedy = if to.remedy.is_empty() {
                    String::new()
                } else {
                    format!(" What to do: {}.", to.remedy)
                };
                format!(
                    "{} {from} → {}: {}.{remedy}",
                    crate::clock::here(change.at),
                    to.state.label(),
                    to.cause
                )
            })
            .collect();
        if changes.is_empty() {
            "No change since this explorer started.".to_owned()
        } else {
            changes.join("\n\n")
        }
    }

    /// Explains the selected measure: its title and text.
    /// `key` shows the log lines of what was refused.
    pub fn explained(&self, key: &str) -> Option<(String, String)> {
        let row = &self.table.current()?.row;
        let mut text = format!("{}\n\nNow: {}", row.measure.hint(), row.shown);
        if !row.threshold.is_empty() {
            text.push_str(&format!("\nHealthy if: {}", row.threshold));
        }
        if row.measure == Measure::Refused {
            text.push_str(&format!("\n\nTheir lines in the log: {key}"));
        }
        if let Some((cause, remedy)) = row.complaint() {
            text.push_str(&format!("\n\n{cause}.\nWhat to do: {remedy}."));
        }
        Some((row.measure.name().to_owned(), text))
    }
}
