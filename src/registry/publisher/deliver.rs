//! Delivers a release: puts it into the DHT, reads it back from others, and announces it.

use std::time::{Duration, Instant};

use futures::future::join_all;

use super::{Progress, Publisher, PublisherError, tell};
use crate::{
    RegistryError, Result,
    domain::{
        hash::Hash,
        name::PackageId,
        receipt::PublishStep,
        record::{Announcement, Authorised, DhtKey, Head, Record, VALIDITY},
        release::{self, ReleaseEntry},
        time::{Ago, Timestamp},
        version::VersionText,
    },
    net::{ClockOffset, Want, what_of},
};

/// Peers that are asked to return the records.
const READ_BACK: usize = 3;
/// Pause before each attempt to read back: a busy peer takes a moment to verify what it got.
const READ_BACK_PAUSES: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(150),
    Duration::from_millis(600),
];

/// A delivery to make.
#[derive(Clone, Debug)]
pub struct Due {
    pub package: PackageId,
    /// The release concerned.
    pub version: VersionText,
    /// The manifest to announce; `None` for the one added last to the version.
    pub manifest: Option<Hash>,
    /// The time at which it entered the outbox. A later entry is another delivery.
    pub since: Timestamp,
}

/// The result of a delivery.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delivered {
    pub replicas: usize,
    pub announced: usize,
}

impl Delivered {
    /// Returns true if another node holds it and a peer got the announcement.
    pub fn is_done(self) -> bool {
        self.replicas > 0 && self.announced > 0
    }
}

/// Returns the warning about a clock so wrong that others refuse what this node signs.
fn wrong_clock(ClockOffset { ms, peers }: ClockOffset) -> Option<String> {
    let off = Duration::from_millis(ms.unsigned_abs());
    let way = if ms > 0 { "ahead of" } else { "behind" };
    let told = format!(
        "your clock is {} {way} {peers} peers': they refuse this announcement; set the clock, and \
         it is sent then",
        Ago(off)
    );
    (off > VALIDITY).then_some(told)
}

impl Publisher {
    /// Returns the manifest that was added last to a version, among those held.
    fn listed_last(&self, head: &Authorised<Head>, version: &VersionText) -> Result<Option<Hash>> {
        let (ecosystem, manifests) = (&head.ecosystem, |entry: &ReleaseEntry| {
            entry.manifests.last().copied()
        });
        match release::find(ecosystem, &head.releases, version).and_then(manifests) {
            Some(last) => Ok(Some(last)),
            None => Ok(
                release::find(ecosystem, &self.core.store.releases(head)?.0, version)
                    .and_then(manifests),
            ),
        }
    }

    /// Returns the warning about this machine's clock, before others refuse what it signs.
    pub fn wrong_clock(&self) -> Option<String> {
        self.core.net.clock_offset().and_then(wrong_clock)
    }

