//! The event bus: what the explorer, and any other reader, learns of the node as it happens.
//!
//! Writers never wait. Each reader has its own picture to catch up with: the latest value of every
//! peer, a bounded ring of announcements and notices, counters. It is sent as one [`Batch`] over a
//! bounded channel, at most ten times a second; a reader that is slow gets fewer, larger batches,
//! and what its ring had to drop is counted in them.

mod board;
mod collect;
mod event;
mod requests;
mod tally;

pub use board::Board;
pub use collect::{Bus, FLUSH_INTERVAL, RING};
pub use event::*;
pub use requests::Requests;
pub use tally::Tally;
