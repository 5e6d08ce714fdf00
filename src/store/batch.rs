//! Writes many of this node's own releases in one transaction.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::{HeadVerdict, Store, catalogue, content::own_small, copies, damaged, room};
use crate::{
    Result,
    domain::{
        manifest::Manifest,
        name::PackageId,
        record::{Authorised, Head, Page},
        time::Timestamp,
    },
};

/// A small release of this node's publisher, with its content.
#[derive(Clone, Debug)]
pub struct OwnRelease {
    pub head: Authorised<Head>,
    pub pages: Vec<Authorised<Page>>,
    pub manifest: Authorised<Manifest>,
    /// The name of the content, for display.
    pub called: String,
    pub bytes: Bytes,
}

impl Store {
    /// Stores releases that this node has just signed, with their bytes, and marks them for the
    /// DHT.
    pub async fn take_own_releases(
        &self,
        releases: Vec<OwnRelease>,
        now: Timestamp,
    ) -> Result<Vec<HeadVerdict>> {
        let room = self.room();
        let take_some = move |db: &Connection, releases: Vec<OwnRelease>| {
            let verdicts = releases
                .iter()
                .map(|release| take_one(db, release, now))
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok((verdicts, room::fit(db, room, 0, now)?))
        };
        let taken = self.write_each(releases, take_some).await?;
        let verdicts = taken.into_iter().flat_map(|(verdicts, gone)| {
            self.made_room(gone);
            verdicts
        });
        let verdicts = verdicts.collect();
        self.heads_changed();
        Ok(verdicts)
    }

    /// Returns a package that must still be put into the DHT.
    pub fn next_unspread(&self) -> Result<Option<PackageId>> {
        self.read(|db| {
            db.prepare_cached("SELECT publisher, name FROM unspread LIMIT 1")?
                .query_row([], |row| {
                    let name: String = row.get(1)?;
                    let name = name.parse().map_err(|_| damaged(1, "name"))?;
                    Ok(PackageId {
                        owner: catalogue::publisher(row, 0)?,
                        name,
                    })
                })
                .optional()
        })
    }

    /// Notes that a package is in the DHT or cannot be put there.
    pub async fn spread(&self, id: PackageId) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached("DELETE FROM unspread WHERE publisher = ? AND name = ?")?
                .execute(params![id.owner.to_bytes(), id.name.as_str()])
                .map(drop)
        })
        .await
    }
}

fn take_one(
    db: &Connection,
    release: &OwnRelease,
    now: Timestamp,
) -> rusqlite::Result<HeadVerdict> {
    let OwnRelease {
        head,
        pages,
        manifest,
        called,
        bytes,
    } = release;
    own_small(db, &manifest.content(), called, bytes, now)?;
    let manifests = std::slice::from_ref(manifest);
    let verdict = catalogue::take(db, head, pages, manifests, true, now)?;
    db.prepare_cached("INSERT OR IGNORE INTO unspread (publisher, name) VALUES (?, ?)")?
        .execute(params![
            head.owner().to_bytes(),
            head.package().name.as_str()
        ])?;
    copies::want(db, &manifest.hash(), now)?;
    Ok(verdict)
}
