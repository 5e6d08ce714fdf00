//! DHT lookups that a person can follow: the peers asked, in order, their distance from the key,
//! their answers and the time taken.
//!
//! Distances are Kademlia's (Maymounkov and Mazières, 2002): the XOR of two positions, read as a
//! number. Positions are SHA-256 hashes, of a key's bytes or of a peer's id.

mod record;
mod routing;

pub use record::{End, MAX_HOPS, MAX_PAST, Traces};
pub use routing::{Bucket, RoutingTable};

use std::time::Duration;

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::{
    hash::Hash,
    percentile::percentiles,
    time::{Timestamp, Took},
};

/// An explanation of the distance, for display.
pub const DISTANCE: &str = "Bits: the length of the XOR distance, from key to peer, both as 256-bit \
    hashes. One bit less is half as far.";

/// Returns the bits of the XOR distance of two positions: 256 less the length of their common
/// prefix. It ranges from 0 for the same position to 256 for the other half of the key space.
pub fn distance_bits(a: &Hash, b: &Hash) -> u16 {
    let differing = a.0.iter().zip(&b.0).enumerate().find(|(_, (a, b))| a != b);
    differing.map_or(0, |(at, (a, b))| {
        256 - 8 * at as u16 - (a ^ b).leading_zeros() as u16
    })
}

/// Returns the position of a peer in the key space.
pub fn position(peer: &PeerId) -> Hash {
    Hash::of(&peer.to_bytes())
}

/// The kinds of lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LookupKind {
    /// Gets a record.
    Get,
    /// Stores a record at the peers closest to its key.
    Put,
    /// Finds providers of a content, or of packages with a word.
    Providers,
    /// Announces this node as a provider to the closest peers.
    Provide,
    /// Finds the peers closest to a key.
    Closest,
    /// Refreshes this node's own neighbourhood and its other buckets.
    Bootstrap,
}

impl LookupKind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Get,
        Self::Put,
        Self::Providers,
        Self::Provide,
        Self::Closest,
        Self::Bootstrap,
    ];

    /// Returns a short name for display.
    pub fn label(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Providers => "providers",
            Self::Provide => "provide",
            Self::Closest => "closest",
            Self::Bootstrap => "bootstrap",
        }
    }
}

/// The state of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LookupState {
    /// It is running.
    Running,
    /// It succeeded.
    Done,
    /// Every peer worth asking was asked, and none has it.
    Missing,
    /// It reached its deadline after some peers had answered.
    Late,
    /// No peer answered, or there was none to ask.
    Unanswered,
}

/// The request sent to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HopRequest {
    /// Asks for peers closer to the key.
    Find,
    /// Asks for a record.
    Get,
    /// Asks for providers.
    Providers,
    /// Asks to store a record.
    Put,
    /// Announces a provider.
    Provide,
}

impl HopRequest {
    /// Returns a short name for display.
    pub fn label(self) -> &'static str {
        match self {
            Self::Find => "find",
            Self::Get => "get",
            Self::Providers => "providers",
            Self::Put => "put",
            Self::Provide => "provide",
        }
    }
}

/// The reasons why a peer gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HopFailure {
    /// It could not be dialled.
    Unreachable,
    /// The connection was lost.
    Lost,
    /// It did not answer in time.
    TimedOut,
    /// It does not speak the protocol.
    Refused,
    /// It sent an answer of another kind.
    Nonsense,
}

impl HopFailure {
    /// Returns a short explanation for display.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "it cannot be reached",
            Self::Lost => "the connection was lost",
            Self::TimedOut => "no answer in time",
            Self::Refused => "it does not serve the DHT",
            Self::Nonsense => "it answered something else",
        }
    }
}

/// A peer's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "is", content = "of")]
pub enum HopAnswer {
    /// No answer yet.
    Waiting,
    /// Closer peers and nothing else.
    Closer,
    /// The record.
    Record,
    /// A record that does not verify.
    Wrong,
    /// This many providers.
    Providers(u16),
    /// It says that it stored the record.
    Stored,
    /// It was sent a provider record, which has no answer.
    Told,
    /// Neither a result nor closer peers.
    Nothing,
    /// No answer, for the given reason.
    Failed(HopFailure),
    /// The lookup ended before it answered.
    NotAwaited,
}

impl HopAnswer {
    /// Returns true if the answer is a result of the lookup.
    pub fn is_it(self) -> bool {
        matches!(self, Self::Record | Self::Stored | Self::Told)
            || matches!(self, Self::Providers(count) if count > 0)
    }

    /// Returns true if the peer answered at all.
    pub fn came(self) -> bool {
        !matches!(
            self,
            Self::Waiting | Self::Told | Self::Failed(_) | Self::NotAwaited
        )
    }
}

