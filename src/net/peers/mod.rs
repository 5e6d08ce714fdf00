//! Peers: the peer table, scores and penalties, locations, and the choice of connections.

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
