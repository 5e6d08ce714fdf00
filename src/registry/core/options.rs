//! The settings of a registry.

use std::time::Duration;

use crate::domain::{catalogue::CatalogueScope, name::Handle, names::NameRule};

/// Settings of what a node publishes, and of what it keeps of the network's catalogue and for
/// others.
#[derive(Clone, Debug)]
pub struct RegistryOptions {
    /// The name that this node's publisher goes by, unless a draft gives another one.
    pub handle: Option<Handle>,
    /// The part of the network's catalogue that is kept.
    pub catalogue: CatalogueScope,
    /// Most bytes of records in the catalogue. The default has room for 400,000 packages.
    pub catalogue_bytes: u64,
    /// Most packages in the catalogue. The default takes about 1.5 GiB of disk.
    pub catalogue_max: u64,
    /// The catalogue is compared with others this often, a little earlier or later. Comparing equal
    /// catalogues costs a KiB, and gossip brings what is new at once.
    pub sync_every: Duration,
    /// Other nodes that are to have the bytes of each own release. By default two: one of them may
    /// leave, and a third node has the bytes.
    pub copies: usize,
    /// Most bytes that are kept for others, of the quota of content. By default a tenth of it.
    pub keep_for_others: u64,
    /// A copy on a node that is gone for so long is lost, and made anew. By default a day: a laptop
    /// comes back within it.
    pub copy_lost_after: Duration,
    /// The node is there for longer than one thing that a person asks for: only then others may
    /// have something kept here.
    pub stays: bool,
    /// Whose packages bare names are, by the settings.
    pub names: Vec<NameRule>,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            handle: None,
            catalogue: CatalogueScope::Full,
            catalogue_bytes: 1 << 30,
            catalogue_max: 500_000,
            sync_every: Duration::from_secs(300),
            copies: 2,
            keep_for_others: 1 << 30,
            copy_lost_after: Duration::from_secs(86_400),
            stays: true,
            names: Vec::new(),
        }
    }
}
