//! Comparing catalogues, by which a node learns of announcements from while it was away. The real
//! [`Schedule`] chooses peers and times; the comparison itself is a model: the other node sends all
//! that it knows.

use std::{
    collections::HashSet,
    rc::Rc,
    time::{Duration, Instant},
};

use libp2p::PeerId;

use super::{
    Alarm, How, KnownState, Scene, SimEffect, SimNode, Wire,
    query::{For, QueryMessage, answer_of},
};
use crate::{
    domain::{reputation::Outcome, time::Timestamp},
    registry::schedule::{GAP, PATIENCE, SETTLE, Schedule},
    sim::{Id, script::NodeRole},
};

/// Longest wait for an answer.
const REACH: Duration = Duration::from_secs(5);
/// Most peers whose catalogue a node compares with its own after joining, not counting those that
/// do not answer. A real node also does so with every peer that joins later.
const MOST: u32 = 6;

/// The state of a node's comparisons.
pub struct Comparing {
    schedule: Schedule,
    /// True if peers are about to be chosen.
    choosing: bool,
    left: u32,
}

impl Comparing {
    pub fn new(start: Instant, now: Timestamp) -> Self {
        Self {
            schedule: Schedule::new(start, now),
            choosing: false,
            left: MOST,
        }
    }
}

impl SimNode {
    /// Notes that a peer has said hello.
    pub fn greeted(&mut self, cx: &mut Scene<'_>) {
        if self.comparing.left > 0 && !std::mem::replace(&mut self.comparing.choosing, true) {
            cx.out.push(SimEffect::After(SETTLE, Alarm::Joined));
        }
    }

    /// Starts comparisons with a few of the peers that joined.
    pub fn joined(&mut self, cx: &mut Scene<'_>) {
        // Those that joined before have their turn first.
        if self.comparing.left > 0 && !self.comparing.schedule.is_empty() {
            return cx.out.push(SimEffect::After(SETTLE, Alarm::Joined));
        }
        self.comparing.choosing = false;
        if self.comparing.left == 0 {
            return;
        }
        let best = self.best(usize::MAX, cx);
        let here: HashSet<PeerId> = best.iter().copied().collect();
        self.comparing.schedule.add_fresh(&best, &here);
        self.compare(cx);
    }

    /// Asks the next peers that the schedule begins with.
    fn compare(&mut self, cx: &mut Scene<'_>) {
        while self.comparing.left > 0
            && let Some((peer, failed)) = self.comparing.schedule.begin(cx.instant())
        {
            let id = cx.shared.id(&peer);
            match id.filter(|id| self.links.contains_key(id)) {
                Some(id) => {
                    cx.out.push(SimEffect::After(PATIENCE, Alarm::Again));
                    let purpose = For::Comparison(failed);
                    self.ask(id, purpose, REACH, QueryMessage::Compare, cx);
                }
                None => self.retry(peer, failed, cx),
            }
        }
    }

    /// Schedules a retry of a comparison that failed.
    fn retry(&mut self, peer: PeerId, failed: u32, cx: &mut Scene<'_>) {
        self.comparing.schedule.ended(&peer);
        self.comparing.schedule.failed(peer, failed, cx.instant());
        cx.out
            .push(SimEffect::After(GAP * (failed + 1), Alarm::Again));
    }

    pub fn compare_again(&mut self, cx: &mut Scene<'_>) {
        self.comparing.schedule.add_due(cx.instant());
        self.compare(cx);
    }

    /// Answers a peer that asks for all that this node knows.
    pub fn on_compare(&mut self, from: Id, number: u64, cx: &mut Scene<'_>) {
        let all = self
            .catalogue
            .iter()
            .filter(|_| self.role != NodeRole::Withholder);
        let all: Rc<[(u32, KnownState)]> = all
            .map(|(package, known)| {
                let head = self.said_of(known.head);
                (*package, KnownState { head, ..*known })
            })
            .collect();
        self.send(from, Wire::Ask(QueryMessage::Catalogue(number, all)), cx);
    }

    /// Handles a peer's answer.
    pub fn compared(&mut self, from: Id, all: &[(u32, KnownState)], cx: &mut Scene<'_>) {
        for (package, known) in all {
            if !self
                .admits(*package, known, cx)
                .is_ok_and(|is_news| is_news)
            {
                continue;
            }
            let Some(held) = cx.shared.value(known.head) else {
                continue;
            };
            *cx.signatures += 1;
            let outcome = answer_of(held);
            self.observe(from, outcome, cx);
            if outcome == Outcome::AnswerRight {
                self.catalogue.insert(*package, *known);
                cx.out.push(SimEffect::Heard {
                    message: known.message,
                    via: from,
                    how: How::Comparison,
                });
            }
        }
        if let Some(peer) = cx.shared.peer(from) {
            self.comparing.schedule.ended(&peer);
        }
        self.comparing.left = self.comparing.left.saturating_sub(1);
        self.compare(cx);
    }

    /// Handles a comparison that failed.
    pub fn not_compared(&mut self, peer: Id, failed: u32, cx: &mut Scene<'_>) {
        if let Some(peer) = cx.shared.peer(peer) {
            self.retry(peer, failed, cx);
        }
        self.compare(cx);
    }
}
