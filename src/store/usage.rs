//! How many bytes the catalogue's records take, of each publisher and in all, counted by the
//! database itself: whatever path writes a row, a trigger counts it in the same transaction.

use rusqlite::Connection;

/// What a row takes besides the bytes in it: numbers, lengths, and its place in indexes.
const ROW: u32 = 32;

/// A table whose rows are charged to a publisher, by expressions over `X`, a row.
struct Charged {
    table: &'static str,
    publisher: &'static str,
    bytes: &'static str,
    /// Columns that a statement may change.
    changes: &'static str,
}

const OF_HEAD: &str = "(SELECT publisher FROM heads WHERE id = X.head)";
const SIGNED: &str = "length(X.envelope) + length(X.hash)";
const CHARGED: [Charged; 6] = [
    Charged {
        table: "heads",
        publisher: "X.publisher",
        bytes: "length(X.envelope) + length(X.hash) + length(X.publisher) + length(X.name) + coalesce(length(X.handle), 0)",
        changes: "envelope",
    },
    Charged {
        table: "marks",
        publisher: "X.publisher",
        bytes: "length(X.publisher) + length(X.name) + length(X.hash) + length(X.fold)",
        changes: "fold, gone_at",
    },
    Charged {
        table: "forks",
        publisher: "X.publisher",
        bytes: "length(X.envelope) + length(X.hash) + length(X.publisher) + length(X.name)",
        changes: "",
    },
    Charged {
        table: "releases",
        publisher: "X.publisher",
        bytes: "length(X.publisher) + length(X.name) + length(X.version) + length(X.manifest)",
        changes: "",
    },
    Charged {
        table: "manifests",
        publisher: OF_HEAD,
        bytes: SIGNED,
        changes: "",
    },
    Charged {
        table: "pages",
        publisher: OF_HEAD,
        bytes: SIGNED,
        changes: "",
    },
];

const OF_CONFLICT: &str =
    "length(X.publisher) + length(X.name) + length(X.version) + length(X.kept) + length(X.offered)
    + coalesce(length(X.kept_by), 0) + coalesce(length(X.offered_by), 0)
    + coalesce(length(X.kept_manifest), 0) + coalesce(length(X.offered_manifest), 0)
    + length(X.file) + coalesce(length(X.page), 0)";

/// The statements that make the triggers.
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
        let count = |row: &str, sign: &str| {
            let (publisher, bytes) = (of(publisher, row), of(bytes, row));
            format!(
                "UPDATE publishers SET bytes = bytes {sign} ({bytes} + {ROW}) WHERE publisher = {publisher};"
            )
        };
        // What else a row of this table says: how many packages there are, and what is left of
        // those that are not.
        let also = |row: &str, sign: &str| {
            match table {
            "heads" => format!(
                "UPDATE publishers SET packages = packages {sign} 1 WHERE publisher = {row}.publisher;
                 UPDATE usage SET packages = packages {sign} 1;"
            ),
            "marks" => format!(
                "UPDATE usage SET folds = folds {sign} ({} + {ROW}) WHERE {row}.gone_at IS NOT NULL;",
                of(bytes, row)
            ),
            _ => String::new(),
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
            let also = if table == "marks" {
                [also("OLD", "-"), also("NEW", "+")].concat()
            } else {
                String::new()
            };
            all.push_str(&format!(
                "CREATE TRIGGER {table}_change AFTER UPDATE OF {changes} ON {table} BEGIN
                 UPDATE publishers SET bytes = bytes + ({after}) - ({before}) WHERE publisher = NEW.publisher;{also} END;"
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
         UPDATE usage SET bytes = bytes + NEW.bytes - OLD.bytes;
         DELETE FROM publishers WHERE publisher = NEW.publisher AND bytes <= 0; END;"
    ));
    all
}

/// What the catalogue takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Bytes of records, conflicts included.
    pub bytes: u64,
    /// Heads.
    pub packages: u64,
    /// Bytes of what is remembered of packages that are not held any more.
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

/// The same, counted from the rows: for tests.
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
    let folds = sum("marks", CHARGED[1].bytes, "WHERE gone_at IS NOT NULL");
    let packages = number("SELECT count(*) FROM heads".to_owned());
    Usage {
        bytes: records + conflicts,
        packages,
        folds,
        conflicts,
    }
}
