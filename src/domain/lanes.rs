//! Rate limits for each peer, counted separately for each kind of message.
//!
//! Forwarded messages are limited by author: those of known publishers have a lane of their own,
//! and among strangers those that sent nothing lately come first. An unknown neighbour may forward
//! no more messages of strangers than it may send itself, because it may have invented them all.

use std::{collections::HashMap, time::Duration};

use libp2p::PeerId;

use super::{allowance::Allowance, places::Caller, prefix::Prefix, time::Timestamp};

/// The most lanes that are remembered; those with most left are forgotten first.
pub const MAX_LANES: usize = 4_096;
/// Milliseconds that this node spends on one peer's requests: at once, and a second after that.
/// That is a tenth of a processor; a person who searches while typing uses a hundredth.
pub const ANSWERING: (f64, f64) = (6_000.0, 100.0);
/// A lane with a smaller share left than this is short: authors that used it lately have to wait,
/// the longer the shorter it is, up to [`LONGEST_REST`].
const SHORT: f64 = 0.5;
const LONGEST_REST: Duration = Duration::from_secs(60);

/// A kind of message that is counted for each sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Messages that it signed and sent itself: only these are certainly its own doing.
    Own,
    /// Messages that it signed and others forwarded, which anybody can repeat.
    Signed,
    /// Forwarded messages of publishers that are known here.
    Known,
    /// Messages of strangers, forwarded by a peer that has been good to ask.
    Strangers,
    /// Messages of strangers, forwarded by an unknown peer.
    UnknownsStrangers,
    /// Records that it asks this node to store.
    Stored,
    /// Provider records, of which a node announces fifty a second.
    Claimed,
    /// Hello messages.
    Greeted,
    /// Requests that arrived while it had too many open.
    Asked,
    /// Milliseconds that this node spent on its requests.
    Answering,
}

impl Lane {
    fn allowance(self, now: Timestamp) -> Allowance {
        match self {
            Self::Known | Self::Strangers | Self::Stored | Self::Claimed => Allowance::of_many(now),
            Self::Answering => Allowance::new(ANSWERING.0, ANSWERING.1, now),
            Self::Own | Self::Signed | Self::UnknownsStrangers | Self::Greeted | Self::Asked => {
                Allowance::received(now)
            }
        }
    }
}

/// The account to which a message is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Payer {
    Peer(PeerId),
    /// Shared by the unknown peers of a doubtful prefix.
    Prefix(Prefix),
}

/// A peer that sends. If its prefix is `doubtful`, the unknown peers there share a tenth of one
/// peer's allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The peer that sends.
    pub caller: Caller,
    /// Its prefix has several banned identities.
    pub doubtful: bool,
}

impl Sender {
    /// A peer about which nothing is known.
    #[cfg(test)]
    pub fn unknown(peer: PeerId) -> Self {
        Self {
            caller: Caller {
                peer,
                good: false,
                prefix: None,
            },
            doubtful: false,
        }
    }

    fn payer(&self) -> (Payer, bool) {
        match self
            .caller
            .prefix
            .filter(|_| self.doubtful && !self.caller.good)
        {
            Some(prefix) => (Payer::Prefix(prefix), true),
            None => (Payer::Peer(self.caller.peer), false),
        }
    }
}

/// The allowances of all senders.
#[derive(Debug, Default)]
pub struct Lanes(HashMap<(Payer, Lane), Allowance>);

impl Lanes {
    fn entry(&mut self, sender: &Sender, lane: Lane, now: Timestamp) -> &mut Allowance {
        let (payer, tenth) = sender.payer();
        let key = (payer, lane);
        if self.0.len() >= MAX_LANES && !self.0.contains_key(&key) {
            let idle = self
                .0
                .iter()
                .max_by(|(_, a), (_, b)| a.share(now).total_cmp(&b.share(now)));
            idle.map(|(key, _)| *key).map(|idle| self.0.remove(&idle));
        }
        self.0.entry(key).or_insert_with(|| {
            let whole = lane.allowance(now);
            if tenth { whole.tenth() } else { whole }
        })
    }

    /// Takes one token from a sender's lane. Returns false if there is none left.
    pub fn take(&mut self, sender: &Sender, lane: Lane, now: Timestamp) -> bool {
        self.entry(sender, lane, now).take(now)
    }

    /// Returns the tokens left in a sender's lane.
    pub fn left(&mut self, sender: &Sender, lane: Lane, now: Timestamp) -> f64 {
        self.entry(sender, lane, now).left(now)
    }

    /// Takes `amount` tokens afterwards, into debt if necessary.
    pub fn spend(&mut self, sender: &Sender, lane: Lane, amount: f64, now: Timestamp) {
        self.entry(sender, lane, now).spend(amount, now);
    }

    /// Returns true if a message of `author` that `via` forwarded is accepted. `known` says that
    /// its publisher is known here.
    pub fn relay(&mut self, via: &Sender, author: &Sender, known: bool, now: Timestamp) -> bool {
        let lane = match (known, via.caller.good) {
            (true, _) => Lane::Known,
            (false, true) => Lane::Strangers,
            (false, false) => Lane::UnknownsStrangers,
        };
        let through = self.entry(via, lane, now);
        // A new author is not even remembered if its message cannot be accepted.
        if through.left(now) < 1.0 {
            return false;
        }
        let short = (SHORT - through.share(now)).max(0.0) / SHORT;
        self.entry(author, Lane::Signed, now).rested(now) >= LONGEST_REST.mul_f64(short.min(1.0))
            && self.take(author, Lane::Signed, now)
            && self.take(via, lane, now)
    }

