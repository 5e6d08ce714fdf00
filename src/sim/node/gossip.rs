//! Announcements: those that a node sends, and its decisions about those that it receives.

use std::{collections::VecDeque, time::Duration};

use libp2p::PeerId;

use super::{Alarm, How, KnownState, Scene, SimEffect, SimNode, Wire};
use crate::{
    domain::record::{Admission, Class, Refusal, admit},
    net::{
        Verdict,
        machines::{
            INBOUND,
            judge::{GossipAction, GossipEvent, GossipMessage, Handed, Topic},
            penalties,
        },
    },
    sim::{
        Id,
        model::gossip::{Acceptance, Figures, GossipRpc},
        shared::{News, SIGNED},
        time::Time,
    },
};

/// Time to verify one announcement; a node verifies one after the other.
const VERIFYING: Duration = Duration::from_micros(400);

/// A model of the queue to the registry: the number of waiting announcements, and the time until
/// which it is busy.
#[derive(Debug, Default)]
pub struct Inbox {
    ends: VecDeque<Time>,
}

impl Inbox {
    pub fn waiting(&self) -> usize {
        self.ends.len()
    }

    fn free(&mut self, now: Time) -> usize {
        while self.ends.front().is_some_and(|end| *end <= now) {
            self.ends.pop_front();
        }
        INBOUND.saturating_sub(self.ends.len())
    }

    /// Adds one, and returns the time until it is verified.
    fn push(&mut self, now: Time) -> Duration {
        let begins = self.ends.back().copied().unwrap_or(now).max(now);
        let end = begins.after(VERIFYING);
        self.ends.push_back(end);
        end.since(now)
    }
}

impl SimNode {
    pub fn gossip_figures(&self) -> Figures {
        self.gossip.figures()
    }

    /// Sends gossip's messages.
    pub fn say(&mut self, said: Vec<(Id, GossipRpc)>, cx: &mut Scene<'_>) {
        for (to, said) in said {
            self.send(to, Wire::Gossip(said), cx);
        }
    }

    pub fn beat(&mut self, cx: &mut Scene<'_>) {
        let mut out = Vec::new();
        self.gossip.heartbeat(cx.now, &mut self.dice, &mut out);
        self.say(out, cx);
        cx.out.push(SimEffect::After(
            self.gossip_figures().heartbeat,
            Alarm::Heartbeat,
        ));
    }

    /// Announces an own message, if its allowance permits. Returns the number of peers that it was
    /// sent to.
    pub fn announce(&mut self, message: u32, cx: &mut Scene<'_>) -> usize {
        if self.is_honest() && !self.judge.may_announce(cx.stamp()) {
            return 0;
        }
        let mut out = Vec::new();
        let to = self.gossip.publish(message, cx.now, &mut out);
        self.say(out, cx);
        cx.out.push(SimEffect::Announced { message, to });
        to
    }

    pub fn on_gossip(&mut self, from: Id, said: GossipRpc, cx: &mut Scene<'_>) {
        if !self.gossip.hears(from, cx.now) {
            return;
        }
        let GossipRpc::Message(number) = said else {
            let mut out = Vec::new();
            self.gossip.heard(from, said, cx.now, &mut out);
            return self.say(out, cx);
        };
        let Some(message) = cx.shared.message(number) else {
            return;
        };
        let mut out = Vec::new();
        let (author, bytes) = (message.author, message.bytes);
        let first = self.gossip.received(from, author, number, bytes, &mut out);
        self.say(out, cx);
        cx.out.push(SimEffect::Copy {
            message: number,
            first,
        });
        if !first {
            return;
        }
        // The signature of the gossip message itself.
        *cx.signatures += 1;
        self.weigh(from, number, cx);
    }

    /// Receives many copies of one message, each signed anew, so that none is a duplicate.
    pub fn on_flood(&mut self, from: Id, message: u32, count: u32, cx: &mut Scene<'_>) {
        if self.gossip.hears(from, cx.now) {
            *self.bursts.entry(from).or_default() += 1;
        }
        for _ in 0..count {
            if !self.gossip.hears(from, cx.now) {
                return;
            }
            *cx.signatures += 1;
            let before = cx.out.len();
            self.weigh(from, message, cx);
            // Messages after the connection was closed are not read.
            let is_closed =
                |effect: &SimEffect| matches!(effect, SimEffect::Close(peer) if *peer == from);
            if cx.out.iter().skip(before).any(is_closed) {
                return;
            }
        }
    }

