//! Finds the newest head of a package, in the DHT and at peers at once.

use std::{collections::HashMap, time::Duration};

use futures::FutureExt;
use libp2p::PeerId;
use tracing::Span;

use super::{
    Packages,
    together::{HeadRequest, Heard},
};
use crate::{
    Result,
    domain::{
        freshness::{QUORUM, confirms},
        hash::Hash,
        manifest::Manifest,
        name::PackageId,
        package::{Source, claimed},
        record::{Authorised, DhtKey, Head, Record, consistent, select},
        time::Timestamp,
    },
    net::Want,
    store::HeadVerdict,
};

/// If several heads are asked for at once, the DHT is asked too for each that peers have not
/// answered sufficiently after this time.
const LATE: Duration = Duration::from_secs(1);

/// The results of a lookup for a head.
#[derive(Default)]
struct FoundHeads {
    /// By the peer that gave it; a peer that answers twice counts once.
    heads: HashMap<PeerId, (Authorised<Head>, Source)>,
    /// Manifests that arrived with them.
    manifests: Vec<Authorised<Manifest>>,
    asked: usize,
}

/// The head to believe first.
struct Best {
    head: Authorised<Head>,
    source: Source,
    /// Number of peers that gave it, among those that count.
    holding: usize,
}

impl FoundHeads {
    /// Returns true if fewer peers than a quorum have answered, among those that count.
    fn is_short(&self, counts: impl Fn(&PeerId) -> bool) -> bool {
        self.heads.keys().filter(|peer| counts(peer)).count() < QUORUM
    }

    /// Removes and returns the head to believe, given the highest `seq` seen of the package before.
    fn take_best(
        &mut self,
        floor: u64,
        now: Timestamp,
        counts: impl Fn(&PeerId) -> bool,
    ) -> Option<Best> {
        let best = select(self.heads.values().map(|(head, _)| head), floor, now)?.hash();
        let mut taken: Option<Best> = None;
        self.heads.retain(|peer, (head, source)| {
            if head.hash() != best {
                return true;
            }
            let taken = taken.get_or_insert_with(|| Best {
                head: head.clone(),
                source: *source,
                holding: 0,
            });
            taken.holding += usize::from(counts(peer));
            false
        });
        taken
    }

    /// Returns the manifests that arrived with the heads and are listed by this one.
    fn listed_by(&self, head: &Authorised<Head>) -> Vec<Authorised<Manifest>> {
        let listed = self.manifests.iter();
        listed
            .filter(|manifest| consistent(head, manifest).is_ok())
            .cloned()
            .collect()
    }
}

impl Packages {
    /// Asks the network for a package's head and accepts the one to believe. Returns its source, if
    /// one is held now, and the number of peers asked.
    pub async fn refresh_head(&self, id: &PackageId) -> Result<(Option<Source>, usize)> {
        let now = self.core.now();
        let (net, store) = (&self.core.net, &self.core.store);
        let mut found = self.find_heads(id).await?;
        // The span of the get or publish that called this.
        Span::current()
            .record("asked", found.asked)
            .record("answered", found.heads.len());
        let connected = *net.joined().borrow();
        let floor = store.mark(id)?.map_or(0, |mark| mark.seq);
        // A head that conflicts with what was seen first is refused, and the next best one is
        // tried.
        while let Some(Best {
            head,
            source,
            holding,
        }) = found.take_best(floor, now, |peer| net.counts(peer))
        {
            let (hash, listed) = (head.hash(), found.listed_by(&head));
            if self.is_held(id, &hash, &listed)? {
                self.confirm(id, hash, (holding, connected)).await?;
                return Ok((Some(source), found.asked));
            }
            match self.catalogue.accept_head(head, listed, now).await? {
                verdict @ (HeadVerdict::Inconsistent
                | HeadVerdict::Ahead
                | HeadVerdict::TooManyHandles) => {
                    let refusal = verdict.refusal().into_iter();
                    refusal.for_each(|refusal| self.core.tally.refused(refusal));
                }
                HeadVerdict::Admitted(_) | HeadVerdict::Disputed(_) => {
                    self.confirm(id, hash, (holding, connected)).await?;
                    return Ok((Some(source), found.asked));
                }
            }
        }
        Ok((None, found.asked))
    }

    /// Returns true if a head is the stored one and all that came with it is here, so that nothing
    /// needs storing.
    fn is_held(
        &self,
        id: &PackageId,
        hash: &Hash,
        listed: &[Authorised<Manifest>],
    ) -> Result<bool> {
        let store = &self.core.store;
        if store.held_hash(id)?.as_ref() != Some(hash) {
            return Ok(false);
        }
        let listed: Vec<Hash> = listed.iter().map(|manifest| manifest.hash()).collect();
        Ok(store.missing_manifests(&listed)?.is_empty())
    }

    /// Records that this many peers hold this head, if they are enough of those connected.
    async fn confirm(
        &self,
        id: &PackageId,
        hash: Hash,
        (holding, connected): (usize, usize),
    ) -> Result<()> {
        if confirms(holding, connected) {
            let (store, now) = (&self.core.store, self.core.now());
            store.confirm(id.clone(), hash, holding, now).await?;
            self.core.cache().forget(id);
        }
        Ok(())
    }

