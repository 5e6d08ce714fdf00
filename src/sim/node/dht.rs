//! The DHT: queries over the model of Kademlia, the record store, and the results of lookups.

use std::{collections::BTreeSet, time::Duration};

use super::{Alarm, Scene, SimEffect, SimNode, Wire};
use crate::{
    domain::{
        lanes::Lane,
        lookup::End,
        record::{Class, Refusal},
        reputation::Outcome,
        shares::HolderId,
    },
    net::machines::{BOOTSTRAP_INTERVAL, K, LookupEnd, penalties, queries},
    sim::{
        Id, Joins,
        model::kad::{Next, Walk},
        script::NodeRole,
        shared::Value,
    },
};

/// If the table was empty, Kademlia waits this long for more peers before it looks up its
/// neighbourhood (`DEFAULT_AUTOMATIC_THROTTLE` in `bootstrap.rs` of `libp2p-kad`).
const THROTTLE: Duration = Duration::from_millis(500);

/// Kademlia's requests and answers, each with the number of the asker's query.
#[derive(Clone, Debug)]
pub enum Dht {
    /// Asks for the closest peers to this key, and for its record.
    Find {
        query: u64,
        target: u64,
        key: Option<u32>,
    },
    Closer {
        query: u64,
        closer: Box<[Id]>,
        value: Option<Value>,
    },
    Store(Value),
}

/// The purpose of a query.
#[derive(Clone, Debug)]
pub enum Purpose {
    /// Looks up its own neighbourhood, then these positions.
    Refresh(Vec<u64>),
    /// Looks up a record, for a person or before a publish.
    Get {
        key: u32,
        get: Option<u64>,
    },
    Put(Value),
}

/// A running query.
#[derive(Debug)]
pub struct RunningLookup {
    walk: Walk,
    purpose: Purpose,
    /// Requests sent.
    asked: u32,
    /// Peers that gave a record.
    gave: BTreeSet<Id>,
}

impl RunningLookup {
    /// True if somebody wants its result: a node looks for its neighbourhood at any time.
    pub fn is_asked(&self) -> bool {
        !matches!(self.purpose, Purpose::Refresh(_))
    }
}

/// The result of a DHT lookup.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LookupOutcome {
    /// True if it preceded a publish, instead of being a person's request for a package.
    pub is_first: bool,
    pub ended: LookupEnd,
    pub found: bool,
    /// Requests that Kademlia sent.
    pub asked: u32,
    /// Number of peers asked one after the other until the first answer.
    pub depth: Option<u32>,
}

impl SimNode {
    /// Notes a new peer in the routing table: while there are few, the neighbourhood is looked up.
    pub fn routed(&mut self, cx: &mut Scene<'_>) {
        if self.table.len() <= K && !self.refreshing {
            self.refreshing = true;
            cx.out.push(SimEffect::After(THROTTLE, Alarm::Refresh));
        }
    }

    pub fn refresh(&mut self, cx: &mut Scene<'_>) {
        self.refreshing = false;
        if !self.is_refreshed {
            self.is_refreshed = true;
            cx.out
                .push(SimEffect::After(BOOTSTRAP_INTERVAL, Alarm::Refresh));
        }
        if self.options.joins == Joins::Told {
            return cx.out.push(SimEffect::Bootstrap);
        }
        let here = cx.shared.position(self.me);
        let query = self.start_query(here, Purpose::Refresh(Vec::new()), cx);
        self.drive(query, cx);
    }

    pub fn start_query(&mut self, target: u64, purpose: Purpose, cx: &mut Scene<'_>) -> u64 {
        let start = self.table.closest(target, None);
        let walk = Walk::new(target, &start, &cx.shared.positions);
        let number = self.number();
        let query = RunningLookup {
            walk,
            purpose,
            asked: 0,
            gave: BTreeSet::new(),
        };
        self.queries.insert(number, query);
        // Kademlia's own timeout of a query, a second after ours.
        let slack = self.options.query_timeout + Duration::from_secs(1);
        cx.out.push(SimEffect::After(slack, Alarm::Over(number)));
        number
    }

