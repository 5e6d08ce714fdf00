//! Swarmdex: a package registry with no server, and a terminal explorer that shows it live.
//!
//! Publishers sign releases; nodes find each other, gossip announcements, keep a catalogue each,
//! and answer each other's questions. From the outside in:
//!
//! - [`cli`] is the command line, `ui` the explorer, `demo` a private swarm of real nodes in
//!   one process;
//! - [`node`] puts one whole node together, [`config`] and `telemetry` are its settings and logs;
//! - `gateway` is where package managers use a node, as the registries that they know;
//! - [`registry`] is what a node is for: the [`Registry`](registry::Registry) trait and its
//!   peer-to-peer implementation;
//! - `resolve` decides which releases a package needs, all together, and keeps them in a lock
//!   file;
//! - `net` owns the swarm and is the only part that networks, `store` owns the disk;
//! - `archive` packs directories, and unpacks what strangers packed;
//! - [`domain`] holds the rules, pure: records, selection, trust, reputation, geography;
//! - `bus` is what everybody may listen to.
//!
//! `ARCHITECTURE.md` is the map of all of it. Public are [`node`], [`registry`], [`control`],
//! [`domain`], [`config`] and [`cli`]; the other modules are reachable for tests and benches, and
//! change without notice.

#![warn(missing_docs)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]
#[doc(hidden)]
pub mod archive;
#[doc(hidden)]
pub mod bus;
pub mod cli;
#[doc(hidden)]
pub mod clock;
pub mod config;
pub mod control;
#[doc(hidden)]
pub mod demo;
#[doc(hidden)]
pub mod disk;
pub mod domain;
#[doc(hidden)]
pub mod ecosystem;
mod ending;
mod error;
#[doc(hidden)]
pub mod gateway;
#[doc(hidden)]
pub mod geoip;
#[doc(hidden)]
pub mod metrics;
#[doc(hidden)]
pub mod net;
pub mod node;
#[doc(hidden)]
pub mod prepare;
#[doc(hidden)]
pub mod process;
pub mod registry;
#[doc(hidden)]
pub mod resolve;
#[doc(hidden)]
pub mod sim;
#[doc(hidden)]
pub mod store;
#[doc(hidden)]
pub mod telemetry;
#[doc(hidden)]
pub mod ui;

pub use error::{RegistryError, Result};
