//! Releases kept for others, own releases that lack copies, and the nodes that were seen to hold
//! them.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use libp2p::PeerId;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Store, catalogue::publisher, damaged};
use crate::{
    Result,
    domain::{
        copies::{LEAST, Replica, ReplicaDecision, admit, make_room},
        hash::{ContentRoot, Hash},
        manifest::Manifest,
        name::PublisherId,
        record::Authorised,
        time::Timestamp,
    },
};

/// The result of a peer's request to keep a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// There is space for it once these contents, whose releases are no longer kept, are removed.
    Taken {
        gone: Vec<ContentRoot>,
    },
    /// It is kept already.
    Kept,
    Declined,
}

/// A node that was seen to have a release's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyHolder {
    pub peer: PeerId,
    /// The time at which it last supplied groups that verified.
    pub proved_at: Timestamp,
    /// The time since which it is missing, if it is.
    pub missing_since: Option<Timestamp>,
}

fn hash(row: &Row<'_>, column: usize) -> rusqlite::Result<Hash> {
    row.get(column).map(Hash)
}

fn peer(row: &Row<'_>, column: usize) -> rusqlite::Result<PeerId> {
    let bytes: Vec<u8> = row.get(column)?;
    PeerId::from_bytes(&bytes).map_err(|_| damaged(column, "peer"))
}

fn totals(db: &Connection) -> rusqlite::Result<BTreeMap<PublisherId, u64>> {
    db.prepare_cached("SELECT publisher, sum(bytes) FROM copies GROUP BY publisher")?
        .query_map([], |row| Ok((publisher(row, 0)?, row.get(1)?)))?
        .collect()
}

fn all(db: &Connection) -> rusqlite::Result<Vec<Replica>> {
    db.prepare_cached("SELECT release, publisher, bytes, elsewhere, since FROM copies")?
        .query_map([], |row| {
            Ok(Replica {
                release: hash(row, 0)?,
                publisher: publisher(row, 1)?,
                bytes: row.get(2)?,
                elsewhere: row.get(3)?,
                since: Timestamp(row.get(4)?),
            })
        })?
        .collect()
}

/// Stops keeping releases for others. Returns the contents that no person requested.
fn drop_copies(db: &Connection, releases: &[Hash]) -> rusqlite::Result<Vec<ContentRoot>> {
    let mut roots = HashSet::new();
    for release in releases {
        let mut of = db.prepare_cached("SELECT root FROM copied WHERE release = ?")?;
        for root in of.query_map([release.0], |row| row.get(0).map(ContentRoot))? {
            roots.insert(root?);
        }
        db.prepare_cached("DELETE FROM copies WHERE release = ?")?
            .execute([release.0])?;
    }
    let mut gone = Vec::new();
    for root in roots {
        let kept = db
            .prepare_cached("SELECT 1 FROM copied WHERE root = ?")?
            .exists([root.0])?;
        let wanted =
            db.prepare_cached("SELECT 1 FROM contents WHERE root = ?1 AND (own = 1 OR EXISTS (SELECT 1 FROM content_pins WHERE root = ?1))")?.exists([root.0])?;
        if !kept && !wanted {
            db.prepare_cached("DELETE FROM contents WHERE root = ?")?
                .execute([root.0])?;
            gone.push(root);
        }
    }
    Ok(gone)
}

