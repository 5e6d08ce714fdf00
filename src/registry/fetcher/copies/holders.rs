//! Checks the replicas of releases, and replaces those that are lost.

use std::{sync::Arc, time::Duration};

use libp2p::PeerId;

use super::super::{super::core::Chance, Fetcher, REACH};
use crate::{
    Result,
    domain::{
        content::groups,
        copies::order,
        hash::{ContentRoot, Hash},
        manifest::{Content, Manifest},
        record::{Authorised, DhtKey},
        reputation::Outcome,
        time::Timestamp,
    },
    net::content::{Broken, ContentLink, ContentReply},
};

/// Groups of a content that a peer must supply as proof.
const PROVEN_BY: usize = 2;
/// Releases checked per run, and the number of runs in the time after which a replica counts as
/// lost.
const A_ROUND: usize = 100;
pub(super) const ROUNDS: u32 = 24;
/// Longest wait for each DHT lookup.
const PATIENCE: Duration = Duration::from_secs(3);
/// Most nodes checked for one release.
const MOST_HOLDERS: usize = 16;
/// Most peers remembered as not holding what they claim.
const MOST_UNFIT: usize = 1_000;

/// The result of checking a peer for a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HolderCheck {
    /// Randomly chosen groups verified.
    Holds,
    /// It says that it does not hold the release.
    Lacks,
    /// It says that it holds the release but does not supply it.
    Pretends,
    /// It could not be asked.
    Away,
}

impl HolderCheck {
    /// Returns true if a peer that claimed to hold a release does not.
    pub fn is_a_lie(self) -> bool {
        matches!(self, Self::Lacks | Self::Pretends)
    }
}

/// Returns true if a replica is lost, given the time since which its holder is missing.
fn is_lost(missing_since: Option<Timestamp>, now: Timestamp, lost_after: Duration) -> bool {
    missing_since.is_some_and(|missing| now.since(missing) >= lost_after)
}

/// Returns true if another replica is wanted. Right after a publish it is too early, because the
/// holders are not known yet.
fn wants_another(
    (holders, wanted): (usize, usize),
    since: Timestamp,
    now: Timestamp,
    lost_after: Duration,
) -> bool {
    holders < wanted && now.since(since) >= lost_after
}

/// Returns where the next run starts: after the last release of this one, or at the beginning if
/// this one reached the end.
fn next_round(count: usize, last: Option<Hash>) -> Hash {
    let beginning = Hash([0; 32]);
    match count < A_ROUND {
        true => beginning,
        false => last.unwrap_or(beginning),
    }
}

impl Fetcher {
    /// Returns the nodes that have a content: this one, if it does, and its providers in the DHT.
    pub async fn holders_of(&self, root: ContentRoot) -> Result<Vec<PeerId>> {
        let here = self.contents.get(&root)?.map(|_| self.core.net.peer_id());
        let mut holders: Vec<PeerId> = here.into_iter().collect();
        if *self.core.net.joined().borrow() > 0 {
            holders.extend(
                self.find_holders(
                    root,
                    format!("who has {root}"),
                    MOST_HOLDERS - holders.len(),
                )
                .await?,
            );
        }
        Ok(holders)
    }

    /// Looks up at most `most` other providers of a content in the DHT; `what` names the lookup.
    pub async fn find_holders(
        &self,
        root: ContentRoot,
        what: String,
        most: usize,
    ) -> Result<Vec<PeerId>> {
        let timeout = PATIENCE.min(self.core.net.query_timeout());
        let mut found = self
            .core
            .net
            .find_providers(DhtKey::of_content(&root), what, timeout)
            .await?;
        let mut holders = Vec::new();
        while holders.len() < most
            && let Some(peer) = found.recv().await
        {
            if peer != self.core.net.peer_id() && !holders.contains(&peer) {
                holders.push(peer);
            }
        }
        Ok(holders)
    }

    /// Checks some of the releases that this node keeps or had replicated: who else has them, and
    /// whether that is enough.
    pub async fn look_after_copies(self: &Arc<Self>) -> Result<()> {
        let at = *self.copying.at.lock();
        let [of_others, own] = at;
        let copies = self.core.store.copies_after(of_others, A_ROUND)?;
        let copied = self.core.store.copied_after(own, A_ROUND)?;
        let after = [
            next_round(copies.len(), copies.last().map(|(copy, _)| copy.release)),
            next_round(copied.len(), copied.last().copied()),
        ];
        for (copy, envelope) in copies {
            match Authorised::<Manifest>::verify(&envelope) {
                Ok(release) => self.look_after(&release, copy.since).await?,
                Err(refusal) => {
                    tracing::error!(%refusal, release = %copy.release, "a kept release does not verify")
                }
            }
        }
        for release in copied {
            if let Some(manifest) = self.core.store.manifest(&release)? {
                let since = manifest.signed_at;
                self.look_after(&manifest, since).await?;
            }
        }
        *self.copying.at.lock() = after;
        Ok(())
    }

