//! Gossip: its topics, and what waits for a verdict.

pub mod topics;
pub mod waiting;
