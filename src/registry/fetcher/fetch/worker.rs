//! One peer's part in a fetch: the groups that it holds, the pieces requested ahead of their
//! answers, and its result.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use bao_tree::io::BaoContentItem;
use libp2p::PeerId;

use super::{
    super::{Fetcher, REACH},
    plan::ONE_PEER,
    run::Run,
};
use crate::{
    domain::{
        content::{GROUP, Groups, all, groups},
        record::Refusal,
        reputation::Outcome,
        transfer::Part,
    },
    net::content::{Broken, ContentLink, ContentReply},
};

/// A busy peer is asked again after this long, longer each time.
const AGAIN: Duration = Duration::from_millis(100);
/// Most attempts with a busy peer.
const TIMES: u32 = 8;
/// Longest time for an answer of 1 MiB, even if bytes keep arriving: less than 9 KiB a second is no
/// help.
const ANSWERING: Duration = Duration::from_secs(120);
/// Interval of the checks whether other peers still owe what this one could supply.
const SOON: Duration = Duration::from_millis(20);
/// Interval at which a peer with a part of the content is asked whether it has more.
const MORE: Duration = Duration::from_millis(500);

/// The reason why a peer's part has ended.
enum Over {
    /// Everything is here, or the peer has nothing that is wanted.
    Done,
    /// It has no free slot for us.
    Busy,
    /// It is much slower than the others.
    Slow,
    /// It has a content of that root with another size.
    OtherSize(u64),
    Broken(Broken),
}

impl Over {
    /// Returns the peer's state for display, and the outcome for its score.
    fn says(&self) -> (Part, Option<Outcome>) {
        match self {
            Self::Done | Self::Busy | Self::OtherSize(_) => (Part::Idle, None),
            Self::Slow => (Part::Slow, Some(Outcome::ContentSlow)),
            // A stream that is reset is no fault of the peer.
            Self::Broken(Broken::Lost(_)) => (Part::Lost, None),
            Self::Broken(Broken::Silent) => (Part::Slow, Some(Outcome::ContentLate)),
            Self::Broken(Broken::Lied) => (Part::Lied, Some(Outcome::ContentWrong)),
        }
    }
}

