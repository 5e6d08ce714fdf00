//! What peers do, written down: evidence for their score, faults for the ledger, and what follows from these.

use std::{collections::HashSet, time::Duration};

use libp2p::PeerId;
use tokio::sync::oneshot;

use super::task::Task;
use crate::{
    bus::Level,
    clock,
    domain::{
        faults::{Fault, Ledger, Ruling, Sentence, Sheet},
        lanes::{Lane, Sender},
        name::short_id,
        reputation::Outcome,
        time::Timestamp,
    },
};

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

    /// A peer as one that sends, with what is held against its neighbours.
    pub(super) fn sender(&self, peer: PeerId) -> Sender {
        let caller = self.wiring.callers.of(peer);
        let doubtful = &self.swarm.behaviour().gate.doubtful;
        Sender { caller, doubtful: caller.prefix.is_some_and(|prefix| doubtful.contains(&prefix)) }
    }

    /// Takes one of what a peer may send; false when it has none left.
    pub(super) fn allowed(&mut self, peer: PeerId, lane: Lane) -> bool {
        let sender = self.sender(peer);
        self.lanes.take(&sender, lane, clock::now())
    }

    /// A peer gave what it was asked for.
    pub(super) fn spoke(&mut self, peer: PeerId) {
        self.peers.spoke(&peer);
        let now = clock::now();
        if self.peers.is_connected(&peer) && !self.wiring.callers.of(peer).good {
            self.wiring.callers.set(self.peers.caller(peer, now));
        }
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

    /// Bans and doubts end as time goes by.
    fn set_gate(&mut self, now: Timestamp) {
        let ledger = &self.conduct.ledger;
        let banned = ledger.all().filter(|(_, sheet)| sheet.ban(now).is_some()).map(|(peer, _)| *peer).collect();
        let doubtful = ledger.doubtful(now).into_keys().collect();
        // Who is good matters only where there is doubt.
        let good = if ledger.doubtful(now).is_empty() { HashSet::new() } else { self.good(now) };
        let gate = &mut self.swarm.behaviour_mut().gate;
        (gate.banned, gate.doubtful, gate.good) = (banned, doubtful, good);
        for peer in gate.beyond() {
            tracing::info!(%peer, "disconnected: several of its prefix are banned, and another unknown peer has the place");
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let doubted = self.conduct.ledger.doubted(now);
        self.wiring.doubted.send_if_modified(|told| {
            *told != doubted && {
                *told = doubted;
                true
            }
        });
    }

    /// Peers that are untouched by what their neighbours do.
    fn good(&self, now: Timestamp) -> HashSet<PeerId> {
        let protected = self.conduct.ledger.all().filter(|(_, sheet)| sheet.protected).map(|(peer, _)| *peer);
        self.peers.good(now).chain(protected).collect()
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
