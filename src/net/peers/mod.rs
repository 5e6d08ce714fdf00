//! Peers: who is known, how they are judged and where they are, and which connections are kept.

pub mod connections;
pub mod discovery;
pub mod identity;
pub mod peer;
pub mod penalties;
pub mod place;
pub mod pool;
pub mod rank;
pub mod snapshot;
pub mod table;
pub mod totals;
pub mod trouble;
