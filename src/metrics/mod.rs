//! Prometheus metrics, named by its conventions: base units, and `_total` for counters.
//!
//! Parts of the node that count something are given a [`Metrics`]; counting is an atomic addition
//! and never waits. Values that are known anyway, such as the number of connections, are read when
//! the metrics are scraped: [`ScrapedValues`].

mod histogram;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::text,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram as Distribution,
    },
    registry::{Registry, Unit},
};

use crate::domain::{
    faults::PeerFault,
    record::{Class, Refusal},
    reputation::Outcome,
    request::{CLIENTS, ClientRequest, kind_of},
};
use histogram::Histogram;

/// Prefix of the names of our metrics.
const PREFIX: &str = "swarmdex";

/// One label and its value.
type Label = [(&'static str, &'static str); 1];

/// The source of the result of a get, or the reason why there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetSource {
    Memory,
    Disk,
    Dht,
    Peer,
    /// Nobody has it.
    Missing,
    /// The lookup failed, so it is unknown if anybody has it.
    Failed,
}

/// A request from a stranger that was refused because its share was used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// A connection, limited by its address.
    Connection,
    /// A stream of content.
    Stream,
    /// A comparison of catalogues.
    Session,
    /// A query, for lack of a free slot.
    Question,
    /// A query, for lack of time.
    Time,
    /// A slot that was taken from a peer that did not use it.
    Idle,
    /// A dial to an address that another peer claimed.
    Dial,
}

impl TurnedAway {
    const ALL: [Self; 7] = [
        Self::Connection,
        Self::Stream,
        Self::Session,
        Self::Question,
        Self::Time,
        Self::Idle,
        Self::Dial,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Stream => "stream",
            Self::Session => "session",
            Self::Question => "question",
            Self::Time => "time",
            Self::Idle => "idle",
            Self::Dial => "dial",
        }
    }
}

/// The end of a DHT lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookedUp {
    Found,
    Missing,
    /// No peer answered.
    Unanswered,
}

/// An item that was dropped because its store was full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Displaced {
    Package,
    /// Remains of a package that has been evicted.
    Fold,
    Record,
    Claim,
    /// Peers and addresses in answers to lookups.
    Address,
}

impl Displaced {
    pub const ALL: [Self; 5] = [
        Self::Package,
        Self::Fold,
        Self::Record,
        Self::Claim,
        Self::Address,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Package => "package",
            Self::Fold => "fold",
            Self::Record => "record",
            Self::Claim => "claim",
            Self::Address => "address",
        }
    }
}

/// The node's Prometheus counters. Cheap to clone; all clones share the counters.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<MetricCounters>);

#[derive(Debug)]
struct MetricCounters {
    families: Registry,
    searches: Searches,
    gets: Gets,
    lookups: LookupTimes,
    gossip_delay: Histogram,
    commits: Histogram,
    faults: Faults,
    misdeeds: Family<Label, Counter>,
    turned_away: Family<Label, Counter>,
    bans: Counter,
    contents: ContentCounters,
    synced_bytes: Counter,
    synced_heads: Counter,
    displaced: Family<Label, Counter>,
    dht_bytes: Gauge,
    claims: Gauge,
    claim_bytes: Gauge,
    gateway: GatewayCounters,
}

