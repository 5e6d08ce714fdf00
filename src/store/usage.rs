//! Counts the bytes of the catalogue's records, per publisher and in all. Triggers in the database
//! do this: whichever code writes a row, it is counted in the same transaction.

use rusqlite::Connection;

use crate::domain::record::{Authorised, Head};

/// Bytes of a row besides its data: numbers, lengths, and index entries.
const ROW: u32 = 32;

/// A table whose rows are charged to a publisher, by expressions over `X`, a row.
///
/// The statements that store a new package, and their triggers, call no function, not even
/// `length`. A statement that fires a trigger and calls one has a savepoint of its own (`mayAbort`
/// in SQLite 3.54), and each savepoint writes the waiting words of the index. So heads and
/// manifests have their bytes in a column (see [`head_bytes`]), and a release is charged with the
/// same number whatever its version.
struct Charged {
    table: &'static str,
    publisher: &'static str,
    bytes: &'static str,
    /// Columns that statements may change, each with the expression that it changes.
    changes: &'static [(&'static str, &'static str)],
}

const OF_KEY: &str = "(SELECT publisher FROM keys WHERE id = X.key)";
const OF_HEAD: &str =
    "(SELECT k.publisher FROM head_rows h JOIN keys k ON k.id = h.key WHERE h.id = X.head)";
const HEADS: Charged = Charged {
    table: "head_rows",
    publisher: OF_KEY,
    bytes: "X.bytes",
    changes: &[("bytes", "X.bytes"), ("fold", FOLD)],
};
const MARKS: Charged = Charged {
    table: "mark_rows",
    publisher: OF_KEY,
    bytes: "38 + length(X.name) + length(X.hash) + length(X.fold)",
    changes: &[],
};
const CHARGED: [Charged; 6] = [
    HEADS,
    MARKS,
    Charged {
        table: "forks",
        publisher: "X.publisher",
        bytes: "length(X.envelope) + length(X.hash) + length(X.publisher) + length(X.name)",
        changes: &[],
    },
    Charged {
        table: "release_rows",
        publisher: OF_HEAD,
        bytes: "96",
        changes: &[],
    },
    Charged {
        table: "manifests",
        publisher: OF_HEAD,
        bytes: "X.bytes + 32",
        changes: &[],
    },
    Charged {
        table: "pages",
        publisher: OF_HEAD,
        bytes: "length(X.envelope) + length(X.hash)",
        changes: &[],
    },
];
/// The fold of a head, which is empty in a new row.
const FOLD: &str = "length(X.fold)";

/// Returns the bytes that a head is charged with, without its fold. It contains its mark, which
/// would otherwise be a row of its own, and a publisher's id, to which rows refer by number, counts
/// with its 38 bytes in each.
pub(super) fn head_bytes(head: &Authorised<Head>) -> usize {
    let handle = head
        .handle
        .as_ref()
        .map_or(0, |handle| handle.as_str().len());
    head.envelope().len() + 2 * (32 + 38 + head.package().name.as_str().len()) + handle + 32
}

const OF_CONFLICT: &str =
    "length(X.publisher) + length(X.name) + length(X.version) + length(X.kept) + length(X.offered)
    + coalesce(length(X.kept_by), 0) + coalesce(length(X.offered_by), 0)
    + coalesce(length(X.kept_manifest), 0) + coalesce(length(X.offered_manifest), 0)
    + length(X.file) + coalesce(length(X.page), 0)";