/// One request to one peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// The peer.
    pub peer: PeerId,
    /// The request.
    pub ask: HopRequest,
    /// The distance from the peer to the target, see [`distance_bits`].
    pub bits: u16,
    /// Time from the start of the lookup to the request, in microseconds.
    pub after_us: u32,
    /// Time from the request to its answer, in microseconds, including the dial if there was one.
    pub took_us: Option<u32>,
    /// The peer was not connected and was dialled for this request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dialled: bool,
    /// The answer.
    pub answer: HopAnswer,
    /// The number of closer peers it named.
    pub closer: u16,
    /// The number of these that were new to the lookup.
    pub new: u16,
}

impl Hop {
    /// Returns the peer's answer as text.
    pub fn said(&self) -> String {
        let peers = |count: u16| {
            if count == 1 {
                "1 peer".to_owned()
            } else {
                format!("{count} peers")
            }
        };
        let closer = match (self.closer, self.new) {
            (0, _) => String::new(),
            (count, 0) => format!("{}, none new", peers(count)),
            (count, new) => format!("{}, {new} new", peers(count)),
        };
        let with = |what: String| {
            if closer.is_empty() {
                what
            } else {
                format!("{what}; {closer}")
            }
        };
        match self.answer {
            HopAnswer::Waiting if self.dialled => "dialled, waiting".to_owned(),
            HopAnswer::Waiting => "waiting".to_owned(),
            HopAnswer::Closer => closer,
            HopAnswer::Record => with("THE RECORD".to_owned()),
            HopAnswer::Wrong => with("a WRONG record".to_owned()),
            HopAnswer::Providers(1) => with("1 PROVIDER".to_owned()),
            HopAnswer::Providers(count) => with(format!("{count} PROVIDERS")),
            HopAnswer::Stored => "STORED".to_owned(),
            HopAnswer::Told => "ANNOUNCED".to_owned(),
            HopAnswer::Nothing => "nothing".to_owned(),
            HopAnswer::Failed(why) => format!("error: {}", why.label()),
            HopAnswer::NotAwaited => "not waited for".to_owned(),
        }
    }
}

/// A lookup and its hops, in the order of the requests. A later value replaces an earlier one with
/// the same id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// A number counted up since the node started.
    pub id: u64,
    /// The kind of lookup.
    pub kind: LookupKind,
    /// The key in hexadecimal, or a peer's id.
    pub key: String,
    /// The position of the key.
    pub target: Hash,
    /// The subject of the lookup, if known.
    pub what: Option<String>,
    /// The state.
    pub state: LookupState,
    /// Records, providers or peers that stored it or were told; answers for the other kinds.
    pub found: u32,
    /// This node holds the record itself.
    pub own: bool,
    /// The start of the lookup.
    pub started_at: Timestamp,
    /// Duration in microseconds, once it has ended.
    pub took_us: Option<u32>,
    /// At most [`MAX_HOPS`] hops.
    pub hops: Vec<Hop>,
    /// The number of hops beyond those kept.
    #[serde(default)]
    pub more_hops: u32,
}

impl Trace {
    /// Returns true while it is running.
    pub fn is_open(&self) -> bool {
        self.state == LookupState::Running
    }

    /// Returns the number of requests answered.
    pub fn answered(&self) -> usize {
        self.hops.iter().filter(|hop| hop.answer.came()).count()
    }

    /// Returns the number of requests that failed.
    pub fn failed(&self) -> usize {
        self.hops
            .iter()
            .filter(|hop| matches!(hop.answer, HopAnswer::Failed(_)))
            .count()
    }

    /// Returns the subject of the lookup, otherwise its key.
    pub fn title(&self) -> &str {
        self.what.as_deref().unwrap_or(&self.key)
    }

