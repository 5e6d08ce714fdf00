//! Gossip: its topics, and what waits for a verdict.

pub mod judge;
pub mod place;
pub mod topics;
pub mod waiting;
