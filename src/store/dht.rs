//! The DHT records that this node holds for others: the storage behind the in-memory index.

use libp2p::PeerId;
use rusqlite::{Row, params};

use super::{Store, damaged};
use crate::{
    Result,
    domain::{prefix::Prefix, record::DhtKey, shares::HolderId, time::Timestamp},
};

/// A stored DHT record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    pub key: DhtKey,
    pub value: Vec<u8>,
    /// The wall-clock time at which it expires.
    pub expires: Timestamp,
    /// The time at which any peer last put it.
    pub refreshed_at: Timestamp,
    /// The peer that is charged for it.
    pub origin: HolderId,
}

impl Store {
    pub fn dht_records(&self) -> Result<Vec<StoredRecord>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT key, value, expires, refreshed_at, peer, prefix FROM records",
            )?
            .query_map([], |row| {
                Ok(StoredRecord {
                    key: DhtKey(row.get(0)?),
                    value: row.get(1)?,
                    expires: Timestamp(row.get(2)?),
                    refreshed_at: Timestamp(row.get(3)?),
                    origin: origin(row)?,
                })
            })?
            .collect()
        })
    }

    /// Returns true if this node keeps a record for the DHT, which means that it was put.
    pub fn has_dht_record(&self, key: &DhtKey) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached("SELECT 1 FROM records WHERE key = ?")?
                .exists([key.0])
        })
    }

    /// Writes the changes since the last time: records put, and keys removed.
    pub async fn write_dht(&self, put: Vec<StoredRecord>, removed: Vec<DhtKey>) -> Result<()> {
        self.write(move |db| {
            let mut insert = db.prepare_cached(
                "INSERT OR REPLACE INTO records (key, value, expires, refreshed_at, peer, prefix)
                 VALUES (?, ?, ?, ?, ?, ?)",
            )?;
            for StoredRecord {
                key,
                value,
                expires,
                refreshed_at,
                origin,
            } in &put
            {
                let peer = origin.peer.map(PeerId::to_bytes);
                let prefix = origin.prefix.map(|prefix| prefix.to_string());
                // Skip a record that cannot be stored, and write the others.
                match insert.execute(params![
                    key.0,
                    value,
                    expires.0,
                    refreshed_at.0,
                    peer,
                    prefix
                ]) {
                    Err(rusqlite::Error::ToSqlConversionFailure(error)) => {
                        tracing::error!(%error, ?key, "a record that cannot be stored was skipped");
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

fn origin(row: &Row<'_>) -> rusqlite::Result<HolderId> {
    let peer = row.get_ref(4)?.as_blob_or_null()?;
    let peer = peer
        .map(PeerId::from_bytes)
        .transpose()
        .map_err(|_| damaged(4, "peer id"))?;
    let prefix: Option<String> = row.get(5)?;
    let prefix = prefix
        .map(|text| text.parse::<Prefix>())
        .transpose()
        .map_err(|_| damaged(5, "prefix"))?;
    Ok(HolderId { peer, prefix })
}
