//! A private swarm of real nodes in one process, which publish, leave and return as planned.

pub mod catalogue;
pub mod city;
mod ledger;
pub mod plan;
mod report;
mod run;
mod traffic;

pub use report::{DemoReport, Percentiles};
pub use run::{Demo, DemoOptions, Latency};
