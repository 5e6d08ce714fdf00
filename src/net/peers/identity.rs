//! What speaks against it that each identity is one node's: a data directory that was copied makes
//! two nodes with one key, and at a bootstrap address another node may answer than the one that was
//! named.
//!
//! Two nodes with one key never meet by themselves: libp2p dials nobody with its own id, and mDNS
//! and Kademlia name none to itself. So each looks at the bootstrap addresses that name its own
//! key, and those who are connected with both tell them. That is their word: it is shown, and
//! nothing is done about it.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId};

/// What was seen so long ago may have been put right.
const HOLDS: Duration = Duration::from_secs(600);
/// Addresses that name this node's own key are looked at this often.
pub const LOOK_EVERY: Duration = Duration::from_secs(120);
/// Whoever dialled itself hears itself knock within this.
const ECHO: Duration = Duration::from_secs(3);
/// Starts of a peer that are remembered.
const STARTS: usize = 4;

/// What a peer's hello says of its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It is the first, or the same as before.
    Known,
    /// It is another than before.
    Restarted,
    /// Two nodes have its key.
    Twins,
}

/// The numbers that a peer said it drew when it started, newest last.
#[derive(Clone, Debug, Default)]
pub struct Starts(VecDeque<u64>);

impl Starts {
    /// Takes the number that a hello said. Two nodes say hello by turns, and one that restarted
    /// never says again what it said before. 0 is said by nodes that draw none.
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

/// Another node than the one that was named answers at an address.
#[derive(Clone, Debug, PartialEq)]
struct Misnamed {
    at: Instant,
    address: Multiaddr,
    obtained: PeerId,
}

#[derive(Default)]
pub struct Identities {
    /// When another node was last known to run with this node's key, and how.
    twin: Option<(Instant, String)>,
    /// An address at which this node's own key answered, which may be this node.
    answered: Option<(Instant, Multiaddr)>,
    /// When somebody with this node's own key knocked, which may be this node, and from where.
    knocked: Option<(Instant, Multiaddr)>,
    /// When a connection from somebody came to nothing, as this node's own do. The side that is
    /// called is mostly told of a handshake that broke off, and not whose it was.
    broken: Option<Instant>,
    /// When this node last dialled an address at which it may be itself, or was answered.
    looked: Option<Instant>,
    misnamed: HashMap<PeerId, Misnamed>,
}

impl Identities {
    /// This node dials an address that names its own key.
    pub fn looks(&mut self, now: Instant) {
        self.looked = Some(now);
    }

    /// This node's own key answered there.
    pub fn answered(&mut self, address: Multiaddr, now: Instant) {
        (self.answered, self.looked) = (Some((now, address)), Some(now));
    }

    /// Somebody with this node's own key came from there.
    pub fn knocked(&mut self, address: Multiaddr, now: Instant) {
        self.knocked = Some((now, address));
        self.broken(now);
    }

    /// A connection from somebody came to nothing.
    pub fn broken(&mut self, now: Instant) {
        self.broken = Some(now);
    }

    /// A peer says that it is connected with two nodes of this key.
    pub fn told(&mut self, by: &PeerId, now: Instant) {
        self.twin = Some((now, format!("{by} is connected with both")));
    }

    /// Another one than `expected` answered.
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

    /// Whether another one answers at the address of a peer.
    pub fn is_misnamed(&self, peer: &PeerId) -> bool {
        self.misnamed.contains_key(peer)
    }

    /// The one that was expected is connected.
    pub fn met(&mut self, peer: &PeerId) {
        self.misnamed.remove(peer);
    }

    /// Makes up its mind about what was heard, and forgets what is too old.
    pub fn settle(&mut self, now: Instant) {
        let age = |at: &Instant| now.saturating_duration_since(*at);
        // An answer without anybody at the own door is somebody else's, and so is a knock of whom
        // this node did not call.
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

    /// How another node is known to run with this node's key.
    pub fn twin(&self) -> Option<&str> {
        self.twin.as_ref().map(|(_, how)| how.as_str())
    }

    /// An address at which another node answers than the one that was named, and its id.
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
