//! Detects identities that are not unique: a copied data directory makes two nodes share one key,
//! and a bootstrap address may be answered by another node than the one it names.
//!
//! Two nodes with one key never meet by themselves: libp2p dials no peer with its own id, and mDNS
//! and Kademlia report no node to itself. So each node dials the bootstrap addresses that name its
//! own key, and peers that are connected with both nodes tell them. Their word is shown to the
//! person but has no other effect.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId};

/// Observations expire after this long: the cause may have been fixed.
const HOLDS: Duration = Duration::from_secs(600);
/// The interval at which bootstrap addresses with this node's own key are dialled.
pub const LOOK_EVERY: Duration = Duration::from_secs(120);
/// A node that dials itself sees the incoming connection within this time.
const ECHO: Duration = Duration::from_secs(3);
/// Number of starts remembered of a peer.
const STARTS: usize = 4;

/// The conclusion from the start number in a peer's hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It is the first one, or the same as before.
    Known,
    /// The peer restarted.
    Restarted,
    /// Two nodes share its key.
    Twins,
}

/// The latest start numbers of a peer, newest last.
#[derive(Clone, Debug, Default)]
pub struct Starts(VecDeque<u64>);

impl Starts {
    /// Adds the start number of a hello. Two nodes with one key take turns to say hello, while a
    /// restarted node never repeats an earlier number. Nodes without start numbers send 0.
    pub fn said(&mut self, start: u64) -> Start {
        if start == 0 || self.0.back() == Some(&start) {
            return Start::Known;
        }
        let is_first = self.0.is_empty();
        let again = self.0.iter().position(|one| *one == start);
        if let Some(at) = again {
            self.0.remove(at);
        } else if self.0.len() >= STARTS {
            self.0.pop_front();
        }
        self.0.push_back(start);
        match (is_first, again) {
            (true, _) => Start::Known,
            (false, None) => Start::Restarted,
            (false, Some(_)) => Start::Twins,
        }
    }
}

/// An address that another node answers than the one it names.
#[derive(Clone, Debug, PartialEq)]
struct Misnamed {
    at: Instant,
    address: Multiaddr,
    obtained: PeerId,
}

#[derive(Default)]
pub struct Identities {
    /// The last evidence of another node with this node's key: its time and a description.
    twin: Option<(Instant, String)>,
    /// An address that answered with this node's own key; it may be this node.
    answered: Option<(Instant, Multiaddr)>,
    /// The last incoming connection with this node's own key, which may be this node, and its
    /// address.
    knocked: Option<(Instant, Multiaddr)>,
    /// The last incoming connection that failed, as this node's own do. The accepting side usually
    /// sees only that a handshake broke off, and not whose.
    broken: Option<Instant>,
    /// The last time this node dialled an address that may be its own, or got an answer from one.
    looked: Option<Instant>,
    misnamed: HashMap<PeerId, Misnamed>,
}

impl Identities {
    /// Notes that this node dials an address with its own key.
    pub fn looks(&mut self, now: Instant) {
        self.looked = Some(now);
    }

    /// Notes that this node's own key answered at an address.
    pub fn answered(&mut self, address: Multiaddr, now: Instant) {
        (self.answered, self.looked) = (Some((now, address)), Some(now));
    }

    /// Notes an incoming connection with this node's own key.
    pub fn knocked(&mut self, address: Multiaddr, now: Instant) {
        self.knocked = Some((now, address));
        self.broken(now);
    }

    /// Notes an incoming connection that failed.
    pub fn broken(&mut self, now: Instant) {
        self.broken = Some(now);
    }

    /// Notes that a peer says it is connected with two nodes of this key.
    pub fn told(&mut self, by: &PeerId, now: Instant) {
        self.twin = Some((now, format!("{by} is connected with both")));
    }

    /// Notes that another node than `expected` answered.
    pub fn misnamed(
        &mut self,
        expected: PeerId,
        obtained: PeerId,
        address: Multiaddr,
        now: Instant,
    ) {
        self.misnamed.insert(
            expected,
            Misnamed {
                at: now,
                address,
                obtained,
            },
        );
    }

    /// Returns true if another node answers at the address of a peer.
    pub fn is_misnamed(&self, peer: &PeerId) -> bool {
        self.misnamed.contains_key(peer)
    }

