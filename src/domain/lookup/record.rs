//! Records lookups while they run and keeps the latest ones.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::Hash as Hashes,
    time::{Duration, Instant},
};

use libp2p::PeerId;

use super::{
    Hop, HopAnswer, HopFailure, HopRequest, LookupKind, LookupState, Trace, distance_bits, position,
};
use crate::domain::{hash::Hash, time::Timestamp};

/// The most hops kept of a lookup; further ones are counted. A bootstrap among a hundred nodes has
/// as many.
pub const MAX_HOPS: usize = 128;
/// The most finished lookups kept.
pub const MAX_PAST: usize = 200;
/// The most hops kept of all finished lookups together, half a megabyte: a usual amount for two
/// hundred lookups.
const MAX_PAST_HOPS: usize = 5_000;
/// The most lookups recorded at a time: more than may run.
const MAX_RUNNING: usize = 1_024;
/// The most distinct peers tracked for a lookup.
const MAX_NAMED: usize = 1_024;

struct Running {
    trace: Trace,
    began: Instant,
    named: HashSet<PeerId>,
    /// Distinct providers found.
    providers: HashSet<PeerId>,
    dirty: bool,
}

impl Running {
    fn since(&self, at: Instant) -> u32 {
        micros(at.saturating_duration_since(self.began))
    }

    /// Returns the unanswered request to a peer.
    fn open(&mut self, peer: &PeerId) -> Option<&mut Hop> {
        self.trace
            .hops
            .iter_mut()
            .rev()
            .find(|hop| hop.peer == *peer && hop.answer == HopAnswer::Waiting)
    }
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

fn few(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// The reasons for the end of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It found enough.
    Enough,
    /// There was nobody left to ask.
    Exhausted,
    /// It reached its deadline.
    Deadline,
}

/// Running lookups by Kademlia's id, and the latest finished ones.
pub struct Traces<Id> {
    running: HashMap<Id, Running>,
    /// Finished lookups, oldest first.
    past: VecDeque<Trace>,
    past_hops: usize,
    next: u64,
    /// Finished lookups not yet taken by [`take_changes`](Self::take_changes).
    untold: usize,
}

impl<Id: Copy + Eq + Hashes> Default for Traces<Id> {
    fn default() -> Self {
        Self {
            running: HashMap::new(),
            past: VecDeque::new(),
            past_hops: 0,
            next: 1,
            untold: 0,
        }
    }
}

impl<Id: Copy + Eq + Hashes> Traces<Id> {
    /// Starts recording a lookup and returns its number. Returns `None` if it is already recorded
    /// or too many are.
    pub fn begin(
        &mut self,
        id: Id,
        kind: LookupKind,
        key: String,
        target: Hash,
        now: Timestamp,
        at: Instant,
    ) -> Option<u64> {
        if self.running.len() >= MAX_RUNNING || self.running.contains_key(&id) {
            return None;
        }
        let number = self.next;
        self.next += 1;
        let trace = Trace {
            id: number,
            kind,
            key,
            target,
            what: None,
            state: LookupState::Running,
            found: 0,
            own: false,
            started_at: now,
            took_us: None,
            hops: Vec::new(),
            more_hops: 0,
        };
        let (named, providers) = (HashSet::new(), HashSet::new());
        self.running.insert(
            id,
            Running {
                trace,
                began: at,
                named,
                providers,
                dirty: true,
            },
        );
        Some(number)
    }

    /// Sets the subject of a lookup.
    pub fn name(&mut self, id: &Id, what: String) {
        if let Some(running) = self.running.get_mut(id) {
            running.trace.what = Some(what);
        }
    }

    /// Returns the number of a running lookup.
    pub fn number(&self, id: &Id) -> Option<u64> {
        self.running.get(id).map(|running| running.trace.id)
    }

    /// Returns true while a lookup is running.
    pub fn is_running(&self, id: &Id) -> bool {
        self.running.contains_key(id)
    }

    /// Records a request. `target` is its target, which changes during a bootstrap.
    pub fn asked(&mut self, id: &Id, peer: PeerId, ask: HopRequest, target: &Hash, at: Instant) {
        self.ask(id, peer, ask, target, at, false);
    }

