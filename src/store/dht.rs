//! The DHT records this node holds for others: the disk behind the in-memory index.

use rusqlite::params;

use super::Store;
use crate::{
    Result,
    domain::{record::DhtKey, time::Timestamp},
};

/// A DHT record as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    pub key: DhtKey,
    pub value: Vec<u8>,
    /// Wall-clock time after which it is dropped.
    pub expires: Timestamp,
    /// When it was last put by anybody.
    pub refreshed_at: Timestamp,
}

impl Store {
    pub fn dht_records(&self) -> Result<Vec<StoredRecord>> {
        self.read(|db| {
            db.prepare_cached("SELECT key, value, expires, refreshed_at FROM records")?
                .query_map([], |row| {
                    Ok(StoredRecord {
                        key: DhtKey(row.get(0)?),
                        value: row.get(1)?,
                        expires: Timestamp(row.get(2)?),
                        refreshed_at: Timestamp(row.get(3)?),
                    })
                })?
                .collect()
        })
    }

    /// Writes what changed since the last time: records put, and keys removed.
    pub async fn write_dht(&self, put: Vec<StoredRecord>, removed: Vec<DhtKey>) -> Result<()> {
        self.write(move |db| {
            let mut insert = db.prepare_cached(
                "INSERT OR REPLACE INTO records (key, value, expires, refreshed_at) VALUES (?, ?, ?, ?)",
            )?;
            for record in &put {
                let row = params![record.key.0, record.value, record.expires.0, record.refreshed_at.0];
                // One that cannot be a row is no reason to lose the others.
                match insert.execute(row) {
                    Err(rusqlite::Error::ToSqlConversionFailure(error)) => {
                        tracing::error!(%error, key = ?record.key, "a record that no row can hold was left out");
                    }
                    written => drop(written?),
                }
            }
            let mut delete = db.prepare_cached("DELETE FROM records WHERE key = ?")?;
            for key in &removed {
                delete.execute([key.0])?;
            }
            Ok(())
        })
        .await
    }
}
