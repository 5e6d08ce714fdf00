//! For demos, tests and benches alone: nodes that are far from each other on one machine, that
//! behave badly, that choose by lot, or whose clock is wrong.

mod conduct;
pub(super) mod delay;

pub use conduct::Conduct;
pub use delay::Delays;

use crate::{
    clock::Clock,
    domain::{prefix::Classes, reputation::SelectionMethod},
};

/// What is staged of a node. The default is a real node, of which nothing is.
#[derive(Clone, Debug, Default)]
pub struct Staging {
    /// How it serves content and answers questions.
    pub conduct: Conduct,
    /// How long what peers send is held back, so that nodes on one machine are as far apart as
    /// cities. `None`: nothing is between the node and its connections.
    pub delays: Option<Delays>,
    /// Whom it asks; anything but reputation is to be compared with.
    pub selection: SelectionMethod,
    /// Declared places are believed, whatever the round trips say: nodes play to be elsewhere.
    pub believes_places: bool,
    /// The rule by which addresses are public: tests on loopback take all of them for that.
    pub classes: Classes,
    /// The clock, which a test may set.
    pub clock: Clock,
}

impl Staging {
    /// A node that behaves so, and of which nothing else is staged.
    pub fn of(conduct: Conduct) -> Self {
        Self {
            conduct,
            ..Self::default()
        }
    }
}
