#!/usr/bin/env bash
# A prepared statement that is kept and run again is planned again at every run, if a bound value
# may matter to its plan: it takes as long as a statement that was never kept, and no figure says
# so but the statement's own counter of plans (SQLITE_STMTSTATUS_REPREPARE).
# Two ways to get there were seen:
# - after ANALYZE, a plain `SELECT seq FROM heads WHERE publisher = ? AND name = ?` over a view that
#   joins two tables, because SQLite as rusqlite bundles it is built with SQLITE_ENABLE_STAT4;
# - without ANALYZE, `WHERE own = ?` where a partial index has `WHERE own = 1`.
# SQLITE_DBCONFIG_ENABLE_QPSG ends both.
# Guess before: `prepare_cached` plans a statement once, until the schema changes.
# Seen with: rusqlite 0.41.1 with the feature `bundled` (SQLite 3.54.1); SQLite's own default build
# has no STAT4 and shows the second only. https://sqlite.org/queryplanner-ng.html#qpstab names the
# two settings, https://sqlite.org/c3ref/c_stmtstatus_counter.html the counter.
# What was seen: 100 of 100 runs planned again in both cases, 0 with the setting, and 0 for the
# first case before ANALYZE.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/src"
cat > "$dir/Cargo.toml" << 'TOML'
[package]
name = "probe"
version = "0.0.0"
edition = "2024"

[dependencies]
rusqlite = { version = "=0.41.1", features = ["bundled"] }
TOML
cat > "$dir/src/main.rs" << 'RUST'
use rusqlite::{Connection, StatementStatus, config::DbConfig, version};

const SCHEMA: &str = "
    CREATE TABLE keys (id INTEGER PRIMARY KEY, publisher TEXT UNIQUE);
    CREATE TABLE rows_of (id INTEGER PRIMARY KEY, key INTEGER, name TEXT, seq INTEGER, own INTEGER);
    CREATE UNIQUE INDEX by_key ON rows_of (key, name);
    CREATE INDEX own_rows ON rows_of (seq) WHERE own = 1;
    CREATE VIEW heads AS
        SELECT k.publisher, r.name, r.seq FROM rows_of r JOIN keys k ON k.id = r.key;
    INSERT INTO keys VALUES (1, 'k1'), (2, 'k2');
    INSERT INTO rows_of VALUES (1, 1, 'k1', 1, 0);";
const BY_VIEW: &str = "SELECT seq FROM heads WHERE publisher = ? AND name = ?";
const BY_PARTIAL: &str = "SELECT seq FROM rows_of WHERE own = ? AND name = ?";

/// Returns how often a statement is planned again in a hundred runs.
fn planned_again(sql: &str, analyzed: bool, stable: bool) -> rusqlite::Result<i32> {
    let db = Connection::open_in_memory()?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, stable)?;
    db.execute_batch(SCHEMA)?;
    if analyzed {
        db.execute_batch("ANALYZE")?;
    }
    let mut statement = db.prepare(sql)?;
    for n in 0..100 {
        let value = format!("k{n}");
        let mut rows = statement.query((&value, &value))?;
        while rows.next()?.is_some() {}
    }
    Ok(statement.get_status(StatementStatus::RePrepare))
}

fn main() -> rusqlite::Result<()> {
    println!("SQLite {}", version());
    let seen = [
        ("by the view, before ANALYZE", planned_again(BY_VIEW, false, false)?),
        ("by the view, after ANALYZE", planned_again(BY_VIEW, true, false)?),
        ("by the view, after ANALYZE, QPSG", planned_again(BY_VIEW, true, true)?),
        ("by the partial column", planned_again(BY_PARTIAL, false, false)?),
        ("by the partial column, QPSG", planned_again(BY_PARTIAL, false, true)?),
    ];
    for (what, count) in seen {
        println!("{what}: planned again {count} times in 100");
    }
    Ok(())
}
RUST
cd "$dir"
cargo --version
said=$(cargo run --quiet)
printf '%s\n' "$said"
expected='SQLite 3.54.1
by the view, before ANALYZE: planned again 0 times in 100
by the view, after ANALYZE: planned again 100 times in 100
by the view, after ANALYZE, QPSG: planned again 0 times in 100
by the partial column: planned again 100 times in 100
by the partial column, QPSG: planned again 0 times in 100'
[ "$said" = "$expected" ] || { echo "this has changed"; exit 1; }