    /// Records that a peer is dialled for a request. Kademlia does not say for which lookup, so
    /// assume the youngest one that has heard of the peer, otherwise the youngest; an answer or a
    /// failure corrects it.
    pub fn dialling(&mut self, peer: PeerId, at: Instant) {
        let may = |running: &&Running| !running.trace.hops.iter().any(|hop| hop.peer == peer);
        let youngest = |named: bool| {
            let waits = self.running.iter().filter(|(_, running)| may(running));
            let waits = waits.filter(|(_, running)| !named || running.named.contains(&peer));
            waits
                .max_by_key(|(_, running)| running.trace.id)
                .map(|(id, _)| *id)
        };
        let Some(id) = youngest(true).or_else(|| youngest(false)) else {
            return;
        };
        let Some(running) = self.running.get(&id) else {
            return;
        };
        let ask = match running.trace.kind {
            LookupKind::Get => HopRequest::Get,
            LookupKind::Providers => HopRequest::Providers,
            LookupKind::Put | LookupKind::Provide | LookupKind::Closest | LookupKind::Bootstrap => {
                HopRequest::Find
            }
        };
        let target = running.trace.target;
        self.ask(&id, peer, ask, &target, at, true);
    }

    fn ask(
        &mut self,
        id: &Id,
        peer: PeerId,
        ask: HopRequest,
        target: &Hash,
        at: Instant,
        dialled: bool,
    ) {
        let Some(running) = self.running.get_mut(id) else {
            return;
        };
        running.dirty = true;
        running.named.insert(peer);
        if running.trace.hops.len() >= MAX_HOPS {
            running.trace.more_hops = running.trace.more_hops.saturating_add(1);
            return;
        }
        // A provider record has no answer.
        let told = ask == HopRequest::Provide;
        if told {
            running.trace.found += 1;
        }
        let hop = Hop {
            peer,
            ask,
            bits: distance_bits(&position(&peer), target),
            after_us: running.since(at),
            took_us: None,
            dialled,
            answer: if told {
                HopAnswer::Told
            } else {
                HopAnswer::Waiting
            },
            closer: 0,
            new: 0,
        };
        running.trace.hops.push(hop);
    }

    /// Records a peer's answer and the closer peers in it.
    pub fn answered<'a>(
        &mut self,
        id: &Id,
        peer: PeerId,
        answer: HopAnswer,
        closer: impl ExactSizeIterator<Item = &'a PeerId>,
        at: Instant,
    ) {
        let since = self.claim(id, &peer, at);
        let Some(running) = self.running.get_mut(id) else {
            return;
        };
        running.dirty = true;
        let (count, mut new) = (closer.len(), 0);
        for peer in closer {
            if running.named.len() < MAX_NAMED && running.named.insert(*peer) {
                new += 1;
            }
        }
        match answer {
            HopAnswer::Record | HopAnswer::Stored => running.trace.found += 1,
            _ if matches!(
                running.trace.kind,
                LookupKind::Closest | LookupKind::Bootstrap
            ) =>
            {
                running.trace.found += 1
            }
            _ => {}
        }
        let Some(hop) = running.open(&peer) else {
            return;
        };
        hop.took_us = since.map(|since| since.saturating_sub(hop.after_us));
        hop.answer = if answer == HopAnswer::Closer && count == 0 {
            HopAnswer::Nothing
        } else {
            answer
        };
        (hop.closer, hop.new) = (few(count), new);
    }

