//! Penalties: evidence for peer scores, faults in the ledger, and the bans that follow. A state
//! machine without I/O: it takes events and returns orders for the task.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use libp2p::PeerId;

use crate::net::peers::table::PeerTable;
use crate::{
    bus::Level,
    domain::{
        faults::{PeerBan, PeerFault, Penalty, PenaltyLedger, PenaltyRecord, Ruling},
        name::short_id,
        prefix::Prefix,
        reputation::Outcome,
        time::Timestamp,
    },
    metrics::Metrics,
};

/// An event that counts for or against a peer.
#[derive(Clone, Copy, Debug)]
pub enum PenaltyEvent {
    /// A request, record or transfer of the peer had this outcome.
    Observed(PeerId, Outcome),
    Fault(PeerId, PeerFault),
    /// The peer supplied the requested content.
    Gave(PeerId),
    /// The peer answered a ping after this time, at this instant.
    Pong(PeerId, Duration, Instant),
    /// The node starts, with the ledger loaded from the disk.
    Start,
    /// Time has passed.
    Due,
}

/// An action for the task.
#[derive(Clone, Debug, PartialEq)]
pub enum PenaltyAction {
    Disconnect(PeerId),
    /// Remove the peer from the routing table.
    Unroute(PeerId),
    /// Replace the sets of peers that the gate admits and refuses.
    Admit(AdmissionLists),
    /// Ask these peers last and count them in no quorum.
    Doubt(HashSet<PeerId>),
    /// The connected peer supplied something and may have become good, which gives it the places of
    /// a good peer.
    Promote(PeerId),
    /// Show a message to the person.
    Notice(Level, String),
}

/// The peers that the gate admits or refuses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdmissionLists {
    pub banned: HashSet<PeerId>,
    /// Prefixes with so many banned identities that their unknown peers share one place.
    pub doubtful: HashSet<Prefix>,
    /// Peers that are admitted even from a doubtful prefix. Empty while no prefix is doubtful.
    pub good: HashSet<PeerId>,
}

/// The ledger, and the peers whose entries are not written to the disk yet.
pub struct Penalties {
    ledger: PenaltyLedger,
    unwritten: HashSet<PeerId>,
    metrics: Metrics,
}

impl Penalties {
    pub fn new(ledger: PenaltyLedger, metrics: Metrics) -> Self {
        Self {
            ledger,
            unwritten: HashSet::new(),
            metrics,
        }
    }

    pub fn ledger(&self) -> &PenaltyLedger {
        &self.ledger
    }

    /// Takes an event and returns the actions for it, in order.
    pub fn on(
        &mut self,
        event: PenaltyEvent,
        peers: &mut PeerTable,
        now: Timestamp,
    ) -> Vec<PenaltyAction> {
        match event {
            PenaltyEvent::Observed(peer, outcome) => self.observe(peer, outcome, peers, now),
            PenaltyEvent::Fault(peer, fault) => self.fault(peer, fault, peers, now),
            PenaltyEvent::Gave(peer) => self.gave(peer, peers, now),
            PenaltyEvent::Pong(peer, rtt, at) if peers.round_trip(peer, rtt, (now, at)) => {
                self.fault(peer, PeerFault::Stalling, peers, now)
            }
            PenaltyEvent::Pong(..) => Vec::new(),
            PenaltyEvent::Start => self.start(peers, now),
            PenaltyEvent::Due => {
                for peer in self.ledger.settle(now) {
                    self.enter(peer, peers, now);
                }
                self.admission(peers, now)
            }
        }
    }

    /// Applies a person's decision about a peer. Returns whether it changes anything, and the
    /// actions for it.
    pub fn rule(
        &mut self,
        peer: PeerId,
        ruling: Ruling,
        peers: &mut PeerTable,
        now: Timestamp,
    ) -> (bool, Vec<PenaltyAction>) {
        let changed = self.ledger.apply(peer, ruling, now);
        let mut orders = self.sheet_changed(peer, peers, now);
        if matches!(ruling, Ruling::Ban { .. }) {
            orders.extend([
                PenaltyAction::Disconnect(peer),
                PenaltyAction::Unroute(peer),
            ]);
        }
        (changed, orders)
    }

    /// Returns the entries to write: each peer's, or `None` for a peer that is forgotten.
    pub fn take_unwritten(&mut self) -> Vec<(PeerId, Option<PenaltyRecord>)> {
        let unwritten = std::mem::take(&mut self.unwritten);
        unwritten
            .into_iter()
            .map(|peer| (peer, self.ledger.sheet(&peer).cloned()))
            .collect()
    }

