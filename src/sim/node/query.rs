//! Requests to peers, including hellos, and the requests of people.

use std::{collections::BTreeSet, rc::Rc, time::Duration};

use libp2p::PeerId;
use rand::seq::SliceRandom;
use tokio::sync::oneshot;

use super::{Alarm, KnownState, LookupOutcome, Scene, SimEffect, SimNode, Wire, dht::Purpose};
use crate::{
    domain::{
        freshness::QUORUM,
        record::Class,
        reputation::{Outcome, SelectionMethod},
    },
    net::{
        machines::{
            AskError, Lookup, LookupEnd, PendingLookup, Want, answering, penalties, queries,
        },
        protocol::{Hello, Request, Response},
    },
    registry::FAN_OUT,
    sim::{
        Id,
        script::NodeRole,
        shared::{SharedRecord, Value},
        time::Time,
    },
};

/// Longest wait for the answer to a hello.
const HELLO: Duration = Duration::from_secs(5);
/// Time to answer one request.
const ANSWERING: Duration = Duration::from_micros(300);

/// Requests and answers, each with the asker's number of its request.
#[derive(Clone, Debug)]
pub enum QueryMessage {
    Hello(u64, Box<Hello>),
    Welcome(u64, Box<Hello>),
    /// Asks for the head of a package.
    Head(u64, u32),
    Heads(u64, Option<Value>),
    Busy(u64),
    /// Asks for all that a node knows.
    Compare(u64),
    Catalogue(u64, Rc<[(u32, KnownState)]>),
}

/// The purpose of a request.
#[derive(Clone, Copy, Debug)]
pub enum For {
    Hello,
    Get(u64),
    /// A comparison of catalogues that failed this many times before.
    Comparison(u32),
}

/// An open request.
#[derive(Clone, Copy, Debug)]
pub struct OpenRequest {
    peer: Id,
    of: For,
}

/// A person's request, for which the DHT and some peers are asked.
pub struct Get {
    /// Dropped when nobody waits any more, which tells the lookup.
    _reply: oneshot::Receiver<Lookup>,
    started: Time,
    /// True if the DHT lookup has ended.
    is_over: bool,
    /// Number of peers that were asked directly and have not answered.
    open: usize,
    /// Peers that have it.
    holders: BTreeSet<Id>,
}

/// Returns the outcome for the score of a peer that answered with this record.
pub fn answer_of(held: &SharedRecord) -> Outcome {
    match &held.verdict {
        Ok(_) => Outcome::AnswerRight,
        Err(refusal) if refusal.is_proven() => Outcome::RecordInvalid,
        Err(refusal) if refusal.class() == Class::Reject => Outcome::AnswerWrong,
        Err(_) => Outcome::RecordIgnored,
    }
}

impl SimNode {
    /// Looks up the newest head, then announces and stores.
    pub fn publish(&mut self, message: u32, cx: &mut Scene<'_>) {
        let news = cx.shared.message(message).and_then(|one| one.verdict.ok());
        let Some(news) = news else { return };
        if let Some((query, reply)) = self.look_up(news.head, None, cx) {
            self.publishing.insert(query, (message, reply));
            self.drive(query, cx);
        }
    }

    /// Starts a lookup of the key of a value.
    fn look_up(
        &mut self,
        value: Value,
        get: Option<u64>,
        cx: &mut Scene<'_>,
    ) -> Option<(u64, oneshot::Receiver<Lookup>)> {
        let number = cx.shared.value(value)?.key;
        let (key, target) = cx.shared.keys.get(number as usize).copied()?;
        let (reply, receiver) = oneshot::channel();
        let purpose = Purpose::Get { key: number, get };
        let query = self.start_query(target, purpose, cx);
        let now = cx.instant();
        let pending = PendingLookup {
            key,
            want: Want::Quorum(QUORUM),
            started: now,
            deadline: now + self.options.query_timeout,
            reply,
            _permit: None,
            answers: Vec::new(),
            asked: 0,
            trace: query,
        };
        self.lookups.look_up(query, pending);
        self.wake_at(cx.now.after(self.options.query_timeout), cx);
        Some((query, receiver))
    }