    /// Lets the judge decide about a message that a peer passed on.
    fn weigh(&mut self, via: Id, number: u32, cx: &mut Scene<'_>) {
        let (Some(via), Some(message)) = (cx.shared.peer(via), cx.shared.message(number)) else {
            return;
        };
        let publisher = message.claimed;
        let message = GossipMessage {
            id: number,
            topic: Topic::Announcement,
            // The number stands for the bytes.
            data: Vec::new(),
            via: self.sender(via),
            author: cx
                .shared
                .peer(message.author)
                .map(|author| self.sender(author)),
            known: publisher.is_some_and(|publisher| self.known.contains(&publisher)),
        };
        let free = self.inbox.free(cx.now);
        self.decide(GossipEvent::Message(message, free), cx);
    }

    fn decide(&mut self, event: GossipEvent<u32>, cx: &mut Scene<'_>) {
        for order in self.judge.on(event, &mut self.lanes, cx.stamp()) {
            match order {
                GossipAction::HandOver(handed, _) => {
                    let after = self.inbox.push(cx.now);
                    cx.out
                        .push(SimEffect::After(after, Alarm::Settled(Box::new(handed))));
                }
                GossipAction::Report(message, via, verdict) => {
                    self.report(message, &via, verdict, cx)
                }
                GossipAction::Observe(peer, outcome) => {
                    self.penalise(penalties::PenaltyEvent::Observed(peer, outcome), cx);
                }
                GossipAction::Fault(peer, fault) => {
                    self.penalise(penalties::PenaltyEvent::Fault(peer, fault), cx);
                }
                // Simulated nodes do not declare locations.
                GossipAction::Place(..) => {}
            }
        }
    }

    /// Handles the registry's verdict on an announcement: whether it verified and is new.
    pub fn settled(&mut self, handed: Handed<u32>, cx: &mut Scene<'_>) {
        *cx.signatures += SIGNED - 1;
        let message = cx.shared.message(handed.id);
        let verdict = message.map_or(Err(Refusal::Malformed), |message| message.verdict);
        let verdict = verdict.and_then(|news| self.take_news(&news, &handed, cx));
        self.decide(GossipEvent::Verdict(handed, verdict), cx);
    }

    /// Accepts an announcement's head into the catalogue, by the rule of heads.
    fn take_news(
        &mut self,
        news: &News,
        handed: &Handed<u32>,
        cx: &mut Scene<'_>,
    ) -> Result<(), Refusal> {
        let known = KnownState {
            mark: news.mark,
            at: news.at,
            head: news.head,
            message: handed.id,
        };
        if self.admits(news.package, &known, cx)? {
            self.catalogue.insert(news.package, known);
            let via = cx.shared.id(&handed.via);
            cx.out.extend(via.map(|via| SimEffect::Heard {
                message: handed.id,
                via,
                how: How::Gossip,
            }));
        }
        Ok(())
    }

    /// Returns true if news of a package is newer than what the node knows; fails if it is older.
    pub fn admits(&self, package: u32, told: &KnownState, cx: &Scene<'_>) -> Result<bool, Refusal> {
        let held = self.catalogue.get(&package);
        match admit(held.map(|held| &held.mark), &told.mark, cx.stamp()) {
            Admission::Older => Err(Refusal::Superseded),
            Admission::Same if held.is_some_and(|held| told.at <= held.at) => {
                Err(Refusal::Superseded)
            }
            Admission::ForkLoses => Ok(false),
            Admission::Same | Admission::Newer | Admission::ForkWins => Ok(true),
        }
    }

    /// Reports the verdict on a message to gossip.
    fn report(&mut self, number: u32, via: &PeerId, verdict: Verdict, cx: &mut Scene<'_>) {
        let (Some(via), Some(message)) = (cx.shared.id(via), cx.shared.message(number)) else {
            return;
        };
        let acceptance = match verdict {
            Ok(()) => Acceptance::Accept,
            Err(refusal) => match refusal.class() {
                Class::Reject => Acceptance::Reject,
                Class::Ignore => Acceptance::Ignore,
            },
        };
        // A hostile node forwards nothing.
        if !self.is_honest() {
            return;
        }
        let mut out = Vec::new();
        self.gossip
            .judged(via, message.author, number, acceptance, cx.now, &mut out);
        self.say(out, cx);
    }
}