    fn observe(
        &mut self,
        peer: PeerId,
        outcome: Outcome,
        peers: &mut PeerTable,
        now: Timestamp,
    ) -> Vec<PenaltyAction> {
        peers.observe(peer, outcome, now);
        let mut orders = match outcome {
            // A peer that stalls still answers the next ping; one that is cut off does not.
            Outcome::AnswerLate | Outcome::ContentLate => {
                peers.silent(&peer);
                Vec::new()
            }
            Outcome::AnswerRight | Outcome::ContentRight => self.gave(peer, peers, now),
            _ => Vec::new(),
        };
        if let Some(fault) = PeerFault::of(outcome) {
            orders.extend(self.fault(peer, fault, peers, now));
        }
        orders
    }

    fn gave(&mut self, peer: PeerId, peers: &mut PeerTable, now: Timestamp) -> Vec<PenaltyAction> {
        peers.spoke(&peer);
        let mut orders = Vec::new();
        if peers.is_connected(&peer) {
            orders.push(PenaltyAction::Promote(peer));
        }
        if self.ledger.amend(&peer, now) {
            orders.extend(self.sheet_changed(peer, peers, now));
        }
        orders
    }

    fn fault(
        &mut self,
        peer: PeerId,
        fault: PeerFault,
        peers: &mut PeerTable,
        now: Timestamp,
    ) -> Vec<PenaltyAction> {
        self.metrics.faulted(fault);
        let connected: Vec<_> = peers
            .ours()
            .map(|peer| (peer, peers.group(&peer)))
            .collect();
        let sentence = self
            .ledger
            .note(peer, fault, peers.group(&peer), &connected, now);
        tracing::debug!(%peer, fault = fault.label(), ?sentence, "a fault");
        let mut orders = self.sheet_changed(peer, peers, now);
        match sentence {
            Penalty::Noted => {}
            Penalty::Disconnect => {
                tracing::info!(%peer, fault = fault.label(), "disconnected for its faults");
                orders.push(PenaltyAction::Disconnect(peer));
            }
            Penalty::Spared => {
                let text = self.told_of_sparing(fault, connected.len(), now);
                tracing::error!(%peer, "{text}");
                orders.extend([
                    PenaltyAction::Notice(Level::Error, text),
                    PenaltyAction::Disconnect(peer),
                ]);
            }
            Penalty::Ban(ban) => {
                let text = self.told_of_ban(peer, &ban, now);
                tracing::warn!(%peer, "{text}");
                self.metrics.banned();
                orders.extend([
                    PenaltyAction::Notice(Level::Warning, text),
                    PenaltyAction::Disconnect(peer),
                    PenaltyAction::Unroute(peer),
                ]);
            }
        }
        orders
    }

    fn told_of_sparing(&self, fault: PeerFault, connected: usize, now: Timestamp) -> String {
        let doubted = self.ledger.doubted(now).len();
        format!(
            "{doubted} of {} peers seem to break a rule ({}): more of them than lie, so this node \
             may apply it wrongly; \
             they are asked last, not banned; update this node, and report it with its log",
            connected.max(doubted),
            fault.label(),
        )
    }

    fn told_of_ban(&self, peer: PeerId, ban: &PeerBan, now: Timestamp) -> String {
        let counts = self
            .ledger
            .sheet(&peer)
            .map(|sheet| &sheet.counts)
            .into_iter()
            .flatten();
        let counts: Vec<String> = counts
            .map(|(fault, count)| format!("{count} × {}", fault.label()))
            .collect();
        let long = ban.until.map_or(Duration::ZERO, |until| until.since(now));
        format!(
            "{} is banned for {} min: {}; `swarmdex peers unban {peer}` takes it back",
            short_id(&peer),
            long.as_secs().div_ceil(60),
            counts.join(", ")
        )
    }

    /// Updates a peer's entry in the peer table and marks it to be written.
    fn enter(&mut self, peer: PeerId, peers: &mut PeerTable, now: Timestamp) {
        peers.set_sheet(peer, self.ledger.sheet(&peer).cloned(), now);
        self.unwritten.insert(peer);
    }

    fn sheet_changed(
        &mut self,
        peer: PeerId,
        peers: &mut PeerTable,
        now: Timestamp,
    ) -> Vec<PenaltyAction> {
        self.enter(peer, peers, now);
        self.admission(peers, now)
    }

