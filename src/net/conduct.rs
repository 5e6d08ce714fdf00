//! What peers do, written down: evidence for their score, faults for the ledger, and what follows from these.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use libp2p::PeerId;

use super::task::Task;
use crate::{
    bus::Level,
    clock,
    domain::{
        faults::{Allowance, Fault, Ledger, Ruling, Sentence, Sheet},
        name::short_id,
        reputation::Outcome,
        time::Timestamp,
    },
};

/// Peers of whom it is remembered how much they sent; those that may send most are forgotten first.
const MAX_ALLOWANCES: usize = 4_096;

/// How much each may send, by who signed it or who passed it on.
#[derive(Default)]
pub(super) struct Allowances(HashMap<PeerId, Allowance>);

impl Allowances {
    /// Takes one of a peer's; false when it has none left.
    pub fn take(&mut self, peer: PeerId, now: Timestamp) -> bool {
        if self.0.len() >= MAX_ALLOWANCES && !self.0.contains_key(&peer) {
            let idle =
                self.0.iter().max_by(|(_, a), (_, b)| a.left(now).total_cmp(&b.left(now))).map(|(peer, _)| *peer);
            idle.map(|idle| self.0.remove(&idle));
        }
        self.0.entry(peer).or_insert_with(|| Allowance::received(now)).take(now)
    }
}

/// The ledger, and what of it is not on the disk yet.
pub(super) struct Conduct {
    pub ledger: Ledger,
    changed: HashSet<PeerId>,
}

impl Conduct {
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger, changed: HashSet::new() }
    }

    /// What is to be written: a peer's sheet, or nothing for one that is forgotten.
    fn take_changed(&mut self) -> Vec<(PeerId, Option<Sheet>)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|peer| (peer, self.ledger.sheet(&peer).cloned())).collect()
    }
}

impl Task {
    /// Takes down what a peer did.
    pub(super) fn observe(&mut self, peer: PeerId, outcome: Outcome) {
        let now = clock::now();
        self.peers.observe(peer, outcome, now);
        match outcome {
            // Whether it stalls, or is cut off, shows when it answers a ping or does not.
            Outcome::AnswerLate | Outcome::ContentLate => self.peers.silent(&peer),
            Outcome::AnswerRight | Outcome::ContentRight => self.spoke(peer),
            _ => {}
        }
        if let Some(fault) = Fault::of(outcome) {
            self.fault(peer, fault);
        }
    }

    /// A peer gave what it was asked for.
    pub(super) fn spoke(&mut self, peer: PeerId) {
        self.peers.spoke(&peer);
        let now = clock::now();
        if self.conduct.ledger.amend(&peer, now) {
            self.sheet_changed(peer, now);
        }
    }

    /// A peer answered a ping.
    pub(super) fn ponged(&mut self, peer: PeerId, rtt: Duration) {
        if self.peers.round_trip(peer, rtt, clock::now()) {
            self.fault(peer, Fault::Stalling);
        }
    }

    pub(super) fn fault(&mut self, peer: PeerId, fault: Fault) {
        let now = clock::now();
        self.wiring.metrics.faulted(fault);
        let sentence = self.conduct.ledger.note(peer, fault, self.peers.group(&peer), now);
        tracing::debug!(%peer, fault = fault.label(), ?sentence, "a fault");
        self.sheet_changed(peer, now);
        match sentence {
            Sentence::Noted => {}
            Sentence::Disconnect => {
                tracing::info!(%peer, fault = fault.label(), "disconnected for its faults");
                let _ = self.swarm.disconnect_peer_id(peer);
            }
            Sentence::Ban(ban) => {
                let counts = self.conduct.ledger.sheet(&peer).map(|sheet| sheet.counts.clone()).unwrap_or_default();
                let counts: Vec<String> =
                    counts.into_iter().map(|(fault, count)| format!("{count} × {}", fault.label())).collect();
                let long = ban.until.map_or(Duration::ZERO, |until| until.since(now));
                let text = format!(
                    "{} is banned for {} min: {}; 1 shows it, and `swarmdex peers unban` takes it back",
                    short_id(&peer),
                    long.as_secs().div_ceil(60),
                    counts.join(", ")
                );
                tracing::warn!(%peer, "{text}");
                self.wiring.metrics.banned();
                self.notice(Level::Warning, text);
                self.shut_out(&peer);
            }
        }
    }

    /// A person has said something about a peer; false when it changes nothing.
    pub(super) fn obey(&mut self, peer: PeerId, ruling: Ruling) -> bool {
        let now = clock::now();
        let changed = self.conduct.ledger.obey(peer, ruling, now);
        self.sheet_changed(peer, now);
        if matches!(ruling, Ruling::Ban { .. }) {
            self.shut_out(&peer);
        }
        changed
    }

    fn shut_out(&mut self, peer: &PeerId) {
        let _ = self.swarm.disconnect_peer_id(*peer);
        self.swarm.behaviour_mut().kad.remove_peer(peer);
    }

    fn sheet_changed(&mut self, peer: PeerId, now: Timestamp) {
        let sheet = self.conduct.ledger.sheet(&peer).cloned();
        self.peers.set_sheet(peer, sheet, now);
        self.conduct.changed.insert(peer);
        self.set_gate(now);
    }

    /// Bans end and prefixes open as time goes by.
    fn set_gate(&mut self, now: Timestamp) {
        let ledger = &self.conduct.ledger;
        let of =
            |is: &dyn Fn(&Sheet) -> bool| ledger.all().filter(|(_, sheet)| is(sheet)).map(|(peer, _)| *peer).collect();
        let (banned, protected) = (of(&|sheet| sheet.ban(now).is_some()), of(&|sheet| sheet.protected));
        let closed = ledger.closed(now).into_keys().collect();
        let gate = &mut self.swarm.behaviour_mut().gate;
        (gate.banned, gate.protected, gate.closed) = (banned, protected, closed);
    }

    /// Forgives what is to be forgiven, and writes what changed.
    pub(super) fn settle_conduct(&mut self) {
        let now = clock::now();
        for peer in self.conduct.ledger.settle(now) {
            self.sheet_changed(peer, now);
        }
        self.set_gate(now);
        let sheets = self.conduct.take_changed();
        if !sheets.is_empty() {
            let store = self.wiring.store.clone();
            self.write(async move { store.write_ledger(sheets).await });
        }
    }

    /// What the ledger had when the node started.
    pub(super) fn open_ledger(&mut self) {
        let now = clock::now();
        let sheets: Vec<(PeerId, Sheet)> =
            self.conduct.ledger.all().map(|(peer, sheet)| (*peer, sheet.clone())).collect();
        sheets.into_iter().for_each(|(peer, sheet)| self.peers.set_sheet(peer, Some(sheet), now));
        self.set_gate(now);
    }
}
