//! The outbox: retries publishes until the network has accepted them.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Publisher, PublisherError, deliver::Due};
use crate::{RegistryError, Result, store::Pending};

/// First wait before a retry; it doubles with each.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// The time of the next retry.
struct Retry {
    wait: Duration,
    at: Instant,
}

impl Retry {
    fn new(now: Instant) -> Self {
        Self {
            wait: FIRST_RETRY,
            at: now + FIRST_RETRY,
        }
    }

    /// Notes an attempt; the next one is later.
    fn tried(&mut self, now: Instant) {
        self.wait = (self.wait * 2).min(LONGEST_RETRY);
        self.at = now + self.wait;
    }
}

/// The result for one entry of the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// A delivery was attempted.
    Tried,
    /// Another task delivers it.
    Left,
    /// No peer is connected.
    Over,
}

/// Most packages delivered at once, because each may wait for peers that are gone.
const AT_ONCE: usize = 8;

/// Delivers several entries at once, in order. A failure is reported with its package, and the
/// others are tried. Returns true if any was tried.
async fn several_at_once<F: Future<Output = Result<Turn, PublisherError>>>(
    pending: Vec<Pending>,
    deliver: impl Fn(Pending) -> F,
) -> bool {
    let named = |one: Pending| {
        let package = one.package.clone();
        deliver(one).map(move |turn| (package, turn))
    };
    let mut turns = stream::iter(pending).map(named).buffer_unordered(AT_ONCE);
    let mut any = false;
    while let Some((package, turn)) = turns.next().await {
        match turn.map_err(RegistryError::from) {
            Ok(Turn::Tried) => any = true,
            Ok(Turn::Left) => {}
            Ok(Turn::Over) | Err(RegistryError::Closed) => break,
            Err(error) => {
                any = true;
                tracing::warn!(%package, %error, "not delivered yet, and tried again");
            }
        }
    }
    any
}

impl Publisher {
    /// Delivers the entries until `stop` is cancelled: when peers connect, and at intervals.
    pub async fn run_outbox(self: Arc<Self>, stop: CancellationToken) {
        let mut joined = self.core.net.joined();
        let mut retry = Retry::new(Instant::now());
        loop {
            // Listen before reading the outbox, so that no change is missed.
            let changed = self.outbox.notified();
            let outbox = self.pending().await;
            let pending = outbox.is_ok_and(|pending| !pending.is_empty());
            if !pending {
                retry = Retry::new(Instant::now());
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = joined.changed() => match changed {
                    Ok(()) => retry = Retry::new(Instant::now()),
                    Err(_) => return,
                },
                () = tokio::time::sleep_until(retry.at), if pending => {}
                () = self.due.notified() => {}
                // An entry was added or delivered: decide anew whether to retry.
                () = changed => continue,
            }
            match stop.run_until_cancelled(self.deliver_outbox()).await {
                None => return,
                Some(Ok(true)) => retry.tried(Instant::now()),
                Some(Ok(false)) => retry = Retry::new(Instant::now()),
                Some(Err(error)) => {
                    retry.tried(Instant::now());
                    tracing::warn!(%error, "the outbox will be tried again");
                }
            }
        }
    }

    async fn pending(&self) -> Result<Vec<Pending>> {
        let outbox = self.core.read("reading the outbox", |store| store.outbox());
        outbox.await
    }

    /// Attempts all entries; returns true if there were any.
    async fn deliver_outbox(&self) -> Result<bool> {
        let pending = self.pending().await?;
        Ok(several_at_once(pending, |one| self.deliver_one(one)).await)
    }

    async fn deliver_one(&self, pending: Pending) -> Result<Turn, PublisherError> {
        if *self.core.net.joined().borrow() == 0 {
            return Ok(Turn::Over);
        }
        let Some(_delivering) = self.underway.begin_alone(&pending.package) else {
            return Ok(Turn::Left);
        };
        let due = Due {
            package: pending.package,
            version: pending.version,
            manifest: None,
            since: pending.since,
        };
        self.deliver(&due, None).await.map(|_| Turn::Tried)
    }

