//! The task that owns the swarm: its construction, main loop, commands and timers.

pub mod behaviour;
pub mod command;
pub mod dht;
pub mod events;
pub mod gossip;
pub mod measure;
pub mod orders;
pub mod query;
pub mod readings;
pub mod start;
pub mod task;
pub mod timers;
pub mod upkeep;
pub mod writes;