impl Store {
    /// Reserves space for a release, if its publisher may have it: `room` is the space for all
    /// copies, in bytes.
    pub async fn reserve_copy(
        &self,
        release: Authorised<Manifest>,
        known: std::sync::Arc<HashSet<PublisherId>>,
        room: u64,
        now: Timestamp,
    ) -> Result<Reserved> {
        self.write(move |db| {
            let of = release.owner();
            let there = db
                .prepare_cached("SELECT 1 FROM copies WHERE release = ?")?
                .exists([release.hash().0])?;
            if there {
                return Ok(Reserved::Kept);
            }
            let contents = release.contents();
            let bytes = contents
                .iter()
                .fold(0_u64, |sum, content| sum.saturating_add(content.size))
                .max(LEAST);
            let is_known = |publisher: &PublisherId| known.contains(publisher);
            let kept = totals(db)?;
            let gone = match admit(&kept, is_known, (&of, bytes), room) {
                ReplicaDecision::Take => Vec::new(),
                ReplicaDecision::Decline => return Ok(Reserved::Declined),
                ReplicaDecision::MakeRoom(excess) => {
                    let spared = kept.get(&of).copied().unwrap_or(0).saturating_add(bytes);
                    match make_room(&all(db)?, is_known, spared, excess) {
                        Some(gone) => drop_copies(db, &gone)?,
                        None => return Ok(Reserved::Declined),
                    }
                }
            };
            db.prepare_cached(
                "INSERT INTO copies (release, publisher, bytes, since, envelope) VALUES (?, ?, ?, \
                 ?, ?)",
            )?
            .execute(params![
                release.hash().0,
                of.to_bytes(),
                i64::try_from(bytes).unwrap_or(i64::MAX),
                now.0,
                release.envelope().as_ref()
            ])?;
            for content in contents {
                // A content that is here already, or being fetched, was requested by a person,
                // unless another copy brought it.
                db.prepare_cached(
                    "INSERT OR IGNORE INTO copied (root, release) SELECT ?1, ?2
                     WHERE NOT EXISTS (SELECT 1 FROM contents WHERE root = ?1
                                       UNION ALL SELECT 1 FROM fetches WHERE root = ?1)
                        OR EXISTS (SELECT 1 FROM copied WHERE root = ?1)",
                )?
                .execute(params![content.root.0, release.hash().0])?;
            }
            db.prepare_cached(
                "DELETE FROM copies WHERE release = ?1 AND NOT EXISTS (SELECT 1 FROM copied WHERE \
                 release = ?1)",
            )?
            .execute([release.hash().0])?;
            Ok(Reserved::Taken { gone })
        })
        .await
    }

    /// Stops keeping a release for others. Returns the contents that no person requested, which are
    /// no longer held.
    pub async fn drop_copy(&self, release: Hash) -> Result<Vec<ContentRoot>> {
        self.write(move |db| drop_copies(db, &[release])).await
    }

    /// Drops copies that had not arrived when the node ended, and those beyond `room` bytes.
    /// Returns the contents that no person requested, which are no longer held.
    pub async fn tidy_copies(
        &self,
        known: std::sync::Arc<HashSet<PublisherId>>,
        room: u64,
    ) -> Result<Vec<ContentRoot>> {
        self.write(move |db| {
            let unfinished = db
                .prepare_cached(
                    "SELECT DISTINCT release FROM copied WHERE NOT EXISTS (SELECT 1 FROM contents \
                     WHERE root = copied.root)",
                )?
                .query_map([], |row| hash(row, 0))?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let mut gone = drop_copies(db, &unfinished)?;
            let excess = totals(db)?.values().sum::<u64>().saturating_sub(room);
            let beyond = make_room(&all(db)?, |publisher| known.contains(publisher), 0, excess);
            gone.extend(drop_copies(db, &beyond.unwrap_or_default())?);
            Ok(gone)
        })
        .await
    }

