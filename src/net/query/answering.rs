//! Decides which requests of peers are answered, immediately or by the registry, and how much time
//! each peer gets. A state machine without I/O.

use std::time::{Duration, Instant};

use super::protocol::{MAX_OBJECTS, MAX_PACKAGES, Request, Response};
use crate::{
    domain::{
        faults::PeerFault,
        lanes::{Lane, Lanes, Sender},
        places::{PoolFull, PoolSize, SlotId, SlotPool},
        time::Timestamp,
    },
    metrics::TurnedAway,
};

/// Most requests answered at once, in all and of one peer. A slot is held for the duration of the
/// answer, which is bounded, so no slot is lost for being idle.
const QUESTIONS: PoolSize = PoolSize {
    places: 128,
    of_a_peer: 8,
    yields: false,
};
/// Longest time for one request, within the peer's allowance. A search of half a million packages
/// takes a tenth of a second.
const MOST_ANSWERING: Duration = Duration::from_secs(2);

/// An action of the task for a request and the peer that sent it.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerAction {
    /// Greet the peer in return.
    Greet,
    Reply(Response),
    /// Let the registry answer within this time.
    HandOver(SlotId, Duration),
    /// Count a request that was turned away for this reason.
    TurnedAway(TurnedAway),
    /// Record a fault of the peer.
    Fault(PeerFault),
}

/// The requests that are being answered.
pub struct Answering(SlotPool);

impl Answering {
    pub fn new() -> Self {
        Self(SlotPool::new(QUESTIONS))
    }

    /// Takes a peer's request and returns the actions for it, in order.
    pub fn on(
        &mut self,
        request: &Request,
        sender: &Sender,
        lanes: &mut Lanes,
        (now, instant): (Timestamp, Instant),
    ) -> Vec<AnswerAction> {
        match request {
            // Verifying the claim in a hello takes time.
            Request::Hello(_) if !lanes.take(sender, Lane::Greeted, now) => {
                vec![AnswerAction::Reply(Response::Busy)]
            }
            Request::Hello(_) => vec![AnswerAction::Greet],
            Request::Objects(hashes) if hashes.len() > MAX_OBJECTS => {
                vec![AnswerAction::Reply(Response::Refused)]
            }
            Request::Heads(packages) if packages.len() > MAX_PACKAGES => {
                vec![AnswerAction::Reply(Response::Refused)]
            }
            _ => self.question(sender, lanes, (now, instant)),
        }
    }

    fn question(
        &mut self,
        sender: &Sender,
        lanes: &mut Lanes,
        (now, instant): (Timestamp, Instant),
    ) -> Vec<AnswerAction> {
        let left = lanes.left(sender, Lane::Answering, now);
        let mut orders = Vec::new();
        if left < 1.0 {
            orders.push(AnswerAction::TurnedAway(TurnedAway::Time));
        } else {
            match self.0.take(sender.caller, instant) {
                Ok((place, _)) => {
                    let time = Duration::from_secs_f64(left / 1_000.0).min(MOST_ANSWERING);
                    return vec![AnswerAction::HandOver(place, time)];
                }
                Err(full) => {
                    orders.push(AnswerAction::TurnedAway(TurnedAway::Question));
                    if full == PoolFull::Peer && !lanes.take(sender, Lane::Asked, now) {
                        orders.push(AnswerAction::Fault(PeerFault::Flooding));
                    }
                }
            }
        }
        orders.push(AnswerAction::Reply(Response::Busy));
        orders
    }

    /// Ends a request that the registry answered, and charges the time to its peer.
    pub fn answered(
        &mut self,
        place: SlotId,
        sender: &Sender,
        took: Duration,
        lanes: &mut Lanes,
        now: Timestamp,
    ) {
        self.0.give_back(place);
        let millis = took.as_secs_f64() * 1_000.0;
        lanes.spend(sender, Lane::Answering, millis, now);
    }

    /// Ends a request that the registry had no room for.
    pub fn turned_away(&mut self, place: SlotId) {
        self.0.give_back(place);
    }
}

#[cfg(test)]
mod tests {
    use libp2p::PeerId;
    use proptest::prelude::*;

