//! Takes peers' announcements and the records that they put into the DHT. Everything is verified
//! here first.

use std::sync::Arc;

use futures::future::BoxFuture;
use libp2p::PeerId;
use tokio::sync::oneshot;

use super::Catalogue;
use crate::{
    RegistryError, Result,
    domain::{
        record::{
            Admission, Announcement, Authorised, DhtKey, Head, Horizon, Record, Refusal, is_of,
        },
        time::Timestamp,
        trust::Trust,
    },
    net::Verdict,
    store::{HeadVerdict, Store, StoredHead},
};

impl Catalogue {
    /// Judges an announcement. Returns the work that is left once the verdict is sent.
    pub fn hear(
        self: &Arc<Self>,
        data: &[u8],
        (via, author): (PeerId, Option<PeerId>),
        verdict: oneshot::Sender<Verdict>,
    ) -> Option<BoxFuture<'static, ()>> {
        let now = self.core.now();
        let verified = Announcement::verify(data, now);
        let judged = verified
            .as_ref()
            .map_err(|refusal| *refusal)
            .and_then(|announcement| self.judge_announcement(announcement, via, now));
        // Send the verdict before the commit: peers wait for it to pass the message on.
        let _ = verdict.send(judged.map(drop));
        let announcement = verified.ok()?;
        match judged {
            Ok(admission) => {
                for file in &announcement.manifest.files {
                    author.inspect(|author| self.announcers.note(file.root, *author));
                }
                let catalogue = self.clone();
                Some(Box::pin(async move {
                    catalogue.commit(announcement, admission, via, now).await
                }))
            }
            Err(Refusal::Conflict) => {
                let Announcement { head, manifest, .. } = announcement;
                Some(self.keep_evidence(head, Some(manifest), now))
            }
            Err(_) => None,
        }
    }

    /// Judges a record that a peer puts into the DHT. Returns the work that is left.
    pub fn take_put(
        self: &Arc<Self>,
        key: &[u8],
        value: &[u8],
        verdict: oneshot::Sender<Result<Record, Refusal>>,
    ) -> Option<BoxFuture<'static, ()>> {
        let now = self.core.now();
        let judged = judge_put(&self.core.store, key, value, self.horizon(now), now);
        let disputed = match &judged {
            Ok((Record::Head(head), true)) => Some(head.clone()),
            _ => None,
        };
        let _ = verdict.send(judged.map(|(record, _)| record));
        Some(self.keep_evidence(disputed?, None, now))
    }

    fn judge_announcement(
        &self,
        announcement: &Announcement,
        via: PeerId,
        now: Timestamp,
    ) -> Result<Admission, Refusal> {
        let (store, head) = (&self.core.store, &announcement.head);
        let trust = store.trust(&head.owner(), head.handle.as_ref());
        if trust.map_err(unreadable)? == Trust::Distrusted {
            return Err(Refusal::Distrusted);
        }
        if !self.is_welcome(&head.owner(), via).map_err(unreadable)? {
            return Err(Refusal::OverQuota);
        }
        self.check_dates(head, Some(&announcement.manifest), now)?;
        let verdict = store.judge_head(head, now).map_err(unreadable)?;
        let admission = decide(
            &verdict,
            head.ecosystem.grows(),
            || store.is_first(&announcement.manifest).map_err(unreadable),
            || self.notices.is_news(announcement),
        )?;
        self.notices.note(announcement);
        Ok(admission)
    }

    async fn commit(
        &self,
        announcement: Announcement,
        admission: Admission,
        via: PeerId,
        verified_at: Timestamp,
    ) {
        let (head, manifest) = (announcement.head.clone(), announcement.manifest.clone());
        match self.accept_head(head, vec![manifest], verified_at).await {
            Ok(verdict) if verdict.refusal().is_some() => return,
            Ok(_) if admission == Admission::Same => {}
            Ok(_) => self.core.tell(&announcement, Some(via), verified_at),
            Err(error) => return tracing::error!(%error, "an announcement could not be kept"),
        }
        if let Err(error) = self.note_latest(&announcement.head) {
            tracing::error!(%error, "the catalogue could not be read");
        }
    }

    /// Notes that the manifest of a package's latest release must be fetched, if it is not here.
    fn note_latest(&self, head: &Authorised<Head>) -> Result<()> {
        let Some(latest) = head.latest() else {
            return Ok(());
        };
        if self.core.store.first_held(latest)?.is_none() {
            self.unlisted.add(head.package().clone());
        }
        Ok(())
    }
}

fn unreadable(error: RegistryError) -> Refusal {
    tracing::error!(%error, "the catalogue could not be read");
    Refusal::Busy
}