    /// Notes that a person requested a content, which is then not kept for others only.
    pub async fn asked_for(&self, root: ContentRoot) -> Result<()> {
        if self.is_for_others(&root)? {
            self.write(move |db| {
                let releases = db
                    .prepare_cached("SELECT release FROM copied WHERE root = ?")?
                    .query_map([root.0], |row| hash(row, 0))?
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                db.prepare_cached("DELETE FROM copied WHERE root = ?")?
                    .execute([root.0])?;
                for release in releases {
                    db.prepare_cached(
                        "DELETE FROM copies WHERE release = ?1
                            AND NOT EXISTS (SELECT 1 FROM copied WHERE release = ?1)",
                    )?
                    .execute([release.0])?;
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Returns true if a content is kept for others and no person requested it.
    pub fn is_for_others(&self, root: &ContentRoot) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached("SELECT 1 FROM copied WHERE root = ?")?
                .exists([root.0])
        })
    }

    /// Returns the bytes kept for others, and those of them that belong to publishers in `known`.
    pub fn copies_usage(&self, known: &HashSet<PublisherId>) -> Result<(u64, u64)> {
        let totals = self.read(totals)?;
        let of_known = totals
            .iter()
            .filter(|(publisher, _)| known.contains(publisher))
            .map(|(_, bytes)| bytes)
            .sum();
        Ok((totals.values().sum(), of_known))
    }

    /// Returns up to `most` releases kept for others that follow `from` in the order of their
    /// hashes.
    pub fn copies_after(&self, from: Hash, most: usize) -> Result<Vec<(Replica, Bytes)>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT release, publisher, bytes, elsewhere, since, envelope FROM copies
                 WHERE release > ? ORDER BY release LIMIT ?",
            )?
            .query_map(params![from.0, most as i64], |row| {
                let copy = Replica {
                    release: hash(row, 0)?,
                    publisher: publisher(row, 1)?,
                    bytes: row.get(2)?,
                    elsewhere: row.get(3)?,
                    since: Timestamp(row.get(4)?),
                };
                Ok((copy, Bytes::from(row.get::<_, Vec<u8>>(5)?)))
            })?
            .collect()
        })
    }

    /// Returns up to `most` own releases seen on other nodes that follow `from` in the order of
    /// their hashes.
    pub fn copied_after(&self, from: Hash, most: usize) -> Result<Vec<Hash>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT DISTINCT release FROM holders WHERE release > ? AND release NOT IN (SELECT release FROM copies)
                 ORDER BY release LIMIT ?",
            )?
            .query_map(params![from.0, most as i64], |row| hash(row, 0))?
            .collect()
        })
    }

    pub async fn set_elsewhere(&self, release: Hash, elsewhere: u64) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached(
                "UPDATE copies SET elsewhere = ?1 WHERE release = ?2 AND elsewhere != ?1",
            )?
            .execute(params![elsewhere as i64, release.0])
            .map(drop)
        })
        .await
    }

    /// Returns the nodes that were seen to have a release, the earliest first.
    pub fn holders(&self, release: &Hash) -> Result<Vec<CopyHolder>> {
        self.read(|db| {
            db.prepare_cached("SELECT peer, proved_at, missing_since FROM holders WHERE release = ? ORDER BY rowid")?
                .query_map([release.0], |row| {
                    Ok(CopyHolder {
                        peer: peer(row, 0)?,
                        proved_at: Timestamp(row.get(1)?),
                        missing_since: row.get::<_, Option<_>>(2)?.map(Timestamp),
                    })
                })?
                .collect()
        })
    }

    /// Notes that a peer supplied groups of a release that verified.
    pub async fn saw_holder(&self, release: Hash, peer: PeerId, now: Timestamp) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached(
                "INSERT INTO holders (release, peer, proved_at) VALUES (?, ?, ?)
                 ON CONFLICT (release, peer) DO UPDATE SET proved_at = excluded.proved_at, missing_since = NULL",
            )?
            .execute(params![release.0, peer.to_bytes(), now.0])
            .map(drop)
        })
        .await
    }

    /// Notes that a holder of a release could not be asked. The time of the first such failure in a
    /// row is kept.
    pub async fn missed_holder(&self, release: Hash, peer: PeerId, now: Timestamp) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached(
                "UPDATE holders SET missing_since = coalesce(missing_since, ?) WHERE release = ? \
                 AND peer = ?",
            )?
            .execute(params![now.0, release.0, peer.to_bytes()])
            .map(drop)
        })
        .await
    }

    /// Notes that a peer no longer has a release.
    pub async fn forget_holder(&self, release: Hash, peer: PeerId) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached("DELETE FROM holders WHERE release = ? AND peer = ?")?
                .execute(params![release.0, peer.to_bytes()])
                .map(drop)
        })
        .await
    }

    /// Returns the own release lacking copies that was tried longest ago, if that was before
    /// `before`.
    pub fn next_uncopied(&self, before: Timestamp) -> Result<Option<Hash>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT release FROM uncopied WHERE tried_at < ? ORDER BY tried_at LIMIT 1",
            )?
            .query_row([before.0], |row| hash(row, 0))
            .optional()
        })
    }

    /// Returns the number of own releases that were tried and have lacked copies since before
    /// `before`.
    pub fn tried_in_vain(&self, before: Timestamp) -> Result<u64> {
        self.read(|db| {
            db.prepare_cached("SELECT count(*) FROM uncopied WHERE tried_at > 0 AND since < ?")?
                .query_row([before.0], |row| row.get(0))
        })
    }

    /// Notes that an own release has enough copies, or was tried in vain. The write is not synced:
    /// if a power cut takes it, the release is tried again.
    pub async fn tried_to_copy(&self, release: Hash, done: bool, now: Timestamp) -> Result<()> {
        self.write_unsynced(move |db| {
            if done {
                db.prepare_cached("DELETE FROM uncopied WHERE release = ?")?
                    .execute([release.0])?;
            } else {
                db.prepare_cached("UPDATE uncopied SET tried_at = ? WHERE release = ?")?
                    .execute(params![now.0, release.0])?;
            }
            Ok(())
        })
        .await
    }
}

