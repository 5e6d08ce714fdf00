//! Publishes that the network has not taken in full yet.

use rusqlite::{Row, params};

use super::{Store, catalogue::publisher, damaged};
use crate::{
    Result,
    domain::{name::PackageId, time::Timestamp},
};

/// A publish that is stored here and still on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub package: PackageId,
    /// The release it was about.
    pub version: semver::Version,
    pub replicas: usize,
    pub announced: usize,
    pub since: Timestamp,
}

impl Store {
    pub fn outbox(&self) -> Result<Vec<Pending>> {
        self.read(|db| {
            db.prepare_cached("SELECT publisher, name, version, replicas, announced, since FROM outbox ORDER BY since")?
                .query_map([], pending)?
                .collect()
        })
    }

    /// Notes how far a publish got; drops it from the outbox once it is `done`.
    pub async fn publish_progress(
        &self,
        package: PackageId,
        replicas: usize,
        announced: usize,
        done: bool,
    ) -> Result<()> {
        self.write(move |db| {
            let key = package.publisher.to_bytes();
            if done {
                db.prepare_cached("DELETE FROM outbox WHERE publisher = ? AND name = ?")?
                    .execute(params![key, package.name.as_str()])
            } else {
                db.prepare_cached("UPDATE outbox SET replicas = ?, announced = ? WHERE publisher = ? AND name = ?")?
                    .execute(params![replicas as i64, announced as i64, key, package.name.as_str()])
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
        package: PackageId { publisher: publisher(row, 0)?, name: name.parse().map_err(|_| damaged(1, "name"))? },
        version: version.parse().map_err(|_| damaged(2, "version"))?,
        replicas: row.get::<_, u32>(3)? as usize,
        announced: row.get::<_, u32>(4)? as usize,
        since: Timestamp(row.get(5)?),
    })
}