    /// Asks the DHT and the best peers at once.
    pub fn get(&mut self, package: u32, cx: &mut Scene<'_>) {
        let Some(news) = cx.shared.last(package) else {
            return;
        };
        let number = self.number();
        let Some((query, reply)) = self.look_up(news.head, Some(number), cx) else {
            return;
        };
        let best = self.best(FAN_OUT, cx);
        self.peers.chosen(&best);
        let best: Vec<Id> = best.iter().filter_map(|peer| cx.shared.id(peer)).collect();
        let get = Get {
            _reply: reply,
            started: cx.now,
            is_over: false,
            open: best.len(),
            holders: BTreeSet::new(),
        };
        self.gets.insert(number, get);
        for peer in best {
            let timeout = self.options.query_timeout;
            self.ask(
                peer,
                For::Get(number),
                timeout,
                |number| QueryMessage::Head(number, package),
                cx,
            );
        }
        self.drive(query, cx);
    }

    /// Returns the best peers to ask, by their scores.
    pub fn best(&mut self, most: usize, cx: &mut Scene<'_>) -> Vec<PeerId> {
        let mut candidates = self
            .peers
            .candidates(SelectionMethod::Reputation, cx.stamp());
        // In an order that depends on the seed alone.
        candidates.sort_by_key(|one| one.peer);
        candidates.shuffle(&mut self.dice);
        let all = candidates.len();
        let mut chosen = SelectionMethod::Reputation.choose(&candidates, 0.0, all, &mut self.dice);
        chosen.sort_by_key(|peer| self.doubted.contains(peer));
        chosen.truncate(most);
        chosen
    }

    pub fn ask(
        &mut self,
        peer: Id,
        of: For,
        timeout: Duration,
        ask: impl FnOnce(u64) -> QueryMessage,
        cx: &mut Scene<'_>,
    ) {
        let Some(id) = cx.shared.peer(peer) else {
            return;
        };
        let (number, now) = (self.number(), cx.instant());
        // The receiver is not needed: the caller is here and not behind a channel.
        let reply = matches!(of, For::Get(_)).then(|| oneshot::channel().0);
        self.requests.sent(number, id, reply, now + timeout, now);
        self.asked.insert(number, OpenRequest { peer, of });
        self.wake_at(cx.now.after(timeout), cx);
        self.send(peer, Wire::Ask(ask(number)), cx);
    }

    pub fn say_hello(&mut self, peer: Id, cx: &mut Scene<'_>) {
        let hello = Box::new(self.hello(cx.now));
        let ask = |number| QueryMessage::Hello(number, hello);
        self.ask(peer, For::Hello, HELLO, ask, cx);
    }

    pub fn on_ask(&mut self, from: Id, ask: QueryMessage, cx: &mut Scene<'_>) {
        let Some(peer) = cx.shared.peer(from) else {
            return;
        };
        // A staller answers no requests.
        let is_question = matches!(
            ask,
            QueryMessage::Hello(..) | QueryMessage::Head(..) | QueryMessage::Compare(_)
        );
        if is_question && self.role == NodeRole::Staller {
            return;
        }
        match ask {
            QueryMessage::Hello(number, hello) => {
                self.on_request(from, number, &Request::Hello(*hello), None, cx);
            }
            QueryMessage::Head(number, package) => {
                if let Some(id) = cx.shared.package_id(package) {
                    self.on_request(from, number, &Request::Head(id), Some(package), cx);
                }
            }
            QueryMessage::Welcome(number, hello) => {
                if self.responded(from, number, cx).is_some() {
                    self.peers.hello(peer, &hello, (cx.stamp(), cx.instant()));
                    self.peers.spoke(&peer);
                    self.greeted(cx);
                }
            }
            QueryMessage::Heads(number, value) => {
                if let Some(For::Get(get)) = self.responded(from, number, cx) {
                    self.on_head(from, get, value, cx);
                }
            }
            QueryMessage::Compare(number) => self.on_compare(from, number, cx),
            QueryMessage::Catalogue(number, all) => {
                if let Some(For::Comparison(_)) = self.responded(from, number, cx) {
                    self.compared(from, &all, cx);
                }
            }
            QueryMessage::Busy(number) => self.ask_failed(number, AskError::Busy, cx),
        }
    }