    /// Asks the DHT and the best connected peers at once, until a quorum of different peers has
    /// answered or all have. While other packages are requested too, the DHT is left alone as long
    /// as peers answer: one request to a peer covers many packages, and a lookup covers one.
    async fn find_heads(&self, id: &PackageId) -> Result<FoundHeads> {
        let timeout = self.core.net.query_timeout();
        let key = DhtKey::of_head(id);
        let mut found = FoundHeads::default();
        let HeadRequest { mut heard, alone } = self.together.ask(id);
        let what = Some(format!("head of {}", claimed(id, None)));
        let mut dht = self
            .core
            .net
            .find(key, Want::Quorum(QUORUM), what, timeout)
            .boxed()
            .fuse();
        let late = tokio::time::sleep(LATE);
        tokio::pin!(late);
        let (mut dht_asked, mut dht_done, mut direct) = (alone, false, 0);
        let mut direct_over = false;
        let counts = |peer: &PeerId| self.core.net.counts(peer);
        while found.is_short(counts) && !(dht_done && direct_over) {
            tokio::select! {
                lookup = &mut dht, if dht_asked && !dht_done => {
                    dht_done = true;
                    let lookup = lookup?;
                    found.asked += lookup.asked;
                    for answer in lookup.answers {
                        if let (Some(peer), Record::Head(head)) = (answer.peer, answer.record) {
                            found.heads.entry(peer).or_insert((head, Source::Dht));
                        }
                    }
                }
                said = heard.recv(), if !direct_over => match said {
                    Some(Heard::Asked(peers)) => direct = peers,
                    Some(Heard::Head { peer, head, manifest }) => {
                        found.manifests.extend(manifest.map(|manifest| *manifest));
                        found.heads.insert(peer, (*head, Source::Peer(peer)));
                    }
                    None => (direct_over, dht_asked) = (true, true),
                },
                () = &mut late, if !dht_asked => dht_asked = true,
            }
        }
        found.asked += direct;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;
    use crate::{
        domain::{
            record::{DEFAULT_LIFE, HeadState},
            release::ReleaseEntry,
        },
        ecosystem::Ecosystem,
    };

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn head(seq: u64, signed_at: Timestamp) -> Authorised<Head> {
        let state = HeadState {
            ecosystem: Ecosystem::Generic,
            name: "web".parse().unwrap(),
            handle: None,
            seq,
            prev: (1..seq).map(|n| Hash::of(&n.to_be_bytes())).collect(),
            releases: vec![ReleaseEntry::new("1.0.0".parse().unwrap(), Hash::of(b"1"))],
            older: None,
            tags: Default::default(),
        };
        let key = Keypair::ed25519_from_bytes([1; 32]).unwrap();
        state.sign(&key, signed_at, DEFAULT_LIFE).unwrap().0
    }

    fn found(heads: &[(PeerId, Authorised<Head>)]) -> FoundHeads {
        let given = |(peer, head): &(PeerId, Authorised<Head>)| {
            (*peer, (head.clone(), Source::Peer(*peer)))
        };
        FoundHeads {
            heads: heads.iter().map(given).collect(),
            ..FoundHeads::default()
        }
    }

    #[test]
    fn a_quorum_is_of_peers_that_count() {
        let peers: Vec<PeerId> = (0..QUORUM + 1).map(|_| PeerId::random()).collect();
        let given: Vec<_> = peers.iter().map(|peer| (*peer, head(1, NOW))).collect();
        assert!(found(&given[..QUORUM - 1]).is_short(|_| true));
        assert!(!found(&given[..QUORUM]).is_short(|_| true));
        let only = |peer: &PeerId| *peer != peers[0] && *peer != peers[1];
        assert!(
            found(&given).is_short(only),
            "two of them are of one address"
        );
    }

    #[test]
    fn the_newest_is_tried_first_then_the_next_best_and_holders_are_counted() {
        let peers: Vec<PeerId> = (0..4).map(|_| PeerId::random()).collect();
        let (old, new) = (head(1, NOW), head(2, NOW));
        let mut found = found(&[
            (peers[0], old.clone()),
            (peers[1], new.clone()),
            (peers[2], new.clone()),
            (peers[3], new.clone()),
        ]);
        let best = found.take_best(0, NOW, |peer| *peer != peers[3]).unwrap();
        assert_eq!((best.head.hash(), best.holding), (new.hash(), 2));
        assert!(matches!(best.source, Source::Peer(peer) if peers[1..].contains(&peer)));
        let next = found.take_best(0, NOW, |_| true).unwrap();
        assert_eq!((next.head.hash(), next.holding), (old.hash(), 1));
        assert!(found.take_best(0, NOW, |_| true).is_none());
    }

    #[test]
    fn nothing_older_than_what_was_seen_is_believed() {
        let mut found = found(&[(PeerId::random(), head(1, NOW))]);
        assert!(found.take_best(2, NOW, |_| true).is_none());
        assert!(found.take_best(1, NOW, |_| true).is_some());
    }
}
