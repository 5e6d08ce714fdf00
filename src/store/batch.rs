//! Writes many releases in one transaction: previews, and this node's own.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    HeadVerdict, Store, catalogue,
    content::own_small,
    copies, damaged,
    listing::{self, Listing, PREVIEW},
    room,
};
use crate::{
    Result,
    domain::{
        manifest::Manifest,
        name::{PackageId, PackageName, PublisherId},
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
    /// Lists packages that no publisher signed.
    pub async fn take_previews(
        &self,
        owner: PublisherId,
        previews: Vec<Manifest>,
        now: Timestamp,
    ) -> Result<()> {
        let list_some = move |db: &Connection, previews: Vec<Manifest>| {
            for manifest in &previews {
                // A package without a valid name was never a preview, because drafts are checked
                // before.
                let Ok(name) = PackageName::of(&manifest.ecosystem, &manifest.name) else {
                    continue;
                };
                let package = &PackageId { owner, name };
                let listing = Listing {
                    package,
                    handle: None,
                    manifest,
                    hash: None,
                    signed_at: now,
                    flags: PREVIEW,
                };
                listing::list(db, &listing)?;
            }
            Ok(())
        };
        self.write_each(previews, list_some).await.map(drop)
    }

    /// Removes all previews from the list. Returns their number.
    pub async fn forget_previews(&self, owner: PublisherId) -> Result<u64> {
        self.write(move |db| {
            let names = db
                .prepare_cached("SELECT name FROM packages WHERE publisher = ? AND flags & ? != 0")?
                .query_map(params![owner.to_bytes(), PREVIEW], |row| {
                    row.get::<_, String>(0)
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            for name in &names {
                let name = name.parse().map_err(|_| damaged(0, "name"))?;
                listing::unlist(db, &owner, &name)?;
            }
            Ok(names.len() as u64)
        })
        .await
    }

    /// Returns true if a package is listed without a signature.
    pub fn is_preview(&self, id: &PackageId) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT 1 FROM packages WHERE publisher = ? AND name = ? AND flags & ? != 0",
            )?
            .exists(params![id.owner.to_bytes(), id.name.as_str(), PREVIEW])
        })
    }

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