    /// Notes that the expected peer is connected.
    pub fn met(&mut self, peer: &PeerId) {
        self.misnamed.remove(peer);
    }

    /// Draws the conclusions from the observations, and drops old ones.
    pub fn settle(&mut self, now: Instant) {
        let age = |at: &Instant| now.saturating_duration_since(*at);
        // If an own key answered but no connection came in here, another node answered; and if one
        // came in that this node did not dial, another node dialled.
        if let Some((at, address)) = self.answered.take_if(|(at, _)| age(at) > ECHO)
            && !self.broken.is_some_and(|broken| is_near(broken, at))
        {
            self.twin = Some((at, format!("it answers at {address}")));
        }
        if let Some((at, address)) = self.knocked.take_if(|(at, _)| age(at) > ECHO * 2)
            && !self.looked.is_some_and(|looked| is_near(looked, at))
        {
            self.twin = Some((at, format!("it came from {address}")));
        }
        self.twin.take_if(|(at, _)| age(at) > HOLDS);
        self.misnamed.retain(|_, one| age(&one.at) <= HOLDS);
    }

    /// Returns the evidence that another node runs with this node's key.
    pub fn twin(&self) -> Option<&str> {
        self.twin.as_ref().map(|(_, how)| how.as_str())
    }

    /// Returns an address that another node answers, and the id of that node.
    pub fn strange(&self) -> Option<(String, String)> {
        let first = self
            .misnamed
            .values()
            .min_by_key(|one| one.address.to_string())?;
        Some((first.address.to_string(), first.obtained.to_string()))
    }
}

fn is_near(one: Instant, other: Instant) -> bool {
    one.max(other) - one.min(other) <= ECHO
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Multiaddr {
        "/ip4/10.0.0.1/tcp/4807".parse().unwrap()
    }

    #[test]
    fn two_nodes_that_say_hello_by_turns_are_two_and_restarts_are_one() {
        use Start::{Known, Restarted, Twins};
        let mut starts = Starts::default();
        let said = [7, 7, 8, 9, 9, 0, 10].map(|start| starts.said(start));
        assert_eq!(
            said,
            [Known, Known, Restarted, Restarted, Known, Known, Restarted]
        );
        let mut twins = Starts::default();
        let said = [1, 2, 1, 2, 2].map(|start| twins.said(start));
        assert_eq!(
            said,
            [Known, Restarted, Twins, Twins, Known],
            "in the end only one is left"
        );
        let mut restarting = Starts::default();
        let said = [1, 2, 3, 1].map(|start| restarting.said(start));
        assert_eq!(
            said,
            [Known, Restarted, Restarted, Twins],
            "one of the two restarts"
        );
    }

    #[test]
    fn whoever_hears_itself_is_alone() {
        let (start, mut alone) = (Instant::now(), Identities::default());
        let after = |seconds| start + Duration::from_secs(seconds);
        alone.looks(start);
        alone.answered(address(), after(1));
        alone.broken(after(1));
        (0..20).for_each(|seconds| alone.settle(after(seconds)));
        assert_eq!(alone.twin(), None);
    }

    #[test]
    fn an_answer_without_a_knock_and_a_knock_without_a_call_are_a_twins() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let (mut calls, mut called) = (Identities::default(), Identities::default());
        calls.looks(start);
        calls.answered(address(), after(1));
        called.knocked(address(), after(1));
        for seconds in 0..20 {
            calls.settle(after(seconds));
            called.settle(after(seconds));
        }
        assert!(
            calls
                .twin()
                .is_some_and(|how| how.contains("answers at /ip4/10.0.0.1")),
            "{:?}",
            calls.twin()
        );
        assert!(
            called
                .twin()
                .is_some_and(|how| how.contains("came from /ip4/10.0.0.1")),
            "{:?}",
            called.twin()
        );
        calls.settle(after(HOLDS.as_secs() + 5));
        assert_eq!(calls.twin(), None, "it was stopped");
    }

    #[test]
    fn a_bootstrap_that_is_another_node_is_named_until_the_right_one_comes() {
        let (now, mut identities) = (Instant::now(), Identities::default());
        let (expected, obtained) = (PeerId::random(), PeerId::random());
        identities.misnamed(expected, obtained, address(), now);
        assert_eq!(
            identities.strange(),
            Some((address().to_string(), obtained.to_string()))
        );
        identities.met(&expected);
        assert_eq!(identities.strange(), None);
    }
}