    /// Handles a request as [`Answering`](answering::Answering) decides.
    fn on_request(
        &mut self,
        from: Id,
        number: u64,
        request: &Request,
        package: Option<u32>,
        cx: &mut Scene<'_>,
    ) {
        let Some(peer) = cx.shared.peer(from) else {
            return;
        };
        let (sender, now) = (self.sender(peer), (cx.stamp(), cx.instant()));
        for order in self.answering.on(request, &sender, &mut self.lanes, now) {
            match order {
                answering::AnswerAction::Greet => {
                    if let Request::Hello(hello) = request {
                        self.peers.hello(peer, hello, now);
                        self.greeted(cx);
                    }
                    let own = Box::new(self.hello(cx.now));
                    self.send(from, Wire::Ask(QueryMessage::Welcome(number, own)), cx);
                }
                answering::AnswerAction::Reply(Response::Busy | Response::Refused) => {
                    self.send(from, Wire::Ask(QueryMessage::Busy(number)), cx);
                }
                answering::AnswerAction::HandOver(place, _) => {
                    let tells = self.role != NodeRole::Withholder;
                    let held = package.filter(|_| tells);
                    let held = held.and_then(|package| self.catalogue.get(&package));
                    let value = held.map(|known| self.said_of(known.head));
                    let alarm = Alarm::Answered {
                        to: from,
                        number,
                        place,
                        value,
                    };
                    cx.out.push(SimEffect::After(ANSWERING, alarm));
                }
                answering::AnswerAction::Fault(fault) => {
                    self.penalise(penalties::PenaltyEvent::Fault(peer, fault), cx);
                }
                answering::AnswerAction::Reply(_) | answering::AnswerAction::TurnedAway(_) => {}
            }
        }
    }

    pub fn answered(
        &mut self,
        to: Id,
        number: u64,
        place: u64,
        value: Option<Value>,
        cx: &mut Scene<'_>,
    ) {
        if let Some(peer) = cx.shared.peer(to) {
            let sender = self.sender(peer);
            self.answering
                .answered(place, &sender, ANSWERING, &mut self.lanes, cx.stamp());
        }
        self.send(to, Wire::Ask(QueryMessage::Heads(number, value)), cx);
    }

    /// Handles a response; `None` if its request has ended before.
    fn responded(&mut self, from: Id, number: u64, cx: &mut Scene<'_>) -> Option<For> {
        let answered = self.requests.answered(&number, cx.instant())?;
        let peer = cx.shared.peer(from)?;
        let is_slow = self.peers.answered(&peer, answered.took);
        if is_slow && answered.reply.is_some() {
            self.observe(from, Outcome::AnswerSlow, cx);
        }
        self.asked.remove(&number).map(|asked| asked.of)
    }

    /// Handles a peer's answer with a head, or without one.
    fn on_head(&mut self, from: Id, number: u64, value: Option<Value>, cx: &mut Scene<'_>) {
        let held = value.and_then(|value| cx.shared.value(value));
        if let Some(held) = held {
            *cx.signatures += 1;
            let outcome = answer_of(held);
            self.observe(from, outcome, cx);
            if outcome == Outcome::AnswerRight
                && let Some(get) = self.gets.get_mut(&number)
            {
                get.holders.insert(from);
            }
        }
        self.one_less(number, cx);
    }

    fn one_less(&mut self, number: u64, cx: &mut Scene<'_>) {
        if let Some(get) = self.gets.get_mut(&number) {
            get.open = get.open.saturating_sub(1);
        }
        self.settle_get(number, cx);
    }

    /// Ends a get once enough different peers have the package, or all have answered.
    fn settle_get(&mut self, number: u64, cx: &mut Scene<'_>) {
        let is_done = |get: &Get| get.holders.len() >= QUORUM || get.is_over && get.open == 0;
        if self.gets.get(&number).is_some_and(is_done)
            && let Some(get) = self.gets.remove(&number)
        {
            cx.out.push(SimEffect::Got {
                found: !get.holders.is_empty(),
                took: cx.now.since(get.started),
            });
        }
    }

    /// Handles the end of a DHT lookup.
    pub fn looked_up(
        &mut self,
        query: u64,
        get: Option<u64>,
        asked: u32,
        ended: LookupEnd,
        cx: &mut Scene<'_>,
    ) {
        let depth = self.depths.remove(&query);
        let holders = self.holders.remove(&query).unwrap_or_default();
        cx.out.push(SimEffect::LookedUp(LookupOutcome {
            is_first: get.is_none(),
            ended,
            found: depth.is_some(),
            asked,
            depth,
        }));
        if let Some(number) = get
            && let Some(one) = self.gets.get_mut(&number)
        {
            one.is_over = true;
            one.holders.extend(holders);
            self.settle_get(number, cx);
        }
        if let Some((message, _)) = self.publishing.remove(&query) {
            self.deliver(message, cx);
        }
    }

