//! The window of a package.

use super::readme::ReadmeText;
use crate::{
    domain::{hash::ContentRoot, name::PackageId},
    registry::{Held, Package, ReleaseFile},
};

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

#[derive(Clone, Debug)]
pub struct PackageView {
    pub id: PackageId,
    /// The title, as the package was called where it was opened.
    pub title: String,
    pub generation: u64,
    pub state: PackageState,
    /// Files of the latest release, once all its manifests were looked up; `None` if the first
    /// manifest lists them all.
    pub files: Option<ReleaseFiles>,
    pub content: ContentState,
    pub readme: ReadmeState,
    pub scroll: usize,
}

impl PackageView {
    /// Notes that a content is on this node now.
    pub fn came(&mut self, root: ContentRoot) {
        let PackageState::Found(package) = &self.state else {
            return;
        };
        if package
            .latest
            .as_ref()
            .is_some_and(|manifest| manifest.content().root == root)
        {
            self.content = ContentState::Here(None);
        }
    }
}
