//! Fetches many small contents: each stream carries many requests before the first is answered.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use bao_tree::io::BaoContentItem;
use libp2p::PeerId;
use tokio::time::timeout;

use super::{
    super::core::many::{Many, Pace, RequestOutcome},
    Fetcher, REACH,
};
use crate::{
    Result,
    domain::{
        content::groups,
        held::{FetchOrigin, Share},
        manifest::Content,
        record::Refusal,
        reputation::Outcome,
        transfer::Wanted,
    },
    net::content::{Broken, ContentLink, ContentReply},
    store::content::{SMALL, Small},
};

/// A peer accepts four streams; the others are left for contents that are fetched alone.
const PACE: Pace = Pace { lanes: 2, most: 64 };
/// Fewer than this are fetched one by one, and with the DHT's help.
const FEW: usize = 2;
/// Bytes that one stream may hold before they are written.
const HELD: usize = 1 << 20;

/// The contents that one stream supplied.
#[derive(Default)]
struct Got {
    /// Verified, and not written yet.
    held: Vec<(usize, Small)>,
    held_bytes: usize,
    /// Bytes of all contents that arrived.
    bytes: u64,
    count: usize,
}

impl Fetcher {
    /// Fetches the small contents that are not here from connected peers, within this time. It is
    /// meant only for companion files, which are not announced themselves.
    pub async fn gather_contents(&self, wanted: Vec<Wanted>, within: Duration) -> Result<()> {
        let mut missing = Vec::new();
        for one in wanted
            .into_iter()
            .filter(|one| one.content.size < SMALL && one.beside.is_some())
        {
            if self.contents.get(&one.content.root)?.is_none() {
                missing.push(one);
            }
        }
        if missing.len() < FEW {
            return Ok(());
        }
        self.contents
            .check_room(missing.iter().map(|one| one.content.size).sum())?;
        // Keep what arrived by then.
        timeout(within, self.ask_for_contents(&missing))
            .await
            .unwrap_or(Ok(()))
    }

    async fn ask_for_contents(&self, missing: &[Wanted]) -> Result<()> {
        let owner = missing
            .first()
            .and_then(|one| one.package.as_ref())
            .map(|package| package.owner);
        let mut peers: Vec<PeerId> = Vec::new();
        if let Some(first) = missing.first() {
            peers.extend(
                self.catalogue
                    .announcers
                    .of(&first.beside.unwrap_or(first.content.root)),
            );
        }
        peers.extend(
            self.core
                .net
                .sources(owner)
                .await?
                .into_iter()
                .map(|(peer, _)| peer),
        );
        let mut met = HashSet::from([self.core.net.peer_id()]);
        peers.retain(|peer| met.insert(*peer));
        let many = Many::of(missing.len());
        let ask = |peer: PeerId, things: Vec<usize>| {
            let many = &many;
            async move {
                let wanted: Vec<(usize, &Wanted)> = things
                    .into_iter()
                    .filter_map(|at| Some((at, missing.get(at)?)))
                    .collect();
                self.ask_peer_for_contents(many, peer, &wanted).await
            }
        };
        many.ask(peers.into_iter(), PACE, ask).await;
        Ok(())
    }

    /// Requests all of these from a peer on one stream.
    async fn ask_peer_for_contents(
        &self,
        many: &Many,
        peer: PeerId,
        wanted: &[(usize, &Wanted)],
    ) -> RequestOutcome {
        let links = &self.fetches.links;
        // The other side may have closed a kept stream.
        for fresh in [false, true] {
            let Ok((link, place)) = links.take(&self.core.net, peer, REACH, fresh).await else {
                return RequestOutcome::Nothing;
            };
            let (mut got, began) = (Got::default(), Instant::now());
            let asked = self.converse(many, link, wanted, &mut got).await;
            self.keep_small(many, &mut got).await;
            if got.bytes > 0 {
                self.core.metrics.fetched(got.bytes);
                self.core.net.gave(peer, got.bytes, began.elapsed());
            }
            match asked {
                Ok(Some(link)) => {
                    links.give_back(link, place);
                    return RequestOutcome::Gave(got.count);
                }
                Ok(None) if got.count > 0 => return RequestOutcome::Gave(got.count),
                Ok(None) => return RequestOutcome::Busy,
                Err(Broken::Lost(_)) if !fresh && got.count == 0 => {}
                Err(broken) => {
                    self.judge(peer, &broken);
                    return RequestOutcome::Nothing;
                }
            }
        }
        RequestOutcome::Nothing
    }

