//! The Lookups screen: DHT lookups and their results.

use std::time::Duration;

use unicode_width::UnicodeWidthStr;

use crate::{
    domain::{
        lookup::{LookupFigures, MAX_PAST, RoutingTable, Trace, figures, span},
        text::printable,
        time::{Ago, Timestamp},
    },
    ui::table::{Table, TableEntry, column::Column, filter::CellValue},
};

/// Most lines of statistics above the table.
const MOST_FIGURES: usize = 3;

impl TableEntry for Trace {
    type Id = u64;
    const NAME: &'static str = "lookups";
    const COLUMNS: &'static [Column] = &[
        Column::new("kind", "kind", 9, 0),
        Column::new("what", "for", 16, 0).up_to(48).rather(24),
        Column::new("state", "state", 10, 0),
        Column::new("hops", "hops", 4, 2).right().highest_first(),
        Column::new("answers", "answers", 7, 3)
            .right()
            .highest_first(),
        Column::new("took", "took", 7, 1)
            .right()
            .highest_first()
            .unit("ms"),
        Column::new("age", "age", 6, 4).right().unit("s_ago"),
        Column::new("note", "result", 18, 5).up_to(30),
        Column::new("key", "key", 12, 6).up_to(64),
    ];
    /// Twice what one node keeps, because rows from before its restart stay.
    const MOST: usize = 2 * MAX_PAST;
    const SORT: Option<&'static str> = Some("age");
    const LEADING: &'static str = ", running first";

    fn id(&self) -> u64 {
        self.id
    }

    fn value(&self, column: &'static str, now: Timestamp) -> CellValue {
        match column {
            "kind" => CellValue::text(self.kind.label()),
            "what" => CellValue::text(printable(self.title())),
            "state" => CellValue::text(self.word()),
            "hops" => CellValue::Number(hops(self) as f64),
            "answers" => CellValue::Number(self.answered() as f64),
            "took" => CellValue::number(self.took_us.map(|took| f64::from(took) / 1_000.0)),
            "age" => CellValue::Number(now.since(self.started_at).as_secs_f64().round()),
            "note" => CellValue::text(self.came()),
            "key" => CellValue::text(printable(&self.key)),
            _ => CellValue::Nothing,
        }
    }

    fn copied(&self) -> String {
        printable(&self.key)
    }

    fn leads(&self) -> bool {
        self.is_open()
    }

    fn age(&self, now: Timestamp) -> Option<String> {
        Some(Ago(now.since(self.started_at)).to_string())
    }
}

/// Returns the number of requests that it sent.
pub fn hops(trace: &Trace) -> usize {
    trace.hops.len() + trace.more_hops as usize
}

#[derive(Default)]
pub struct LookupsView {
    pub table: Table<Trace>,
    /// The routing table as last reported, or the error.
    pub routing: Option<Result<RoutingTable, String>>,
}

impl LookupsView {
    /// Summarises the lookups of each kind in lines of `width` columns.
    pub fn summary(&self, width: usize) -> Vec<String> {
        let say = |of: &LookupFigures| {
            let LookupFigures {
                kind, ended, done, ..
            } = of;
            let micros = |ms: f64| span((ms * 1_000.0) as u32);
            let (half, most) = (micros(of.p50_ms), micros(of.p95_ms));
            format!(
                "{} {done}/{ended} done, p50 {half}, p95 {most}",
                kind.label()
            )
        };
        let all: Vec<&Trace> = self.table.all().collect();
        let mut lines: Vec<String> = Vec::new();
        for part in figures(all.into_iter()).iter().map(say) {
            match lines
                .last_mut()
                .filter(|line| line.width() + part.width() + 3 <= width)
            {
                Some(line) => line.push_str(&format!(" · {part}")),
                None => lines.push(part),
            }
        }
        lines.truncate(MOST_FIGURES);
        lines
    }
}

/// Returns a short age, for a cell.
pub fn ago(at: Option<Timestamp>, now: Timestamp) -> String {
    match at.map(|at| now.since(at)) {
        None => "never".to_owned(),
        Some(since) if since < Duration::from_secs(1) => "now".to_owned(),
        Some(since) => format!("{} ago", Ago(since)),
    }
}
