//! Announcements: what a node sends, what it makes of what comes, and what goes on.

use std::{collections::VecDeque, time::Duration};

use super::{Alarm, Effect, Node, Scene, Wire};
use crate::{
    domain::{
        faults::Fault,
        lanes::Lane,
        record::{Admission, Class, Refusal, admit},
        reputation::Outcome,
    },
    net::machines::{INBOUND, Judged, MAX_OUTSTANDING},
    sim::{
        Id,
        model::gossip::{Acceptance, Figures, Said},
        shared::SIGNED,
        time::Time,
    },
};

/// What verifying one announcement takes a node, of which it does one after the other.
const VERIFYING: Duration = Duration::from_micros(400);

/// The queue to the registry, which is a model: what waits in it, and until when.
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

    /// Takes one more, and says how long it takes until that is verified.
    fn push(&mut self, now: Time) -> Duration {
        let begins = self.ends.back().copied().unwrap_or(now).max(now);
        let end = begins.after(VERIFYING);
        self.ends.push_back(end);
        end.since(now)
    }
}

/// What becomes of a message that a peer sent.
enum Taken {
    /// It waits for the registry.
    Waits,
    Refused(Refusal),
}

impl Node {
    pub fn gossip_figures(&self) -> Figures {
        self.gossip.figures()
    }

    /// Sends what gossip wants sent.
    pub fn say(&mut self, said: Vec<(Id, Said)>, cx: &mut Scene<'_>) {
        for (to, said) in said {
            self.send(to, Wire::Gossip(said), cx);
        }
    }

    pub fn beat(&mut self, cx: &mut Scene<'_>) {
        let mut out = Vec::new();
        self.gossip.heartbeat(cx.now, &mut self.dice, &mut out);
        self.say(out, cx);
        cx.out.push(Effect::After(
            self.gossip_figures().heartbeat,
            Alarm::Heartbeat,
        ));
    }

    /// Announces something of its own, as far as it may say anything. Returns to how many peers.
    pub fn announce(&mut self, message: u32, cx: &mut Scene<'_>) -> usize {
        if self.is_honest() && !self.announcing.take(cx.stamp()) {
            return 0;
        }
        let mut out = Vec::new();
        let to = self.gossip.publish(message, cx.now, &mut out);
        self.say(out, cx);
        cx.out.push(Effect::Announced { message, to });
        to
    }

    pub fn on_gossip(&mut self, from: Id, said: Said, cx: &mut Scene<'_>) {
        if !self.gossip.hears(from, cx.now) {
            return;
        }
        let Said::Message(number) = said else {
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
        cx.out.push(Effect::Copy {
            message: number,
            first,
        });
        if !first {
            return;
        }
        // Gossip's own signature.
        *cx.signatures += 1;
        if let Taken::Refused(refusal) = self.weigh(from, number, cx) {
            self.report(number, from, Err(refusal), cx);
        }
    }

    /// Many copies of one message, each signed anew: none of them is a duplicate.
    pub fn on_flood(&mut self, from: Id, message: u32, count: u32, cx: &mut Scene<'_>) {
        for _ in 0..count {
            if !self.gossip.hears(from, cx.now) || !self.links.contains_key(&from) {
                return;
            }
            *cx.signatures += 1;
            let banned = self
                .penalties
                .ledger()
                .ban(&self.peer_of(from, cx), cx.stamp());
            if banned.is_some() {
                return;
            }
            if let Taken::Refused(refusal) = self.weigh(from, message, cx) {
                self.report(message, from, Err(refusal), cx);
            }
        }
    }

    fn peer_of(&self, id: Id, cx: &Scene<'_>) -> libp2p::PeerId {
        cx.shared.peer(id).unwrap_or(self.peer)
    }

    /// Decides whether a message is handed to the registry.
    fn weigh(&mut self, via: Id, number: u32, cx: &mut Scene<'_>) -> Taken {
        let (now, via_peer) = (cx.stamp(), self.peer_of(via, cx));
        let Some(message) = cx.shared.message(number) else {
            return Taken::Refused(Refusal::Malformed);
        };
        let known = message
            .claimed
            .is_some_and(|publisher| self.known.contains(&publisher));
        let author = self.peer_of(message.author, cx);
        let has_room = if author == via_peer {
            let taken = self.allowed(via_peer, Lane::Own, now);
            if !taken {
                self.judge(Judged::Fault(via_peer, Fault::Flooding), cx);
            }
            taken
        } else {
            let (via, author) = (self.sender(via_peer), self.sender(author));
            self.lanes.relay(&via, &author, known, now)
        };
        if !has_room {
            return Taken::Refused(Refusal::OverQuota);
        }
        let free = self.inbox.free(cx.now);
        let fits = self.inbox.waiting() < MAX_OUTSTANDING && free > 0;
        if !fits || !self.waiting.has_room(via_peer, Some(author), known, free) {
            return Taken::Refused(Refusal::Busy);
        }
        self.waiting.begin(via_peer, Some(author));
        let after = self.inbox.push(cx.now);
        let alarm = Alarm::Settled {
            message: number,
            via,
        };
        cx.out.push(Effect::After(after, alarm));
        Taken::Waits
    }

    /// The registry has verified a message, and says whether it is news.
    pub fn settled(&mut self, number: u32, via: Id, cx: &mut Scene<'_>) {
        let Some(message) = cx.shared.message(number) else {
            return;
        };
        let (via_peer, author) = (self.peer_of(via, cx), self.peer_of(message.author, cx));
        self.waiting.end(via_peer, Some(author));
        *cx.signatures += SIGNED - 1;
        let verdict = message.verdict.and_then(|news| {
            let held = self.catalogue.get(&news.package);
            match admit(held.map(|(mark, ..)| mark), &news.mark, cx.stamp()) {
                Admission::Older => Err(Refusal::Superseded),
                Admission::Same if held.is_some_and(|(_, at, _)| news.at <= *at) => {
                    Err(Refusal::Superseded)
                }
                Admission::ForkLoses => Ok(()),
                Admission::Same | Admission::Newer | Admission::ForkWins => {
                    let held = (news.mark, news.at, news.head);
                    self.catalogue.insert(news.package, held);
                    cx.out.push(Effect::Heard {
                        message: number,
                        via,
                    });
                    Ok(())
                }
            }
        });
        self.report(number, via, verdict, cx);
    }

    /// Tells gossip and the penalties what came of a message.
    fn report(&mut self, number: u32, via: Id, verdict: Result<(), Refusal>, cx: &mut Scene<'_>) {
        let (acceptance, outcome) = match verdict {
            Ok(()) => (Acceptance::Accept, Outcome::RecordValid),
            Err(refusal) => match refusal.class() {
                Class::Reject => (Acceptance::Reject, Outcome::of_record(refusal)),
                Class::Ignore => (Acceptance::Ignore, Outcome::RecordIgnored),
            },
        };
        self.observe(via, outcome, cx);
        let Some(message) = cx.shared.message(number) else {
            return;
        };
        // Whoever is hostile passes on nothing.
        if !self.is_honest() {
            return;
        }
        let mut out = Vec::new();
        self.gossip
            .judged(via, message.author, number, acceptance, cx.now, &mut out);
        self.say(out, cx);
    }
}
