//! Slots of bounded pools: content streams, sync sessions, requests.
//!
//! Identities are free, so unknown peers get half of the slots at most and one public prefix an
//! eighth. The other half is for peers that have been good to ask. A slot is kept by moving bytes:
//! if none is free, an idle peer loses its slot.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;

use super::prefix::Prefix;

/// Bytes a second that keep a slot: half of what an old modem moves.
pub const PACE: u64 = 2 * 1_024;
/// A slot that has been idle this long is given to a peer that wants one.
pub const IDLE: Duration = Duration::from_secs(10);
/// Unknown peers of one public prefix hold at most one in this many slots.
const SHARE_OF_A_PREFIX: usize = 8;

/// The size of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSize {
    /// The number of slots.
    pub places: usize,
    /// The most slots of one peer.
    pub of_a_peer: usize,
    /// Idle slots are taken away if none is free.
    pub yields: bool,
}

impl PoolSize {
    /// Returns the most slots that all unknown peers together may hold.
    pub fn of_unknown(self) -> usize {
        self.places / 2
    }

    /// Returns the most slots that unknown peers of one prefix may hold.
    pub fn of_a_prefix(self) -> usize {
        (self.places / SHARE_OF_A_PREFIX).max(1)
    }
}

/// A peer that asks for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The peer.
    pub peer: PeerId,
    /// It has been good to ask, or a person protects it.
    pub good: bool,
    /// Its public prefix; `None` on a private network or if unknown.
    pub prefix: Option<Prefix>,
}

/// The number of a slot, never reused.
pub type SlotId = u64;

/// The reason why no slot was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolFull {
    /// The peer holds as many as one may.
    Peer,
    /// All slots it may use are taken by others.
    Pool,
}

#[derive(Clone, Copy, Debug)]
struct TakenSlot {
    caller: Caller,
    /// The bytes moved pay for the slot up to this time.
    paid: Instant,
    bytes: u64,
}

/// The slots of a pool that are taken.
#[derive(Debug)]
pub struct SlotPool {
    size: PoolSize,
    held: HashMap<SlotId, TakenSlot>,
    next: SlotId,
}

impl SlotPool {
    /// Creates a pool with all slots free.
    pub fn new(size: PoolSize) -> Self {
        Self {
            size,
            held: HashMap::new(),
            next: 0,
        }
    }

    /// Gives a slot, and returns the one that was taken away for it, if any.
    ///
    /// # Errors
    /// There is none for this peer.
    pub fn take(
        &mut self,
        caller: Caller,
        now: Instant,
    ) -> Result<(SlotId, Option<SlotId>), PoolFull> {
        let of = |is: &dyn Fn(&Caller) -> bool| {
            self.held.values().filter(|held| is(&held.caller)).count()
        };
        if of(&|other| other.peer == caller.peer) >= self.size.of_a_peer {
            return Err(PoolFull::Peer);
        }
        let of_prefix = |other: &Caller| {
            !other.good && caller.prefix.is_some() && other.prefix == caller.prefix
        };
        let of_unknown = |other: &Caller| !other.good;
        // The limit that was reached decides which slots may be taken away: no other peer pays for
        // a crowded prefix, nor good peers for strangers.
        let room_from: Option<&dyn Fn(&Caller) -> bool> =
            if !caller.good && of(&of_prefix) >= self.size.of_a_prefix() {
                Some(&of_prefix)
            } else if !caller.good && of(&of_unknown) >= self.size.of_unknown() {
                Some(&of_unknown)
            } else if self.held.len() < self.size.places {
                None
            } else if caller.good {
                Some(&|_| true)
            } else {
                Some(&of_unknown)
            };
        let instead = match room_from {
            None => None,
            Some(is) => {
                let may_go =
                    |held: &TakenSlot| self.size.yields && is(&held.caller) && is_idle(held, now);
                let idle = self.held.iter().filter(|(_, held)| may_go(held));
                let idlest = idle
                    .min_by_key(|(place, held)| (held.paid, **place))
                    .map(|(place, _)| *place);
                Some(idlest.ok_or(PoolFull::Pool)?)
            }
        };
        instead.map(|place| self.held.remove(&place));
        let place = self.next;
        self.next = self.next.wrapping_add(1);
        self.held.insert(
            place,
            TakenSlot {
                caller,
                paid: now,
                bytes: 0,
            },
        );
        Ok((place, instead))
    }

    /// Records bytes that were moved on a slot.
    pub fn moved(&mut self, place: SlotId, bytes: u64, now: Instant) {
        if let Some(held) = self.held.get_mut(&place) {
            held.bytes = held.bytes.saturating_add(bytes);
            let time = Duration::from_millis(bytes.saturating_mul(1_000) / PACE).min(IDLE);
            held.paid = (held.paid + time).min(now).max(held.paid);
        }
    }

    /// Returns a slot. One that was already taken away changes nothing.
    pub fn give_back(&mut self, place: SlotId) {
        self.held.remove(&place);
    }

    /// Returns the peers that are moving bytes, those that moved most first.
    pub fn moving(&self, now: Instant) -> Vec<Caller> {
        let mut moving: Vec<&TakenSlot> = self
            .held
            .values()
            .filter(|held| held.bytes > 0 && !is_idle(held, now))
            .collect();
        moving.sort_by_key(|held| std::cmp::Reverse(held.bytes));
        moving.into_iter().map(|held| held.caller).collect()
    }

