//! The share of the network's catalogue that a node keeps.

use serde::{Deserialize, Serialize};

/// The share of the network's catalogue that a node keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatalogueScope {
    /// All of it, as far as there is room.
    #[default]
    Full,
    /// The packages that it published, heard of or asked for.
    Partial,
}
