//! Reads the figures of a sample that take a while in another thread, so that the swarm's task does
//! not wait for them: the system's figures, the store's, and libp2p's counters, which can only be
//! read as text.

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

/// The latest reading, and how to make another one.
#[derive(Clone)]
pub struct Readings(Arc<Inner>);

struct Inner {
    latest: Mutex<Reading>,
    is_reading: AtomicBool,
    bandwidth: Arc<Registry>,
    gossip: Registry,
    /// The topic of announcements.
    announce: String,
    store: Store,
}

impl Readings {
    pub fn new(bandwidth: Arc<Registry>, gossip: Registry, announce: String, store: Store) -> Self {
        Self(Arc::new(Inner {
            latest: Mutex::default(),
            is_reading: AtomicBool::new(false),
            bandwidth,
            gossip,
            announce,
            store,
        }))
    }

    /// Returns what was read last; nothing but zeros before the first time.
    pub fn latest(&self) -> Reading {
        *self.0.latest.lock()
    }

    /// Reads all figures again in another thread, unless that is still being done.
    pub fn read_again(&self) {
        if self.0.is_reading.swap(true, Ordering::AcqRel) {
            return;
        }
        let inner = self.0.clone();
        tokio::task::spawn_blocking(move || {
            inner.read();
            inner.is_reading.store(false, Ordering::Release);
        });
    }

    /// Reads all figures again and waits for that.
    pub async fn read_now(&self) {
        let inner = self.0.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || inner.read()).await {
            tracing::error!(%error, "reading the figures of a sample failed");
        }
    }
}

impl Inner {
    fn read(&self) {
        let (bytes_in, bytes_out) = bytes(&encoded(&self.bandwidth));
        let gossip = encoded(&self.gossip);
        let reading = Reading {
            process: process::figures(),
            disk: process::disk(self.store.path()),
            bytes_in,
            bytes_out,
            copies: [copies(&gossip, ""), copies(&gossip, &self.announce)],
            newest: self.store.newest_signed_at().unwrap_or_default(),
        };
        *self.latest.lock() = reading;
    }
}

/// Returns the counters as text, which is their only public form; an empty one on an error.
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
        let text = "libp2p_bandwidth_bytes_total{direction=\"Inbound\"} 5\n";
        assert_eq!(bytes(text), (5.0, 0.0));
    }
}
