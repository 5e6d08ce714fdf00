//! What a headless demo reports.

use serde::Serialize;

use super::Latency;

/// One search, and how it went.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchProbe {
    pub query: String,
    pub hits: usize,
    pub ms: f64,
}

/// One get on a node that did not publish the package.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GetProbe {
    pub id: String,
    pub found: bool,
    pub ms: f64,
    /// Where the answer came from: cache, local, peer or DHT.
    pub from: Option<&'static str>,
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p95: f64,
}

/// A demo in figures. All of them are measured in this run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub peers: usize,
    /// Nodes connected to the swarm at the end.
    pub connected: usize,
    /// Whether links are delayed, and how.
    pub latency: Latency,
    /// By how much, one way, over all pairs of nodes; `None` without delays.
    pub one_way_ms: Option<Percentiles>,
    /// Until every node had joined, if they all did.
    pub joined_ms: Option<f64>,
    pub announced: usize,
    /// Share of the announcements older than two seconds that reached the nodes connected ever
    /// since.
    pub delivered: Option<f64>,
    /// From sending to verification at another node.
    pub delivery_ms: Option<Percentiles>,
    /// Copies of an announcement that nodes received, over the whole swarm; and the share of them
    /// that had come before. Nodes that left have taken their counts with them.
    pub messages_a_publish: Option<f64>,
    pub duplicates: Option<f64>,
    /// Peers that passed an announcement on one after the other until it was heard, on average.
    pub delivery_hops: Option<f64>,
    /// Requests to peers of a lookup of a record that found it, and of one that did not, on
    /// average.
    pub requests_found: Option<f64>,
    pub requests_missing: Option<f64>,
    /// From signing to the commit that a publisher is told of.
    pub stored_ms: Option<Percentiles>,
    /// Packages in your own catalogue.
    pub packages: u64,
    pub searches: Vec<SearchProbe>,
    pub gets: Vec<GetProbe>,
    /// Contents that arrived whole at nodes that asked for them, and their bytes.
    pub fetches: u64,
    pub bytes: u64,
    /// Bytes a second of one fetch; `None` without any.
    pub bytes_per_s: Option<f64>,
    /// Answers of peers that did not verify, and were thrown away.
    pub bad_ranges_refused: u64,
    /// Bytes that arrived and are not what their manifest says: read back and hashed once more to
    /// know.
    pub bad_bytes_delivered: u64,
    /// Events that readers lost.
    pub drops: u64,
    pub errors: Vec<String>,
    /// Resident memory of the process; `None` where the system does not tell.
    pub rss_bytes: Option<u64>,
}
