//! The keys that claim handles, and the time since which this node knows of each claim.

use rusqlite::{Connection, params};

use super::{
    Store,
    catalogue::{publisher, signed},
};
use crate::{
    Result,
    domain::{
        name::{Handle, PublisherId},
        record::{Authorised, Head},
        time::Timestamp,
        trust::{Claimant, MAX_CLAIMANTS, MAX_HANDLES},
    },
};

impl Store {
    /// Returns one head of each key that claims `handle`, first seen first, so that later claims
    /// cannot get ahead however many they are.
    pub fn heads_of_handle(&self, handle: &Handle, most: usize) -> Result<Vec<Authorised<Head>>> {
        self.read_together(|db| {
            let claimants = claimants(db, handle, most)?;
            let mut head = db.prepare_cached(
                "SELECT envelope FROM heads WHERE handle = ? AND publisher = ? LIMIT 1",
            )?;
            let of = |claimant: &Claimant| {
                head.query_row(
                    params![handle.as_str(), claimant.publisher.to_bytes()],
                    |row| signed(row, 0),
                )
            };
            claimants.iter().map(of).collect()
        })
    }

    /// Returns the keys that claim `handle` in any stored head, first seen first, without
    /// distrusted ones.
    pub fn claimants(&self, handle: &Handle) -> Result<Vec<Claimant>> {
        self.read(|db| claimants(db, handle, MAX_CLAIMANTS))
    }

    /// Returns true if the key claims the handle in any stored head.
    pub fn claims(&self, publisher: &PublisherId, handle: &Handle) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached("SELECT 1 FROM claims WHERE publisher = ? AND handle = ?")?
                .exists(params![publisher.to_bytes(), handle.as_str()])
        })
    }

    /// Returns all handles that a key claims.
    pub fn handles_of(&self, publisher: &PublisherId) -> Result<Vec<Handle>> {
        self.read(|db| {
            let mut handles =
                db.prepare_cached("SELECT handle FROM claims WHERE publisher = ? ORDER BY since")?;
            let names = handles.query_map([publisher.to_bytes()], |row| row.get::<_, String>(0))?;
            names
                .map(|name| name?.parse().map_err(|_| super::damaged(0, "handle")))
                .collect()
        })
    }
}

pub(super) fn claimants(
    db: &Connection,
    handle: &Handle,
    most: usize,
) -> rusqlite::Result<Vec<Claimant>> {
    db.prepare_cached(
        "SELECT publisher, since FROM claims WHERE handle = ? AND publisher NOT IN (SELECT publisher FROM distrusted)
         ORDER BY since, publisher LIMIT ?",
    )?
    .query_map(params![handle.as_str(), most as i64], |row| {
        Ok(Claimant { publisher: publisher(row, 0)?, since: Timestamp(row.get(1)?) })
    })?
    .collect()
}

/// Notes the claim of a head that was just accepted, and removes claims that its key gave up with
/// it.
pub(super) fn note(
    db: &Connection,
    head: &Authorised<Head>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let key = head.owner().to_bytes();
    if let Some(handle) = &head.handle {
        db.prepare_cached(
            "INSERT OR IGNORE INTO claims (publisher, handle, since) VALUES (?, ?, ?)",
        )?
        .execute(params![key, handle.as_str(), now.0])?;
    }
    // A key has few claims, and each is looked up in an index.
    db.prepare_cached(
        "DELETE FROM claims WHERE publisher = ?1 AND NOT EXISTS
             (SELECT 1 FROM heads WHERE heads.handle = claims.handle AND heads.publisher = ?1)",
    )?
    .execute([key])
    .map(drop)
}

/// Returns true if accepting the head would give its key too many handles.
pub(super) fn is_one_too_many(db: &Connection, head: &Authorised<Head>) -> rusqlite::Result<bool> {
    let Some(handle) = &head.handle else {
        return Ok(false);
    };
    // A handle that only the replaced state claims is given up with it.
    let others: usize = db
        .prepare_cached(
            "SELECT count(*) FROM claims WHERE publisher = ?1 AND handle <> ?2 AND EXISTS
                 (SELECT 1 FROM heads WHERE heads.handle = claims.handle AND heads.publisher = ?1 AND name <> ?3)",
        )?
        .query_row(params![head.owner().to_bytes(), handle.as_str(), head.package().name.as_str()], |row| row.get(0))?;
    Ok(others >= MAX_HANDLES)
}

#[cfg(test)]
mod tests {
    use crate::ecosystem::Ecosystem;
    use libp2p::identity::Keypair;

    use super::*;
    use crate::{
        domain::{
            hash::Hash,
            record::{Admission, Class, DEFAULT_LIFE, HeadState},
            release::ReleaseEntry,
        },
        metrics::Metrics,
        store::{HeadVerdict, Room},
    };

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn handle(text: &str) -> Handle {
        text.parse().unwrap()
    }

