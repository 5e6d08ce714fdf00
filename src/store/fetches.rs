//! Unfinished fetches, for the next start of the node.

use rusqlite::params;

use super::{Store, damaged};
use crate::{
    Result,
    domain::{hash::ContentRoot, time::Timestamp, transfer::Wanted},
};

/// An unfinished fetch.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredFetch {
    pub wanted: Wanted,
    /// True if it must not resume by itself.
    pub paused: bool,
    pub since: Timestamp,
}

impl Store {
    /// Returns the unfinished fetches, oldest first.
    pub fn fetches(&self) -> Result<Vec<StoredFetch>> {
        self.read(|db| {
            db.prepare_cached("SELECT wanted, paused, since FROM fetches ORDER BY since, root")?
                .query_map([], |row| {
                    let wanted: String = row.get(0)?;
                    let wanted =
                        serde_json::from_str(&wanted).map_err(|_| damaged(0, "a fetch"))?;
                    Ok(StoredFetch {
                        wanted,
                        paused: row.get(1)?,
                        since: Timestamp(row.get(2)?),
                    })
                })?
                .collect()
        })
    }

    pub async fn note_fetch(&self, wanted: Wanted, paused: bool, now: Timestamp) -> Result<()> {
        self.write(move |db| {
            let text = serde_json::to_string(&wanted).map_err(|_| damaged(0, "a fetch"))?;
            db.prepare_cached(
                "INSERT INTO fetches (root, wanted, paused, since) VALUES (?, ?, ?, ?)
                 ON CONFLICT (root) DO UPDATE SET paused = excluded.paused, wanted = excluded.wanted",
            )?
            .execute(params![wanted.content.root.0, text, paused, now.0])
            .map(drop)
        })
        .await
    }

    pub async fn forget_fetch(&self, root: ContentRoot) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached("DELETE FROM fetches WHERE root = ?")?
                .execute([root.0])
                .map(drop)
        })
        .await
    }
}
