//! The tests of whole nodes and of the program, in one binary: each links libp2p and SQLite. What
//! needs a process of its own is beside this folder.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

#[path = "../lab/mod.rs"]
mod lab;

mod cli;
mod clock;
mod conduct;
mod conflicts;
mod content;
mod content_hostile;
mod control;
mod copies;
mod demo;
mod freshness;
mod gateway;
mod gateway_ahead;
mod gateway_many;
mod growth;
mod hostile;
mod latency;
mod layers;
mod links;
mod lookups;
mod metrics;
mod names;
mod pty;
mod ranking;
mod readme;
mod resolve;
mod slots;
mod swarm;
mod sync;
mod sync_hostile;
mod vectors;