    /// Waits until all publishes are delivered.
    pub async fn wait_published(&self) {
        loop {
            let changed = self.outbox.notified();
            if self.pending().await.is_ok_and(|pending| pending.is_empty()) {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use libp2p::identity::Keypair;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::domain::{
        name::{PackageId, PublisherId},
        record::Refusal,
        time::Timestamp,
    };

    fn pending(names: &[&str]) -> Vec<Pending> {
        let owner = PublisherId::of(&Keypair::ed25519_from_bytes([1; 32]).unwrap().public());
        let one = |name: &&str| Pending {
            package: PackageId {
                owner,
                name: name.parse().unwrap(),
            },
            version: "1.0.0".parse().unwrap(),
            replicas: 0,
            announced: 0,
            since: Timestamp(1),
        };
        names.iter().map(one).collect()
    }

    /// Returns the names that were tried and whether any was, if each has the result of `result`.
    async fn delivered(
        names: &[&str],
        result: impl Fn(&str) -> Result<Turn, PublisherError>,
    ) -> (Vec<String>, bool) {
        let tried = Mutex::new(Vec::new());
        let any = several_at_once(pending(names), async |one| {
            let name = one.package.name.bare().to_owned();
            let result = result(&name);
            tried.lock().unwrap().push(name);
            result
        })
        .await;
        (tried.into_inner().unwrap(), any)
    }

    #[tokio::test]
    async fn a_package_that_cannot_be_delivered_holds_up_no_other() {
        let (tried, any) = delivered(&["bad", "web", "lib"], |name| match name {
            "bad" => Err(PublisherError::Refused {
                what: name.to_owned(),
                refusal: Refusal::TooLarge,
            }),
            _ => Ok(Turn::Tried),
        })
        .await;
        assert_eq!(
            (tried, any),
            (vec!["bad".into(), "web".into(), "lib".into()], true)
        );
    }

    #[tokio::test]
    async fn those_that_wait_for_a_dead_peer_hold_up_no_other_and_have_a_bound() {
        let names: Vec<String> = (0..3 * AT_ONCE).map(|at| format!("web-{at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (under_way, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // They wait until the last one has been delivered beside them.
        let (dead, answers) = (AT_ONCE - 1, Semaphore::new(0));
        let any = several_at_once(pending(&names), async |one| {
            most.fetch_max(under_way.fetch_add(1, Relaxed) + 1, Relaxed);
            match one.package.name.bare()[4..].parse::<usize>().unwrap() {
                at if at < dead => answers.acquire().await.unwrap().forget(),
                at if at == names.len() - 1 => answers.add_permits(dead),
                _ => tokio::task::yield_now().await,
            }
            under_way.fetch_sub(1, Relaxed);
            Ok(Turn::Tried)
        });
        assert!(any.await);
        assert_eq!(most.load(Relaxed), AT_ONCE);
    }

    #[tokio::test]
    async fn nothing_more_is_tried_when_nobody_is_there_or_the_node_ends() {
        for over in [|| Ok(Turn::Over), || Err(RegistryError::Closed.into())] {
            let (tried, any) = delivered(&["web", "lib"], |_| over()).await;
            assert_eq!((tried, any), (vec!["web".to_owned()], false));
        }
    }

    #[tokio::test]
    async fn what_others_deliver_is_no_attempt() {
        let (tried, any) = delivered(&["web", "lib"], |_| Ok(Turn::Left)).await;
        assert_eq!((tried.len(), any), (2, false));
    }

    #[test]
    fn attempts_come_later_and_later_up_to_a_minute() {
        let start = Instant::now();
        let mut retry = Retry::new(start);
        let mut waits = vec![retry.at.duration_since(start)];
        for _ in 0..8 {
            retry.tried(start);
            waits.push(retry.at.duration_since(start));
        }
        assert_eq!(waits[0], FIRST_RETRY);
        assert!(
            waits
                .windows(2)
                .all(|pair| pair[1] == (pair[0] * 2).min(LONGEST_RETRY))
        );
        assert_eq!(waits.last(), Some(&LONGEST_RETRY));
    }
}
