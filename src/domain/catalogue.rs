//! The share of the network's catalogue that a node keeps.

use serde::{Deserialize, Serialize};

/// The share of the network's catalogue that a node keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatalogueScope {
    /// All of it, up to the storage quota.
    #[default]
    Full,
    /// Only packages that this node published, heard of or asked for.
    Partial,
}
