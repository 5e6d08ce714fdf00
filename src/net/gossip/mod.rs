//! Gossip: its topics, and the messages that wait for a verdict.

pub mod judge;
pub mod place;
pub mod topics;
pub mod waiting;