    /// Returns the peers to admit, refuse and doubt now; bans and doubts expire.
    fn admission(&self, peers: &PeerTable, now: Timestamp) -> Vec<PenaltyAction> {
        let ledger = &self.ledger;
        let banned = ledger
            .all()
            .filter(|(_, sheet)| sheet.ban(now).is_some())
            .map(|(peer, _)| *peer)
            .collect();
        let doubtful: HashSet<Prefix> = ledger.doubtful(now).into_keys().collect();
        let good = if doubtful.is_empty() {
            HashSet::new()
        } else {
            self.good(peers, now)
        };
        vec![
            PenaltyAction::Admit(AdmissionLists {
                banned,
                doubtful,
                good,
            }),
            PenaltyAction::Doubt(ledger.doubted(now)),
        ]
    }

    /// Returns the peers that are not affected by their neighbours' faults.
    fn good(&self, peers: &PeerTable, now: Timestamp) -> HashSet<PeerId> {
        let protected = self
            .ledger
            .all()
            .filter(|(_, sheet)| sheet.protected)
            .map(|(peer, _)| *peer);
        peers.good(now).chain(protected).collect()
    }

    fn start(&mut self, peers: &mut PeerTable, now: Timestamp) -> Vec<PenaltyAction> {
        // Load only banned and protected peers, so the table keeps room for good ones. Others are
        // loaded when they connect.
        let is_loaded = |sheet: &PenaltyRecord| sheet.protected || sheet.ban(now).is_some();
        for (peer, sheet) in self.ledger.all().filter(|(_, sheet)| is_loaded(sheet)) {
            peers.set_sheet(*peer, Some(sheet.clone()), now);
        }
        self.admission(peers, now)
    }
}