    /// Sends the requests that a query wants to send, or ends it.
    pub fn drive(&mut self, number: u64, cx: &mut Scene<'_>) {
        loop {
            let Some(query) = self.queries.get_mut(&number) else {
                return;
            };
            match query.walk.next() {
                Next::Wait => return,
                Next::Done => return self.walked(number, cx),
                Next::Ask(peer) if peer == self.me => {
                    query.walk.failed(peer, &cx.shared.positions);
                }
                Next::Ask(peer) => {
                    query.asked += 1;
                    let key = match query.purpose {
                        Purpose::Get { key, .. } => Some(key),
                        Purpose::Refresh(_) | Purpose::Put(_) => None,
                    };
                    let find = Dht::Find {
                        query: number,
                        target: query.walk.target,
                        key,
                    };
                    self.send_or_dial(peer, Wire::Dht(find), cx);
                }
            }
        }
    }

    /// Handles a query that has asked all peers worth asking.
    fn walked(&mut self, number: u64, cx: &mut Scene<'_>) {
        let Some(query) = self.queries.remove(&number) else {
            return;
        };
        self.told_missing(&query, cx);
        match query.purpose {
            Purpose::Refresh(rest) => self.refresh_rest(query.walk.target, rest, cx),
            Purpose::Put(value) => {
                for peer in query.walk.closest() {
                    self.send_or_dial(peer, Wire::Dht(Dht::Store(value)), cx);
                }
            }
            Purpose::Get { get, .. } => {
                let ended = queries::DhtEvent::LookedUp(number, LookupEnd::Exhausted);
                self.progressed(ended, cx);
                self.looked_up(number, get, query.asked, LookupEnd::Exhausted, cx);
            }
        }
    }

    fn refresh_rest(&mut self, target: u64, mut rest: Vec<u64>, cx: &mut Scene<'_>) {
        if target == cx.shared.position(self.me) {
            rest = self.table.to_refresh(|| self.dice.draw());
        }
        if let Some(next) = rest.pop() {
            let query = self.start_query(next, Purpose::Refresh(rest), cx);
            self.drive(query, cx);
        }
    }

    /// Handles the timeout of a query: Kademlia ends it with the results so far.
    pub fn over(&mut self, number: u64, cx: &mut Scene<'_>) {
        match self.queries.get(&number).map(|query| &query.purpose) {
            Some(Purpose::Get { .. }) => {
                let ended = queries::DhtEvent::LookedUp(number, LookupEnd::TimedOut);
                self.progressed(ended, cx);
                self.stop(number, LookupEnd::TimedOut, cx);
            }
            Some(Purpose::Put(_) | Purpose::Refresh(_)) => self.walked(number, cx),
            None => {}
        }
    }

    /// Ends the query of a lookup that has been resolved.
    pub fn stop(&mut self, number: u64, ended: LookupEnd, cx: &mut Scene<'_>) {
        let Some(query) = self.queries.remove(&number) else {
            return;
        };
        self.told_missing(&query, cx);
        if let Purpose::Get { get, .. } = query.purpose {
            self.looked_up(number, get, query.asked, ended, cx);
        }
    }

    /// After a successful lookup, reports the closest peer that lacked the record, as Kademlia does
    /// (`Caching` in `behaviour.rs` of `libp2p-kad`).
    fn told_missing(&mut self, query: &RunningLookup, cx: &mut Scene<'_>) {
        if query.gave.is_empty() {
            return;
        }
        let answered = query.walk.closest();
        let nearest = answered.into_iter().find(|id| !query.gave.contains(id));
        let nearest: Vec<_> = nearest
            .and_then(|id| cx.shared.peer(id))
            .into_iter()
            .collect();
        self.progressed(queries::DhtEvent::Missing(nearest), cx);
    }

    pub fn on_dht(&mut self, from: Id, said: Dht, cx: &mut Scene<'_>) {
        match said {
            Dht::Find { query, target, key } => {
                let value = key.and_then(|key| self.stored(key, cx));
                let closer = self.table.closest(target, Some(from));
                let answer = Dht::Closer {
                    query,
                    closer: closer.into(),
                    value,
                };
                self.send(from, Wire::Dht(answer), cx);
            }
            Dht::Closer {
                query,
                closer,
                value,
            } => self.on_closer(from, query, &closer, value, cx),
            Dht::Store(value) => self.on_store(from, value, cx),
        }
    }

