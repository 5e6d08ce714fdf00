//! Pins and distrust: the decisions of this node's person.

use rusqlite::{OptionalExtension, params};

use super::{Store, catalogue::publisher};
use crate::{
    Result,
    domain::{
        name::{Handle, PublisherId},
        time::Timestamp,
        trust::Trust,
    },
};

impl Store {
    pub fn pin_of(&self, handle: &Handle) -> Result<Option<PublisherId>> {
        self.read(|db| {
            db.prepare_cached("SELECT publisher FROM pins WHERE handle = ?")?
                .query_row([handle.as_str()], |row| publisher(row, 0))
                .optional()
        })
    }

    /// Binds the handle to the key, unless it is bound already. Returns the key that it is bound to
    /// now.
    pub async fn pin(
        &self,
        handle: &Handle,
        to: PublisherId,
        now: Timestamp,
    ) -> Result<PublisherId> {
        let handle = handle.clone();
        self.write(move |db| {
            db.prepare_cached(
                "INSERT OR IGNORE INTO pins (handle, publisher, pinned_at) VALUES (?, ?, ?)",
            )?
            .execute(params![handle.as_str(), to.to_bytes(), now.0])?;
            db.prepare_cached("SELECT publisher FROM pins WHERE handle = ?")?
                .query_row([handle.as_str()], |row| publisher(row, 0))
        })
        .await
    }

    pub async fn distrust(&self, publisher: PublisherId, now: Timestamp) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached("INSERT OR IGNORE INTO distrusted (publisher, since) VALUES (?, ?)")?
                .execute(params![publisher.to_bytes(), now.0])?;
            for table in ["trusted", "names", "served"] {
                db.execute(
                    &format!("DELETE FROM {table} WHERE publisher = ?"),
                    [publisher.to_bytes()],
                )?;
            }
            Ok(())
        })
        .await
    }

    /// Removes a distrust, and binds the handle to the key in place of any other.
    pub async fn trust_again(
        &self,
        publisher: PublisherId,
        handle: Option<&Handle>,
        now: Timestamp,
    ) -> Result<()> {
        let handle = handle.cloned();
        self.write(move |db| {
            db.prepare_cached("DELETE FROM distrusted WHERE publisher = ?")?
                .execute([publisher.to_bytes()])?;
            if let Some(handle) = &handle {
                db.prepare_cached(
                    "INSERT OR REPLACE INTO pins (handle, publisher, pinned_at) VALUES (?, ?, ?)",
                )?
                .execute(params![handle.as_str(), publisher.to_bytes(), now.0])?;
            }
            Ok(())
        })
        .await
    }

    /// Returns this node's trust in a publisher that uses `handle`.
    pub fn trust(&self, publisher: &PublisherId, handle: Option<&Handle>) -> Result<Trust> {
        let distrusted = self.read(|db| {
            db.prepare_cached("SELECT 1 FROM distrusted WHERE publisher = ?")?
                .exists([publisher.to_bytes()])
        })?;
        if distrusted {
            return Ok(Trust::Distrusted);
        }
        if self.own_publisher() == Some(*publisher) {
            return Ok(Trust::Own);
        }
        let pinned = handle
            .map(|handle| self.pin_of(handle))
            .transpose()?
            .flatten();
        Ok(if pinned == Some(*publisher) {
            Trust::Pinned
        } else {
            Trust::Unknown
        })
    }
}
