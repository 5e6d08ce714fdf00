//! Known peers: their addresses, and the inputs to their scores.

use libp2p::{Multiaddr, PeerId};
use rusqlite::params;

use super::{Store, damaged};
use crate::{
    Result,
    domain::{faults::PenaltyRecord, reputation::PeerStanding},
};

/// A peer as stored across restarts.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredPeer {
    pub id: PeerId,
    pub addresses: Vec<Multiaddr>,
    pub standing: PeerStanding,
}

impl Store {
    /// Returns the `limit` peers seen last.
    pub fn known_peers(&self, limit: usize) -> Result<Vec<StoredPeer>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT id, addresses, standing FROM peers ORDER BY last_seen DESC LIMIT ?",
            )?
            .query_map([limit as i64], |row| {
                Ok(StoredPeer {
                    id: PeerId::from_bytes(row.get_ref(0)?.as_blob()?)
                        .map_err(|_| damaged(0, "peer id"))?,
                    addresses: serde_json::from_str(row.get_ref(1)?.as_str()?)
                        .map_err(|_| damaged(1, "addresses"))?,
                    standing: serde_json::from_str(row.get_ref(2)?.as_str()?)
                        .map_err(|_| damaged(2, "standing"))?,
                })
            })?
            .collect()
        })
    }

    /// Returns true if peers were told this node's location, which must then be withdrawn some day.
    pub fn is_presence_told(&self) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached("SELECT 1 FROM todo WHERE what = 'withdraw presence'")?
                .exists([])
        })
    }

    /// Records whether peers know this node's location.
    pub async fn set_presence_told(&self, told: bool) -> Result<()> {
        self.write(move |db| {
            let sql = match told {
                true => "INSERT OR IGNORE INTO todo VALUES ('withdraw presence')",
                false => "DELETE FROM todo WHERE what = 'withdraw presence'",
            };
            db.prepare_cached(sql)?.execute([]).map(drop)
        })
        .await
    }

    /// Stores these peers, and removes all but the `keep` seen last.
    pub async fn remember_peers(&self, peers: Vec<StoredPeer>, keep: usize) -> Result<()> {
        self.write(move |db| {
            let mut insert = db.prepare_cached(
                "INSERT OR REPLACE INTO peers (id, addresses, standing, last_seen) VALUES (?, ?, \
                 ?, ?)",
            )?;
            for peer in &peers {
                let addresses =
                    serde_json::to_string(&peer.addresses).unwrap_or_else(|_| "[]".to_owned());
                let Ok(standing) = serde_json::to_string(&peer.standing) else {
                    continue;
                };
                insert.execute(params![
                    peer.id.to_bytes(),
                    addresses,
                    standing,
                    peer.standing.last_seen.0
                ])?;
            }
            db.prepare_cached(
                "DELETE FROM peers WHERE id NOT IN (SELECT id FROM peers ORDER BY last_seen DESC \
                 LIMIT ?)",
            )?
            .execute([keep as i64])
            .map(drop)
        })
        .await
    }

    /// Returns the penalty ledger.
    pub fn ledger(&self) -> Result<Vec<(PeerId, PenaltyRecord)>> {
        self.read(|db| {
            db.prepare_cached("SELECT peer, sheet FROM ledger")?
                .query_map([], |row| {
                    let peer = PeerId::from_bytes(row.get_ref(0)?.as_blob()?)
                        .map_err(|_| damaged(0, "peer id"))?;
                    let sheet = serde_json::from_str(row.get_ref(1)?.as_str()?)
                        .map_err(|_| damaged(1, "sheet"))?;
                    Ok((peer, sheet))
                })?
                .collect()
        })
    }

    /// Writes changed ledger entries; `None` removes an entry.
    pub async fn write_ledger(&self, changed: Vec<(PeerId, Option<PenaltyRecord>)>) -> Result<()> {
        self.write(move |db| {
            for (peer, sheet) in &changed {
                match sheet.as_ref().map(serde_json::to_string).transpose() {
                    Ok(Some(sheet)) => db
                        .prepare_cached(
                            "INSERT OR REPLACE INTO ledger (peer, sheet) VALUES (?, ?)",
                        )?
                        .execute(params![peer.to_bytes(), sheet])?,
                    Ok(None) | Err(_) => db
                        .prepare_cached("DELETE FROM ledger WHERE peer = ?")?
                        .execute([peer.to_bytes()])?,
                };
            }
            Ok(())
        })
        .await
    }
}
