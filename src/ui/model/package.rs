//! The states of the parts of an opened package, which are looked up one after the other.

use super::readme::ReadmeText;
use crate::registry::{Held, Package, ReleaseFile};

#[derive(Clone, Debug)]
pub enum PackageState {
    Looking,
    Found(Box<Package>),
    Failed(String),
}

/// State of the latest release's content on this node.
#[derive(Clone, Debug, Default)]
pub enum ContentState {
    #[default]
    Asking,
    /// The node has it; with how it was obtained, if known.
    Here(Option<Box<Held>>),
    NotHere,
    Unknown(String),
}

/// The readme of the latest release.
#[derive(Clone, Debug, Default)]
pub enum ReadmeState {
    /// The release has no readme.
    #[default]
    None,
    Loading,
    Is(ReadmeText),
    Failed(String),
}

/// The files of a release with several manifests.
#[derive(Clone, Debug)]
pub enum ReleaseFiles {
    Looking,
    /// The files, and the number of manifests that could not be fetched.
    Are(Vec<ReleaseFile>, usize),
    Failed(String),
}
