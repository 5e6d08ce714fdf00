//! Reasons why bytes cannot be fetched or read.

use crate::{RegistryError, domain::hash::ContentRoot};

/// A failure of the [`Fetcher`](super::Fetcher). [`RegistryError`] has its sentences.
#[derive(Debug)]
pub enum FetcherError {
    /// The content is not here.
    NoContent(ContentRoot),
    /// The stored bytes do not verify.
    Damaged(ContentRoot),
    /// It is larger than this node accepts.
    TooLarge { size: u64, most: u64 },
    /// A person paused the fetch.
    Paused { what: String },
    /// A person cancelled the fetch.
    Cancelled { what: String },
    /// No peer supplied the rest.
    Failed {
        what: String,
        why: String,
        done: u64,
        size: u64,
    },
    /// The store or the network failed, or the node ends.
    Node(Box<RegistryError>),
}

impl From<RegistryError> for FetcherError {
    fn from(error: RegistryError) -> Self {
        Self::Node(Box::new(error))
    }
}

impl From<FetcherError> for RegistryError {
    fn from(error: FetcherError) -> Self {
        use FetcherError as Error;
        match error {
            Error::NoContent(root) => Self::NoContent(root),
            Error::Damaged(root) => Self::ContentDamaged(root),
            Error::TooLarge { size, most } => Self::TooLarge { size, most },
            Error::Paused { what } => Self::Stopped {
                what,
                how: "paused",
            },
            Error::Cancelled { what } => Self::Cancelled { what },
            Error::Failed {
                what,
                why,
                done,
                size,
            } => Self::Fetch {
                what,
                why,
                done,
                size,
            },
            Error::Node(error) => *error,
        }
    }
}
