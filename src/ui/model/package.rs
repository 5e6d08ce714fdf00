//! A package that is opened.

use crate::{domain::name::PackageId, registry::Package};

#[derive(Clone, Debug)]
pub enum Looked {
    Looking,
    Found(Box<Package>),
    Failed(String),
}

#[derive(Clone, Debug)]
pub struct PackageView {
    pub id: PackageId,
    /// What it was called where it was opened.
    pub title: String,
    pub generation: u64,
    pub state: Looked,
    pub scroll: usize,
}