    async fn look_after(
        self: &Arc<Self>,
        release: &Authorised<Manifest>,
        since: Timestamp,
    ) -> Result<()> {
        let (hash, me) = (release.hash(), self.core.net.peer_id());
        let lost_after = self.core.options.copy_lost_after;
        let mut nodes: Vec<PeerId> = self
            .core
            .store
            .holders(&hash)?
            .into_iter()
            .map(|holder| holder.peer)
            .collect();
        let what = format!("who has {} {}", release.name, release.version);
        for peer in self
            .find_holders(release.content().root, what, usize::MAX)
            .await?
        {
            if !nodes.contains(&peer) && !self.copying.unfit().contains(&peer) {
                nodes.push(peer);
            }
        }
        for peer in nodes.into_iter().take(MOST_HOLDERS) {
            match self.shown(peer, release).await {
                HolderCheck::Holds => {
                    self.core
                        .store
                        .saw_holder(hash, peer, self.core.now())
                        .await?
                }
                HolderCheck::Away => {
                    self.core
                        .store
                        .missed_holder(hash, peer, self.core.now())
                        .await?
                }
                HolderCheck::Lacks => self.core.store.forget_holder(hash, peer).await?,
                HolderCheck::Pretends => {
                    self.pretends(peer, release);
                    self.core.store.forget_holder(hash, peer).await?;
                }
            }
        }
        let now = self.core.now();
        for holder in self.core.store.holders(&hash)? {
            if is_lost(holder.missing_since, now, lost_after) {
                self.core.store.forget_holder(hash, holder.peer).await?;
            }
        }
        let holders = self.core.store.holders(&hash)?;
        self.core
            .store
            .set_elsewhere(hash, self.copies_of(&hash)? as u64)
            .await?;
        let wanted = self.core.options.copies;
        if !wants_another((holders.len(), wanted), since, now, lost_after) {
            return Ok(());
        }
        let all = holders.iter().map(|holder| holder.peer).chain([me]);
        if order(&release.content().root, all).first() == Some(&me) {
            let nodes = self.place_copies(release, wanted, None).await?;
            tracing::info!(package = %release.name, version = %release.version, nodes, "a copy was lost and is replaced");
        }
        Ok(())
    }

    /// Penalises a peer that claims to hold a release but does not: it loses its provider entry and
    /// its score.
    pub fn pretends(&self, peer: PeerId, release: &Manifest) {
        tracing::info!(%peer, package = %release.name, version = %release.version, "a peer claims a copy that it lacks");
        self.core.net.observe(peer, Outcome::AnswerWrong);
        let mut unfit = self.copying.unfit();
        if unfit.len() >= MOST_UNFIT {
            unfit.clear();
        }
        unfit.insert(peer);
    }

    /// Requests randomly chosen groups of a release's contents from a peer.
    pub(super) async fn shown(&self, peer: PeerId, release: &Manifest) -> HolderCheck {
        for content in release.contents() {
            let mut shown = self.shown_of(peer, content, false).await;
            // A kept stream may belong to a connection that has closed.
            if shown == HolderCheck::Away {
                shown = self.shown_of(peer, content, true).await;
            }
            if shown != HolderCheck::Holds {
                return shown;
            }
        }
        HolderCheck::Holds
    }

    async fn shown_of(&self, peer: PeerId, content: Content, fresh: bool) -> HolderCheck {
        let links = &self.fetches.links;
        let Ok((link, place)) = links.take(&self.core.net, peer, REACH, fresh).await else {
            return HolderCheck::Away;
        };
        match ask_for_some(link, content, self.core.chance()).await {
            Ok((link, shown)) => {
                links.give_back(link, place);
                shown
            }
            Err(Broken::Lied) => HolderCheck::Pretends,
            Err(Broken::Lost(_) | Broken::Silent) => HolderCheck::Away,
        }
    }
}

/// Reads the answer to the first request for a content, then requests groups of it.
async fn ask_for_some(
    mut link: ContentLink,
    content: Content,
    chance: &Chance,
) -> Result<(ContentLink, HolderCheck), Broken> {
    link.ask_held(content.root).await?;
    let (mut link, answered) = link.answer(content, &(0..0), |_| {}).await?;
    let count = groups(content.size);
    match answered {
        ContentReply::Holds { size, have }
            if size == content.size && have == crate::domain::content::all(size) => {}
        ContentReply::Busy => return Ok((link, HolderCheck::Away)),
        _ => return Ok((link, HolderCheck::Lacks)),
    }
    for _ in 0..PROVEN_BY {
        let group = chance.below(0..count);
        link.ask(content.root, &(group..group + 1)).await?;
        let (back, answered) = link.answer(content, &(group..group + 1), |_| {}).await?;
        link = back;
        match answered {
            ContentReply::Bytes => {}
            ContentReply::Busy => return Ok((link, HolderCheck::Away)),
            _ => return Ok((link, HolderCheck::Pretends)),
        }
    }
    Ok((link, HolderCheck::Holds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    #[test]
    fn a_copy_is_lost_when_its_holder_is_gone_long_enough() {
        assert!(!is_lost(None, NOW, DAY));
        assert!(!is_lost(Some(NOW), NOW.after(DAY / 2), DAY));
        assert!(is_lost(Some(NOW), NOW.after(DAY), DAY));
        assert!(
            !is_lost(Some(NOW.after(DAY)), NOW, DAY),
            "the clock was set back"
        );
    }

    #[test]
    fn another_copy_is_wanted_of_old_releases_that_have_too_few() {
        let old = NOW.before(DAY);
        assert!(wants_another((1, 2), old, NOW, DAY));
        assert!(!wants_another((2, 2), old, NOW, DAY));
        assert!(
            !wants_another((0, 2), NOW, NOW, DAY),
            "it was published just now"
        );
    }

    #[test]
    fn a_round_goes_on_where_the_last_one_ended() {
        let last = Hash([7; 32]);
        assert_eq!(next_round(A_ROUND, Some(last)), last);
        assert_eq!(
            next_round(A_ROUND - 1, Some(last)),
            Hash([0; 32]),
            "that was the end"
        );
        assert_eq!(next_round(0, None), Hash([0; 32]));
    }

    #[test]
    fn who_does_not_show_what_it_says_it_holds_lies() {
        assert!(HolderCheck::Lacks.is_a_lie() && HolderCheck::Pretends.is_a_lie());
        assert!(!HolderCheck::Away.is_a_lie() && !HolderCheck::Holds.is_a_lie());
    }
}
