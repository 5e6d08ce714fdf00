//! Rows of the feed: announcements as they arrive, newest first.

use crate::{
    bus::delay_ms,
    domain::{
        name::{PackageId, PublisherId, short_id},
        text::printable,
        time::Timestamp,
        trust::Trust,
    },
    registry::{ReceivedAnnouncement, claimed},
    ui::table::{TableEntry, column::Column, filter::CellValue},
};

/// A package and its revision, which identify a row.
pub type RowId = (PackageId, u64);

impl TableEntry for ReceivedAnnouncement {
    type Id = RowId;
    const NAME: &'static str = "feed";
    const COLUMNS: &'static [Column] = &[
        Column::new("time", "time", 8, 1),
        Column::new("verified", "", 1, 0).picture(),
        Column::new("package", "package", 20, 0)
            .up_to(40)
            .title_of_package(),
        Column::new("version", "version", 10, 1).up_to(16),
        Column::new("delay", "delay", 8, 2).right().unit("ms"),
        Column::new("via", "via", 12, 3),
        Column::new("trust", "key", 14, 0),
        Column::new("summary", "description", 16, 4).up_to(200),
    ];
    const MOST: usize = 1_000;
    const NEWEST_FIRST: bool = true;

    fn id(&self) -> RowId {
        (self.package.clone(), self.seq)
    }

    fn value(&self, column: &'static str, _: Timestamp) -> CellValue {
        match column {
            "time" => CellValue::text(crate::clock::here(self.at)),
            "package" => CellValue::text(claimed(&self.package, self.handle.as_ref())),
            "version" => CellValue::text(version(self)),
            "delay" => CellValue::Number(delay_ms(self.delay)),
            "via" => CellValue::text(self.via.as_ref().map_or("you".to_owned(), short_id)),
            "trust" => CellValue::text(key(&self.package.owner, self.trust)),
            "summary" => CellValue::text(printable(&self.summary)),
            _ => CellValue::Nothing,
        }
    }

    fn exported(&self, column: &'static str, now: Timestamp) -> CellValue {
        match column {
            "time" => CellValue::text(crate::clock::stamp(self.at)),
            "package" => CellValue::text(self.package.to_string()),
            "via" => CellValue::text(
                self.via
                    .as_ref()
                    .map_or("you".to_owned(), ToString::to_string),
            ),
            column => self.value(column, now),
        }
    }

    fn copied(&self) -> String {
        format!("{}@{}", self.package, self.version)
    }
}

/// Returns the word for the trust in a publisher's key, or the key's fingerprint if it is unpinned:
/// a handle alone proves nothing.
pub fn key(publisher: &PublisherId, trust: Trust) -> String {
    match trust {
        Trust::Unknown => publisher.fingerprint(),
        said => said.label().to_owned(),
    }
}

pub fn version(one: &ReceivedAnnouncement) -> String {
    if one.yanked {
        format!("{} yanked", one.version)
    } else {
        one.version.to_string()
    }
}
