//! Tests of whole nodes and of the program, in one binary, because every binary links libp2p and
//! SQLite. Tests that need a process of their own are beside this folder.

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
mod docs;
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
mod resolve;
mod slots;
mod swarm;
mod sync;
mod sync_hostile;
mod vectors;