#[cfg(test)]
mod tests {
    use libp2p::{Multiaddr, swarm::ConnectionId};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        domain::{prefix::Classes, reputation::Weights},
        geoip::Atlas,
        net::peers::place::PlacingContext,
    };

    const NOW: Timestamp = Timestamp(1_700_000_000_000);
    const BAN: Duration = Duration::from_secs(1_800);

    /// Creates penalties and a peer table with this many connected peers, each on its own prefix.
    fn with(count: usize) -> (Penalties, PeerTable, Vec<PeerId>) {
        let bearings = PlacingContext {
            atlas: Atlas::default(),
            here: None,
            judged: true,
        };
        let mut table = PeerTable::new(
            Vec::new(),
            Weights::default(),
            Metrics::default(),
            bearings,
            Classes::ByRange,
            NOW,
        );
        let ids: Vec<PeerId> = (0..count)
            .map(|n| {
                let (peer, address) = (
                    PeerId::random(),
                    format!("/ip4/81.{}.69.1/tcp/4001", n % 200),
                );
                let address: Multiaddr = address.parse().unwrap();
                table.connected(
                    peer,
                    ConnectionId::new_unchecked(n),
                    &address,
                    true,
                    (NOW, Instant::now()),
                );
                table.identified(peer, "swarmdex", vec![address], Vec::new(), NOW);
                peer
            })
            .collect();
        (
            Penalties::new(PenaltyLedger::new([], BAN, NOW), Metrics::default()),
            table,
            ids,
        )
    }

    fn admission(orders: &[PenaltyAction]) -> AdmissionLists {
        let all = orders.iter().rev().find_map(|order| match order {
            PenaltyAction::Admit(admission) => Some(admission.clone()),
            _ => None,
        });
        all.unwrap_or_default()
    }

    fn doubted(orders: &[PenaltyAction]) -> HashSet<PeerId> {
        let all = orders.iter().rev().find_map(|order| match order {
            PenaltyAction::Doubt(peers) => Some(peers.clone()),
            _ => None,
        });
        all.unwrap_or_default()
    }

    fn after(seconds: u64) -> Timestamp {
        NOW.after(Duration::from_secs(seconds))
    }

    #[test]
    fn two_forged_records_ban_a_peer_until_its_time_is_over() {
        let (mut penalties, mut table, ids) = with(6);
        let forged = PenaltyEvent::Observed(ids[0], Outcome::RecordInvalid);
        let first = penalties.on(forged, &mut table, NOW);
        assert!(
            !first.contains(&PenaltyAction::Unroute(ids[0])) && admission(&first).banned.is_empty()
        );
        let second = penalties.on(forged, &mut table, NOW);
        assert!(
            second.contains(&PenaltyAction::Disconnect(ids[0]))
                && second.contains(&PenaltyAction::Unroute(ids[0]))
        );
        let told = second.iter().any(
            |order| matches!(order, PenaltyAction::Notice(Level::Warning, text) if text.contains("30 min: 2 × forged record")),
        );
        assert!(told, "{second:?}");
        assert_eq!(admission(&second).banned, HashSet::from([ids[0]]));
        let unwritten = penalties.take_unwritten();
        assert!(
            unwritten.len() == 1 && unwritten[0].1.as_ref().is_some_and(|sheet| sheet.bans == 1)
        );
        assert!(penalties.take_unwritten().is_empty(), "they are taken once");

        let later = penalties.on(PenaltyEvent::Due, &mut table, after(BAN.as_secs() - 1));
        assert_eq!(admission(&later).banned.len(), 1);
        let over = penalties.on(PenaltyEvent::Due, &mut table, after(BAN.as_secs() + 1));
        assert!(admission(&over).banned.is_empty());
    }

    #[test]
    fn only_a_peer_that_answers_pings_and_no_question_stalls() {
        let (mut penalties, mut table, ids) = with(6);
        let pong = PenaltyEvent::Pong(ids[0], Duration::from_millis(20), Instant::now());
        for second in 0..100 {
            // A peer that answers nothing is disconnected; one that is never asked owes nothing.
            penalties.on(
                PenaltyEvent::Observed(ids[1], Outcome::AnswerLate),
                &mut table,
                after(second),
            );
            assert!(
                penalties
                    .on(
                        PenaltyEvent::Pong(ids[2], Duration::ZERO, Instant::now()),
                        &mut table,
                        after(second)
                    )
                    .is_empty()
            );
        }
        assert!(penalties.ledger().all().next().is_none());
        let mut silences = 0;
        loop {
            silences += 1;
            let at = after(silences * 10);
            penalties.on(
                PenaltyEvent::Observed(ids[0], Outcome::AnswerLate),
                &mut table,
                at,
            );
            if penalties
                .on(pong, &mut table, at)
                .contains(&PenaltyAction::Unroute(ids[0]))
            {
                break;
            }
        }
        assert_eq!(silences, 10);
    }

    #[test]
    fn a_right_answer_takes_back_silence_and_earns_places() {
        let (mut penalties, mut table, ids) = with(6);
        for second in 0..9 {
            penalties.on(
                PenaltyEvent::Observed(ids[0], Outcome::ContentLate),
                &mut table,
                after(second),
            );
            penalties.on(
                PenaltyEvent::Pong(ids[0], Duration::ZERO, Instant::now()),
                &mut table,
                after(second),
            );
        }
        let orders = penalties.on(
            PenaltyEvent::Observed(ids[0], Outcome::ContentRight),
            &mut table,
            after(9),
        );
        assert!(
            orders
                .iter()
                .any(|order| *order == PenaltyAction::Promote(ids[0]))
        );
        penalties.on(
            PenaltyEvent::Observed(ids[0], Outcome::AnswerLate),
            &mut table,
            after(10),
        );
        let orders = penalties.on(
            PenaltyEvent::Pong(ids[0], Duration::ZERO, Instant::now()),
            &mut table,
            after(10),
        );
        assert!(
            admission(&orders).banned.is_empty(),
            "the nine before are forgiven"
        );
    }

    #[test]
    fn a_person_bans_protects_and_takes_it_back() {
        let (mut penalties, mut table, ids) = with(3);
        let (changed, banned) =
            penalties.rule(ids[0], Ruling::Ban { seconds: None }, &mut table, NOW);
        assert!(changed);
        assert!(
            banned.contains(&PenaltyAction::Disconnect(ids[0]))
                && banned.contains(&PenaltyAction::Unroute(ids[0]))
        );
        assert!(admission(&banned).banned.contains(&ids[0]));
        let (changed, unbanned) = penalties.rule(ids[0], Ruling::Unban, &mut table, NOW);
        assert!(changed && !penalties.rule(ids[0], Ruling::Unban, &mut table, NOW).0);
        assert!(
            admission(&unbanned).banned.is_empty()
                && !unbanned.contains(&PenaltyAction::Disconnect(ids[0]))
        );
        assert!(penalties.rule(ids[0], Ruling::Protect, &mut table, NOW).0);
        for _ in 0..10 {
            let orders = penalties.on(
                PenaltyEvent::Fault(ids[0], PeerFault::ForgedRecord),
                &mut table,
                NOW,
            );
            assert!(
                admission(&orders).banned.is_empty()
                    && !orders.contains(&PenaltyAction::Disconnect(ids[0]))
            );
        }
    }

    #[test]
    fn a_rule_that_most_peers_seem_to_break_bans_a_third_and_doubts_the_rest() {
        let (mut penalties, mut table, ids) = with(12);
        let mut last = Vec::new();
        for peer in &ids {
            for _ in 0..4 {
                last = penalties.on(
                    PenaltyEvent::Observed(*peer, Outcome::AnswerWrong),
                    &mut table,
                    NOW,
                );
            }
        }
        let banned = admission(&last).banned;
        assert!(
            !banned.is_empty() && banned.len() <= ids.len() / 3,
            "{}",
            banned.len()
        );
        assert_eq!(banned.len() + doubted(&last).len(), ids.len());
        assert!(
            last.iter()
                .any(|order| matches!(order, PenaltyAction::Notice(Level::Error, _)))
        );
        // Forged bytes have no cap on the ban.
        for peer in &ids {
            for _ in 0..2 {
                last = penalties.on(
                    PenaltyEvent::Fault(*peer, PeerFault::ForgedRecord),
                    &mut table,
                    NOW,
                );
            }
        }
        assert_eq!(admission(&last).banned.len(), ids.len());
    }

    #[test]
    fn what_was_on_the_disk_holds_from_the_start() {
        let (mut before, mut table, ids) = with(4);
        before.rule(
            ids[0],
            Ruling::Ban {
                seconds: Some(3_600),
            },
            &mut table,
            NOW,
        );
        before.rule(ids[1], Ruling::Protect, &mut table, NOW);
        before.on(
            PenaltyEvent::Fault(ids[2], PeerFault::WrongAnswer),
            &mut table,
            NOW,
        );
        let sheets = before
            .take_unwritten()
            .into_iter()
            .filter_map(|(peer, sheet)| Some((peer, sheet?)));
        let mut penalties =
            Penalties::new(PenaltyLedger::new(sheets, BAN, NOW), Metrics::default());
        let (_, mut table, _) = with(0);
        let orders = penalties.on(PenaltyEvent::Start, &mut table, NOW);
        assert_eq!(admission(&orders).banned, HashSet::from([ids[0]]));
        assert_eq!(
            table.len(),
            2,
            "what is neither banned nor protected is loaded when it connects"
        );
        assert!(penalties.take_unwritten().is_empty());
    }

    fn event() -> impl Strategy<Value = (usize, u8, u64)> {
        (0usize..8, 0u8..9, 0u64..600)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whoever_is_banned_is_refused_and_nobody_else_is(steps in prop::collection::vec(event(), 1..120)) {
            let (mut penalties, mut table, ids) = with(8);
            let mut now = NOW;
            for (who, what, pause) in steps {
                now = now.after(Duration::from_secs(pause));
                let peer = ids[who];
                let ruling = match what {
                    5 => Some(Ruling::Ban { seconds: Some(60) }),
                    6 => Some(Ruling::Protect),
                    _ => None,
                };
                if let Some(ruling) = ruling {
                    penalties.rule(peer, ruling, &mut table, now);
                }
                let event = match what {
                    0 => PenaltyEvent::Observed(peer, Outcome::RecordInvalid),
                    1 => PenaltyEvent::Observed(peer, Outcome::AnswerWrong),
                    2 => PenaltyEvent::Observed(peer, Outcome::AnswerLate),
                    3 => PenaltyEvent::Pong(peer, Duration::from_millis(30), Instant::now()),
                    4 => PenaltyEvent::Observed(peer, Outcome::AnswerRight),
                    7 => PenaltyEvent::Fault(peer, PeerFault::Flooding),
                    _ => PenaltyEvent::Due,
                };
                penalties.on(event, &mut table, now);
                let orders = penalties.on(PenaltyEvent::Due, &mut table, now);
                let held: HashSet<PeerId> =
                    ids.iter().copied().filter(|peer| penalties.ledger().ban(peer, now).is_some()).collect();
                prop_assert_eq!(admission(&orders).banned, held);
                prop_assert_eq!(doubted(&orders), penalties.ledger().doubted(now));
            }
        }
    }
}
