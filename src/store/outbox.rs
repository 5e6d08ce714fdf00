//! The outbox: publishes that are not fully delivered yet.

use rusqlite::{OptionalExtension, Row, params};

use super::{Store, catalogue::publisher, damaged};
use crate::{
    Result,
    domain::{name::PackageId, time::Timestamp, version::VersionText},
};

/// A publish that is stored here and still being delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub package: PackageId,
    /// The release concerned.
    pub version: VersionText,
    pub replicas: usize,
    pub announced: usize,
    pub since: Timestamp,
}

/// The delivery state of a package's last publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    pub replicas: usize,
    pub announced: usize,
    /// True if it is still in the outbox.
    pub pending: bool,
}

impl Store {
    /// Returns the delivery state of a package's last publish; `None` if this node did not publish
    /// it.
    pub fn reach(&self, package: &PackageId) -> Result<Option<Reach>> {
        self.read(|db| {
            let key = params![package.owner.to_bytes(), package.name.as_str()];
            let reach = |pending| {
                move |row: &Row<'_>| {
                    let (replicas, announced) = (
                        row.get::<_, u32>(0)? as usize,
                        row.get::<_, u32>(1)? as usize,
                    );
                    Ok(Reach {
                        replicas,
                        announced,
                        pending,
                    })
                }
            };
            let waiting = db
                .prepare_cached(
                    "SELECT replicas, announced FROM outbox WHERE publisher = ? AND name = ?",
                )?
                .query_row(key, reach(true))
                .optional()?;
            let delivered =
                "SELECT replicas, announced FROM deliveries WHERE publisher = ? AND name = ?";
            match waiting {
                Some(waiting) => Ok(Some(waiting)),
                None => db
                    .prepare_cached(delivered)?
                    .query_row(key, reach(false))
                    .optional(),
            }
        })
    }

    pub fn outbox(&self) -> Result<Vec<Pending>> {
        self.read(|db| {
            db.prepare_cached("SELECT publisher, name, version, replicas, announced, since FROM outbox ORDER BY since")?
                .query_map([], pending)?
                .collect()
        })
    }

    /// Notes how many peers hold and heard of the entry of this time, and removes it once it is
    /// `done`. A later entry of the package stays. The write is not synced: if a power cut takes
    /// it, the release is delivered again.
    pub async fn publish_progress(
        &self,
        package: PackageId,
        since: Timestamp,
        (replicas, announced): (usize, usize),
        done: bool,
        now: Timestamp,
    ) -> Result<()> {
        self.write_unsynced(move |db| {
            let key = package.owner.to_bytes();
            if done {
                db.prepare_cached(
                    "INSERT OR REPLACE INTO deliveries (publisher, name, version, replicas, announced, delivered_at)
                     SELECT publisher, name, version, ?, ?, ? FROM outbox WHERE publisher = ? AND name = ? AND since = ?",
                )?
                .execute(params![
                    replicas as i64,
                    announced as i64,
                    now.0,
                    key,
                    package.name.as_str(),
                    since.0
                ])?;
                db.prepare_cached("DELETE FROM outbox WHERE publisher = ? AND name = ? AND since = ?")?
                    .execute(params![key, package.name.as_str(), since.0])
            } else {
                db.prepare_cached("UPDATE outbox SET replicas = ?, announced = ? WHERE publisher = ? AND name = ? AND since = ?")?
                    .execute(params![replicas as i64, announced as i64, key, package.name.as_str(), since.0])
            }
            .map(drop)
        })
        .await
    }
}

fn pending(row: &Row<'_>) -> rusqlite::Result<Pending> {
    let name: String = row.get(1)?;
    let version: String = row.get(2)?;
    Ok(Pending {
        package: PackageId {
            owner: publisher(row, 0)?,
            name: name.parse().map_err(|_| damaged(1, "name"))?,
        },
        version: version.parse().map_err(|_| damaged(2, "version"))?,
        replicas: row.get::<_, u32>(3)? as usize,
        announced: row.get::<_, u32>(4)? as usize,
        since: Timestamp(row.get(5)?),
    })
}