/// Decides whether an announcement is passed on and accepted, by the verdict on its head. In an
/// ecosystem that `grows`, a release may get files later, so only the manifest shows whether one
/// was changed.
fn decide(
    verdict: &HeadVerdict,
    grows: bool,
    is_first: impl Fn() -> Result<bool, Refusal>,
    is_news: impl Fn() -> bool,
) -> Result<Admission, Refusal> {
    if let Some(refusal) = verdict.refusal() {
        return Err(refusal);
    }
    match verdict {
        // The announcement is for another release than the one seen first, so this node does not
        // spread it.
        HeadVerdict::Disputed(_) if !is_first()? => Err(Refusal::Conflict),
        HeadVerdict::Admitted(_) if grows && !is_first()? => Err(Refusal::Conflict),
        HeadVerdict::Admitted(Admission::Same) | HeadVerdict::Disputed(Admission::Same)
            if !is_news() =>
        {
            Err(Refusal::Superseded)
        }
        HeadVerdict::Admitted(admission) | HeadVerdict::Disputed(admission) => Ok(*admission),
        HeadVerdict::Inconsistent | HeadVerdict::Ahead | HeadVerdict::TooManyHandles => {
            Err(Refusal::Inconsistent)
        }
    }
}

/// Judges a record that a peer puts into the DHT, by the same rules as all others, including the
/// high-water marks. The flag is true for a head with entries that are not accepted.
pub(super) fn judge_put(
    store: &Store,
    key: &[u8],
    value: &[u8],
    horizon: Horizon,
    now: Timestamp,
) -> Result<(Record, bool), Refusal> {
    let key = DhtKey::from_bytes(key).ok_or(Refusal::WrongKey)?;
    let record = Record::verify(&key, value)?;
    let mut disputed = false;
    match &record {
        Record::Head(head) => {
            if head.is_expired(now) {
                return Err(Refusal::Expired);
            }
            horizon.check(head)?;
            let verdict = store.judge_head(head, now).map_err(unreadable)?;
            if let Some(refusal) = verdict.refusal() {
                return Err(refusal);
            }
            disputed = matches!(verdict, HeadVerdict::Disputed(_));
        }
        Record::Manifest(manifest) => {
            // The stored head lists it, but as another version.
            let id = manifest.package().clone();
            let held = store.head(&id).map_err(unreadable)?;
            let lists = |stored: StoredHead| {
                stored
                    .head
                    .releases
                    .iter()
                    .any(|entry| entry.lists(&manifest.hash()) && !is_of(entry, manifest))
            };
            if held.is_some_and(lists) {
                return Err(Refusal::Inconsistent);
            }
        }
        Record::Page(_) => {}
    }
    Ok((record, disputed))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decides with fixed answers: `is_first` if the release is the first one seen, `is_news` if
    /// the announcement is new.
    fn decided(
        verdict: HeadVerdict,
        grows: bool,
        is_first: bool,
        is_news: bool,
    ) -> Result<Admission, Refusal> {
        decide(&verdict, grows, || Ok(is_first), || is_news)
    }

    #[test]
    fn what_an_announcement_comes_to() {
        use Admission::{ForkLoses, ForkWins, Newer, Older, Same};
        use HeadVerdict::{Admitted, Ahead, Disputed, Inconsistent, TooManyHandles};
        for grows in [false, true] {
            for admission in [Newer, ForkWins, ForkLoses] {
                assert_eq!(
                    decided(Admitted(admission), grows, true, false),
                    Ok(admission)
                );
                assert_eq!(
                    decided(Disputed(admission), grows, true, false),
                    Ok(admission)
                );
                assert_eq!(
                    decided(Disputed(admission), grows, false, true),
                    Err(Refusal::Conflict),
                    "another release of that version was seen first"
                );
            }
            for verdict in [Admitted(Same), Disputed(Same)] {
                assert_eq!(
                    decided(verdict.clone(), grows, true, true),
                    Ok(Same),
                    "said again"
                );
                assert_eq!(
                    decided(verdict, grows, true, false),
                    Err(Refusal::Superseded)
                );
            }
            assert_eq!(
                decided(Admitted(Older), grows, true, true),
                Err(Refusal::Superseded)
            );
            assert_eq!(
                decided(Disputed(Older), grows, false, true),
                Err(Refusal::Superseded)
            );
            assert_eq!(
                decided(Inconsistent, grows, true, true),
                Err(Refusal::Inconsistent)
            );
            assert_eq!(decided(Ahead, grows, true, true), Err(Refusal::Ahead));
            assert_eq!(
                decided(TooManyHandles, grows, true, true),
                Err(Refusal::OverQuota)
            );
        }
        assert_eq!(decided(Admitted(Newer), false, false, true), Ok(Newer));
        assert_eq!(
            decided(Admitted(Newer), true, false, true),
            Err(Refusal::Conflict),
            "a release that grows is changed by a manifest that replaces one"
        );
    }

    #[test]
    fn a_store_that_cannot_be_read_refuses_nothing_for_good() {
        let unreadable = decide(
            &HeadVerdict::Disputed(Admission::Newer),
            false,
            || Err(Refusal::Busy),
            || true,
        );
        assert_eq!(unreadable, Err(Refusal::Busy));
    }
}
