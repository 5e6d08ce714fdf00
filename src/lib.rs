//! x
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)
)]
pub mod bus;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod domain;
mod error;
pub mod net;
pub mod node;
pub mod registry;
pub mod store;
pub mod telemetry;
pub mod ui;

pub use error::{RegistryError, Result};