    /// Stores what a stream supplied. A failure is not noted here: fetching that content alone
    /// reports it.
    async fn keep_small(&self, many: &Many, got: &mut Got) {
        got.held_bytes = 0;
        let (things, small): (Vec<usize>, Vec<Small>) = got.held.drain(..).unzip();
        if small.is_empty() {
            return;
        }
        match self.contents.put_all_small(small).await {
            Ok(()) => things.into_iter().for_each(|at| many.got(at)),
            Err(error) => tracing::error!(%error, "small contents could not be kept"),
        }
    }

    fn judge(&self, peer: PeerId, broken: &Broken) {
        tracing::debug!(%peer, %broken, "a peer gives no more of many contents");
        match broken {
            // A stream that is reset is no fault of the peer.
            Broken::Lost(_) => {}
            Broken::Silent => self.core.net.observe(peer, Outcome::ContentLate),
            Broken::Lied => {
                self.core.net.observe(peer, Outcome::ContentWrong);
                self.core.tally.refused(Refusal::Content);
            }
        }
    }

    /// Sends all requests, and reads the answers in order. Returns `None` in place of the stream if
    /// the peer is busy.
    async fn converse(
        &self,
        many: &Many,
        mut link: ContentLink,
        wanted: &[(usize, &Wanted)],
        got: &mut Got,
    ) -> Result<Option<ContentLink>, Broken> {
        let began = Instant::now();
        let range = |content: &Content| 0..groups(content.size);
        for (_, one) in wanted {
            link.ask(one.content.root, &range(&one.content)).await?;
        }
        for (at, one) in wanted {
            let (content, what) = (one.content, one.what.clone());
            let mut bytes = vec![0; usize::try_from(content.size).unwrap_or(0)];
            let (back, answered) = link
                .answer(content, &range(&content), |item| put(&mut bytes, &item))
                .await?;
            link = back;
            match answered {
                ContentReply::Bytes => {
                    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                    let shares = vec![Share {
                        peer: link.peer,
                        bytes: content.size,
                        millis,
                        refused: 0,
                    }];
                    (got.count, got.bytes) = (got.count + 1, got.bytes + content.size);
                    got.held_bytes += bytes.len();
                    let origin = FetchOrigin {
                        shares,
                        millis,
                        resumed: 0,
                    };
                    got.held.push((
                        *at,
                        Small {
                            content,
                            what,
                            origin,
                            bytes: bytes.into(),
                        },
                    ));
                }
                ContentReply::Busy => return Ok(None),
                ContentReply::Holds { .. }
                | ContentReply::NotHeld { .. }
                | ContentReply::OtherSize(_) => {}
            }
            if got.held_bytes >= HELD {
                self.keep_small(many, got).await;
            }
        }
        Ok(Some(link))
    }
}

/// Copies verified bytes to their position.
fn put(bytes: &mut [u8], item: &BaoContentItem) {
    let BaoContentItem::Leaf(leaf) = item else {
        return;
    };
    let start = usize::try_from(leaf.offset).unwrap_or(usize::MAX);
    if let Some(place) = start
        .checked_add(leaf.data.len())
        .and_then(|end| bytes.get_mut(start..end))
    {
        place.copy_from_slice(&leaf.data);
    }
}