/// Returns the statements that create the triggers. With `OR FAIL`, they need no savepoint.
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
        let (is_head, is_mark) = (table == HEADS.table, table == MARKS.table);
        let packages = |sign: &str| match is_head {
            true => format!(", packages = packages {sign} 1"),
            false => String::new(),
        };
        let charge = |row: &str, bytes: &str, packages: &str| {
            format!(
                "UPDATE OR FAIL publishers SET bytes = bytes {bytes}{packages} WHERE publisher = {};",
                of(publisher, row)
            )
        };
        // The folds of evicted packages.
        let folds = |row: &str, sign: &str| match is_mark {
            true => format!(
                "UPDATE OR FAIL usage SET folds = folds {sign} ({} + {ROW});",
                of(bytes, row)
            ),
            false => String::new(),
        };
        let (come, gone) = (of(bytes, "NEW"), of(bytes, "OLD"));
        let fold = if is_head {
            format!(" + {}", of(FOLD, "OLD"))
        } else {
            String::new()
        };
        all.push_str(&format!(
            "CREATE TRIGGER {table}_come AFTER INSERT ON {table} BEGIN {}{} END;
             CREATE TRIGGER {table}_go AFTER DELETE ON {table} BEGIN {}{} END;",
            charge("NEW", &format!("+ ({come} + {ROW})"), &packages("+")),
            folds("NEW", "+"),
            folds("OLD", "-"),
            charge("OLD", &format!("- ({gone}{fold} + {ROW})"), &packages("-")),
        ));
        for (column, bytes) in changes {
            let difference = format!("+ ({}) - ({})", of(bytes, "NEW"), of(bytes, "OLD"));
            all.push_str(&format!(
                "CREATE TRIGGER {table}_change_{column} AFTER UPDATE OF {column} ON {table} BEGIN {} END;",
                charge("NEW", &difference, "")
            ));
        }
    }
    let (new, old) = (of(OF_CONFLICT, "NEW"), of(OF_CONFLICT, "OLD"));
    all.push_str(&format!(
        "CREATE TRIGGER conflicts_come AFTER INSERT ON conflicts BEGIN
         UPDATE OR FAIL usage SET conflicts = conflicts + ({new}) + {ROW}; END;
         CREATE TRIGGER conflicts_go AFTER DELETE ON conflicts BEGIN
         UPDATE OR FAIL usage SET conflicts = conflicts - ({old}) - {ROW}; END;
         CREATE TRIGGER conflicts_change AFTER UPDATE OF kept_by, kept_manifest, offered_manifest ON conflicts BEGIN
         UPDATE OR FAIL usage SET conflicts = conflicts + ({new}) - ({old}); END;
         CREATE TRIGGER publishers_change AFTER UPDATE OF bytes ON publishers BEGIN
         UPDATE OR FAIL usage SET bytes = bytes + NEW.bytes - OLD.bytes, packages = packages + NEW.packages - OLD.packages; END;
         CREATE TRIGGER publishers_empty AFTER UPDATE OF bytes ON publishers WHEN NEW.bytes <= 0 BEGIN
         DELETE FROM publishers WHERE publisher = NEW.publisher; END;"
    ));
    all
}

/// Returns the names of the triggers that a database has. Those of earlier schemas were named in the
/// same way.
pub(super) fn trigger_names(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let of = CHARGED
        .iter()
        .map(|one| one.table)
        .chain(["conflicts", "publishers"]);
    let mut names = Vec::new();
    for table in of {
        let mut all = db.prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1
             AND (name IN (?1 || '_come', ?1 || '_go', ?1 || '_empty') OR name GLOB ?1 || '_change*')",
        )?;
        let found = all.query_map([table], |row| row.get(0))?;
        names.extend(found.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    Ok(names)
}

/// Counts what each publisher is charged with from the rows. The triggers must not exist.
pub(super) fn charge_again(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch("UPDATE publishers SET bytes = 0")?;
    for Charged {
        table,
        publisher,
        bytes,
        ..
    } in CHARGED
    {
        let fold = if table == HEADS.table { FOLD } else { "0" };
        let sums = format!(
            "SELECT {publisher} AS publisher, sum({bytes} + {fold} + {ROW}) AS bytes FROM {table} AS X GROUP BY 1"
        );
        db.execute_batch(&format!(
            "UPDATE publishers SET bytes = publishers.bytes + sums.bytes
             FROM ({sums}) AS sums WHERE sums.publisher = publishers.publisher"
        ))?;
    }
    db.execute_batch("UPDATE usage SET bytes = (SELECT coalesce(sum(bytes), 0) FROM publishers)")
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
    let records =
        records + number("SELECT coalesce(sum(length(fold)), 0) FROM head_rows".to_owned());
    let conflicts = sum("conflicts", OF_CONFLICT, "");
    let folds = sum(MARKS.table, MARKS.bytes, "");
    let packages = number("SELECT count(*) FROM head_rows".to_owned());
    Usage {
        bytes: records + conflicts,
        packages,
        folds,
        conflicts,
    }
}
