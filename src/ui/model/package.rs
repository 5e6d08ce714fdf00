//! A package that is opened.

use super::readme::Readme;
use crate::{
    domain::{hash::ContentRoot, name::PackageId},
    registry::{Held, Package, ReleaseFile},
};

#[derive(Clone, Debug)]
pub enum Looked {
    Looking,
    Found(Box<Package>),
    Failed(String),
}

/// Whether the content of its latest release is on this node.
#[derive(Clone, Debug, Default)]
pub enum Presence {
    #[default]
    Asking,
    /// With what is known of how it came.
    Here(Option<Box<Held>>),
    NotHere,
    Unknown(String),
}

/// The readme of its latest release.
#[derive(Clone, Debug, Default)]
pub enum Shown {
    /// It has none.
    #[default]
    None,
    Loading,
    Is(Readme),
    Failed(String),
}

/// Files of a release that has several manifests.
#[derive(Clone, Debug)]
pub enum Files {
    Looking,
    /// With how many manifests could not be had.
    Are(Vec<ReleaseFile>, usize),
    Failed(String),
}

#[derive(Clone, Debug)]
pub struct PackageView {
    pub id: PackageId,
    /// What it was called where it was opened.
    pub title: String,
    pub generation: u64,
    pub state: Looked,
    /// Files of its latest release, once every manifest of that was looked for; `None` where the
    /// first one has them all.
    pub files: Option<Files>,
    pub content: Presence,
    pub readme: Shown,
    pub scroll: usize,
}

impl PackageView {
    /// A content is on this node now.
    pub fn came(&mut self, root: ContentRoot) {
        let Looked::Found(package) = &self.state else {
            return;
        };
        if package
            .latest
            .as_ref()
            .is_some_and(|manifest| manifest.content().root == root)
        {
            self.content = Presence::Here(None);
        }
    }
}