    fn head(key: &Keypair, name: &str, called: &str, seq: u64) -> Authorised<Head> {
        let releases = vec![ReleaseEntry::new(
            "1.0.0".parse().unwrap(),
            Hash::of(name.as_bytes()),
        )];
        let prev = if seq == 1 {
            vec![]
        } else {
            vec![Hash::of(b"before")]
        };
        let state = HeadState {
            handle: Some(handle(called)),
            seq,
            prev,
            ..HeadState::first(Ecosystem::Generic, name.parse().unwrap(), releases)
        };
        state.sign(key, NOW, DEFAULT_LIFE).unwrap().0
    }

    async fn take(store: &Store, head: Authorised<Head>, millis: u64) -> HeadVerdict {
        store
            .take_head(head, vec![], vec![], false, Timestamp(NOW.0 + millis))
            .await
            .unwrap()
    }

    fn claimed(store: &Store, called: &str) -> Vec<(PublisherId, u64)> {
        let claimants = store.claimants(&handle(called)).unwrap();
        claimants
            .iter()
            .map(|one| (one.publisher, one.since.0 - NOW.0))
            .collect()
    }

    #[tokio::test]
    async fn who_claims_a_handle_is_known_since_when_for_as_long_as_it_does() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Metrics::default()).unwrap();
        let (a, b) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
        let [id, other] = [&a, &b].map(|key| PublisherId::of(&key.public()));
        take(&store, head(&a, "web", "alice", 1), 5).await;
        take(&store, head(&b, "web", "alice", 1), 7).await;
        // Later heads, also of the same package, do not change the time.
        take(&store, head(&a, "json", "alice", 1), 8).await;
        take(&store, head(&a, "web", "alice", 2), 9).await;
        assert_eq!(claimed(&store, "alice"), [(id, 5), (other, 7)]);
        let heads = store.heads_of_handle(&handle("alice"), 1).unwrap();
        assert_eq!(
            heads.iter().map(Authorised::owner).collect::<Vec<_>>(),
            [id],
            "first seen first"
        );

        store.distrust(other, NOW).await.unwrap();
        assert_eq!(
            claimed(&store, "alice"),
            [(id, 5)],
            "a distrusted key claims nothing"
        );
        // A handle that is given up for one package stays claimed by the other, until that gives it
        // up too.
        take(&store, head(&a, "web", "ally", 3), 10).await;
        assert_eq!(
            (claimed(&store, "alice"), claimed(&store, "ally")),
            (vec![(id, 5)], vec![(id, 10)])
        );
        take(&store, head(&a, "json", "ally", 2), 11).await;
        assert_eq!(
            (claimed(&store, "alice"), claimed(&store, "ally")),
            (vec![], vec![(id, 10)])
        );
        assert_eq!(store.handles_of(&id).unwrap(), [handle("ally")]);
        // A package that was evicted claims nothing either.
        store.set_room(Room {
            packages: 0,
            ..Room::default()
        });
        store.make_room(NOW).await.unwrap();
        assert_eq!(
            (claimed(&store, "ally"), store.handles_of(&id).unwrap()),
            (vec![], vec![])
        );
    }

    #[tokio::test]
    async fn a_ninth_handle_of_a_key_is_over_quota_and_nobodys_fault() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Metrics::default()).unwrap();
        let key = Keypair::generate_ed25519();
        for n in 0..MAX_HANDLES {
            let verdict = take(
                &store,
                head(&key, &format!("pkg-{n}"), &format!("name-{n}"), 1),
                0,
            )
            .await;
            assert_eq!(verdict, HeadVerdict::Admitted(Admission::Newer));
        }
        let ninth = head(&key, "one-more", "one-more", 1);
        let refusal = take(&store, ninth.clone(), 0).await.refusal().unwrap();
        assert_eq!(refusal.class(), Class::Ignore);
        assert_eq!(
            store.judge_head(&ninth, NOW).unwrap(),
            HeadVerdict::TooManyHandles
        );
        assert!(store.claimants(&handle("one-more")).unwrap().is_empty());
        // A handle that the key has already does not count again, and a package may replace its
        // last handle by a new one.
        let verdict = take(&store, head(&key, "more", "name-3", 1), 0).await;
        assert_eq!(verdict, HeadVerdict::Admitted(Admission::Newer));
        let verdict = take(&store, head(&key, "pkg-0", "renamed", 2), 0).await;
        assert_eq!(verdict, HeadVerdict::Admitted(Admission::Newer));
        // Another key may claim any.
        let verdict = take(
            &store,
            head(&Keypair::generate_ed25519(), "x", "name-1", 1),
            0,
        )
        .await;
        assert_eq!(verdict, HeadVerdict::Admitted(Admission::Newer));
    }
}
