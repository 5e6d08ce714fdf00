//! The task that owns the swarm, and how it is put together: its loop, its commands, its timers.

pub mod behaviour;
pub mod command;
pub mod events;
pub mod measure;
pub mod orders;
pub mod start;
pub mod task;
pub mod timers;
pub mod upkeep;
