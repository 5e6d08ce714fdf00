//! What a registry does by itself: deliver what is on its way out, join forks, renew heads before
//! they expire.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{P2pRegistry, blocking};
use crate::{
    Result,
    domain::{
        name::PackageId,
        record::{Authorised, DEFAULT_LIFE, Head},
        release,
    },
    store::StoredHead,
};

/// First wait before the network is tried again while something is on its way out; it doubles with
/// each.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// Own heads are looked through for renewal this often.
const RENEWAL_ROUND: Duration = Duration::from_secs(3_600);
/// Earlier by so much of their life at most, and no more of them in a round.
const RENEWAL_JITTER: f64 = 0.1;
const MAX_RENEWED: usize = 1_000;
impl P2pRegistry {
    /// Runs until `stop` is called.
    pub async fn run_upkeep(self, stop: CancellationToken) {
        let mut joined = self.core.net.joined();
        let mut renewal = tokio::time::interval(RENEWAL_ROUND);
        let mut wait = FIRST_RETRY;
        let mut retry_at = Instant::now() + wait;
        loop {
            // Listened to before the outbox is looked at, so that nothing falls between the two.
            let changed = self.state.outbox.notified();
            let pending = self
                .core
                .store
                .outbox()
                .is_ok_and(|pending| !pending.is_empty());
            if !pending {
                wait = FIRST_RETRY;
                retry_at = Instant::now() + wait;
            }
            let result = tokio::select! {
                () = stop.cancelled() => return,
                changed = joined.changed() => match changed {
                    Ok(()) => {
                        wait = FIRST_RETRY;
                        retry_at = Instant::now() + wait;
                        self.deliver_outbox().await
                    }
                    Err(_) => return,
                },
                () = tokio::time::sleep_until(retry_at), if pending => {
                    wait = (wait * 2).min(LONGEST_RETRY);
                    retry_at = Instant::now() + wait;
                    self.deliver_outbox().await
                }
                _ = renewal.tick() => self.renew().await,
                // Something is on its way out, or arrived: whether to try again is decided anew.
                () = changed => Ok(()),
                () = self.catalogue.wait_for_fork() => self.join_forks().await,
            };
            if let Err(error) = result {
                tracing::warn!(%error, "upkeep will be tried again");
            }
        }
    }

    /// Bytes of the catalogue's records.
    pub fn catalogue_bytes(&self) -> Result<u64> {
        self.core.store.catalogue_bytes()
    }

    /// Joins forks in which a head of this node lost: exactly one of the nodes that published at
    /// once, so that joining does not fork again.
    async fn join_forks(&self) -> Result<()> {
        let Some(publisher) = self.core.publisher_id() else {
            return Ok(());
        };
        for id in self.core.store.forked_packages(&publisher)? {
            let _one_at_a_time = self.state.publishing.lock().await;
            let Some(held) = self.core.store.head(&id)? else {
                continue;
            };
            let lost = |(loser, own): &(Authorised<Head>, bool)| *own && loser.seq == held.head.seq;
            if self.core.store.fork_losers(&id)?.iter().any(lost) {
                tracing::info!(package = %id, seq = held.head.seq, "joining a fork");
                self.sign_again(&id).await?;
            }
        }
        self.deliver_outbox().await
    }

    /// Signs own heads anew once a third of their life is over, a little earlier or later by
    /// package.
    async fn renew(&self) -> Result<()> {
        let now = self.core.now();
        let third = |jitter: f64| DEFAULT_LIFE.mul_f64(1.0 / 3.0 - jitter);
        // Verifying what is read takes its time, and thousands of packages may have been imported
        // at once.
        let (store, before) = (self.core.store.clone(), now.before(third(RENEWAL_JITTER)));
        let due = blocking("renewing heads", move || {
            store.own_heads_before(before, MAX_RENEWED)
        })
        .await?;
        for StoredHead { head, .. } in due {
            let jitter = f64::from(head.hash().0.first().copied().unwrap_or_default()) / 255.0
                * RENEWAL_JITTER;
            if now.since(head.signed_at) < third(jitter) {
                continue;
            }
            let _one_at_a_time = self.state.publishing.lock().await;
            self.sign_again(head.package()).await?;
        }
        self.deliver_outbox().await
    }

    /// Signs the package's state as it is, as its next head.
    async fn sign_again(&self, id: &PackageId) -> Result<()> {
        let Some(key) = self.core.key_of(&id.owner) else {
            return Ok(());
        };
        let base = self.base(id)?;
        let Some(about) = release::resolve(id.name.ecosystem(), &base.entries.all, None)
            .map(|entry| entry.version.clone())
        else {
            return Ok(());
        };
        self.take_next(&key, id, base, None, &about, None).await
    }
}