    use super::*;
    use crate::{domain::hash::Hash, net::protocol::Hello};

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn setting() -> (Sender, Lanes, Answering) {
        let sender = Sender::unknown(PeerId::random());
        (sender, Lanes::default(), Answering::new())
    }

    fn objects(count: usize) -> Request {
        Request::Objects(vec![Hash::of(b"one"); count])
    }

    #[test]
    fn a_peer_is_greeted_back_until_it_greets_too_often() {
        let (sender, mut lanes, mut answering) = setting();
        let hello = Request::Hello(Hello::default());
        let now = (NOW, Instant::now());
        let mut greeted = 0;
        let last = loop {
            let orders = answering.on(&hello, &sender, &mut lanes, now);
            if orders != [AnswerAction::Greet] {
                break orders;
            }
            greeted += 1;
        };
        assert!(greeted > 1);
        assert_eq!(last, [AnswerAction::Reply(Response::Busy)]);
    }

    #[test]
    fn too_much_at_once_is_refused() {
        let (sender, mut lanes, mut answering) = setting();
        let now = (NOW, Instant::now());
        let mut ask = |count| answering.on(&objects(count), &sender, &mut lanes, now);
        assert_eq!(
            ask(MAX_OBJECTS + 1),
            [AnswerAction::Reply(Response::Refused)]
        );
        assert!(matches!(
            ask(MAX_OBJECTS).as_slice(),
            [AnswerAction::HandOver(..)]
        ));
    }

    #[test]
    fn a_ninth_question_waits_its_turn_and_a_flood_of_them_is_a_fault() {
        let (sender, mut lanes, mut answering) = setting();
        let now = (NOW, Instant::now());
        let mut ask = || answering.on(&objects(1), &sender, &mut lanes, now);
        for _ in 0..QUESTIONS.of_a_peer {
            assert!(matches!(ask().as_slice(), [AnswerAction::HandOver(..)]));
        }
        let busy = [
            AnswerAction::TurnedAway(TurnedAway::Question),
            AnswerAction::Reply(Response::Busy),
        ];
        assert_eq!(ask(), busy);
        let faults =
            (0..10_000).filter(|_| ask().contains(&AnswerAction::Fault(PeerFault::Flooding)));
        assert!(faults.count() > 0);
    }

    #[test]
    fn a_peer_that_used_up_its_time_has_some_again_later() {
        let (sender, mut lanes, mut answering) = setting();
        let instant = Instant::now();
        let asked = answering.on(&objects(1), &sender, &mut lanes, (NOW, instant));
        let [AnswerAction::HandOver(place, _)] = asked.as_slice() else {
            panic!("{asked:?}");
        };
        answering.answered(*place, &sender, Duration::from_secs(60), &mut lanes, NOW);
        let mut ask = |now| answering.on(&objects(1), &sender, &mut lanes, (now, instant));
        assert_eq!(
            ask(NOW),
            [
                AnswerAction::TurnedAway(TurnedAway::Time),
                AnswerAction::Reply(Response::Busy)
            ]
        );
        let later = NOW.after(Duration::from_secs(3_600));
        assert!(matches!(
            ask(later).as_slice(),
            [AnswerAction::HandOver(..)]
        ));
    }

    proptest! {
        /// Every request is answered once: immediately, or by the registry within its time.
        #[test]
        fn every_question_is_answered_once(ends in proptest::collection::vec(any::<bool>(), 1..200)) {
            let (sender, mut lanes, mut answering) = setting();
            let instant = Instant::now();
            let mut open = Vec::new();
            for end in ends {
                if end && let Some(place) = open.pop() {
                    let took = Duration::from_millis(10);
                    answering.answered(place, &sender, took, &mut lanes, NOW);
                }
                let orders = answering.on(&objects(1), &sender, &mut lanes, (NOW, instant));
                let answers = orders.iter().filter(|order| match order {
                    AnswerAction::HandOver(place, time) => {
                        open.push(*place);
                        *time <= MOST_ANSWERING
                    }
                    order => matches!(order, AnswerAction::Reply(_)),
                });
                prop_assert_eq!(answers.count(), 1);
                prop_assert!(open.len() <= QUESTIONS.of_a_peer);
            }
        }
    }
}
