//! Downloads between the demo's nodes: mirrors that have everything, two of which misbehave, and
//! users who download now and then; with figures.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rand::{RngExt, seq::IndexedRandom};
use tokio::task::JoinSet;

use super::run::Stage;
use crate::{
    domain::{
        hash::ContentRoot,
        name::{PackageId, PackageRef},
        version::RequirementText,
    },
    node::{Conduct, NodeHandle},
    registry::{Wanted, read_whole},
};

/// Time between two downloads.
const PACE: Duration = Duration::from_millis(700);
/// Age from which an announced content is downloaded: users read before they download.
const AGE: Duration = Duration::from_millis(800);
/// Most downloads at once.
const AT_ONCE: usize = 4;
/// Packages that are mirrored before the first one is downloaded.
const LEAD: usize = 1;

/// The figures of downloads.
#[derive(Clone, Debug, Default)]
pub(super) struct TrafficTotals(Arc<Mutex<DownloadCounts>>);

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DownloadCounts {
    /// Completed downloads.
    pub fetches: u64,
    pub bytes: u64,
    /// Total time of the downloads of these bytes.
    pub time: Duration,
    /// Answers that failed verification and were discarded.
    pub bad_ranges_refused: u64,
    /// Bytes that differ from the manifest, found by hashing every download again.
    pub bad_bytes_delivered: u64,
}

impl TrafficTotals {
    pub fn counts(&self) -> DownloadCounts {
        *self.0.lock()
    }
}

impl Stage {
    /// Downloads announced content on random nodes until told to stop.
    pub(super) async fn trade(self: Arc<Self>) {
        let mut fetching = JoinSet::new();
        let mut mirrored: VecDeque<(PackageId, usize)> = VecDeque::new();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(PACE) => {}
                Some(_) = fetching.join_next(), if !fetching.is_empty() => continue,
            }
            if fetching.len() >= AT_ONCE {
                continue;
            }
            // By now the mirrors have it, or part of it on the slow one.
            if mirrored.len() > LEAD
                && let Some((package, by)) = mirrored.pop_front()
            {
                fetching.spawn(self.clone().fetch_somewhere(package, by));
            }
            if let Some((package, by)) = self.pick() {
                mirrored.push_back((package.clone(), by));
                fetching.spawn(self.clone().mirror(package, by));
            }
        }
    }

    /// Picks an announced package, with a preference for large ones, which are more interesting to
    /// watch.
    fn pick(&self) -> Option<(PackageId, usize)> {
        const OF: usize = 4;
        let known = self.known(AGE);
        let size = |(package, _): &&(PackageId, usize)| {
            let entries = self.catalogue.entries.iter();
            entries
                .filter(|entry| entry.package == package.name)
                .map(|entry| entry.content.size)
                .max()
        };
        known.sample(&mut rand::rng(), OF).max_by_key(size).cloned()
    }

    /// The misbehaving nodes mirror everything, so that every node meets them.
    async fn mirror(self: Arc<Self>, package: PackageId, by: usize) {
        for (number, peer) in self.plan.peers.iter().enumerate() {
            if peer.conduct != Conduct::Honest
                && number != by
                && let Some(node) = self.node(number)
                && let Some(wanted) = wanted(&node, &package).await
            {
                // A node that has left gets it another time.
                let _ = node.contents().start_fetch(wanted).await;
            }
        }
    }

    async fn fetch_somewhere(self: Arc<Self>, package: PackageId, by: usize) {
        let honest = |number: &usize| {
            self.plan
                .peers
                .get(*number)
                .is_some_and(|peer| peer.conduct == Conduct::Honest)
        };
        let others: Vec<usize> = (0..self.plan.peers.len())
            .filter(|number| *number != by)
            .filter(honest)
            .collect();
        // Prefer the user's node: it is the one being watched.
        let yours = by != 0 && rand::rng().random_ratio(1, 3);
        let Some(number) = others
            .choose(&mut rand::rng())
            .map(|number| if yours { 0 } else { *number })
        else {
            return;
        };
        let Some(node) = self.node(number) else {
            return;
        };
        let fetched = if number == 0 {
            let (stage, what) = (self.clone(), package.clone());
            let fetch = async move { stage.fetch_on(&node, &what).await };
            // It ends early only when the demo does.
            self.home.spawn(fetch).await.unwrap_or(Ok(()))
        } else {
            self.fetch_on(&node, &package).await
        };
        if let Err(why) = fetched
            && !self.stop.is_cancelled()
            && self.node(number).is_some()
            && self.node(by).is_some()
        {
            self.note_error(format!("fetching {package} failed: {why}"));
        }
    }

    /// Downloads the newest release of a package, reads it back, and updates the figures.
    async fn fetch_on(&self, node: &NodeHandle, package: &PackageId) -> Result<(), String> {
        let Some(wanted) = wanted(node, package).await else {
            return Ok(());
        };
        let content = wanted.content;
        let contents = node.contents();
        let began = Instant::now();
        let fetched = contents
            .fetch(wanted, None)
            .await
            .map_err(|error| error.to_string())?;
        if fetched.was_held {
            return Ok(());
        }
        let took = began.elapsed();
        let read = read_whole(&*contents, content.root, content.size)
            .await
            .map_err(|error| error.to_string())?;
        let bad = if ContentRoot::of(&read) == content.root {
            0
        } else {
            read.len() as u64
        };
        let refused = fetched.origin.map_or(0, |origin| {
            origin.shares.iter().map(|share| share.refused).sum()
        });
        let mut counts = self.traffic.0.lock();
        counts.fetches += 1;
        counts.bytes += read.len() as u64;
        counts.time += took;
        counts.bad_ranges_refused += refused;
        counts.bad_bytes_delivered += bad;
        Ok(())
    }
}

/// Returns the content to download; `None` if the node does not know the package yet.
async fn wanted(node: &NodeHandle, package: &PackageId) -> Option<Wanted> {
    let release = node
        .registry()
        .get_package_version(&PackageRef::of(package), &RequirementText::any())
        .await;
    release.ok().map(|release| Wanted::of(&release))
}