impl From<Broken> for Over {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// A request to a peer without an answer yet.
struct OpenRange {
    range: Range<u64>,
    /// The time since which it had nothing earlier to supply.
    since: Instant,
}

/// Requests pieces from one peer until it has nothing more to supply.
pub async fn work(fetcher: Arc<Fetcher>, run: Arc<Run>, peer: PeerId, score: f64) {
    run.part(peer, |one| one.part = Part::Asked);
    let (mut times, mut fresh) = (0, false);
    let over = loop {
        // Release what the peer owed in a failed attempt, so that it is requested again.
        run.plan().remove(&peer);
        match attempt(&fetcher, &run, peer, score, fresh).await {
            Over::Busy if times < TIMES => {
                run.heard();
                run.part(peer, |one| one.part = Part::Idle);
                times += 1;
                tokio::time::sleep(AGAIN * times).await;
                fresh = true;
            }
            // The other side may have closed a kept stream, or its connection may be gone.
            Over::Broken(Broken::Lost(_)) if !fresh && run.given(&peer) == 0 => fresh = true,
            over => break over,
        }
    };
    run.plan().remove(&peer);
    let why = match &over {
        Over::Done => "done",
        Over::Busy => "busy",
        Over::Slow => "slow",
        Over::OtherSize(_) => "another size",
        Over::Broken(_) => "broken",
    };
    tracing::debug!(%peer, what = %run.wanted.what, why, "a peer's part in a fetch is over");
    match &over {
        Over::OtherSize(size) => run.other_size(*size),
        Over::Broken(broken) => {
            tracing::debug!(%peer, what = %run.wanted.what, %broken, "a peer gives no more of a content");
        }
        Over::Done | Over::Busy | Over::Slow => {}
    }
    if let Some(package) = &run.wanted.package {
        let gave = run.given(&peer) > 0;
        let had_not = matches!(over, Over::Done) && !run.is_over();
        if gave || had_not {
            fetcher.fetches.givers.note(package.owner, peer, gave);
        }
    }
    let (part, outcome) = over.says();
    run.part(peer, |one| {
        one.part = part;
        one.refused += u64::from(part == Part::Lied);
    });
    if let Some(outcome) = outcome {
        fetcher.core.net.observe(peer, outcome);
    }
    if part == Part::Lied {
        fetcher.core.tally.refused(Refusal::Content);
    }
    run.changed.notify_one();
}

async fn attempt(fetcher: &Fetcher, run: &Run, peer: PeerId, score: f64, fresh: bool) -> Over {
    let links = &fetcher.fetches.links;
    let (link, place) = match links.take(&fetcher.core.net, peer, REACH, fresh).await {
        Ok(taken) => taken,
        Err(broken) => return broken.into(),
    };
    match give(run, link, score).await {
        Ok((link, over)) => {
            if let Some(link) = link {
                links.give_back(link, place);
            }
            over
        }
        Err(broken) => broken.into(),
    }
}

/// Requests and receives pieces. Also returns the stream if nothing is outstanding on it.
async fn give(
    run: &Run,
    link: ContentLink,
    score: f64,
) -> Result<(Option<ContentLink>, Over), Broken> {
    let (peer, content) = (link.peer, run.wanted.content);
    let single = groups(content.size) <= ONE_PEER;
    let mut link = link;
    if single && run.in_vain() == 0 {
        // Requesting the bytes costs no more than asking whether they are there. Only once a peer
        // lacked them are several asked, and the first that has them supplies them.
        run.plan()
            .holds(peer, all(content.size), score, run.millis());
    } else {
        match ask_held(run, link, score).await? {
            Ok(back) => link = back,
            Err(ended) => return Ok(ended),
        }
    }
    let mut asked: VecDeque<OpenRange> = VecDeque::new();
    loop {
        while asked.len() < run.plan().depth(&peer) {
            let Some(range) = run.next(&peer) else { break };
            link.ask(content.root, &range).await?;
            asked.push_back(OpenRange {
                range,
                since: Instant::now(),
            });
        }
        let Some(OpenRange { range, since }) = asked.pop_front() else {
            let (too_slow, has_wanted) = {
                let plan = run.plan();
                (
                    plan.is_too_slow(&peer, run.millis()),
                    plan.has_wanted(&peer),
                )
            };
            if run.is_over() || too_slow || (single && !has_wanted) {
                return Ok((Some(link), if too_slow { Over::Slow } else { Over::Done }));
            }
            run.part(peer, |one| one.part = Part::Idle);
            if has_wanted {
                // Other peers owe it, but may not supply it.
                tokio::time::sleep(SOON).await;
                continue;
            }
            tokio::time::sleep(MORE).await;
            match ask_held(run, link, score).await? {
                Ok(back) => link = back,
                Err(ended) => return Ok(ended),
            }
            continue;
        };
        run.part(peer, |one| one.part = Part::Giving);
        let mut items = Vec::with_capacity((range.end - range.start) as usize * 2 + 16);
        let answering = link.answer(content, &range, |item| {
            run.heard();
            items.push(item);
        });
        let answered = tokio::time::timeout(ANSWERING, answering)
            .await
            .unwrap_or(Err(Broken::Silent));
        let (bytes, took) = (leaves(&items), millis(since));
        if bytes > 0 {
            run.part(peer, |one| {
                one.bytes += bytes;
                one.millis += took;
            });
        }
        // Groups that arrived before the error are valid.
        if answered.is_err() {
            run.plan().got_some(groups_in(&items));
        }
        run.write(items).await;
        match answered? {
            (back, ContentReply::Bytes) => {
                link = back;
                run.plan().got(&peer, &range, took);
                // The next request waited behind this one.
                if let Some(next) = asked.front_mut() {
                    next.since = Instant::now();
                }
                if run.plan().is_too_slow(&peer, run.millis()) {
                    return Ok((None, Over::Slow));
                }
            }
            (back, ContentReply::NotHeld { .. } | ContentReply::Holds { .. }) => {
                link = back;
                run.plan().lacks(&peer, &range);
            }
            (_, ContentReply::Busy) => return Ok((None, Over::Busy)),
            (_, ContentReply::OtherSize(size)) => return Ok((None, Over::OtherSize(size))),
        }
    }
}

/// Asks which groups the peer holds and adds them to the plan; if it holds none, its part ends.
async fn ask_held(
    run: &Run,
    mut link: ContentLink,
    score: f64,
) -> Result<Result<ContentLink, (Option<ContentLink>, Over)>, Broken> {
    let (peer, content) = (link.peer, run.wanted.content);
    link.ask_held(content.root).await?;
    let (link, answered) = link.answer(content, &(0..0), |_| {}).await?;
    Ok(match answered {
        ContentReply::Holds { size, .. } if size != content.size => {
            Err((Some(link), Over::OtherSize(size)))
        }
        ContentReply::Holds { have, .. } if !have.is_empty() => {
            run.plan().holds(peer, have, score, run.millis());
            Ok(link)
        }
        ContentReply::OtherSize(size) => Err((None, Over::OtherSize(size))),
        ContentReply::Busy => Err((None, Over::Busy)),
        _ => Err((Some(link), Over::Done)),
    })
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn leaves(items: &[BaoContentItem]) -> u64 {
    let leaf = |item: &BaoContentItem| match item {
        BaoContentItem::Leaf(leaf) => leaf.data.len() as u64,
        BaoContentItem::Parent(_) => 0,
    };
    items.iter().map(leaf).sum()
}

fn groups_in(items: &[BaoContentItem]) -> Groups {
    items
        .iter()
        .fold(Groups::empty(), |groups, item| match item {
            BaoContentItem::Leaf(leaf) => {
                let group = leaf.offset / GROUP;
                groups | Groups::from(group..group + 1)
            }
            BaoContentItem::Parent(_) => groups,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_slow_silent_or_lies_pays_for_it() {
        let free = [Over::Done, Over::Busy, Over::OtherSize(1)];
        assert!(free.iter().all(|over| over.says() == (Part::Idle, None)));
        let lost = Over::Broken(Broken::Lost(std::io::Error::other("reset")));
        assert_eq!(lost.says(), (Part::Lost, None));
        assert_eq!(Over::Slow.says(), (Part::Slow, Some(Outcome::ContentSlow)));
        let silent = Over::Broken(Broken::Silent);
        assert_eq!(silent.says(), (Part::Slow, Some(Outcome::ContentLate)));
        let lied = Over::Broken(Broken::Lied);
        assert_eq!(lied.says(), (Part::Lied, Some(Outcome::ContentWrong)));
    }
}
