//! What peers do, written down: evidence for their score, faults for the ledger, and what follows from these.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use libp2p::PeerId;
use tokio::sync::oneshot;

use super::task::Task;
use crate::{
    bus::Level,
    clock,
    domain::{
        allowance::Allowance,
        faults::{Fault, Ledger, Ruling, Sentence, Sheet},
        name::short_id,
        reputation::Outcome,
        time::Timestamp,
    },
};

/// Peers of whom it is remembered how much they sent; those that may send most are forgotten first.
const MAX_ALLOWANCES: usize = 4_096;

/// What is counted of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// Messages that it signed and sent itself: only these are certainly its own doing.
    Own,
    /// Messages that it signed and others passed on, which anybody can do again with old ones.
    Signed,
    /// Messages that it passed on, whoever signed them: names to sign with cost nothing.
    PassedOn,
    /// Records that it wants kept.
    Stored,
    /// Hellos.
    Greeted,
    /// Questions that came while it had too many open.
    Asked,
}

/// How much each may send.
#[derive(Default)]
pub(super) struct Allowances(HashMap<(PeerId, Lane), Allowance>);

impl Allowances {
    /// Takes one of a peer's; false when it has none left.
    pub fn take(&mut self, peer: PeerId, lane: Lane, now: Timestamp) -> bool {
        let key = (peer, lane);
        if self.0.len() >= MAX_ALLOWANCES && !self.0.contains_key(&key) {
            let idle =
                self.0.iter().max_by(|(_, a), (_, b)| a.share(now).total_cmp(&b.share(now))).map(|(key, _)| *key);
            idle.map(|idle| self.0.remove(&idle));
        }
        let new = || match lane {
            Lane::PassedOn | Lane::Stored => Allowance::of_many(now),
            _ => Allowance::received(now),
        };
        self.0.entry(key).or_insert_with(new).take(now)
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
        let peers: Vec<_> = self.peers.ours().map(|peer| (peer, self.peers.group(&peer))).collect();
        let sentence = self.conduct.ledger.note(peer, fault, self.peers.group(&peer), &peers, now);
        tracing::debug!(%peer, fault = fault.label(), ?sentence, "a fault");
        self.sheet_changed(peer, now);
        match sentence {
            Sentence::Noted => {}
            Sentence::Disconnect => {
                tracing::info!(%peer, fault = fault.label(), "disconnected for its faults");
                let _ = self.swarm.disconnect_peer_id(peer);
            }
            Sentence::Spared => {
                let doubted = self.conduct.ledger.doubted(now).len();
                let text = format!(
                    "{doubted} of {} peers seem to break a rule ({}): more of them than lie, so this node may apply it wrongly; \
                     they are asked last, not banned; update this node, and report it with its log",
                    peers.len().max(doubted),
                    fault.label(),
                );
                tracing::error!(%peer, "{text}");
                self.notice(Level::Error, text);
                let _ = self.swarm.disconnect_peer_id(peer);
            }
            Sentence::Ban(ban) => {
                let counts = self.conduct.ledger.sheet(&peer).map(|sheet| sheet.counts.clone()).unwrap_or_default();
                let counts: Vec<String> =
                    counts.into_iter().map(|(fault, count)| format!("{count} × {}", fault.label())).collect();
                let long = ban.until.map_or(Duration::ZERO, |until| until.since(now));
                let text = format!(
                    "{} is banned for {} min: {}; `swarmdex peers unban {peer}` takes it back",
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

    /// A person has said something about a peer; false when it changes nothing. They are told when it is on the disk.
    pub(super) fn obey(&mut self, peer: PeerId, ruling: Ruling, reply: oneshot::Sender<bool>) {
        let now = clock::now();
        let changed = self.conduct.ledger.obey(peer, ruling, now);
        self.sheet_changed(peer, now);
        if matches!(ruling, Ruling::Ban { .. }) {
            self.shut_out(&peer);
        }
        let (sheets, store) = (self.conduct.take_changed(), self.wiring.store.clone());
        self.write(async move {
            let written = store.write_ledger(sheets).await;
            // Without an answer, whoever asked is told that the node could not.
            if written.is_ok() {
                let _ = reply.send(changed);
            }
            written
        });
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
        let doubted = ledger.doubted(now);
        self.wiring.doubted.send_if_modified(|told| {
            *told != doubted && {
                *told = doubted;
                true
            }
        });
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
        // The others are shown when they connect: they shall not take the place of those that are remembered for better.
        let is_told = |sheet: &Sheet| sheet.protected || sheet.ban(now).is_some();
        let told = self.conduct.ledger.all().filter(|(_, sheet)| is_told(sheet));
        let sheets: Vec<(PeerId, Sheet)> = told.map(|(peer, sheet)| (*peer, sheet.clone())).collect();
        sheets.into_iter().for_each(|(peer, sheet)| self.peers.set_sheet(peer, Some(sheet), now));
        self.set_gate(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_pass_on_of_a_peer_takes_nothing_from_what_it_may_send_itself() {
        let (mut allowances, peer, now) = (Allowances::default(), PeerId::random(), Timestamp(1));
        while allowances.take(peer, Lane::Signed, now) {}
        assert!(allowances.take(peer, Lane::Own, now), "old messages that somebody sends again are not its doing");
        let taken = (0..100_000).take_while(|_| allowances.take(peer, Lane::PassedOn, now)).count();
        assert!(taken > 5_000, "of a neighbour, what many sent: {taken}");
        for _ in 0..2 * MAX_ALLOWANCES {
            allowances.take(PeerId::random(), Lane::Own, now);
        }
        assert_eq!(allowances.0.len(), MAX_ALLOWANCES);
        assert!(!allowances.take(peer, Lane::Signed, now), "those that have nothing left are remembered");
    }
}
