//! The registry's rules, as plain values and pure functions.
//!
//! Nothing here opens a file, a socket or a clock: the time, the randomness and the bytes are
//! arguments, so every rule can be tested without waiting. The layers above ([`crate::store`],
//! [`crate::net`], [`crate::registry`], [`crate::ui`]) decide when a rule is applied, never its
//! outcome.

pub mod allowance;
pub mod announced;
pub mod caps;
pub mod catalogue;
pub mod change;
pub mod conflict;
pub mod content;
pub mod copies;
pub mod dependency;
pub mod dials;
pub mod faults;
pub mod fold;
pub mod freshness;
pub mod geo;
pub mod hash;
pub mod health;
pub mod held;
pub mod lanes;
pub mod lookup;
pub mod manifest;
pub mod name;
pub mod names;
pub mod package;
pub mod percentile;
pub mod places;
pub mod prefix;
pub mod proof;
pub mod query;
pub mod receipt;
pub mod record;
pub mod release;
pub mod releases;
pub mod reputation;
pub mod request;

pub mod room;
pub mod secret;
pub mod shares;
pub mod size;
pub mod skeleton;
pub mod text;
pub mod time;
pub mod toml;
pub mod transfer;
pub mod trust;
pub mod version;
