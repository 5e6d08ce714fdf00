//! The sync protocol, `/swarmdex/<network>/sync/3`: two catalogues are compared by ranges, and only
//! what differs travels.
//!
//! What is compared are the hashes of current heads with the times they were signed at, by
//! [Negentropy](https://github.com/hoytech/negentropy/blob/master/docs/negentropy-protocol-v1.md).
//! Who asks takes, and is given nothing that it did not ask for; who is asked is told when the
//! asker has what it lacks, and may ask in turn.

mod link;
pub(crate) mod server;
mod set;
pub mod wire;

pub use link::{Differences, Stopped, SyncLink};
pub(crate) use set::HeadSet;
pub use set::Heads;
