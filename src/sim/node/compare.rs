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
    registry::schedule::{GAP, SETTLE, Schedule},
    sim::{Id, script::NodeRole},
};

/// Longest wait for an answer.
const REACH: Duration = Duration::from_secs(5);
/// Most peers that a node compares its catalogue with after joining. A real node also does so with
/// every peer that joins later.
const MOST: u32 = 6;

/// The state of a node's comparisons.
pub struct Comparing {
    schedule: Schedule,
    /// True if peers are about to be chosen.
    choosing: bool,
    /// True while an answer of a peer is awaited.
    asking: bool,
    left: u32,
}

impl Comparing {
    pub fn new(start: Instant, now: Timestamp) -> Self {
        Self {
            schedule: Schedule::new(start, now),
            choosing: false,
            asking: false,
            left: MOST,
        }
    }

    /// Stops all comparisons, because the node leaves.
    pub fn stop(&mut self) {
        (self.choosing, self.asking, self.left) = (false, false, MOST);
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
        self.comparing.choosing = false;
        if self.comparing.asking {
            return;
        }
        let best = self.best(usize::MAX, cx);
        let here: HashSet<PeerId> = best.iter().copied().collect();
        self.comparing.schedule.add_fresh(&best, &here);
        self.compare(cx);
    }

    /// Asks the next peer, unless an answer is awaited.
    fn compare(&mut self, cx: &mut Scene<'_>) {
        if self.comparing.asking || self.comparing.left == 0 {
            return;
        }
        while let Some((peer, failed)) = self.comparing.schedule.next(cx.instant()) {
            let id = cx.shared.id(&peer);
            if let Some(id) = id.filter(|id| self.links.contains_key(id)) {
                self.comparing.asking = true;
                self.comparing.left -= 1;
                return self.ask(
                    id,
                    For::Comparison(failed),
                    REACH,
                    QueryMessage::Compare,
                    cx,
                );
            }
        }
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
        self.comparing.asking = false;
        self.compare(cx);
    }

    /// Handles a comparison that failed.
    pub fn not_compared(&mut self, peer: Id, failed: u32, cx: &mut Scene<'_>) {
        self.comparing.asking = false;
        if let Some(peer) = cx.shared.peer(peer) {
            let now = cx.instant();
            self.comparing.schedule.failed(peer, failed, now);
            cx.out
                .push(SimEffect::After(GAP * (failed + 1), Alarm::Again));
        }
        self.compare(cx);
    }
}