    /// Returns one word for the state.
    pub fn word(&self) -> &'static str {
        match (self.state, self.kind) {
            (LookupState::Running, _) => "running",
            (LookupState::Done, LookupKind::Get | LookupKind::Providers) => "found",
            (LookupState::Done, LookupKind::Put) => "stored",
            (LookupState::Done, LookupKind::Provide) => "announced",
            (LookupState::Done, LookupKind::Closest | LookupKind::Bootstrap) => "done",
            (LookupState::Missing, LookupKind::Put) => "not kept",
            (LookupState::Missing, _) => "missing",
            (LookupState::Late, _) => "timeout",
            (LookupState::Unanswered, _) => "unanswered",
        }
    }

    /// Returns the result, with its count.
    pub fn came(&self) -> String {
        let of = |one: &str, many: &str| match self.found {
            1 => format!("1 {one}"),
            count => format!("{count} {many}"),
        };
        match (self.state, self.kind) {
            (LookupState::Done, LookupKind::Get) if self.found == 0 => {
                "this node's own copy".to_owned()
            }
            (LookupState::Done | LookupState::Running, LookupKind::Get) if self.found > 0 => {
                of("copy", "copies")
            }
            (LookupState::Done | LookupState::Running, LookupKind::Providers) if self.found > 0 => {
                of("provider", "providers")
            }
            (LookupState::Done | LookupState::Running, LookupKind::Put) if self.found > 0 => {
                format!("kept by {}", of("peer", "peers"))
            }
            (LookupState::Done | LookupState::Running, LookupKind::Provide) if self.found > 0 => {
                of("peer", "peers")
            }
            (LookupState::Done, _) => of("answer", "answers"),
            (LookupState::Running, _) => String::new(),
            (LookupState::Missing, LookupKind::Put) => "no peer stored it".to_owned(),
            (LookupState::Missing, _) => format!("nobody of {} has it", of_hops(self.answered())),
            (LookupState::Late, _) => "the deadline passed".to_owned(),
            (LookupState::Unanswered, _) if self.hops.is_empty() => {
                "there was no peer to ask".to_owned()
            }
            (LookupState::Unanswered, _) => {
                format!("none of {} answered", of_hops(self.hops.len()))
            }
        }
    }
}

fn of_hops(count: usize) -> String {
    if count == 1 {
        "1 asked".to_owned()
    } else {
        format!("{count} asked")
    }
}

/// Formats a short time: `0.4 ms`, `85 ms`, `4.2 s`.
pub fn span(micros: u32) -> String {
    match micros {
        0..=9_949 => format!("{:.1} ms", f64::from(micros) / 1_000.0),
        _ => Took(Duration::from_micros(u64::from(micros) + 500)).to_string(),
    }
}

/// Figures about the finished lookups of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LookupFigures {
    /// The kind of lookup.
    pub kind: LookupKind,
    /// The number of finished lookups.
    pub ended: usize,
    /// The number of successful lookups.
    pub done: usize,
    /// Median duration, in milliseconds.
    pub p50_ms: f64,
    /// 95th percentile of the duration, in milliseconds.
    pub p95_ms: f64,
}

/// Returns the figures of each kind with a finished lookup, in the order of [`LookupKind::ALL`].
pub fn figures<'a>(traces: impl Iterator<Item = &'a Trace> + Clone) -> Vec<LookupFigures> {
    let of = |kind: LookupKind| {
        let ended = traces
            .clone()
            .filter(|trace| trace.kind == kind && !trace.is_open());
        let times: Vec<f64> = ended
            .clone()
            .filter_map(|trace| Some(f64::from(trace.took_us?) / 1_000.0))
            .collect();
        let done = ended
            .clone()
            .filter(|trace| trace.state == LookupState::Done)
            .count();
        let count = ended.count();
        percentiles(times).map(|(p50_ms, p95_ms)| LookupFigures {
            kind,
            ended: count,
            done,
            p50_ms,
            p95_ms,
        })
    };
    LookupKind::ALL.into_iter().filter_map(of).collect()
}

/// The target of a lookup that a person starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sought {
    /// The record with this key.
    Record(Hash),
    /// The providers for this key.
    Providers(Hash),
    /// The peers closest to this one.
    Closest(PeerId),
}

/// A copy of a record found by a lookup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordCopy {
    /// The peer that sent it; `None` for this node's own copy.
    pub peer: Option<PeerId>,
    /// The record's content in one line.
    pub says: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// The result of a lookup that a person started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupResult {
    /// The trace of the lookup.
    pub trace: Trace,
    /// The records found.
    pub copies: Vec<RecordCopy>,
    /// Providers, or the closest peers, closest first.
    pub peers: Vec<PeerId>,
}

impl LookupResult {
    /// Returns true if it succeeded.
    pub fn found(&self) -> bool {
        self.trace.state == LookupState::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_are_those_after_the_common_prefix() {
        let zero = Hash([0; 32]);
        let with = |at: usize, byte: u8| {
            let mut bytes = [0; 32];
            bytes[at] = byte;
            Hash(bytes)
        };
        for (other, bits) in [
            (zero, 0),
            (with(31, 1), 1),
            (with(31, 2), 2),
            (with(31, 3), 2),
            (with(0, 0x80), 256),
            (with(0, 1), 249),
            (with(1, 0xff), 248),
        ] {
            assert_eq!(distance_bits(&zero, &other), bits, "{other}");
        }
    }

    #[test]
    fn times_are_told_in_as_many_digits_as_matter() {
        assert_eq!(
            [0, 412, 9_900, 85_400, 4_210_000].map(span),
            ["0.0 ms", "0.4 ms", "9.9 ms", "85 ms", "4.2 s"]
        );
    }
}