    /// Returns the number of lanes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if there are no lanes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn sender(good: bool, prefix: Option<u8>, doubtful: bool) -> Sender {
        let prefix = prefix.and_then(|n| Prefix::of(Ipv4Addr::new(81, 2, n, 1).into()));
        Sender {
            caller: Caller {
                peer: PeerId::random(),
                good,
                prefix,
            },
            doubtful,
        }
    }

    fn stranger() -> Sender {
        sender(false, None, false)
    }

    #[test]
    fn what_others_pass_on_of_a_peer_takes_nothing_from_what_it_may_send_itself() {
        let (mut lanes, peer) = (Lanes::default(), stranger());
        while lanes.take(&peer, Lane::Signed, NOW) {}
        assert!(
            lanes.take(&peer, Lane::Own, NOW),
            "old messages that somebody sends again are not its doing"
        );
        let taken = (0..100_000)
            .take_while(|_| lanes.take(&peer, Lane::Strangers, NOW))
            .count();
        assert!(taken > 5_000, "of a neighbour, what many sent: {taken}");
        for _ in 0..2 * MAX_LANES {
            lanes.take(&stranger(), Lane::Own, NOW);
        }
        assert_eq!(lanes.len(), MAX_LANES);
        assert!(
            !lanes.take(&peer, Lane::Signed, NOW),
            "those that have nothing left are remembered"
        );
    }

    /// Simulates three minutes in which strangers send as fast as they can through the neighbour of
    /// honest authors. `stay` identities send all they may, and `fresh_a_second` new ones send one
    /// message each. Returns accepted and sent announcements of honest authors.
    fn under_attack(good_neighbour: bool, stay: usize, fresh_a_second: usize) -> [(u32, u32); 2] {
        let (mut lanes, via) = (Lanes::default(), sender(good_neighbour, None, false));
        let (known, newcomer) = (stranger(), stranger());
        let strangers: Vec<Sender> = (0..stay).map(|_| stranger()).collect();
        let (mut taken, mut sent) = ([0; 2], [0; 2]);
        for tick in 0..1_800u64 {
            let now = NOW.after(Duration::from_millis(tick * 100));
            strangers
                .iter()
                .for_each(|one| while lanes.relay(&via, one, false, now) {});
            for _ in 0..fresh_a_second / 10 {
                lanes.relay(&via, &stranger(), false, now);
            }
            if tick > 600 && tick % 100 == 0 {
                for (at, (author, known)) in
                    [(&known, true), (&newcomer, false)].into_iter().enumerate()
                {
                    sent[at] += 1;
                    taken[at] += u32::from(lanes.relay(&via, author, known, now));
                }
            }
        }
        [(taken[0], sent[0]), (taken[1], sent[1])]
    }

    #[test]
    fn known_publishers_are_heard_whatever_strangers_send_and_newcomers_beside_loud_ones() {
        for good in [false, true] {
            let [known, newcomer] = under_attack(good, 44, 0);
            assert_eq!(
                (known.0, newcomer.0),
                (known.1, newcomer.1),
                "eleven names of each of four, at full speed"
            );
            let [known, _] = under_attack(good, 44, 300);
            assert_eq!(known.0, known.1, "three hundred new names a second");
        }
    }

    #[test]
    fn unknown_peers_of_a_doubtful_prefix_share_a_tenth_and_good_ones_have_all() {
        let mut lanes = Lanes::default();
        let count = |lanes: &mut Lanes, sender: &Sender| {
            (0..5_000)
                .filter(|_| lanes.take(sender, Lane::Own, NOW))
                .count()
        };
        assert_eq!(count(&mut lanes, &sender(false, Some(1), true)), 100);
        assert_eq!(
            count(&mut lanes, &sender(false, Some(1), true)),
            0,
            "it is shared"
        );
        assert_eq!(count(&mut lanes, &sender(true, Some(1), true)), 1_000);
        assert_eq!(count(&mut lanes, &sender(false, Some(2), false)), 1_000);
        assert_eq!(
            count(&mut lanes, &sender(false, None, true)),
            1_000,
            "a LAN is no prefix"
        );
    }

    #[test]
    fn time_is_owed_and_comes_back() {
        let (mut lanes, peer) = (Lanes::default(), stranger());
        lanes.spend(&peer, Lane::Answering, 8_000.0, NOW);
        assert!(lanes.left(&peer, Lane::Answering, NOW) < 0.0);
        let later = NOW.after(Duration::from_secs(60));
        assert_eq!(lanes.left(&peer, Lane::Answering, later).round(), 4_000.0);
    }

    proptest! {
        #[test]
        fn a_neighbour_brings_no_more_of_strangers_than_its_lane(
            steps in proptest::collection::vec((0usize..30, 0u64..200), 1..500), good in any::<bool>(),
        ) {
            let (mut lanes, via) = (Lanes::default(), sender(good, None, false));
            let authors: Vec<Sender> = (0..30).map(|_| stranger()).collect();
            let lane = if good { Lane::Strangers } else { Lane::UnknownsStrangers };
            let (mut now, mut taken) = (NOW, 0u32);
            for (author, wait) in steps {
                now = now.after(Duration::from_millis(wait));
                let before = lanes.left(&via, lane, now);
                let was = lanes.relay(&via, &authors[author], false, now);
                taken += u32::from(was);
                let cost = before - lanes.left(&via, lane, now);
                prop_assert!((cost - f64::from(u8::from(was))).abs() < 1e-6, "what is not taken \
                    costs nothing");
            }
            let whole = lane.allowance(NOW);
            prop_assert!(f64::from(taken) <= whole.left(NOW) + now.since(NOW).as_secs_f64() * 200.0);
        }
    }
}
