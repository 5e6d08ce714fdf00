//! A lookup in the DHT as a person can follow it: who was asked, in which order, how far from the
//! key each is, what each said and how long that took.
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

/// What is meant by a distance, for whoever has not met it before.
pub const DISTANCE: &str = "XOR distance: the positions of key and peer (hashes of 256 bits) laid over one another; its bits are 256 less \
     the leading bits that agree. One bit less is half as far.";

/// Bits of the XOR distance of two positions: 256 less the length of their common prefix, which is
/// the whole part of the distance's binary logarithm, and one more. From 0, the same place, to 256,
/// the other half of all places.
pub fn distance_bits(a: &Hash, b: &Hash) -> u16 {
    let differing = a.0.iter().zip(&b.0).enumerate().find(|(_, (a, b))| a != b);
    differing.map_or(0, |(at, (a, b))| {
        256 - 8 * at as u16 - (a ^ b).leading_zeros() as u16
    })
}

/// Where a peer is among the keys.
pub fn position(peer: &PeerId) -> Hash {
    Hash::of(&peer.to_bytes())
}

/// What a lookup was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A record.
    Get,
    /// Storing a record at the peers that are closest to its key.
    Put,
    /// Who has a content, or packages with a word.
    Providers,
    /// Telling the closest peers that this node has one.
    Provide,
    /// The peers that are closest to a key.
    Closest,
    /// This node's own neighbourhood, and its other buckets.
    Bootstrap,
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::Get,
        Self::Put,
        Self::Providers,
        Self::Provide,
        Self::Closest,
        Self::Bootstrap,
    ];

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

/// How a lookup stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Running,
    /// It got what it was for.
    Done,
    /// Everybody worth asking was asked, and has it not.
    Missing,
    /// Its time was up, and some had answered.
    Late,
    /// Nobody answered, or nobody could be asked.
    Unanswered,
}

/// What was asked of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ask {
    /// Who is closer to the key.
    Find,
    Get,
    Providers,
    Put,
    Provide,
}

impl Ask {
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

/// Why a peer gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Failure {
    /// It could not be dialled.
    Unreachable,
    /// The connection was lost.
    Lost,
    TimedOut,
    /// It does not speak the protocol.
    Refused,
    /// It answered something else.
    Nonsense,
}

impl Failure {
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

/// What a peer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "is", content = "of")]
pub enum Answer {
    Waiting,
    /// Closer peers and no more.
    Closer,
    /// The record.
    Record,
    /// A record that does not verify.
    Wrong,
    /// So many providers.
    Providers(u16),
    /// It says that it keeps it.
    Stored,
    /// It was told; there is no answer to that.
    Told,
    /// Neither what was asked for nor closer peers.
    Nothing,
    Failed(Failure),
    /// The lookup had ended before it answered.
    NotAwaited,
}

impl Answer {
    /// It is what the lookup is for.
    pub fn is_it(self) -> bool {
        matches!(self, Self::Record | Self::Stored | Self::Told)
            || matches!(self, Self::Providers(count) if count > 0)
    }

    /// The peer answered, whatever it said.
    pub fn came(self) -> bool {
        !matches!(
            self,
            Self::Waiting | Self::Told | Self::Failed(_) | Self::NotAwaited
        )
    }
}

/// One peer that was asked one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    pub peer: PeerId,
    pub ask: Ask,
    /// From the peer to what is looked for, see [`distance_bits`].
    pub bits: u16,
    /// From the start of the lookup to the request, in microseconds.
    pub after_us: u32,
    /// From the request to its answer, in microseconds; with the dial, where there had to be one.
    pub took_us: Option<u32>,
    /// It was not connected, and dialled for this.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dialled: bool,
    pub answer: Answer,
    /// Peers it named as closer.
    pub closer: u16,
    /// Those of them that nobody in this lookup had named or been before.
    pub new: u16,
}

impl Hop {
    /// What the peer said, as a person reads it.
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
            Answer::Waiting if self.dialled => "dialled, waiting".to_owned(),
            Answer::Waiting => "waiting".to_owned(),
            Answer::Closer => closer,
            Answer::Record => with("THE RECORD".to_owned()),
            Answer::Wrong => with("a WRONG record".to_owned()),
            Answer::Providers(1) => with("1 PROVIDER".to_owned()),
            Answer::Providers(count) => with(format!("{count} PROVIDERS")),
            Answer::Stored => "STORED".to_owned(),
            Answer::Told => "TOLD".to_owned(),
            Answer::Nothing => "nothing".to_owned(),
            Answer::Failed(why) => format!("error: {}", why.label()),
            Answer::NotAwaited => "not waited for".to_owned(),
        }
    }
}

/// A lookup and its hops, in the order in which they were asked. A later value replaces an earlier
/// one of the same id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// Counted since the node started.
    pub id: u64,
    pub kind: Kind,
    /// In hexadecimal, or a peer's id.
    pub key: String,
    /// Where the key is among all positions.
    pub target: Hash,
    /// What it is for, where that is known.
    pub what: Option<String>,
    pub state: State,
    /// Copies of the record, providers, peers that keep it or were told; for the other kinds,
    /// answers.
    pub found: u32,
    /// This node has a copy itself.
    pub own: bool,
    pub started_at: Timestamp,
    /// In microseconds, once it has ended.
    pub took_us: Option<u32>,
    /// [`MAX_HOPS`] at most.
    pub hops: Vec<Hop>,
    /// Hops beyond those that are kept.
    #[serde(default)]
    pub more_hops: u32,
}

