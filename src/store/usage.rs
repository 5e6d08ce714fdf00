//! Counts the bytes of the catalogue's records, per publisher and in all. Triggers in the database
//! do this: whichever code writes a row, it is counted in the same transaction.

use rusqlite::Connection;

/// Bytes of a row besides its data: numbers, lengths, and index entries.
const ROW: u32 = 32;

/// A table whose rows are charged to a publisher, by expressions over `X`, a row. A publisher's id,
/// to which rows refer by number, counts with its 38 bytes in each.
struct Charged {
    table: &'static str,
    publisher: &'static str,
    bytes: &'static str,
    /// Columns that statements may change.
    changes: &'static str,
}

const OF_KEY: &str = "(SELECT publisher FROM keys WHERE id = X.key)";
const OF_HEAD: &str =
    "(SELECT k.publisher FROM head_rows h JOIN keys k ON k.id = h.key WHERE h.id = X.head)";
const CHARGED: [Charged; 6] = [
    // A head contains its mark, which would otherwise be a row of its own.
    Charged {
        table: "head_rows",
        publisher: OF_KEY,
        bytes: "X.bytes + 2 * (length(X.hash) + 38 + length(X.name)) + coalesce(length(X.handle), 0) + length(X.fold) + 32",
        changes: "bytes, fold",
    },
    Charged {
        table: "mark_rows",
        publisher: OF_KEY,
        bytes: "38 + length(X.name) + length(X.hash) + length(X.fold)",
        changes: "",
    },
    Charged {
        table: "forks",
        publisher: "X.publisher",
        bytes: "length(X.envelope) + length(X.hash) + length(X.publisher) + length(X.name)",
        changes: "",
    },
    Charged {
        table: "release_rows",
        publisher: OF_HEAD,
        bytes: "38 + (SELECT length(name) FROM head_rows WHERE id = X.head) + length(X.version) + length(X.manifest)",
        changes: "",
    },
    Charged {
        table: "manifests",
        publisher: OF_HEAD,
        bytes: "X.bytes + length(X.hash)",
        changes: "",
    },
    Charged {
        table: "pages",
        publisher: OF_HEAD,
        bytes: "length(X.envelope) + length(X.hash)",
        changes: "",
    },
];

const OF_CONFLICT: &str =
    "length(X.publisher) + length(X.name) + length(X.version) + length(X.kept) + length(X.offered)
    + coalesce(length(X.kept_by), 0) + coalesce(length(X.offered_by), 0)
    + coalesce(length(X.kept_manifest), 0) + coalesce(length(X.offered_manifest), 0)
    + length(X.file) + coalesce(length(X.page), 0)";

/// Returns the statements that create the triggers.
pub(super) fn triggers() -> String {
    let of = |text: &str, row: &str| text.replace('X', row);
    let mut all = String::new();
    for Charged {
        table,
        publisher,
        bytes,
        changes,
    } in CHARGED
    {
        let is_head = table == "head_rows";
        let count = |row: &str, sign: &str| {
            let (publisher, bytes) = (of(publisher, row), of(bytes, row));
            let packages = if is_head {
                format!(", packages = packages {sign} 1")
            } else {
                String::new()
            };
            format!(
                "UPDATE publishers SET bytes = bytes {sign} ({bytes} + {ROW}){packages} WHERE \
                 publisher = {publisher};"
            )
        };
        // The folds of evicted packages.
        let folds = |row: &str, sign: &str| {
            format!(
                "UPDATE usage SET folds = folds {sign} ({} + {ROW});",
                of(bytes, row)
            )
        };
        let is_mark = table == "mark_rows";
        let also = |row: &str, sign: &str| {
            if is_mark {
                folds(row, sign)
            } else {
                String::new()
            }
        };
        all.push_str(&format!(
            "CREATE TRIGGER {table}_come AFTER INSERT ON {table} BEGIN {}{} END;
             CREATE TRIGGER {table}_go AFTER DELETE ON {table} BEGIN {}{} END;",
            count("NEW", "+"),
            also("NEW", "+"),
            also("OLD", "-"),
            count("OLD", "-"),
        ));
        if !changes.is_empty() {
            let (before, after) = (of(bytes, "OLD"), of(bytes, "NEW"));
            all.push_str(&format!(
                "CREATE TRIGGER {table}_change AFTER UPDATE OF {changes} ON {table} BEGIN
                 UPDATE publishers SET bytes = bytes + ({after}) - ({before}) WHERE publisher = {}; END;",
                of(publisher, "NEW")
            ));
        }
    }
    let (new, old) = (of(OF_CONFLICT, "NEW"), of(OF_CONFLICT, "OLD"));
    all.push_str(&format!(
        "CREATE TRIGGER conflicts_come AFTER INSERT ON conflicts BEGIN
         UPDATE usage SET conflicts = conflicts + ({new}) + {ROW}; END;
         CREATE TRIGGER conflicts_go AFTER DELETE ON conflicts BEGIN
         UPDATE usage SET conflicts = conflicts - ({old}) - {ROW}; END;
         CREATE TRIGGER conflicts_change AFTER UPDATE OF kept_by, kept_manifest, offered_manifest ON conflicts BEGIN
         UPDATE usage SET conflicts = conflicts + ({new}) - ({old}); END;
         CREATE TRIGGER publishers_change AFTER UPDATE OF bytes ON publishers BEGIN
         UPDATE usage SET bytes = bytes + NEW.bytes - OLD.bytes, packages = packages + NEW.packages - OLD.packages; END;
         CREATE TRIGGER publishers_empty AFTER UPDATE OF bytes ON publishers WHEN NEW.bytes <= 0 BEGIN
         DELETE FROM publishers WHERE publisher = NEW.publisher; END;"
    ));
    all
}

/// The size of the catalogue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Bytes of records, including conflicts.
    pub bytes: u64,
    /// Number of heads.
    pub packages: u64,
    /// Bytes of the folds of evicted packages.
    pub folds: u64,
    /// Bytes of conflicts.
    pub conflicts: u64,
}

pub(super) fn usage(db: &Connection) -> rusqlite::Result<Usage> {
    db.prepare_cached("SELECT bytes, packages, folds, conflicts FROM usage")?
        .query_row([], |row| {
            let of = |column| {
                row.get::<_, i64>(column)
                    .map(|count| u64::try_from(count).unwrap_or_default())
            };
            Ok(Usage {
                bytes: of(0)? + of(3)?,
                packages: of(1)?,
                folds: of(2)?,
                conflicts: of(3)?,
            })
        })
}

/// The same, counted from the rows, for tests.
#[cfg(test)]
pub(super) fn counted(db: &Connection) -> Usage {
    let number = |sql: String| db.query_row(&sql, [], |row| row.get::<_, u64>(0)).unwrap();
    let sum = |table: &str, bytes: &str, more: &str| {
        number(format!(
            "SELECT coalesce(sum({} + {ROW}), 0) FROM {table} {more}",
            bytes.replace("X.", "")
        ))
    };
    let records: u64 = CHARGED
        .iter()
        .map(|one| sum(one.table, one.bytes, ""))
        .sum();
    let conflicts = sum("conflicts", OF_CONFLICT, "");
    let folds = sum("mark_rows", CHARGED[1].bytes, "");
    let packages = number("SELECT count(*) FROM head_rows".to_owned());
    Usage {
        bytes: records + conflicts,
        packages,
        folds,
        conflicts,
    }
}
