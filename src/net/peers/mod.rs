//! Peers: who is known, how they are judged and where they are, and which connections are kept.

pub mod connections;
pub mod discovery;
pub mod identity;
pub mod penalties;
pub mod place;
pub mod pool;
pub mod table;
