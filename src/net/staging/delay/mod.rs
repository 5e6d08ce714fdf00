//! Simulated distance between nodes that share a machine: data from a peer is held back for the
//! time it would have travelled. For demos, tests and benches; a real node has no delays and none
//! of this between itself and the network.
//!
//! Each side delays what it reads, so a round trip is twice one way. The bytes of a connection's
//! streams and its end are delayed, but not the handshakes.

mod muxer;
mod stream;

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use libp2p::{PeerId, core::muxing::StreamMuxerBox};
use tokio::time::Instant;

use crate::domain::geo::GeoLocation;

/// Largest jitter, as a share of the one-way delay by distance. It only adds: nothing is faster
/// than light.
const JITTER: f64 = 0.1;

type OneWay = dyn Fn(&PeerId) -> Option<Duration> + Send + Sync;

/// The delay of each peer's data.
#[derive(Clone)]
pub struct Delays {
    one_way: Arc<OneWay>,
    jitter: f64,
    seed: u64,
}

impl Delays {
    /// Creates the delays. `one_way` is called once for each connection and returns the time from
    /// the peer, or `None` for no delay. A wake-up takes up to a millisecond more, and never less.
    pub fn new(one_way: impl Fn(&PeerId) -> Option<Duration> + Send + Sync + 'static) -> Self {
        Self {
            one_way: Arc::new(one_way),
            jitter: 0.0,
            seed: 0,
        }
    }

    /// Makes each delay longer by up to `share` of it, 0 to 1, depending on the seed and the two
    /// nodes. The bytes of one stream stay in order.
    pub fn with_jitter(self, share: f64, seed: u64) -> Self {
        Self {
            jitter: share.clamp(0.0, 1.0),
            seed,
            ..self
        }
    }

    /// Returns the delays of a node at `here` from peers at `places` ([`GeoLocation::one_way`]),
    /// with up to a tenth of jitter. Peers that are not in the table are not delayed.
    pub fn by_distance(
        here: GeoLocation,
        places: Arc<HashMap<PeerId, GeoLocation>>,
        seed: u64,
    ) -> Self {
        Self::new(move |peer| places.get(peer).map(|there| there.one_way(&here)))
            .with_jitter(JITTER, seed)
    }

    /// Returns the connection with the peer's delay, if it has one.
    pub fn apply(&self, me: &PeerId, peer: &PeerId, connection: StreamMuxerBox) -> StreamMuxerBox {
        let Some(one_way) = (self.one_way)(peer) else {
            return connection;
        };
        let mut hasher = blake3::Hasher::new_derive_key("swarmdex delay of a link, format 1");
        hasher
            .update(&self.seed.to_be_bytes())
            .update(&peer.to_bytes())
            .update(&me.to_bytes());
        let mut seed = [0; 8];
        hasher.finalize_xof().fill(&mut seed);
        let pace = StreamDelay {
            one_way,
            jitter: self.jitter,
            state: u64::from_be_bytes(seed),
            last: None,
        };
        StreamMuxerBox::new(muxer::Muxer::new(connection, pace))
    }
}

impl fmt::Debug for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delays")
            .field("jitter", &self.jitter)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// The delay of one stream: computes the time at which data that arrives now is due.
#[derive(Clone, Debug)]
struct StreamDelay {
    one_way: Duration,
    jitter: f64,
    state: u64,
    last: Option<Instant>,
}

impl StreamDelay {
    /// Returns the due time, which is never before that of earlier data.
    fn due(&mut self, now: Instant) -> Instant {
        let mut due = now + self.one_way;
        if self.jitter > 0.0 {
            // A float holds 53 bits.
            let share = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
            due = now + self.one_way.mul_f64(1.0 + self.jitter * share);
        }
        let due = self.last.map_or(due, |last| due.max(last));
        self.last = Some(due);
        due
    }

    /// Returns the longest possible one-way delay.
    fn most(&self) -> Duration {
        self.one_way.mul_f64(1.0 + self.jitter)
    }

    /// Returns the pace of one more stream on the same link.
    fn fork(&mut self) -> Self {
        Self {
            state: self.next(),
            last: None,
            ..*self
        }
    }

    /// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA
    /// 2014). Its state of eight bytes suits, because each stream has one.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_delay_is_about_one_way_and_keeps_the_order(
            ms in 0u64..200, jitter in 0.0..1.0f64, state in any::<u64>(), gaps in prop::collection::vec(0u64..50, 1..50),
        ) {
            let one_way = Duration::from_millis(ms);
            let mut pace = StreamDelay { one_way, jitter, state, last: None };
            let mut again = pace.clone();
            let (mut now, mut last) = (Instant::now(), None);
            for gap in gaps {
                now += Duration::from_millis(gap);
                let due = pace.due(now);
                prop_assert_eq!(due, again.due(now));
                prop_assert!(due >= now + one_way);
                prop_assert!(last.is_some_and(|last| due == last) || due <= now + pace.most());
                prop_assert!(last.is_none_or(|last| due >= last));
                last = Some(due);
            }
        }
    }

    #[test]
    fn the_streams_of_a_link_do_not_jitter_alike() {
        let one_way = Duration::from_millis(100);
        let mut link = StreamDelay {
            one_way,
            jitter: 0.1,
            state: 7,
            last: None,
        };
        let now = Instant::now();
        assert_ne!(link.fork().due(now), link.fork().due(now));
    }
}
