//! The open requests to peers. Each ends exactly once: with a response, a failure, or at its
//! deadline.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

use libp2p::PeerId;
use tokio::sync::oneshot;

use crate::domain::reputation::Outcome;
use crate::net::{query::protocol::Response, swarm::command::AskError};

/// Time in which any honest peer answers, however far away.
const FAIR: Duration = Duration::from_millis(1_500);

type ResponseSender = oneshot::Sender<Result<Response, AskError>>;

struct Open {
    peer: PeerId,
    sent: Instant,
    deadline: Instant,
    /// `None` for a hello, whose response the task itself uses.
    reply: Option<ResponseSender>,
}

/// A request that got its response.
pub struct AnsweredRequest {
    pub took: Duration,
    /// `None` for a hello.
    pub reply: Option<ResponseSender>,
}

/// A failed request, whose sender was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedRequest {
    pub peer: PeerId,
    /// The outcome for the peer's score, if it counts.
    pub outcome: Option<Outcome>,
    /// The least time that the peer took, if that says something about the peer.
    pub took_over: Option<Duration>,
}

pub struct Requests<Id>(HashMap<Id, Open>);

impl<Id: Copy + Eq + Hash> Requests<Id> {
    pub fn new() -> Self {
        Self(HashMap::new())
    }

    pub fn sent(
        &mut self,
        id: Id,
        peer: PeerId,
        reply: Option<ResponseSender>,
        deadline: Instant,
        now: Instant,
    ) {
        self.0.insert(
            id,
            Open {
                peer,
                sent: now,
                deadline,
                reply,
            },
        );
    }

    /// Ends a request with its response; `None` if it has ended before.
    pub fn answered(&mut self, id: &Id, now: Instant) -> Option<AnsweredRequest> {
        let open = self.0.remove(id)?;
        Some(AnsweredRequest {
            took: now.saturating_duration_since(open.sent),
            reply: open.reply,
        })
    }

    /// Ends a request without a response and tells its sender; `None` if it has ended before.
    pub fn failed(&mut self, id: &Id, error: AskError, now: Instant) -> Option<FailedRequest> {
        let open = self.0.remove(id)?;
        let waited = now.saturating_duration_since(open.sent);
        let outcome = match error {
            // A timeout that is too short says nothing about the peer.
            AskError::TimedOut if waited >= FAIR => Some(Outcome::AnswerLate),
            AskError::Unreachable => Some(Outcome::Unreachable),
            AskError::TimedOut | AskError::Busy | AskError::Refused => None,
        };
        // The sender may have gone.
        let _ = open.reply.map(|reply| reply.send(Err(error)));
        let took_over = (outcome == Some(Outcome::AnswerLate)).then_some(waited);
        Some(FailedRequest {
            peer: open.peer,
            outcome,
            took_over,
        })
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.0.values().map(|open| open.deadline).min()
    }

    /// Returns the requests that are past their deadline; [`Self::failed`] ends them.
    pub fn late(&self, now: Instant) -> Vec<Id> {
        self.0
            .iter()
            .filter(|(_, open)| open.deadline <= now)
            .map(|(id, _)| *id)
            .collect()
    }

    /// Returns the peers with an open request.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> {
        self.0.values().map(|open| open.peer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(
        deadline: Duration,
    ) -> (
        Requests<u8>,
        PeerId,
        Instant,
        oneshot::Receiver<Result<Response, AskError>>,
    ) {
        let (mut requests, peer, now) = (Requests::new(), PeerId::random(), Instant::now());
        let (reply, receiver) = oneshot::channel();
        requests.sent(1, peer, Some(reply), now + deadline, now);
        (requests, peer, now, receiver)
    }

    #[test]
    fn silence_counts_for_a_peer_only_after_a_fair_time() {
        for (waited, outcome) in [(FAIR, Some(Outcome::AnswerLate)), (FAIR / 2, None)] {
            let (mut requests, peer, now, mut receiver) = with(waited);
            assert!(
                requests.late(now).is_empty() && requests.next_deadline() == Some(now + waited)
            );
            let now = now + waited;
            assert_eq!(requests.late(now), [1]);
            let failed = requests.failed(&1, AskError::TimedOut, now);
            assert_eq!(
                failed,
                Some(FailedRequest {
                    peer,
                    outcome,
                    took_over: outcome.map(|_| waited)
                })
            );
            assert_eq!(receiver.try_recv().unwrap().err(), Some(AskError::TimedOut));
        }
    }

    #[test]
    fn a_peer_that_is_busy_or_refuses_has_answered() {
        for (error, outcome) in [
            (AskError::Busy, None),
            (AskError::Refused, None),
            (AskError::Unreachable, Some(Outcome::Unreachable)),
        ] {
            let (mut requests, peer, now, _receiver) = with(FAIR);
            assert_eq!(
                requests.failed(&1, error, now + 2 * FAIR),
                Some(FailedRequest {
                    peer,
                    outcome,
                    took_over: None
                })
            );
        }
    }

    #[test]
    fn a_request_whose_sender_is_gone_ends_as_any_other() {
        let (mut requests, _, now, receiver) = with(FAIR);
        drop(receiver);
        assert!(
            requests.failed(&1, AskError::Unreachable, now).is_some()
                && requests.next_deadline().is_none()
        );
    }

    proptest! {
        #[test]
        fn each_request_ends_once(steps in prop::collection::vec((0u8..3, 0u8..6), 0..60)) {
            let (mut requests, now) = (Requests::new(), Instant::now());
            let mut open = std::collections::HashSet::new();
            for (what, id) in steps {
                match what {
                    0 if open.insert(id) => requests.sent(id, PeerId::random(), None, now, now),
                    1 => prop_assert_eq!(requests.answered(&id, now).is_some(), open.remove(&id)),
                    2 => prop_assert_eq!(requests.failed(&id, AskError::Busy, now).is_some(), open.remove(&id)),
                    _ => {}
                }
                prop_assert_eq!(requests.peers().count(), open.len());
                prop_assert_eq!(requests.late(now).len(), open.len());
            }
        }
    }
}
