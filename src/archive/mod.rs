//! Packs directories into archives, and reads and unpacks untrusted ones.
//!
//! [`project`] reads a directory's `swarmdex.toml`, and [`pack`] makes a reproducible archive of
//! it. [`extract`] unpacks untrusted archives, and [`inspect`] searches them for private keys.
//! [`crates`] reads cargo's packages, [`npm`] npm's, [`pypi`] wheels and source distributions,
//! [`deb`] Debian's packages, and [`debian`] the package index of a Debian archive. Everything here
//! blocks, so async code calls it on a blocking thread.

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

pub use kind::ArchiveKind;
pub use read::{ArchiveError, ReadmeFile};
