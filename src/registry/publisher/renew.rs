//! Signs own heads anew before they expire, and joins forks of own packages.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Publisher, PublisherError};
use crate::{
    RegistryError,
    domain::{hash::Hash, name::PackageId, record::DEFAULT_LIFE, release, time::Timestamp},
    store::StoredHead,
};

/// Interval at which own heads are checked for renewal.
const RENEWAL_ROUND: Duration = Duration::from_secs(3_600);
/// Heads are renewed earlier by up to this share of their life, so that they are not all due at
/// once.
const RENEWAL_JITTER: f64 = 0.1;
const MAX_RENEWED: usize = 1_000;

/// Returns the age at which a head is renewed: a third of its life, less this share of it.
fn renewed_after(jitter: f64) -> Duration {
    DEFAULT_LIFE.mul_f64(1.0 / 3.0 - jitter)
}

/// Returns true if a head is due for renewal. The time varies by its hash, so that heads are not
/// all due at once.
fn is_due(head: &Hash, signed_at: Timestamp, now: Timestamp) -> bool {
    let share = f64::from(head.0.first().copied().unwrap_or_default()) / 255.0;
    now.since(signed_at) >= renewed_after(share * RENEWAL_JITTER)
}

/// Returns true if this node should join a fork: it does if it signed the losing head, so that
/// exactly one of the nodes that published at once joins, and the join does not fork again.
fn is_to_join(own: bool, loser: u64, held: u64) -> bool {
    own && loser == held
}

impl Publisher {
    /// Runs until `stop` is cancelled. Nothing here waits for the network: the outbox delivers.
    pub async fn run_renewals(self: Arc<Self>, stop: CancellationToken) {
        let mut renewal = tokio::time::interval(RENEWAL_ROUND);
        loop {
            let result = tokio::select! {
                () = stop.cancelled() => return,
                _ = renewal.tick() => self.renew().await,
                () = self.catalogue.wait_for_fork() => self.join_forks().await,
            };
            if let Err(error) = result.map_err(RegistryError::from) {
                tracing::warn!(%error, "own packages will be looked through again");
            }
        }
    }

    /// Joins forks in which a head of this node lost.
    async fn join_forks(&self) -> Result<(), PublisherError> {
        let Some(publisher) = self.core.publisher_id() else {
            return Ok(());
        };
        for id in self.core.store.forked_packages(&publisher)? {
            let _one_at_a_time = self.signing.lock().await;
            let Some(held) = self.core.store.head(&id)? else {
                continue;
            };
            let losers = self.core.store.fork_losers(&id)?;
            if losers
                .iter()
                .any(|(loser, own)| is_to_join(*own, loser.seq, held.head.seq))
            {
                tracing::info!(package = %id, seq = held.head.seq, "joining a fork");
                self.sign_again(&id).await?;
            }
        }
        self.due.notify_one();
        Ok(())
    }

    /// Renews own heads after a third of their life, a little earlier or later by package.
    async fn renew(&self) -> Result<(), PublisherError> {
        let now = self.core.now();
        // On a blocking thread: verifying takes a while, and thousands of packages may have been
        // imported at once.
        let before = now.before(renewed_after(RENEWAL_JITTER));
        let due = self.core.read("renewing heads", move |store| {
            store.own_heads_before(before, MAX_RENEWED)
        });
        for StoredHead { head, .. } in due.await? {
            if is_due(&head.hash(), head.signed_at, now) {
                let _one_at_a_time = self.signing.lock().await;
                self.sign_again(head.package()).await?;
            }
        }
        self.due.notify_one();
        Ok(())
    }

    /// Signs the unchanged state of the package as its next head.
    async fn sign_again(&self, id: &PackageId) -> Result<(), PublisherError> {
        let Some(key) = self.core.key_of(&id.owner) else {
            return Ok(());
        };
        let base = self.base(id)?;
        let Some(about) = release::resolve(id.name.ecosystem(), &base.entries.all, None)
            .map(|entry| entry.version.clone())
        else {
            return Ok(());
        };
        self.take_next(&key, id, base, None, &about, None).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    #[test]
    fn only_who_signed_the_loser_of_the_last_number_joins() {
        assert!(is_to_join(true, 5, 5));
        assert!(!is_to_join(false, 5, 5), "the other node does");
        assert!(!is_to_join(true, 4, 5), "it was joined");
    }

    proptest! {
        #[test]
        fn a_head_is_renewed_in_time_and_not_before(first in any::<u8>()) {
            let head = Hash([first; 32]);
            let age = |age: Duration| is_due(&head, NOW.before(age), NOW);
            prop_assert!(!age(renewed_after(RENEWAL_JITTER) - Duration::from_secs(1)));
            prop_assert!(age(renewed_after(0.0) + Duration::from_secs(1)));
            prop_assert!(renewed_after(0.0) < DEFAULT_LIFE / 2, "there is time to try again");
        }
    }
}