    /// Announces a published release, and puts it at the peers closest to its keys.
    fn deliver(&mut self, message: u32, cx: &mut Scene<'_>) {
        let news = cx.shared.message(message).and_then(|one| one.verdict.ok());
        let Some(news) = news else { return };
        let known = KnownState {
            mark: news.mark,
            at: news.at,
            head: news.head,
            message,
        };
        self.catalogue.insert(news.package, known);
        self.announce(message, cx);
        for value in [news.head, news.manifest] {
            let key = cx.shared.value(value).map(|held| held.key);
            let key = key.and_then(|key| cx.shared.keys.get(key as usize));
            if let Some((_, target)) = key {
                let query = self.start_query(*target, Purpose::Put(value), cx);
                self.drive(query, cx);
            }
        }
    }

    pub fn ask_failed(&mut self, number: u64, error: AskError, cx: &mut Scene<'_>) {
        let asked = self.asked.remove(&number);
        if let Some(failed) = self.requests.failed(&number, error, cx.instant()) {
            if let Some(took) = failed.took_over {
                self.peers.answered(&failed.peer, took);
            }
            if let Some(outcome) = failed.outcome {
                self.penalise(penalties::PenaltyEvent::Observed(failed.peer, outcome), cx);
            }
        }
        match asked {
            Some(OpenRequest {
                of: For::Get(get), ..
            }) => self.one_less(get, cx),
            Some(OpenRequest {
                of: For::Comparison(failed),
                peer,
            }) => self.not_compared(peer, failed, cx),
            Some(OpenRequest { of: For::Hello, .. }) | None => {}
        }
    }

    /// Schedules a check of the deadlines at this time, unless there is an earlier one.
    fn wake_at(&mut self, at: Time, cx: &mut Scene<'_>) {
        if self.deadline.is_none_or(|armed| at < armed) {
            self.deadline = Some(at);
            cx.out
                .push(SimEffect::After(at.since(cx.now), Alarm::Deadline));
        }
    }

    /// Ends what is past its deadline, and schedules the next check.
    pub fn due(&mut self, cx: &mut Scene<'_>) {
        if self.deadline.is_none_or(|armed| armed > cx.now) {
            return;
        }
        self.deadline = None;
        self.expire(cx);
        let next = [self.requests.next_deadline(), self.lookups.next_deadline()];
        if let Some(next) = next.into_iter().flatten().min() {
            self.wake_at(Time::of(next, cx.shared.base), cx);
        }
    }

    /// Ends everything that is past its deadline, with the results so far.
    fn expire(&mut self, cx: &mut Scene<'_>) {
        let now = cx.instant();
        self.progressed(queries::DhtEvent::Due, cx);
        let mut late = self.requests.late(now);
        late.sort_unstable();
        for number in late {
            self.ask_failed(number, AskError::TimedOut, cx);
        }
    }

    /// Handles a lost connection, which ends its requests.
    pub fn lost(&mut self, peer: Id, cx: &mut Scene<'_>) {
        let open = self.asked.iter().filter(|(_, asked)| asked.peer == peer);
        let open: Vec<u64> = open.map(|(number, _)| *number).collect();
        for number in open {
            self.ask_failed(number, AskError::Unreachable, cx);
        }
        self.queries_lost(peer, cx);
    }

    /// Drops all pending work, because the node leaves.
    pub fn abandon(&mut self, cx: &mut Scene<'_>) {
        for number in std::mem::take(&mut self.asked).into_keys() {
            self.requests
                .failed(&number, AskError::Unreachable, cx.instant());
        }
        for query in std::mem::take(&mut self.queries).into_keys() {
            let ended = queries::DhtEvent::LookedUp(query, LookupEnd::TimedOut);
            self.lookups.on(ended, cx.instant());
        }
        self.publishing.clear();
        self.depths.clear();
        self.holders.clear();
        self.gets.clear();
    }
}