    /// Puts head, manifest and pages into the DHT, reads them back from others, and announces them.
    pub async fn deliver(
        &self,
        due: &Due,
        progress: Progress<'_>,
    ) -> Result<Delivered, PublisherError> {
        let (id, since) = (&due.package, due.since);
        let Some(held) = self.core.store.head(id)? else {
            return Ok(Delivered::default());
        };
        let head = held.head;
        let hash = match due.manifest {
            Some(hash) => Some(hash),
            None => self.listed_last(&head, &due.version)?,
        };
        let Some(manifest) = hash
            .map(|hash| self.core.store.manifest(&hash))
            .transpose()?
            .flatten()
        else {
            return Ok(Delivered::default());
        };
        let Some(key) = self.core.key_of(&id.owner) else {
            return Ok(Delivered::default());
        };
        if *self.core.net.joined().borrow() == 0 {
            self.core
                .store
                .publish_progress(id.clone(), since, (0, 0), false, self.core.now())
                .await?;
            return Ok(Delivered::default());
        }
        let wrong_clock = self.wrong_clock();
        let announce = async {
            // Peers would refuse the announcement, so none counts as having got it.
            if let Some(told) = &wrong_clock {
                tracing::warn!(package = %id, "{told}");
                return Ok::<_, PublisherError>(0);
            }
            let data = Announcement::sign(&key, self.core.now(), head.clone(), manifest.clone())
                .and_then(|announcement| announcement.encode())
                .map_err(|refusal| PublisherError::Refused {
                    what: id.name.to_string(),
                    refusal,
                })?;
            let peers = self.core.net.announce(data).await?;
            // A dead connection is not noticed at once, so wait for signs of life.
            let (net, timeout) = (&self.core.net, self.core.net.query_timeout());
            Ok(net.alive(&peers, Instant::now(), timeout).await?)
        };
        let spread = async {
            let timeout = self.core.net.query_timeout();
            let mut records = vec![
                Record::Head(head.clone()),
                Record::Manifest(manifest.clone()),
            ];
            let mut next = head.older;
            while let Some(page) = next
                .map(|hash| self.core.store.page(&hash))
                .transpose()?
                .flatten()
            {
                next = page.older;
                // This page was put when it was created, and so were the older ones.
                if self
                    .core
                    .store
                    .has_dht_record(&DhtKey::of_page(&page.hash()))?
                {
                    break;
                }
                records.push(Record::Page(page));
            }
            let keys: Vec<(DhtKey, String)> = records
                .iter()
                .map(|record| {
                    (
                        record.key(),
                        format!("reading back the {}", what_of(record)),
                    )
                })
                .collect();
            let hashes: Vec<Hash> = records.iter().map(Record::hash).collect();
            join_all(
                records
                    .into_iter()
                    .map(|record| self.core.net.put(record, timeout)),
            )
            .await;
            tell(progress, PublishStep::Put);
            // An acknowledgement does not mean that the record is kept: a peer with a filter
            // acknowledges first and verifies later.
            let mut replicas = 0;
            for pause in READ_BACK_PAUSES {
                tokio::time::sleep(pause).await;
                replicas = self.read_back(&keys, &hashes, timeout).await?;
                if replicas > 0 {
                    break;
                }
            }
            tell(progress, PublishStep::ReadBack { replicas });
            Ok::<_, RegistryError>(replicas)
        };
        // Start providing first: peers that get the announcement look for the bytes, and announcing
        // can block on dead peers.
        self.fetcher.provide_files_soon(&manifest);
        self.fetcher
            .provide_words_soon(&[manifest.name.as_str(), &manifest.tags.join(" ")].join(" "));
        let (announced, replicas) = tokio::join!(announce, spread);
        let delivered = Delivered {
            replicas: replicas?,
            announced: announced?,
        };
        tell(
            progress,
            PublishStep::Announced {
                peers: delivered.announced,
            },
        );
        let reached = (delivered.replicas, delivered.announced);
        let (done, now) = (delivered.is_done(), self.core.now());
        self.core
            .store
            .publish_progress(id.clone(), since, reached, done, now)
            .await?;
        self.outbox.notify_waiters();
        Ok(delivered)
    }

    /// Returns the number of peers that have all of these records.
    async fn read_back(
        &self,
        keys: &[(DhtKey, String)],
        hashes: &[Hash],
        timeout: Duration,
    ) -> Result<usize> {
        let read = keys.iter().map(|(key, what)| {
            self.core
                .net
                .find(*key, Want::Quorum(READ_BACK), Some(what.clone()), timeout)
        });
        let mut replicas = usize::MAX;
        for (lookup, hash) in join_all(read).await.into_iter().zip(hashes) {
            let lookup = lookup?;
            let holders = lookup
                .answers
                .iter()
                .filter(|answer| answer.peer.is_some() && answer.record.hash() == *hash);
            replicas = replicas.min(holders.count());
        }
        Ok(replicas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_done_when_somebody_holds_it_and_somebody_heard() {
        let is_done = |replicas, announced| {
            Delivered {
                replicas,
                announced,
            }
            .is_done()
        };
        assert!(is_done(1, 1));
        assert!(!is_done(0, 5) && !is_done(5, 0) && !is_done(0, 0));
    }

    #[test]
    fn a_person_is_told_of_a_clock_by_which_others_refuse_what_is_signed() {
        let told = |ms| wrong_clock(ClockOffset { ms, peers: 3 });
        let validity = i64::try_from(VALIDITY.as_millis()).unwrap();
        assert_eq!(told(validity), None);
        assert!(told(validity + 1).unwrap().contains("ahead of 3 peers'"));
        assert!(told(-validity - 1).unwrap().contains("behind 3 peers'"));
    }
}
