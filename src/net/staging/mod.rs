//! Staged nodes for demos, tests and benches: far apart on one machine, misbehaving, choosing peers
//! at random, or with a wrong clock.

mod conduct;
pub(super) mod delay;

pub use conduct::Conduct;
pub use delay::Delays;

use crate::{
    clock::Clock,
    domain::{prefix::Classes, reputation::SelectionMethod},
};

/// The staged aspects of a node. The default is a real node without any.
#[derive(Clone, Debug, Default)]
pub struct Staging {
    /// The way it serves content and answers requests.
    pub conduct: Conduct,
    /// The delay of data from each peer, so that nodes on one machine are as far apart as cities.
    /// `None` adds nothing between the node and its connections.
    pub delays: Option<Delays>,
    /// The way it chooses peers to ask; anything but reputation is for comparison.
    pub selection: SelectionMethod,
    /// True if declared locations are believed whatever the round trips show, because nodes pretend
    /// to be elsewhere.
    pub believes_places: bool,
    /// The rule by which addresses are public; tests on loopback treat all addresses as public.
    pub classes: Classes,
    /// The clock, which a test may set.
    pub clock: Clock,
}

impl Staging {
    /// Returns the staging of a node with this conduct and nothing else.
    pub fn of(conduct: Conduct) -> Self {
        Self {
            conduct,
            ..Self::default()
        }
    }
}
