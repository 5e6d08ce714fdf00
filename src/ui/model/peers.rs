//! The table of peers.

use std::{
    cmp::Ordering,
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    time::Duration,
};

use libp2p::PeerId;
use tui_input::Input;

use crate::{
    bus::PeerSnapshot,
    domain::{
        name::short_id,
        time::{Ago, Timestamp},
    },
    ui::widget::list::Selection,
};

/// Rows are not moved more often than this.
const SORT_EVERY: Duration = Duration::from_secs(1);
/// Nor while a person is moving among them.
const SORT_AFTER_KEY: Duration = Duration::from_secs(2);

/// What the table can be sorted by, in the order of the columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    Id,
    Handle,
    Rtt,
    #[default]
    Score,
    Location,
    Distance,
    Packages,
    Seen,
    Direction,
    Agent,
    Address,
}

impl SortBy {
    pub const ALL: [Self; 11] = [
        Self::Id,
        Self::Handle,
        Self::Rtt,
        Self::Score,
        Self::Location,
        Self::Distance,
        Self::Packages,
        Self::Seen,
        Self::Direction,
        Self::Agent,
        Self::Address,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "peer",
            Self::Handle => "handle",
            Self::Rtt => "round trip",
            Self::Score => "score",
            Self::Location => "place",
            Self::Distance => "distance",
            Self::Packages => "packages",
            Self::Seen => "last seen",
            Self::Direction => "direction",
            Self::Agent => "agent",
            Self::Address => "address",
        }
    }

    pub fn next(self) -> Self {
        let here = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Self::ALL.get((here + 1) % Self::ALL.len()).copied().unwrap_or_default()
    }

    /// Whether the highest come first unless reversed: what is good when it is much.
    fn highest_first(self) -> bool {
        matches!(self, Self::Score | Self::Packages | Self::Seen)
    }
}

/// A text that rows must contain.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub input: Input,
    pub typing: bool,
}

impl Filter {
    pub fn matches<'a>(&self, mut fields: impl Iterator<Item = &'a str>) -> bool {
        let wanted = self.input.value().trim().to_lowercase();
        wanted.is_empty() || fields.any(|field| field.to_lowercase().contains(&wanted))
    }

    /// Takes a row of its own: it has the focus, or hides something.
    pub fn is_shown(&self) -> bool {
        self.typing || !self.input.value().is_empty()
    }
}

#[derive(Default)]
pub struct Peers {
    all: HashMap<PeerId, PeerSnapshot>,
    /// Those that pass the filter, in order.
    pub rows: Vec<PeerId>,
    pub sort: SortBy,
    pub reversed: bool,
    pub filter: Filter,
    pub selection: Selection<PeerId>,
    sorted_at: Timestamp,
    key_at: Timestamp,
    unsorted: bool,
}