    /// Records providers that a lookup found.
    pub fn provided<'a>(&mut self, id: &Id, providers: impl Iterator<Item = &'a PeerId>) {
        let Some(running) = self.running.get_mut(id) else {
            return;
        };
        for peer in providers {
            if running.providers.len() < MAX_NAMED && running.providers.insert(*peer) {
                running.trace.found += 1;
                running.dirty = true;
            }
        }
    }

    /// Records that this node holds the record itself.
    pub fn has_own(&mut self, id: &Id) {
        if let Some(running) = self.running.get_mut(id) {
            (running.trace.own, running.dirty) = (true, true);
        }
    }

    /// Records that a peer's record does not verify.
    pub fn wrong(&mut self, id: &Id, peer: Option<&PeerId>) {
        let Some(running) = self.running.get_mut(id) else {
            return;
        };
        running.dirty = true;
        let Some(peer) = peer else {
            running.trace.own = false;
            return;
        };
        let given = running
            .trace
            .hops
            .iter_mut()
            .find(|hop| hop.peer == *peer && hop.answer == HopAnswer::Record);
        if let Some(hop) = given {
            hop.answer = HopAnswer::Wrong;
            running.trace.found = running.trace.found.saturating_sub(1);
        }
    }

    /// Records that a request to a peer failed.
    pub fn failed(&mut self, id: &Id, peer: PeerId, why: HopFailure, at: Instant) {
        let since = self.claim(id, &peer, at);
        let Some(running) = self.running.get_mut(id) else {
            return;
        };
        let Some(hop) = running.open(&peer) else {
            return;
        };
        hop.took_us = since.map(|since| since.saturating_sub(hop.after_us));
        hop.answer = HopAnswer::Failed(why);
        running.dirty = true;
    }

    /// Removes the dial of this peer from whichever lookup it was assigned to.
    pub fn not_dialled(&mut self, peer: &PeerId) {
        for running in self.running.values_mut() {
            let before = running.trace.hops.len();
            running.trace.hops.retain(|hop| {
                !(hop.peer == *peer && hop.dialled && hop.answer == HopAnswer::Waiting)
            });
            running.dirty |= running.trace.hops.len() < before;
        }
    }

    /// Moves a dial that was assigned to another lookup to the one that got its answer. Returns the
    /// time since that lookup began.
    fn claim(&mut self, id: &Id, peer: &PeerId, at: Instant) -> Option<u32> {
        let running = self.running.get_mut(id)?;
        let since = running.since(at);
        if running.open(peer).is_some() {
            return Some(since);
        }
        let (began, target, full) = (
            running.began,
            running.trace.target,
            running.trace.hops.len() >= MAX_HOPS,
        );
        let others = self.running.iter_mut().filter(|(other, _)| *other != id);
        let moved = others.into_iter().find_map(|(_, other)| {
            let at = other.trace.hops.iter().position(|hop| {
                hop.peer == *peer && hop.dialled && hop.answer == HopAnswer::Waiting
            })?;
            let hop = other.trace.hops.remove(at);
            other.dirty = true;
            Some((
                other.began + Duration::from_micros(u64::from(hop.after_us)),
                hop,
            ))
        });
        if let Some((asked, hop)) = moved.filter(|_| !full)
            && let Some(running) = self.running.get_mut(id)
        {
            let after_us = micros(asked.saturating_duration_since(began));
            running.trace.hops.push(Hop {
                after_us,
                bits: distance_bits(&position(peer), &target),
                ..hop
            });
            running.trace.hops.sort_by_key(|hop| hop.after_us);
        }
        Some(since)
    }

    /// Ends a lookup, once. Unanswered requests are marked with the reason.
    pub fn end(&mut self, id: &Id, end: End, at: Instant) {
        let Some(running) = self.running.remove(id) else {
            return;
        };
        let took = running.since(at);
        let Running { mut trace, .. } = running;
        let left = if end == End::Deadline {
            HopAnswer::Failed(HopFailure::TimedOut)
        } else {
            HopAnswer::NotAwaited
        };
        let answered = trace.hops.iter().any(|hop| hop.answer.came()) || trace.more_hops > 0;
        trace.state = match end {
            _ if trace.found > 0 || trace.own && trace.kind == LookupKind::Get => LookupState::Done,
            End::Enough => LookupState::Done,
            _ if !answered => LookupState::Unanswered,
            End::Deadline => LookupState::Late,
            End::Exhausted => LookupState::Missing,
        };
        trace
            .hops
            .iter_mut()
            .filter(|hop| hop.answer == HopAnswer::Waiting)
            .for_each(|hop| hop.answer = left);
        trace.hops.shrink_to_fit();
        trace.took_us = Some(took);
        self.past_hops += trace.hops.len();
        self.past.push_back(trace);
        while self.past.len() > MAX_PAST || self.past_hops > MAX_PAST_HOPS && self.past.len() > 1 {
            let Some(oldest) = self.past.pop_front() else {
                break;
            };
            self.past_hops -= oldest.hops.len();
        }
        self.untold = (self.untold + 1).min(self.past.len());
    }

    /// Returns all running and kept lookups, newest first.
    pub fn list(&self) -> Vec<Trace> {
        let running = self.running.values().map(|running| &running.trace);
        let mut all: Vec<Trace> = running.chain(&self.past).cloned().collect();
        all.sort_unstable_by_key(|trace| std::cmp::Reverse(trace.id));
        all
    }

    /// Returns a lookup by its number.
    pub fn get(&self, number: u64) -> Option<Trace> {
        let running = self.running.values().map(|running| &running.trace);
        self.past
            .iter()
            .rev()
            .chain(running)
            .find(|trace| trace.id == number)
            .cloned()
    }

    /// Returns the lookups that changed since the last call.
    pub fn take_changes(&mut self) -> Vec<Trace> {
        let ended = self
            .past
            .len()
            .saturating_sub(std::mem::take(&mut self.untold));
        let mut changed: Vec<Trace> = self.past.iter().skip(ended).cloned().collect();
        for running in self.running.values_mut().filter(|running| running.dirty) {
            running.dirty = false;
            changed.push(running.trace.clone());
        }
        changed
    }

    /// Makes the next changes contain everything, for a new reader.
    pub fn touch_all(&mut self) {
        self.untold = self.past.len();
        self.running
            .values_mut()
            .for_each(|running| running.dirty = true);
    }
}

#[cfg(test)]
mod tests;
