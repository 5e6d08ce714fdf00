//! The content protocol, `/swarmdex/<network>/content/3`: verified ranges over raw streams, in both
//! directions.

mod busy;
mod conduct;
mod link;
pub(crate) mod server;
pub mod wire;

pub(crate) use busy::{Busy, BusyPeers};
pub use {
    conduct::Conduct,
    link::{Answered, Broken, ContentLink},
};
