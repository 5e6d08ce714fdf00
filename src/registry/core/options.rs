//! What a registry is told when it is made.

use std::{path::PathBuf, time::Duration};

use super::Chance;
use crate::{
    clock::Clock,
    domain::{catalogue::CatalogueScope, name::Handle, names::NameRule},
};

/// What a registry needs besides its parts.
pub struct RegistryOptions {
    pub data_dir: PathBuf,
    /// What this node's publisher calls itself, unless a draft says otherwise.
    pub handle: Option<Handle>,
    /// Most bytes of one content.
    pub max_content: u64,
    /// Offer to others what was fetched.
    pub provide: bool,
    /// How long a peer that gives content may be silent.
    pub content_idle: Duration,
    /// How much of the network's catalogue is kept.
    pub catalogue: CatalogueScope,
    /// The catalogue is compared with others this often, a little earlier or later.
    pub sync_every: Duration,
    /// Other nodes that are to have the bytes of each own release.
    pub copies: usize,
    /// Most bytes that are kept for others.
    pub keep_for_others: u64,
    /// A copy on a node that is gone for so long is lost.
    pub copy_lost_after: Duration,
    /// It is there for longer than one thing that a person asks for.
    pub stays: bool,
    /// What the settings say whose packages bare names are.
    pub names: Vec<NameRule>,
    /// The clock of this node.
    pub clock: Clock,
    /// The random numbers of this node.
    pub chance: Chance,
}