    /// Returns the number of slots taken.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Returns true if no slot is taken.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

fn is_idle(held: &TakenSlot, now: Instant) -> bool {
    now.saturating_duration_since(held.paid) >= IDLE
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    const SIZE: PoolSize = PoolSize {
        places: 16,
        of_a_peer: 4,
        yields: true,
    };

    fn unknown(n: Option<u8>) -> Caller {
        let prefix = n.and_then(|n| Prefix::of(Ipv4Addr::new(81, 2, n, 1).into()));
        Caller {
            peer: PeerId::random(),
            good: false,
            prefix,
        }
    }

    fn good() -> Caller {
        Caller {
            good: true,
            ..unknown(None)
        }
    }

    #[test]
    fn unknown_peers_hold_half_and_a_prefix_an_eighth() {
        let (mut places, now) = (SlotPool::new(SIZE), Instant::now());
        let one: Vec<_> = (0..100)
            .map(|_| places.take(unknown(Some(1)), now))
            .collect();
        assert_eq!(one.iter().filter(|taken| taken.is_ok()).count(), 2);
        assert_eq!(
            (0..100)
                .filter(|n| places.take(unknown(Some(2 + n)), now).is_ok())
                .count(),
            6
        );
        assert_eq!(places.take(unknown(Some(200)), now), Err(PoolFull::Pool));
        assert_eq!(
            (0..100)
                .filter(|_| places.take(good(), now).is_ok())
                .count(),
            8
        );
    }

    #[test]
    fn who_moves_nothing_makes_room_and_who_moves_bytes_does_not() {
        let (mut places, now) = (
            SlotPool::new(PoolSize { places: 4, ..SIZE }),
            Instant::now(),
        );
        let (idle, trickling) = (
            places.take(unknown(None), now).unwrap().0,
            places.take(unknown(None), now).unwrap().0,
        );
        let later = now + IDLE;
        let mut firm = SlotPool::new(PoolSize {
            places: 2,
            yields: false,
            ..SIZE
        });
        firm.take(unknown(None), now).unwrap();
        assert_eq!(
            firm.take(unknown(None), later),
            Err(PoolFull::Pool),
            "where none yields one waits"
        );
        // One small request a second is not worth a slot.
        (0..10).for_each(|n| places.moved(trickling, 44, now + Duration::from_secs(n)));
        places.moved(idle, 0, later);
        assert_eq!(
            places.take(unknown(None), now + IDLE / 2),
            Err(PoolFull::Pool),
            "not yet"
        );
        let (first, instead) = places.take(unknown(None), later).unwrap();
        assert_eq!(instead, Some(idle));
        let (second, instead) = places.take(unknown(None), later + IDLE / 2).unwrap();
        assert_eq!(instead, Some(trickling));
        for n in 0..20 {
            let at = later + IDLE / 2 + Duration::from_secs(n);
            places.moved(first, 2 * PACE, at);
            places.moved(second, 2 * PACE, at);
        }
        assert_eq!(
            places.take(unknown(None), later + IDLE * 5 / 2),
            Err(PoolFull::Pool)
        );
        assert_eq!(places.moving(later + IDLE * 5 / 2).len(), 2);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Take { peer: usize, wait: u64 },
        Move { which: usize, bytes: u64 },
        Back { which: usize },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0usize..40, 0u64..3_000).prop_map(|(peer, wait)| Step::Take { peer, wait }),
            2 => (0usize..40, 0u64..100_000).prop_map(|(which, bytes)| Step::Move { which, bytes }),
            1 => (0usize..40).prop_map(|which| Step::Back { which }),
        ]
    }

    proptest! {
        #[test]
        fn shares_hold_and_strangers_never_take_the_half_of_good_peers(
            steps in proptest::collection::vec(step(), 1..300),
        ) {
            // The first ten are good, the others strangers from five prefixes.
            let callers: Vec<Caller> =
                (0..40u8).map(|n| if n < 10 { good() } else { unknown(Some(n % 5)) }).collect();
            let (mut places, mut now, mut open) = (SlotPool::new(SIZE), Instant::now(), Vec::new());
            for step in steps {
                match step {
                    Step::Take { peer, wait } => {
                        now += Duration::from_millis(wait);
                        let caller = callers[peer];
                        let good = places.held.values().filter(|held| held.caller.good).count();
                        let own = places.held.values().filter(|held| held.caller.peer == caller.peer).count();
                        let taken = places.take(caller, now);
                        if caller.good && good < SIZE.places / 2 && own < SIZE.of_a_peer {
                            prop_assert!(taken.is_ok(), "a good peer has its half");
                        }
                        if let Ok((place, instead)) = taken {
                            open.retain(|held| Some(*held) != instead);
                            open.push(place);
                        }
                    }
                    Step::Move { which, bytes } if !open.is_empty() => {
                        places.moved(open[which % open.len()], bytes, now);
                    }
                    Step::Back { which } if !open.is_empty() => {
                        places.give_back(open.swap_remove(which % open.len()));
                    }
                    Step::Move { .. } | Step::Back { .. } => {}
                }
                prop_assert!(places.len() <= SIZE.places && places.len() == open.len());
                let strangers: Vec<&TakenSlot> = places.held.values().filter(|held| !held.caller.good).collect();
                prop_assert!(strangers.len() <= SIZE.of_unknown());
                for n in 0..5 {
                    let prefix = unknown(Some(n)).prefix;
                    let of_it = strangers.iter().filter(|held| held.caller.prefix == prefix).count();
                    prop_assert!(of_it <= SIZE.of_a_prefix());
                }
                let of = |peer| places.held.values().filter(|held| held.caller.peer == peer).count();
                prop_assert!(callers.iter().all(|caller| of(caller.peer) <= SIZE.of_a_peer));
                prop_assert!(places.held.values().all(|held| held.paid <= now));
            }
        }
    }
}
