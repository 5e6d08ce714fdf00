//! The sync protocol, `/swarmdex/<network>/sync/3`: two catalogues are compared by ranges, and only
//! the differences are transferred.
//!
//! The comparison is over the hashes of current heads and their signing times, by
//! [Negentropy](https://github.com/hoytech/negentropy/blob/master/docs/negentropy-protocol-v1.md).
//! The asking node downloads, and gets nothing that it did not request. It tells the other node if
//! that one lacks heads, which may then ask in turn.

mod link;
pub(crate) mod server;
mod set;
pub mod wire;

pub use link::{Differences, Stopped, SyncLink};
pub(crate) use set::HeadSet;
pub use set::Heads;
