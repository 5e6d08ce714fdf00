//! One peer's part in a fetch: what it holds, pieces asked of it ahead of their answers, and what
//! became of it.

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
    net::content::{Answered, Broken, ContentLink},
};

/// A peer that is busy is asked again after this long, longer each time.
const AGAIN: Duration = Duration::from_millis(100);
/// Times that a busy peer is asked.
const TIMES: u32 = 8;
/// Time for an answer of 1 MiB, whatever comes of it meanwhile: less than 9 KiB a second are no
/// help.
const ANSWERING: Duration = Duration::from_secs(120);
/// Whether others still owe what a peer could give is looked at this often.
const SOON: Duration = Duration::from_millis(20);
/// A peer that holds a part is asked this often whether it has more by now.
const MORE: Duration = Duration::from_millis(500);

/// Why a peer's part is over.
enum Over {
    /// All of it is here, or it has nothing that is wanted.
    Done,
    /// It has no place for us now.
    Busy,
    /// It is much slower than the others.
    Slow,
    /// It has another content of that root.
    OtherSize(u64),
    Broken(Broken),
}

impl Over {
    /// The peer's part in what a person sees, and what it says of the peer.
    fn says(&self) -> (Part, Option<Outcome>) {
        match self {
            Self::Done | Self::Busy | Self::OtherSize(_) => (Part::Idle, None),
            Self::Slow => (Part::Slow, Some(Outcome::ContentSlow)),
            // A stream that is reset is nobody's fault.
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

/// What was asked of a peer and is not answered yet.
struct Asked {
    range: Range<u64>,
    /// Since it had nothing else to give.
    since: Instant,
}

/// Asks one peer for what it can give until that is nothing any more.
pub async fn work(fetcher: Arc<Fetcher>, run: Arc<Run>, peer: PeerId, score: f64) {
    run.part(peer, |one| one.part = Part::Asked);
    let (mut times, mut fresh) = (0, false);
    let over = loop {
        // What was asked of it in an attempt that came to nothing is nobody's to give, and is asked
        // for anew.
        run.plan().remove(&peer);
        match attempt(&fetcher, &run, peer, score, fresh).await {
            Over::Busy if times < TIMES => {
                run.heard();
                run.part(peer, |one| one.part = Part::Idle);
                times += 1;
                tokio::time::sleep(AGAIN * times).await;
                fresh = true;
            }
            // A stream that was kept may have been closed by the other side, or be of a connection
            // that is no more.
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

/// Takes what the peer gives. Returns the stream too when nothing is outstanding on it.
async fn give(
    run: &Run,
    link: ContentLink,
    score: f64,
) -> Result<(Option<ContentLink>, Over), Broken> {
    let (peer, content) = (link.peer, run.wanted.content);
    let single = groups(content.size) <= ONE_PEER;
    let mut link = link;
    if single && run.in_vain() == 0 {
        // Asking for it costs no more than asking whether it is there, until that has been in vain:
        // then several are asked, and the first that has it gives it.
        run.plan()
            .holds(peer, all(content.size), score, run.millis());
    } else {
        match ask_held(run, link, score).await? {
            Ok(back) => link = back,
            Err(ended) => return Ok(ended),
        }
    }
    let mut asked: VecDeque<Asked> = VecDeque::new();
    loop {
        while asked.len() < run.plan().depth(&peer) {
            let Some(range) = run.next(&peer) else { break };
            link.ask(content.root, &range).await?;
            asked.push_back(Asked {
                range,
                since: Instant::now(),
            });
        }
        let Some(Asked { range, since }) = asked.pop_front() else {
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
                // Others owe it, and may not give it.
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
        // What came before it broke off is as good as any.
        if answered.is_err() {
            run.plan().got_some(groups_in(&items));
        }
        run.write(items).await;
        match answered? {
            (back, Answered::Bytes) => {
                link = back;
                run.plan().got(&peer, &range, took);
                // The next one has waited behind it.
                if let Some(next) = asked.front_mut() {
                    next.since = Instant::now();
                }
                if run.plan().is_too_slow(&peer, run.millis()) {
                    return Ok((None, Over::Slow));
                }
            }
            (back, Answered::NotHeld { .. } | Answered::Holds { .. }) => {
                link = back;
                run.plan().lacks(&peer, &range);
            }
            (_, Answered::Busy) => return Ok((None, Over::Busy)),
            (_, Answered::OtherSize(size)) => return Ok((None, Over::OtherSize(size))),
        }
    }
}

/// Asks what the peer holds of the content, and plans with it; with nothing, its part is over.
async fn ask_held(
    run: &Run,
    mut link: ContentLink,
    score: f64,
) -> Result<Result<ContentLink, (Option<ContentLink>, Over)>, Broken> {
    let (peer, content) = (link.peer, run.wanted.content);
    link.ask_held(content.root).await?;
    let (link, answered) = link.answer(content, &(0..0), |_| {}).await?;
    Ok(match answered {
        Answered::Holds { size, .. } if size != content.size => {
            Err((Some(link), Over::OtherSize(size)))
        }
        Answered::Holds { have, .. } if !have.is_empty() => {
            run.plan().holds(peer, have, score, run.millis());
            Ok(link)
        }
        Answered::OtherSize(size) => Err((None, Over::OtherSize(size))),
        Answered::Busy => Err((None, Over::Busy)),
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
