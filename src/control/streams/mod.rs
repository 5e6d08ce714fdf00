//! Calls that are streams: events, the updates of a search, the steps of a publish and a fetch, and
//! the bytes of content. They have no end of their own, take a place among a bounded number, and
//! carry something else than one JSON value, so that each side has a function for each.

mod client;
mod lines;
mod server;

pub(super) use server::ROWS;