/// Counters of package managers' requests.
#[derive(Debug)]
struct GatewayCounters {
    requests: Family<[(&'static str, String); 2], Counter>,
    refused: Counter,
    here: Counter,
    peers: Counter,
    waits: Histogram,
}

#[derive(Debug)]
struct Searches {
    local: Counter,
    peer: Counter,
    both: Counter,
    none: Counter,
    local_hits: Counter,
    peer_hits: Counter,
}

#[derive(Debug)]
struct Gets {
    memory: Counter,
    disk: Counter,
    dht: Counter,
    peer: Counter,
    missing: Counter,
    failed: Counter,
}

#[derive(Debug)]
struct LookupTimes {
    found: Histogram,
    missing: Histogram,
    unanswered: Histogram,
}

#[derive(Debug)]
struct Faults {
    answer_wrong: Counter,
    answer_late: Counter,
    answer_missing: Counter,
    record_invalid: Counter,
    record_unfit: Counter,
    unreachable: Counter,
    content_wrong: Counter,
    content_late: Counter,
}

#[derive(Debug)]
struct ContentCounters {
    fetched: Counter,
    served: Counter,
    done: Counter,
    failed: Counter,
    stopped: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut families = Registry::with_prefix(PREFIX);

        let by_source = Family::<Label, Counter>::default();
        families.register(
            "searches",
            "Searches that ended, by where their hits came from",
            by_source.clone(),
        );
        let hits = Family::<Label, Counter>::default();
        families.register(
            "search_hits",
            "Packages that searches showed, by where they came from",
            hits.clone(),
        );
        let source = |family: &Family<Label, Counter>, value| {
            family.get_or_create_owned(&[("source", value)])
        };
        let searches = Searches {
            local: source(&by_source, "local"),
            peer: source(&by_source, "peer"),
            both: source(&by_source, "both"),
            none: source(&by_source, "none"),
            local_hits: source(&hits, "local"),
            peer_hits: source(&hits, "peer"),
        };

        let by_provenance = Family::<Label, Counter>::default();
        families.register(
            "gets",
            "Gets that ended, by where the package came from",
            by_provenance.clone(),
        );
        let provenance = |value| by_provenance.get_or_create_owned(&[("provenance", value)]);
        let gets = Gets {
            memory: provenance("memory"),
            disk: provenance("disk"),
            dht: provenance("dht"),
            peer: provenance("peer"),
            missing: provenance("missing"),
            failed: provenance("failed"),
        };

        let by_outcome = Family::<Label, Histogram>::default();
        let help = "Time that lookups in the DHT took, by how they ended";
        families.register_with_unit("lookup_duration", help, Unit::Seconds, by_outcome.clone());
        let outcome = |value| by_outcome.get_or_create_owned(&[("outcome", value)]);
        let lookups = LookupTimes {
            found: outcome("found"),
            missing: outcome("missing"),
            unanswered: outcome("unanswered"),
        };

        let gossip_delay = Histogram::default();
        let help = "Time from sending an announcement to its being verified here, by the two \
                    nodes' clocks";
        families.register_with_unit("gossip_delay", help, Unit::Seconds, gossip_delay.clone());

        let commits = Histogram::default();
        let help = "Time from asking for a commit to having it on the disk";
        families.register_with_unit(
            "store_commit_duration",
            help,
            Unit::Seconds,
            commits.clone(),
        );

        let synced_bytes = Counter::default();
        let help = "Bytes that went and came while catalogues were compared";
        families.register_with_unit("sync", help, Unit::Bytes, synced_bytes.clone());
        let synced_heads = Counter::default();
        families.register(
            "sync_heads",
            "Heads that were taken from other nodes' catalogues",
            synced_heads.clone(),
        );

        let gauge = |families: &mut Registry, name: &str, help: &str| {
            let gauge = Gauge::default();
            families.register(name, help, gauge.clone());
            gauge
        };
        let help = "Bytes that the records this node holds for the DHT are charged as";
        let dht_bytes = gauge(&mut families, "dht_records_bytes", help);
        let help = "Claims of peers to have a content, which this node holds for the DHT";
        let claims = gauge(&mut families, "provider_claims", help);
        let claim_bytes = gauge(
            &mut families,
            "provider_claims_bytes",
            "Bytes that these claims are charged as",
        );

        let displaced = Family::<Label, Counter>::default();
        families.register(
            "displaced",
            "What was dropped because its room was full, by kind",
            displaced.clone(),
        );
        Displaced::ALL
            .iter()
            .for_each(|kind| drop(displaced.get_or_create_owned(&[("kind", kind.label())])));

        let by_reason = Family::<Label, Counter>::default();
        families.register(
            "faults",
            "What lowered the score of a peer, by reason",
            by_reason.clone(),
        );
        let reason = |value| by_reason.get_or_create_owned(&[("reason", value)]);
        let faults = Faults {
            answer_wrong: reason("answer-wrong"),
            answer_late: reason("answer-late"),
            answer_missing: reason("answer-missing"),
            record_invalid: reason("record-invalid"),
            record_unfit: reason("record-unfit"),
            unreachable: reason("unreachable"),
            content_wrong: reason("content-wrong"),
            content_late: reason("content-late"),
        };

        let misdeeds = Family::<Label, Counter>::default();
        families.register(
            "misdeeds",
            "What peers did that no honest one does, by kind",
            misdeeds.clone(),
        );
        // Create all labels at the start, so that alerts can refer to them.
        PeerFault::ALL
            .iter()
            .for_each(|fault| drop(misdeeds.get_or_create_owned(&[("kind", fault.label())])));
        let turned_away = Family::<Label, Counter>::default();
        families.register(
            "turned_away",
            "What strangers wanted and were not given, because their share was used up",
            turned_away.clone(),
        );
        TurnedAway::ALL
            .iter()
            .for_each(|what| drop(turned_away.get_or_create_owned(&[("what", what.label())])));
        let bans = Counter::default();
        families.register(
            "bans",
            "Peers that were banned for what they did",
            bans.clone(),
        );

        let bytes = Family::<Label, Counter>::default();
        families.register_with_unit(
            "content",
            "Bytes of content that were verified here, or sent",
            Unit::Bytes,
            bytes.clone(),
        );
        let fetches = Family::<Label, Counter>::default();
        families.register(
            "fetches",
            "Fetches of content that ended, by how",
            fetches.clone(),
        );
        let way = |value| bytes.get_or_create_owned(&[("direction", value)]);
        let fetch = |value| fetches.get_or_create_owned(&[("outcome", value)]);
        let contents = ContentCounters {
            fetched: way("fetched"),
            served: way("served"),
            done: fetch("done"),
            failed: fetch("failed"),
            stopped: fetch("stopped"),
        };

        let requests = Family::<[(&'static str, String); 2], Counter>::default();
        families.register(
            "gateway_requests",
            "Requests of package managers that were answered, by client and status",
            requests.clone(),
        );
        let none = |client: &&str| {
            [
                ("client", (*client).to_owned()),
                ("status", "200".to_owned()),
            ]
        };
        CLIENTS
            .iter()
            .for_each(|client| drop(requests.get_or_create_owned(&none(client))));
        let refused = Counter::default();
        families.register(
            "gateway_refusals",
            "Requests of package managers that were refused",
            refused.clone(),
        );
        let sent = Family::<Label, Counter>::default();
        let help = "Bytes that package managers were sent, by where they came from";
        families.register_with_unit("gateway", help, Unit::Bytes, sent.clone());
        let waits = Histogram::default();
        let help = "Time from a package manager's request to the beginning of the answer";
        families.register_with_unit("gateway_wait", help, Unit::Seconds, waits.clone());
        let origin = |value| sent.get_or_create_owned(&[("origin", value)]);
        let (here, peers) = (origin("here"), origin("peers"));
        let gateway = GatewayCounters {
            requests,
            refused,
            here,
            peers,
            waits,
        };

        Self(Arc::new(MetricCounters {
            families,
            searches,
            gets,
            lookups,
            gossip_delay,
            commits,
            faults,
            misdeeds,
            turned_away,
            bans,
            synced_bytes,
            synced_heads,
            displaced,
            dht_bytes,
            claims,
            claim_bytes,
            contents,
            gateway,
        }))
    }
}

impl Metrics {
    /// A search ended; it showed results from this node's catalogue and from peers.
    pub fn searched(&self, local_hits: usize, peer_hits: usize) {
        let searches = &self.0.searches;
        let source = match (local_hits, peer_hits) {
            (0, 0) => &searches.none,
            (_, 0) => &searches.local,
            (0, _) => &searches.peer,
            _ => &searches.both,
        };
        source.inc();
        searches.local_hits.inc_by(local_hits as u64);
        searches.peer_hits.inc_by(peer_hits as u64);
    }

    pub fn got(&self, provenance: GetSource) {
        let gets = &self.0.gets;
        let counter = match provenance {
            GetSource::Memory => &gets.memory,
            GetSource::Disk => &gets.disk,
            GetSource::Dht => &gets.dht,
            GetSource::Peer => &gets.peer,
            GetSource::Missing => &gets.missing,
            GetSource::Failed => &gets.failed,
        };
        counter.inc();
    }

    pub fn looked_up(&self, outcome: LookedUp, took: Duration) {
        let lookups = &self.0.lookups;
        let times = match outcome {
            LookedUp::Found => &lookups.found,
            LookedUp::Missing => &lookups.missing,
            LookedUp::Unanswered => &lookups.unanswered,
        };
        times.observe(took);
    }

    /// An announcement of another node was accepted, `travelled` after it was sent.
    pub fn heard(&self, travelled: Duration) {
        self.0.gossip_delay.observe(travelled);
    }

    pub fn committed(&self, took: Duration) {
        self.0.commits.observe(took);
    }

    /// A package manager's request was answered.
    pub fn asked(&self, request: &ClientRequest) {
        let gateway = &self.0.gateway;
        let labels = [
            ("client", kind_of(&request.client).to_owned()),
            ("status", request.status.to_string()),
        ];
        gateway.requests.get_or_create_owned(&labels).inc();
        if request.is_refused() {
            gateway.refused.inc();
        }
        let peers = request
            .origin
            .peers
            .iter()
            .map(|(_, bytes)| bytes)
            .sum::<u64>()
            .min(request.bytes);
        gateway.peers.inc_by(peers);
        gateway.here.inc_by(request.bytes - peers);
        gateway.waits.observe(Duration::from_millis(request.waited));
    }

    /// Bytes of content were verified on arrival.
    pub fn fetched(&self, bytes: u64) {
        self.0.contents.fetched.inc_by(bytes);
    }

    /// Bytes of content were sent to a peer.
    pub fn served(&self, bytes: u64) {
        self.0.contents.served.inc_by(bytes);
    }

    /// A download ended: `None` if the user stopped it, else true if it was completed.
    pub fn fetch_ended(&self, done: Option<bool>) {
        let contents = &self.0.contents;
        match done {
            Some(true) => contents.done.inc(),
            Some(false) => contents.failed.inc(),
            None => contents.stopped.inc(),
        };
    }

    /// Catalogues were compared with a peer: bytes in both directions, and heads received.
    pub fn synced(&self, bytes: u64, heads: usize) {
        self.0.synced_bytes.inc_by(bytes);
        self.0.synced_heads.inc_by(heads as u64);
    }

    /// Updates what this node holds for the DHT: bytes of records, and the number and bytes of
    /// provider records.
    pub fn holds(&self, dht_bytes: u64, (claims, claim_bytes): (usize, u64)) {
        let set = |gauge: &Gauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        let _ = (
            set(&self.0.dht_bytes, dht_bytes),
            set(&self.0.claims, claims as u64),
            set(&self.0.claim_bytes, claim_bytes),
        );
    }

    /// Counts items that were dropped because their store was full.
    pub fn displaced(&self, kind: Displaced, count: u64) {
        if count > 0 {
            self.0
                .displaced
                .get_or_create_owned(&[("kind", kind.label())])
                .inc_by(count);
        }
    }

    /// Counts an observed outcome if it is a fault.
    pub fn observed(&self, outcome: Outcome) {
        let faults = &self.0.faults;
        let counter = match outcome {
            Outcome::AnswerRight
            | Outcome::ContentRight
            | Outcome::RecordValid
            | Outcome::RecordIgnored
            | Outcome::ConnectionLost => return,
            Outcome::AnswerWrong => &faults.answer_wrong,
            Outcome::AnswerLate | Outcome::AnswerSlow => &faults.answer_late,
            Outcome::AnswerMissing => &faults.answer_missing,
            Outcome::RecordInvalid => &faults.record_invalid,
            Outcome::RecordUnfit => &faults.record_unfit,
            Outcome::Unreachable => &faults.unreachable,
            Outcome::ContentWrong => &faults.content_wrong,
            Outcome::ContentLate | Outcome::ContentSlow => &faults.content_late,
        };
        counter.inc();
    }

    /// Returns the number of gets answered from memory, disk, the DHT, and peers.
    pub fn gets(&self) -> [u64; 4] {
        let gets = &self.0.gets;
        [
            gets.memory.get(),
            gets.disk.get(),
            gets.dht.get(),
            gets.peer.get(),
        ]
    }

    /// Counts a fault of a peer.
    pub fn faulted(&self, fault: PeerFault) {
        self.0
            .misdeeds
            .get_or_create_owned(&[("kind", fault.label())])
            .inc();
    }

    /// Counts a request that was refused because a share was used up.
    pub fn turned_away(&self, what: TurnedAway) {
        self.0
            .turned_away
            .get_or_create_owned(&[("what", what.label())])
            .inc();
    }

    /// Counts a ban.
    pub fn banned(&self) {
        self.0.bans.inc();
    }

    /// Returns all metrics as OpenMetrics text
    /// (<https://prometheus.io/docs/specs/om/open_metrics_spec/>): ours, `figures`, and the
    /// families of `others`.
    pub fn text<'a>(
        &self,
        figures: ScrapedValues,
        others: impl IntoIterator<Item = &'a Registry>,
    ) -> Result<String, fmt::Error> {
        let mut told = String::new();
        text::encode_registry(&mut told, &self.0.families)?;
        text::encode_registry(&mut told, &figures.families())?;
        for families in others {
            text::encode_registry(&mut told, families)?;
        }
        text::encode_eof(&mut told)?;
        Ok(told)
    }
}

/// Values that are read when the metrics are scraped.
#[derive(Clone, Debug, Default)]
pub struct ScrapedValues {
    pub packages: u64,
    /// Bytes of records in the catalogue.
    pub catalogue_bytes: u64,
    pub dht_records: usize,
    pub connected: usize,
    pub mesh: usize,
    /// Scores of all known peers, connected or not, from 0 to 1.
    pub reputations: Vec<f64>,
    pub announcements: u64,
    pub refused: BTreeMap<Refusal, u64>,
    /// Messages dropped because this node was overloaded.
    pub overloaded: u64,
    /// Events that readers of the bus missed.
    pub events_dropped: u64,
}

impl ScrapedValues {
    fn families(self) -> Registry {
        let mut families = Registry::with_prefix(PREFIX);
        let gauges = [
            (
                "catalogue_packages",
                "Packages in this node's catalogue",
                self.packages,
            ),
            (
                "catalogue_bytes",
                "Bytes of the records in this node's catalogue",
                self.catalogue_bytes,
            ),
            (
                "dht_records",
                "Records this node holds for the DHT",
                self.dht_records as u64,
            ),
            (
                "connected_peers",
                "Connected peers of this network",
                self.connected as u64,
            ),
            (
                "known_peers",
                "Peers that are remembered, connected or not",
                self.reputations.len() as u64,
            ),
            (
                "gossip_mesh_peers",
                "Peers in the gossip mesh for announcements",
                self.mesh as u64,
            ),
        ];
        for (name, help, value) in gauges {
            families.register(name, help, ConstGauge::new(value));
        }

        // The current distribution, not a counter: its counts fall when peers are forgotten.
        let reputations = Distribution::new((1..=10u32).map(|tenth| f64::from(tenth) / 10.0));
        self.reputations
            .iter()
            .for_each(|score| reputations.observe(*score));
        let help = "Scores of the known peers as they stand now, so not to be used with rate()";
        families.register_with_unit(
            "peer_reputation",
            help,
            Unit::Other("ratio".to_owned()),
            reputations,
        );

        let refusals = Family::<[(&str, String); 2], Counter>::default();
        for refusal in Refusal::ALL {
            let class = match refusal.class() {
                Class::Reject => "reject",
                Class::Ignore => "ignore",
            };
            let count = self.refused.get(&refusal).copied().unwrap_or(0);
            let labels = [("reason", name(refusal)), ("class", class.to_owned())];
            refusals.get_or_create(&labels).inc_by(count);
        }
        let help = "What was refused, by reason, and whether who sent it is at fault (reject) or \
                    not (ignore)";
        families.register("refusals", help, refusals);

        let counters = [
            (
                "announcements",
                "Announcements taken, of others and our own",
                self.announcements,
            ),
            (
                "inbound_dropped",
                "Messages of peers that there was no room for",
                self.overloaded,
            ),
            (
                "bus_dropped_events",
                "Events that a slow reader of the bus, such as a screen, lost",
                self.events_dropped,
            ),
        ];
        for (name, help, value) in counters {
            let counter: Counter = Counter::default();
            counter.inc_by(value);
            families.register(name, help, counter);
        }
        families
    }
}

/// Returns the name that JSON uses.
fn name(refusal: Refusal) -> String {
    let json = serde_json::to_value(refusal).ok();
    json.as_ref()
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default()
        .to_owned()
}
