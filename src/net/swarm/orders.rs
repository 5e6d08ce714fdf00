//! The task's side of the penalties: it passes events to them and executes their orders.

use std::time::{Duration, Instant};

use libp2p::PeerId;
use tokio::sync::oneshot;

use crate::domain::{
    faults::{PeerFault, Ruling},
    lanes::{Lane, Sender},
    reputation::Outcome,
};
use crate::net::{
    peers::penalties::{PenaltyAction, PenaltyEvent},
    swarm::task::Task,
};

impl Task {
    /// Passes an event to the penalties and executes their orders.
    pub fn penalise(&mut self, event: PenaltyEvent) {
        let orders = self.penalties.on(event, &mut self.peers, self.clock.now());
        orders.into_iter().for_each(|order| self.carry_out(order));
    }

    pub fn observe(&mut self, peer: PeerId, outcome: Outcome) {
        self.penalise(PenaltyEvent::Observed(peer, outcome));
    }

    pub fn fault(&mut self, peer: PeerId, fault: PeerFault) {
        self.penalise(PenaltyEvent::Fault(peer, fault));
    }

    pub fn ponged(&mut self, peer: PeerId, rtt: Duration) {
        self.penalise(PenaltyEvent::Pong(peer, rtt, Instant::now()));
    }

    /// Applies a person's decision about a peer. Replies once it is on the disk; false if it
    /// changes nothing.
    pub fn moderate(&mut self, peer: PeerId, ruling: Ruling, reply: oneshot::Sender<bool>) {
        let (changed, orders) =
            self.penalties
                .rule(peer, ruling, &mut self.peers, self.clock.now());
        orders.into_iter().for_each(|order| self.carry_out(order));
        let (sheets, store) = (self.penalties.take_unwritten(), self.wiring.store.clone());
        self.writes.push(async move {
            let written = store.write_ledger(sheets).await;
            // If writing fails, no reply is sent, and the person is told of the failure.
            if written.is_ok() {
                let _ = reply.send(changed);
            }
            written
        });
    }

    /// Queues a write of the changed ledger entries.
    pub fn write_penalties(&mut self) {
        let sheets = self.penalties.take_unwritten();
        if !sheets.is_empty() {
            let store = self.wiring.store.clone();
            self.writes
                .push(async move { store.write_ledger(sheets).await });
        }
    }

    fn carry_out(&mut self, order: PenaltyAction) {
        match order {
            PenaltyAction::Disconnect(peer) => drop(self.swarm.disconnect_peer_id(peer)),
            PenaltyAction::Unroute(peer) => drop(self.swarm.behaviour_mut().kad.remove_peer(&peer)),
            PenaltyAction::Admit(admission) => {
                let gate = &mut self.swarm.behaviour_mut().gate;
                gate.lists = admission;
                for peer in gate.beyond() {
                    tracing::info!(%peer, "disconnected: its prefix has several bans and another unknown peer");
                    let _ = self.swarm.disconnect_peer_id(peer);
                }
            }
            PenaltyAction::Doubt(peers) => {
                self.wiring.doubted.send_if_modified(|told| {
                    *told != peers && {
                        *told = peers;
                        true
                    }
                });
            }
            PenaltyAction::Promote(peer) => {
                if !self.wiring.callers.of(peer).good {
                    self.wiring
                        .callers
                        .set(self.peers.caller(peer, self.clock.now()));
                }
            }
            PenaltyAction::Notice(level, text) => self.notice(level, text),
        }
    }

    /// Returns a peer as a sender, with the doubts about its prefix.
    pub fn sender(&self, peer: PeerId) -> Sender {
        let caller = self.wiring.callers.of(peer);
        let doubtful = &self.swarm.behaviour().gate.lists.doubtful;
        Sender {
            caller,
            doubtful: caller
                .prefix
                .is_some_and(|prefix| doubtful.contains(&prefix)),
        }
    }

    /// Takes a message of this kind from the peer's allowance; false if none is left.
    pub fn allowed(&mut self, peer: PeerId, lane: Lane) -> bool {
        let sender = self.sender(peer);
        self.lanes.take(&sender, lane, self.clock.now())
    }
}