/// Notes that an own release needs copies.
pub(super) fn want(db: &Connection, release: &Hash, now: Timestamp) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR IGNORE INTO uncopied (release, since) VALUES (?, ?)")?
        .execute(params![release.0, now.0])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use libp2p::identity::Keypair;

    use super::*;
    use crate::{
        domain::{
            manifest::{Content, File},
            transfer::Wanted,
        },
        ecosystem::Ecosystem,
        metrics::Metrics,
        store::content::ContentStore,
    };

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    fn release(key: &Keypair, name: &str, bytes: &[u8]) -> Authorised<Manifest> {
        let draft: crate::domain::manifest::Draft = toml::from_str(&format!(
            "name = \"{name}\"\nversion = \"1.0.0\"\ndescription = \"A thing\""
        ))
        .unwrap();
        let file = File::of(&Ecosystem::Generic, "thing", bytes);
        Authorised::sign(
            key,
            draft
                .into_manifest(PublisherId::of(&key.public()), file, NOW)
                .unwrap(),
        )
        .unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_person_has_or_began_is_not_kept_for_others_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Metrics::default()).unwrap();
        let contents = ContentStore::open(dir.path(), store.clone(), 1 << 30).unwrap();
        let key = Keypair::generate_ed25519();
        let (begun, held, new) = (b"begun".as_slice(), b"held".as_slice(), b"new".as_slice());
        let wanted = Content {
            root: ContentRoot::of(begun),
            size: 5,
        };
        let wanted = Wanted {
            content: wanted,
            what: "web".to_owned(),
            package: None,
            beside: None,
            for_others: false,
        };
        store.note_fetch(wanted, true, NOW).await.unwrap();
        contents
            .put(std::io::Cursor::new(held), false, 1 << 20, |_| {})
            .await
            .unwrap();
        let room = 1 << 30;
        for (name, bytes, kept) in [("begun", begun, 0), ("held", held, 0), ("new", new, LEAST)] {
            let release = release(&key, name, bytes);
            let reserved = store
                .reserve_copy(release.clone(), Arc::default(), room, NOW)
                .await
                .unwrap();
            assert_eq!(reserved, Reserved::Taken { gone: Vec::new() }, "{name}");
            assert_eq!(
                store.copies_usage(&HashSet::new()).unwrap(),
                (kept, 0),
                "{name}"
            );
            // The copy did not arrive; contents that a person has or requested stay.
            let gone = store.drop_copy(release.hash()).await.unwrap();
            assert_eq!(
                gone,
                if kept > 0 {
                    vec![release.content().root]
                } else {
                    Vec::new()
                },
                "{name}"
            );
        }
        assert_eq!(store.fetches().unwrap().len(), 1);
        assert!(contents.get(&ContentRoot::of(held)).unwrap().is_some());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_releases_with_the_same_bytes_are_kept_until_both_go() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Metrics::default()).unwrap();
        let contents = ContentStore::open(dir.path(), store.clone(), 1 << 30).unwrap();
        let key = Keypair::generate_ed25519();
        let (one, two) = (
            release(&key, "one", b"bytes"),
            release(&key, "two", b"bytes"),
        );
        store
            .reserve_copy(one.clone(), Arc::default(), 1 << 30, NOW)
            .await
            .unwrap();
        contents
            .put(std::io::Cursor::new(b"bytes"), false, 1 << 20, |_| {})
            .await
            .unwrap();
        store
            .reserve_copy(two.clone(), Arc::default(), 1 << 30, NOW)
            .await
            .unwrap();
        assert_eq!(store.copies_usage(&HashSet::new()).unwrap().0, 2 * LEAST);
        assert_eq!(store.drop_copy(one.hash()).await.unwrap(), []);
        assert!(
            contents
                .get(&one.content().root)
                .unwrap()
                .unwrap()
                .for_others
        );
        assert_eq!(
            store.drop_copy(two.hash()).await.unwrap(),
            [two.content().root]
        );
        assert_eq!(contents.get(&one.content().root).unwrap(), None);
        // A person requests a content that is kept for others, and it becomes theirs.
        store
            .reserve_copy(one.clone(), Arc::default(), 1 << 30, NOW)
            .await
            .unwrap();
        contents
            .put(std::io::Cursor::new(b"bytes"), false, 1 << 20, |_| {})
            .await
            .unwrap();
        store.asked_for(one.content().root).await.unwrap();
        assert_eq!(store.copies_usage(&HashSet::new()).unwrap(), (0, 0));
        assert!(
            !contents
                .get(&one.content().root)
                .unwrap()
                .unwrap()
                .for_others
        );
    }
}
