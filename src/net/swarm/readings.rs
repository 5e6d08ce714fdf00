//! Reads the figures of a sample that take a while in another thread, so that the swarm's task does
//! not wait for them: the system's figures, the store's, and libp2p's counters, which only a text has.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use libp2p::metrics::Registry;
use parking_lot::Mutex;
use prometheus_client::encoding::text;

use crate::{
    domain::time::Timestamp,
    process::{self, ProcessFigures},
    store::Store,
};

/// Copies of gossip messages that were received, and how many of them were the first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Copies {
    pub all: f64,
    pub first: f64,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    pub process: ProcessFigures,
    /// Free bytes on the disk of the database, and all of them.
    pub disk: Option<(u64, u64)>,
    /// Bytes received and sent since the start.
    pub bytes_in: f64,
    pub bytes_out: f64,
    /// Copies over all topics, and those of announcements.
    pub copies: [Copies; 2],
    /// The signing time of the newest head.
    pub newest: Option<Timestamp>,
}

pub struct Readings {
    latest: Arc<Mutex<Reading>>,
    is_reading: Arc<AtomicBool>,
    counters: Arc<Counters>,
}

struct Counters {
    bandwidth: Arc<Registry>,
    gossip: Registry,
    /// The topic of announcements.
    announce: String,
}

impl Readings {
    pub fn new(bandwidth: Arc<Registry>, gossip: Registry, announce: String) -> Self {
        Self {
            latest: Arc::default(),
            is_reading: Arc::default(),
            counters: Arc::new(Counters {
                bandwidth,
                gossip,
                announce,
            }),
        }
    }

    /// Returns what was read last; nothing but zeros before the first time.
    pub fn latest(&self) -> Reading {
        *self.latest.lock()
    }

    /// Reads all figures again in another thread, unless that is still being done.
    pub fn read_again(&self, store: &Store) {
        if self.is_reading.swap(true, Ordering::AcqRel) {
            return;
        }
        let (latest, is_reading) = (self.latest.clone(), self.is_reading.clone());
        let (counters, store) = (self.counters.clone(), store.clone());
        tokio::task::spawn_blocking(move || {
            let (bytes_in, bytes_out) = bytes(&encoded(&counters.bandwidth));
            let gossip = encoded(&counters.gossip);
            let reading = Reading {
                process: process::figures(),
                disk: process::disk(store.path()),
                bytes_in,
                bytes_out,
                copies: [copies(&gossip, ""), copies(&gossip, &counters.announce)],
                newest: store.newest_signed_at().unwrap_or_default(),
            };
            *latest.lock() = reading;
            is_reading.store(false, Ordering::Release);
        });
    }
}

/// Returns the counters as text, which is their only public form; nothing if they cannot be written.
fn encoded(registry: &Registry) -> String {
    let mut encoded = String::new();
    match text::encode(&mut encoded, registry) {
        Ok(()) => encoded,
        Err(_) => String::new(),
    }
}

/// Returns the sum of the samples of a family in whose labels `label` is.
fn sum(text: &str, family: &str, label: &str) -> f64 {
    text.lines()
        .filter(|line| {
            line.strip_prefix(family)
                .is_some_and(|rest| rest.starts_with('{') && rest.contains(label))
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

fn copies(text: &str, topic: &str) -> Copies {
    Copies {
        all: sum(text, "topic_msg_recv_counts_unfiltered_total", topic),
        first: sum(text, "topic_msg_recv_counts_total", topic),
    }
}

/// Returns the bytes received and sent.
fn bytes(text: &str) -> (f64, f64) {
    let of = |direction| sum(text, "libp2p_bandwidth_bytes_total", direction);
    (of("\"Inbound\""), of("\"Outbound\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_summed_by_label() {
        let text = "# TYPE topic_msg_recv_counts counter\n\
                    topic_msg_recv_counts_total{hash=\"a\"} 2\n\
                    topic_msg_recv_counts_total{hash=\"b\"} 3\n\
                    topic_msg_recv_counts_unfiltered_total{hash=\"a\"} 7\n# EOF\n";
        let of = |all, first| Copies { all, first };
        assert_eq!(copies(text, ""), of(7.0, 5.0));
        assert_eq!(copies(text, "\"b\""), of(0.0, 3.0));
        assert_eq!(copies("", ""), Copies::default());
    }

    #[test]
    fn bytes_are_those_that_libp2p_counts() {
        use libp2p::{
            Transport,
            core::{muxing::StreamMuxerBox, transport::MemoryTransport, upgrade::Version},
            metrics::BandwidthTransport,
        };
        let key = libp2p::identity::Keypair::generate_ed25519();
        let mut registry = Registry::default();
        let transport = MemoryTransport::new()
            .upgrade(Version::V1Lazy)
            .authenticate(libp2p::noise::Config::new(&key).unwrap())
            .multiplex(libp2p::yamux::Config::default());
        let _: libp2p::core::transport::Boxed<(libp2p::PeerId, StreamMuxerBox)> =
            BandwidthTransport::new(transport, &mut registry)
                .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
                .boxed();
        assert!(
            encoded(&registry).contains("libp2p_bandwidth_bytes"),
            "{}",
            encoded(&registry)
        );
    }
}