impl Peers {
    pub fn get(&self, id: &PeerId) -> Option<&PeerSnapshot> {
        self.all.get(id)
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn apply(&mut self, changed: Vec<PeerSnapshot>, gone: &[PeerId], now: Timestamp) {
        if changed.is_empty() && gone.is_empty() {
            return;
        }
        for id in gone {
            self.all.remove(id);
        }
        self.rows.retain(|id| self.all.contains_key(id));
        let was_empty = self.rows.is_empty();
        for peer in changed {
            let id = peer.id;
            let passes = passes(&self.filter, &peer);
            let is_shown = self.rows.contains(&id);
            self.all.insert(id, peer);
            match (passes, is_shown) {
                // At the end until the next sorting, so that nothing moves under the person's eyes.
                (true, false) => self.rows.push(id),
                (false, true) => self.rows.retain(|row| *row != id),
                _ => {}
            }
        }
        self.unsorted = true;
        if was_empty {
            self.sort_now(now);
        } else {
            self.sort_if_due(now);
        }
    }

    pub fn touched(&mut self, now: Timestamp) {
        self.key_at = now;
    }

    /// Sorts at most once a second, and not within two seconds of a key; true when rows moved.
    pub fn sort_if_due(&mut self, now: Timestamp) -> bool {
        let due = self.unsorted && now.since(self.sorted_at) >= SORT_EVERY && now.since(self.key_at) >= SORT_AFTER_KEY;
        if !due {
            return false;
        }
        let before = self.rows.clone();
        self.sort_now(now);
        before != self.rows
    }

    pub fn sort_now(&mut self, now: Timestamp) {
        let mut rows: Vec<&PeerSnapshot> = self.all.values().filter(|peer| passes(&self.filter, peer)).collect();
        let flip = self.reversed != self.sort.highest_first();
        rows.sort_by(|a, b| {
            let order = compare(self.sort, a, b);
            let order = if flip { order.reverse() } else { order };
            // Those that are connected first, whatever the order; the id decides between equals.
            b.connection.is_some().cmp(&a.connection.is_some()).then(order).then(a.id.cmp(&b.id))
        });
        self.rows = rows.into_iter().map(|peer| peer.id).collect();
        (self.sorted_at, self.unsorted) = (now, false);
    }

    /// Whether the highest come first now.
    pub fn is_descending(&self) -> bool {
        self.reversed != self.sort.highest_first()
    }

    /// Changes whenever an age that is shown reads differently.
    pub fn ages(&self, now: Timestamp) -> u64 {
        let mut hasher = DefaultHasher::new();
        for id in &self.rows {
            if let Some(peer) = self.all.get(id) {
                seen(peer, now).hash(&mut hasher);
            }
        }
        hasher.finish()
    }
}

/// When it was seen last, in a word.
pub fn seen(peer: &PeerSnapshot, now: Timestamp) -> String {
    if peer.connection.is_some() { "now".to_owned() } else { Ago(now.since(peer.last_seen)).to_string() }
}

fn passes(filter: &Filter, peer: &PeerSnapshot) -> bool {
    let id = peer.id.to_string();
    let place = peer.location.as_ref().map(ToString::to_string).unwrap_or_default();
    let fields = [id.as_str(), handle(peer), peer.agent.as_deref().unwrap_or_default(), address(peer), place.as_str()];
    filter.matches(fields.into_iter())
}

pub fn handle(peer: &PeerSnapshot) -> &str {
    peer.owner.as_ref().map_or("", |owner| owner.handle.as_str())
}

pub fn address(peer: &PeerSnapshot) -> &str {
    match &peer.connection {
        Some(connection) => &connection.address,
        None => peer.addresses.first().map_or("", String::as_str),
    }
}

fn compare(sort: SortBy, a: &PeerSnapshot, b: &PeerSnapshot) -> Ordering {
    // What is not known goes last among the lowest.
    let number = |a: Option<f64>, b: Option<f64>| a.unwrap_or(f64::INFINITY).total_cmp(&b.unwrap_or(f64::INFINITY));
    // An empty text too.
    let text = |a: &str, b: &str| a.is_empty().cmp(&b.is_empty()).then_with(|| a.cmp(b));
    match sort {
        SortBy::Id => short_id(&a.id).cmp(&short_id(&b.id)),
        SortBy::Handle => text(handle(a), handle(b)),
        SortBy::Rtt => number(a.rtts_ms.last().map(|ms| f64::from(*ms)), b.rtts_ms.last().map(|ms| f64::from(*ms))),
        SortBy::Score => a.score.total.total_cmp(&b.score.total),
        SortBy::Location => {
            let place = |peer: &PeerSnapshot| peer.location.as_ref().map(ToString::to_string).unwrap_or_default();
            text(&place(a), &place(b))
        }
        SortBy::Distance => number(a.distance_km, b.distance_km),
        SortBy::Packages => a.packages.cmp(&b.packages),
        SortBy::Seen => a.last_seen.cmp(&b.last_seen),
        SortBy::Direction => {
            let direction = |peer: &PeerSnapshot| peer.connection.as_ref().map(|connection| connection.direction);
            direction(a).cmp(&direction(b))
        }
        SortBy::Agent => text(a.agent.as_deref().unwrap_or_default(), b.agent.as_deref().unwrap_or_default()),
        SortBy::Address => text(address(a), address(b)),
    }
}