    /// Returns the value that it gives for a key; a liar gives another one.
    fn stored(&self, key: u32, cx: &Scene<'_>) -> Option<Value> {
        if matches!(self.role, NodeRole::Staller | NodeRole::Withholder) {
            return None;
        }
        let (key, _) = cx.shared.keys.get(key as usize)?;
        let value = cx.shared.value_of(self.store.value(key)?)?;
        Some(self.said_of(value))
    }

    /// Returns what it says where an honest node says this.
    pub fn said_of(&self, value: Value) -> Value {
        if self.role == NodeRole::Liar {
            value + 1
        } else {
            value
        }
    }

    fn on_closer(
        &mut self,
        from: Id,
        number: u64,
        closer: &[Id],
        value: Option<Value>,
        cx: &mut Scene<'_>,
    ) {
        let Some(query) = self.queries.get_mut(&number) else {
            return;
        };
        let Some(depth) = query.walk.answered(from, closer, &cx.shared.positions) else {
            return;
        };
        if let Some(value) = value {
            query.gave.insert(from);
            self.on_found(from, number, value, depth, cx);
        }
        self.drive(number, cx);
    }

    /// Handles a record that a peer gave, or a wrong one.
    fn on_found(&mut self, from: Id, number: u64, value: Value, depth: u32, cx: &mut Scene<'_>) {
        let Some(held) = cx.shared.value(value) else {
            return;
        };
        *cx.signatures += 1;
        if held.verdict.is_ok() {
            self.depths.entry(number).or_insert(depth);
            self.holders.entry(number).or_default().insert(from);
        }
        let found = queries::DhtEvent::Found(number, cx.shared.peer(from), held.bytes.clone());
        self.progressed(found, cx);
    }

    /// Passes an event to the queries and executes their orders.
    pub fn progressed(&mut self, event: queries::DhtEvent<u64>, cx: &mut Scene<'_>) {
        let mut orders = self.lookups.on(event, cx.instant());
        // If several end at once, the order must depend on the seed alone.
        orders.sort_by_key(|order| match order {
            queries::DhtAction::Stop(number, _) => *number,
            _ => 0,
        });
        for order in orders {
            match order {
                queries::DhtAction::Stop(number, End::Enough) => {
                    self.stop(number, LookupEnd::Satisfied, cx);
                }
                queries::DhtAction::Stop(number, _) => self.stop(number, LookupEnd::TimedOut, cx),
                queries::DhtAction::Observe(peer, outcome) => {
                    self.penalise(penalties::PenaltyEvent::Observed(peer, outcome), cx);
                }
                // For statistics, traces, and providers, which are not simulated.
                queries::DhtAction::Refused(_)
                | queries::DhtAction::Wrong(..)
                | queries::DhtAction::Done(_)
                | queries::DhtAction::Dial(_) => {}
            }
        }
    }

    /// Handles a peer's request to store a record.
    fn on_store(&mut self, from: Id, value: Value, cx: &mut Scene<'_>) {
        let Some(peer) = cx.shared.peer(from) else {
            return;
        };
        if !self.allowed(peer, Lane::Stored, cx.stamp()) {
            return;
        }
        *cx.signatures += 1;
        let Some(held) = cx.shared.value(value) else {
            return;
        };
        let origin = HolderId::of(peer, self.peers.group(&peer));
        self.store.tick(cx.stamp());
        let kept: Result<(), Refusal> = match &held.verdict {
            Ok(record) => self.store.accept(record, origin),
            Err(refusal) => Err(*refusal),
        };
        if let Err(refusal) = kept
            && refusal.class() == Class::Reject
        {
            self.observe(from, Outcome::of_record(refusal), cx);
        }
    }

    /// Handles messages that cannot be sent because a peer is unreachable or gone.
    pub fn unsent(&mut self, peer: Id, wire: &Wire, cx: &mut Scene<'_>) {
        if let Wire::Dht(Dht::Find { query, .. }) = wire {
            self.query_failed(peer, *query, cx);
        }
    }

    pub fn queries_lost(&mut self, peer: Id, cx: &mut Scene<'_>) {
        let numbers: Vec<u64> = self.queries.keys().copied().collect();
        for number in numbers {
            self.query_failed(peer, number, cx);
        }
    }

    fn query_failed(&mut self, peer: Id, number: u64, cx: &mut Scene<'_>) {
        if let Some(query) = self.queries.get_mut(&number) {
            query.walk.failed(peer, &cx.shared.positions);
            self.drive(number, cx);
        }
    }
}
