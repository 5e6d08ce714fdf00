//! The settings of a registry.

use std::time::Duration;

use crate::domain::{catalogue::CatalogueScope, name::Handle, names::NameRule};

/// Settings for publishing, for the catalogue, and for what is kept for others.
#[derive(Clone, Debug)]
pub struct RegistryOptions {
    /// The handle of this node's publisher, unless a draft gives another one.
    pub handle: Option<Handle>,
    /// The part of the network's catalogue that is kept.
    pub catalogue: CatalogueScope,
    /// Most bytes of records in the catalogue. The default is enough for 400,000 packages.
    pub catalogue_bytes: u64,
    /// Most packages in the catalogue. At the default they take about 1.5 GiB of disk.
    pub catalogue_max: u64,
    /// Interval at which the catalogue is compared with others, varied slightly. Comparing equal
    /// catalogues costs a KiB, and gossip brings news at once.
    pub sync_every: Duration,
    /// Number of other nodes that should have the bytes of each own release. The default is two: if
    /// one leaves, the other still has them.
    pub copies: usize,
    /// Most bytes kept for others, out of the content quota. The default is a tenth of it.
    pub keep_for_others: u64,
    /// A copy counts as lost, and is replaced, once its node is gone for this long. The default is
    /// a day, because a laptop is back within it.
    pub copy_lost_after: Duration,
    /// True if the node runs for longer than one command. Only such a node keeps copies for others.
    pub stays: bool,
    /// The settings' rules that map bare names to owners.
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
