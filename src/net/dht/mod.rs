//! The DHT: records held for others, lookups, provider records, and traces.

pub mod answer;
pub mod claims;
pub mod inspect;
pub mod looks;
pub mod lookups;
pub mod progress;
pub mod providers;
pub mod queries;
pub mod routing;
pub mod store;
pub mod trace;
