//! Directories as archives and back: what a publisher packs, and what a stranger's archive may do
//! when it is unpacked.
//!
//! [`project`] reads the `swarmdex.toml` of a directory, [`pack`] makes one archive of it, the same
//! bytes wherever it is packed, and [`extract`] unpacks an archive that may have been made by
//! anybody; [`inspect`] looks for keys in one. [`crates`] reads what cargo packs, [`npm`] what npm
//! packs, [`pypi`] wheels and source distributions, [`deb`] Debian's packages, and [`debian`] the
//! index that a Debian archive has of its packages. Everything blocks: whoever must not wait calls
//! it on a thread that may.

pub mod crates;
pub mod deb;
pub mod debian;
pub mod extract;
pub mod inspect;
mod kind;
pub mod list;
pub mod npm;
pub mod pack;
pub mod path;
pub mod project;
pub mod pypi;
mod read;
pub mod release;
pub(crate) mod sanitise;

pub use kind::Kind;
pub use read::{Readme, Unusable};