impl Trace {
    pub fn is_open(&self) -> bool {
        self.state == State::Running
    }

    /// Requests that were answered.
    pub fn answered(&self) -> usize {
        self.hops.iter().filter(|hop| hop.answer.came()).count()
    }

    /// Requests that failed.
    pub fn failed(&self) -> usize {
        self.hops
            .iter()
            .filter(|hop| matches!(hop.answer, Answer::Failed(_)))
            .count()
    }

    /// What it is called: what it is for, else its key.
    pub fn title(&self) -> &str {
        self.what.as_deref().unwrap_or(&self.key)
    }

    /// How it stands, in a word.
    pub fn word(&self) -> &'static str {
        match (self.state, self.kind) {
            (State::Running, _) => "running",
            (State::Done, Kind::Get | Kind::Providers) => "found",
            (State::Done, Kind::Put) => "stored",
            (State::Done, Kind::Provide) => "told",
            (State::Done, Kind::Closest | Kind::Bootstrap) => "done",
            (State::Missing, Kind::Put) => "not kept",
            (State::Missing, _) => "missing",
            (State::Late, _) => "timeout",
            (State::Unanswered, _) => "unanswered",
        }
    }

    /// What came of it, with how many.
    pub fn came(&self) -> String {
        let of = |one: &str, many: &str| match self.found {
            1 => format!("1 {one}"),
            count => format!("{count} {many}"),
        };
        match (self.state, self.kind) {
            (State::Done, Kind::Get) if self.found == 0 => "this node's own copy".to_owned(),
            (State::Done | State::Running, Kind::Get) if self.found > 0 => of("copy", "copies"),
            (State::Done | State::Running, Kind::Providers) if self.found > 0 => {
                of("provider", "providers")
            }
            (State::Done | State::Running, Kind::Put) if self.found > 0 => {
                format!("kept by {}", of("peer", "peers"))
            }
            (State::Done | State::Running, Kind::Provide) if self.found > 0 => of("peer", "peers"),
            (State::Done, _) => of("answer", "answers"),
            (State::Running, _) => String::new(),
            (State::Missing, Kind::Put) => "nobody keeps it".to_owned(),
            (State::Missing, _) => format!("nobody of {} has it", of_hops(self.answered())),
            (State::Late, _) => "the time was up".to_owned(),
            (State::Unanswered, _) if self.hops.is_empty() => "there was nobody to ask".to_owned(),
            (State::Unanswered, _) => format!("none of {} answered", of_hops(self.hops.len())),
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

/// A time as short as a lookup's: `0.4 ms`, `85 ms`, `4.2 s`.
pub fn span(micros: u32) -> String {
    match micros {
        0..=9_949 => format!("{:.1} ms", f64::from(micros) / 1_000.0),
        _ => Took(Duration::from_micros(u64::from(micros) + 500)).to_string(),
    }
}

/// How the lookups of one kind went that have ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    pub kind: Kind,
    pub ended: usize,
    /// Got what they were for.
    pub done: usize,
    /// Half took no longer, in milliseconds.
    pub p50_ms: f64,
    /// Nineteen of twenty took no longer, in milliseconds.
    pub p95_ms: f64,
}

/// The figures of each kind of which one has ended, in the order of [`Kind::ALL`].
pub fn figures<'a>(traces: impl Iterator<Item = &'a Trace> + Clone) -> Vec<Figures> {
    let of = |kind: Kind| {
        let ended = traces
            .clone()
            .filter(|trace| trace.kind == kind && !trace.is_open());
        let times: Vec<f64> = ended
            .clone()
            .filter_map(|trace| Some(f64::from(trace.took_us?) / 1_000.0))
            .collect();
        let done = ended
            .clone()
            .filter(|trace| trace.state == State::Done)
            .count();
        let count = ended.count();
        percentiles(times).map(|(p50_ms, p95_ms)| Figures {
            kind,
            ended: count,
            done,
            p50_ms,
            p95_ms,
        })
    };
    Kind::ALL.into_iter().filter_map(of).collect()
}

/// What a person wants looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sought {
    /// The record of this key.
    Record(Hash),
    /// Who provides what is behind this key.
    Providers(Hash),
    /// The peers that are closest to this one.
    Closest(PeerId),
}

/// A copy of a record that a lookup found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// Who gave it; `None` for this node's own.
    pub peer: Option<PeerId>,
    /// What it says, in one line.
    pub says: String,
    pub bytes: u64,
}

/// What came of a lookup that a person asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    pub trace: Trace,
    pub copies: Vec<Copy>,
    /// Providers, or the closest peers, the closest first.
    pub peers: Vec<PeerId>,
}

impl Looked {
    pub fn found(&self) -> bool {
        self.trace.state == State::Done
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
