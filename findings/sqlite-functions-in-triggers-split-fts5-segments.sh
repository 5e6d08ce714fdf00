#!/usr/bin/env bash
# FTS5 collects the words of a transaction in memory and writes them as one segment at its end. It
# also writes them at the next insert after each savepoint, and a statement can have a savepoint
# that nobody asked for: one that writes several rows (it fires a trigger) and may end with ABORT.
# A statement may do so if it has a NOT NULL or UNIQUE constraint to check, and also if it calls
# any function, even `length`, in the statement or in its trigger. So a trigger that adds up
# `length(new.text)` makes each row that is inserted beside an FTS5 table a segment of its own, which
# later inserts merge again. `OR FAIL` ends that only if no function is called.
# Guess before: one transaction is one segment; and `OR FAIL`, which undoes nothing by definition
# (https://sqlite.org/lang_conflict.html), is enough.
# Seen with: rusqlite 0.41.1 with the feature `bundled` (SQLite 3.54.1), and in SQLite 3.40.1.
# What was seen, for 50 rows inserted into a table and an FTS5 table in one transaction: 1 segment
# without a trigger, 50 with one, 1 if it has OR FAIL, 50 if it has OR FAIL and calls length().
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
use rusqlite::{Connection, version};

const SCHEMA: &str = "
    CREATE TABLE texts (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
    CREATE TABLE sums (bytes INTEGER NOT NULL);
    INSERT INTO sums VALUES (0);
    CREATE VIRTUAL TABLE words USING fts5 (text, content='');
    INSERT INTO words (words, rank) VALUES ('automerge', 0), ('crisismerge', 1000);";

/// Returns the number of segments after one transaction.
fn segments(insert: &str, trigger: Option<&str>) -> rusqlite::Result<u32> {
    let db = Connection::open_in_memory()?;
    db.execute_batch(SCHEMA)?;
    if let Some(sum) = trigger {
        db.execute_batch(&format!(
            "CREATE TRIGGER added AFTER INSERT ON texts BEGIN UPDATE sums SET bytes = {sum}; END"
        ))?;
    }
    db.execute_batch("BEGIN")?;
    for n in 1..=50 {
        let text = format!("word{n}");
        db.execute(&format!("{insert} INTO texts (text) VALUES (?)"), [&text])?;
        db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (n, &text))?;
    }
    db.execute_batch("COMMIT")?;
    db.query_row("SELECT count(DISTINCT segid) FROM words_idx", [], |row| row.get(0))
}

fn main() -> rusqlite::Result<()> {
    println!("SQLite {}", version());
    for (insert, trigger) in [
        ("INSERT", None),
        ("INSERT", Some("bytes + 5")),
        ("INSERT OR FAIL", Some("bytes + 5")),
        ("INSERT OR FAIL", Some("bytes + length(new.text)")),
    ] {
        let segments = segments(insert, trigger)?;
        println!("{insert}, trigger: {}: {segments}", trigger.unwrap_or("none"));
    }
    Ok(())
}
RUST
cd "$dir"
cargo --version
said=$(cargo run --quiet)
printf '%s\n' "$said"
expected='SQLite 3.54.1
INSERT, trigger: none: 1
INSERT, trigger: bytes + 5: 50
INSERT OR FAIL, trigger: bytes + 5: 1
INSERT OR FAIL, trigger: bytes + length(new.text): 50'
[ "$said" = "$expected" ] || { echo "this has changed"; exit 1; }
