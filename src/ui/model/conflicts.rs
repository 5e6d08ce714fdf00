//! The Conflicts screen: conflicting claims, and the selected key of each.

use std::time::Duration;

use crate::{
    bus::{Level, Notice},
    domain::{
        conflict::{Case, ConflictId, ConflictList as Known, ConflictSide, Kind},
        record::Refusal,
        time::{Ago, Timestamp},
    },
    ui::table::{Table, TableEntry, column::Column, filter::CellValue},
};

/// Interval of refreshing the list while it is shown.
const ASKED_EVERY: Duration = Duration::from_secs(5);

impl TableEntry for Case {
    type Id = ConflictId;
    const NAME: &'static str = "conflicts";
    const COLUMNS: &'static [Column] = &[
        Column::new("sign", "", 1, 0).picture(),
        Column::new("kind", "kind", 7, 1),
        Column::new("about", "what", 18, 0).rather(26).up_to(60),
        Column::new("key", "key", 15, 2).up_to(24),
        Column::new("force", "in force", 11, 3),
        Column::new("trust", "trust", 10, 4),
        Column::new("evidence", "evidence", 10, 5),
        Column::new("seen", "seen", 6, 2).right().unit("s_ago"),
        Column::new("id", "id", 12, 6),
        Column::new("kept", "first hash", 12, 7),
        Column::new("offered", "then", 12, 7),
    ];
    /// More than a node keeps.
    const MOST: usize = 1_000;
    const SORT: Option<&'static str> = Some("seen");
    const LEADING: &'static str = ", open first";

    fn id(&self) -> ConflictId {
        self.id
    }

    fn value(&self, column: &'static str, now: Timestamp) -> CellValue {
        match column {
            "kind" => CellValue::text(self.kind.label()),
            "about" => CellValue::text(self.about()),
            "key" => CellValue::text(keys(self, false)),
            "force" => CellValue::text(self.in_force_label()),
            "trust" => CellValue::text(self.standing()),
            "evidence" => CellValue::text(evidence(self)),
            "seen" => CellValue::Number(now.since(self.seen_at).as_secs_f64().round()),
            "id" => CellValue::text(self.id.short()),
            "kept" => CellValue::text(hash(self, 0)),
            "offered" => CellValue::text(hash(self, 1)),
            _ => CellValue::Nothing,
        }
    }

    fn exported(&self, column: &'static str, now: Timestamp) -> CellValue {
        match column {
            "key" => CellValue::text(keys(self, true)),
            "id" => CellValue::text(self.id.to_string()),
            "kept" => CellValue::text(
                self.sides
                    .first()
                    .map_or(String::new(), |side| side.hash.to_string()),
            ),
            "offered" => CellValue::text(
                self.sides
                    .get(1)
                    .map_or(String::new(), |side| side.hash.to_string()),
            ),
            column => self.value(column, now),
        }
    }

    fn copied(&self) -> String {
        keys(self, true)
    }

    fn leads(&self) -> bool {
        !self.is_settled()
    }

    fn age(&self, now: Timestamp) -> Option<String> {
        Some(Ago(now.since(self.seen_at)).to_string())
    }
}

/// Returns the keys of all sides, in full or shortened.
fn keys(case: &Case, whole: bool) -> String {
    let key = |side: &&ConflictSide| {
        if whole {
            side.publisher.to_string()
        } else {
            side.publisher.fingerprint()
        }
    };
    case.keys().iter().map(key).collect::<Vec<_>>().join(" ")
}

pub fn evidence(case: &Case) -> &'static str {
    if case.is_provable() {
        "both sides"
    } else {
        "one side"
    }
}

pub fn hash(case: &Case, side: usize) -> String {
    // A conflict about a handle is about keys only: its hashes do not matter.
    let side = case.sides.get(side).filter(|_| case.kind != Kind::Handle);
    side.map_or(String::new(), |side| side.hash.fingerprint())
}

#[derive(Default)]
pub struct ConflictsView {
    pub table: Table<Case>,
    /// Conflicts that the node has dropped for lack of room.
    pub forgotten: u64,
    /// True once the node has answered.
    pub is_known: bool,
    asked_at: Option<Timestamp>,
    refused: u64,
    /// The selected key of a conflict with several.
    chosen: Option<(ConflictId, usize)>,
}

impl ConflictsView {
    pub fn take(&mut self, known: Known, now: Timestamp) {
        self.forgotten = known.forgotten;
        self.is_known = true;
        // A table without a sort column keeps the order of arrival: insert the newest first.
        self.table
            .replace(known.cases.into_iter().rev().collect(), now);
    }

    /// Returns true if a refresh is due, and starts the next interval.
    pub fn is_due(&mut self, refused: u64, now: Timestamp) -> bool {
        let due =
            self.asked_at.is_none_or(|at| now.since(at) >= ASKED_EVERY) || refused != self.refused;
        if due {
            (self.asked_at, self.refused) = (Some(now), refused);
        }
        due
    }

    /// Returns true if the node was not asked since the start or since the last new conflict.
    pub fn is_unasked(&self) -> bool {
        self.asked_at.is_none()
    }

    /// Makes a refresh due, because there is a new conflict.
    pub fn ask_again(&mut self) {
        self.asked_at = None;
    }

    /// Returns the selected key of a conflict, or its first one.
    pub fn key<'a>(&self, case: &'a Case) -> Option<&'a ConflictSide> {
        let at = self
            .chosen
            .filter(|(id, _)| *id == case.id)
            .map_or(0, |(_, at)| at);
        let keys = case.keys();
        keys.get(at).or(keys.first()).copied()
    }

    /// Selects the next key of a conflict; returns false if there is only one.
    pub fn next_key(&mut self, id: ConflictId) -> bool {
        let Some(case) = self.table.get(&id) else {
            return false;
        };
        let count = case.keys().len();
        let at = self
            .chosen
            .filter(|(chosen, _)| *chosen == id)
            .map_or(0, |(_, at)| at);
        self.chosen = Some((id, (at + 1) % count.max(1)));
        count > 1
    }
}

/// Returns the notice that announces a new conflict; `key` opens the screen of conflicts.
pub fn notice(case: &Case, key: &str, now: Timestamp) -> Notice {
    let level = match case.kind {
        Kind::Version | Kind::File | Kind::Removed | Kind::Handle => Level::Warning,
        Kind::Fork => Level::Info,
    };
    Notice {
        at: now,
        level,
        text: format!("{} (details: {key})", case.headline()),
    }
}

/// Returns how many messages were refused because they conflict.
pub fn refused(counters: &crate::bus::Counters) -> u64 {
    counters
        .refused
        .get(&Refusal::Conflict)
        .copied()
        .unwrap_or(0)
}
