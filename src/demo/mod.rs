//! A private swarm of real nodes in one process: what they publish, who they are and where they
//! live.

pub mod catalogue;
pub mod city;
mod ledger;
pub mod plan;
mod report;
mod run;
mod traffic;

pub use report::{Percentiles, Report};
pub use run::{Demo, DemoOptions, Latency};
