//! The content protocol, `/swarmdex/<network>/content/3`: verified ranges over raw streams, in both
//! directions.

mod busy;
pub(super) mod closed;
mod link;
pub(crate) mod server;
pub mod wire;

pub(crate) use busy::{Busy, BusyPeers};
pub use link::{Broken, ContentLink, ContentReply};
