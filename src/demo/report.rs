//! The report of a headless demo.

use serde::Serialize;

use super::Latency;

/// One search and its result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchProbe {
    pub query: String,
    pub hits: usize,
    pub ms: f64,
}

/// One get, on a node that did not publish the package.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GetProbe {
    pub id: String,
    pub found: bool,
    pub ms: f64,
    /// Source of the answer: cache, local, peer or DHT.
    pub from: Option<&'static str>,
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p95: f64,
}

/// The figures of a demo, all measured in this run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DemoReport {
    pub peers: usize,
    /// Nodes connected to the swarm at the end.
    pub connected: usize,
    /// The kind of latency between nodes.
    pub latency: Latency,
    /// One-way latency over all pairs of nodes; `None` without latency.
    pub one_way_ms: Option<Percentiles>,
    /// Time until every node had joined; `None` if some did not.
    pub joined_ms: Option<f64>,
    pub announced: usize,
    /// Share of deliveries that succeeded, over all announcements older than two seconds and all
    /// nodes connected since.
    pub delivered: Option<f64>,
    /// Delay from sending to verification at another node.
    pub delivery_ms: Option<Percentiles>,
    /// Copies of each announcement that nodes received, over the whole swarm, and the share of
    /// duplicates among them. Nodes that have left are not counted.
    pub messages_a_publish: Option<f64>,
    pub duplicates: Option<f64>,
    /// Mean number of hops of a delivery.
    pub delivery_hops: Option<f64>,
    /// Mean number of requests in a lookup that found a record, and in one that did not.
    pub requests_found: Option<f64>,
    pub requests_missing: Option<f64>,
    /// Time from signing to the commit that the publisher is told of.
    pub stored_ms: Option<Percentiles>,
    /// Packages in the user's own catalogue.
    pub packages: u64,
    pub searches: Vec<SearchProbe>,
    pub gets: Vec<GetProbe>,
    /// Completed downloads, and their bytes.
    pub fetches: u64,
    pub bytes: u64,
    /// Bytes a second of a download; `None` if there were none.
    pub bytes_per_s: Option<f64>,
    /// Answers of peers that failed verification and were discarded.
    pub bad_ranges_refused: u64,
    /// Bytes delivered that differ from the manifest, found by hashing every download again.
    pub bad_bytes_delivered: u64,
    /// Events that readers missed.
    pub drops: u64,
    pub errors: Vec<String>,
    /// Resident memory of the process; `None` if the system does not report it.
    pub rss_bytes: Option<u64>,
}
