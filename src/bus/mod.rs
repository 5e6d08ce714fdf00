//! The event bus: tells the explorer and other readers what happens on the node.
//!
//! Writers never wait. Each reader has its own unsent changes: the latest value of every peer, a
//! bounded ring of announcements and notices, counters. They are sent as one [`Batch`] over a
//! bounded channel, at most ten times a second. A slow reader gets fewer, larger batches, which
//! count what its ring had to drop.

mod board;
mod collect;
mod event;
mod requests;
mod tally;

pub use board::Board;
pub use collect::{Bus, FLUSH_INTERVAL, RING};
pub use event::*;
pub use requests::RequestLog;
pub use tally::{REFUSED, Tally};
