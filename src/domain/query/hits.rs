//! The results of a search.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::Facet;
use crate::domain::{
    name::{Handle, PackageId},
    package::{Source, claimed, title},
    time::Timestamp,
    trust::Trust,
    version::VersionText,
};

/// One package among a search's answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    pub package: PackageId,
    pub handle: Option<Handle>,
    pub trust: Trust,
    pub version: VersionText,
    /// One line that says what it is.
    pub summary: String,
    pub categories: Vec<String>,
    pub tags: Vec<String>,
    pub license: Option<String>,
    /// The packages it is one of, such as `cargo`.
    #[serde(default)]
    pub ecosystem: String,
    /// Packages in this node's catalogue that need it.
    #[serde(default)]
    pub dependents: u64,
    /// Peers that were seen to have it.
    #[serde(default)]
    pub providers: u64,
    /// Every release is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub yanked: bool,
    /// Nobody has signed it: a stanza that was imported for this node alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preview: bool,
    /// Its owner says to use something else, or not to use it.
    #[serde(default)]
    pub deprecated: bool,
    /// The package that this node's person knows, and that this one may be taken for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looks_like: Option<LookAlike>,
    /// The time at which the publisher signed the package's current state.
    pub signed_at: Timestamp,
    pub source: Source,
    /// Its fitness for the query, 0 to 1.
    #[serde(default)]
    pub score: f64,
}

/// The number of a search's packages that have a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FacetCount {
    pub facet: Facet,
    /// As a search asks for it.
    pub value: String,
    /// As it is written.
    pub shown: String,
    pub packages: u64,
}

/// The labels of the packages that a search finds here, the most frequent of each kind first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facets {
    pub total: u64,
    pub counts: Vec<FacetCount>,
    /// Counted on an even sample, because there are many.
    pub sampled: bool,
}

impl Hit {
    /// For eyes: see [`title`].
    pub fn title(&self) -> String {
        title(&self.package, self.handle.as_ref(), self.trust)
    }
}

/// The reason why this node's person knows a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Known {
    /// It is one of this node's own.
    Own,
    /// Its publisher is pinned.
    Pinned,
    /// An own package, or one of a pinned publisher, needs it.
    Needed,
}

/// A package of a certain name that this node knows of, by whose word it may be meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namesake {
    pub package: PackageId,
    pub handle: Option<Handle>,
    /// It is this node's own publisher's.
    pub own: bool,
}

/// A package that this node's person knows, and that another one may be taken for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookAlike {
    pub package: PackageId,
    pub handle: Option<Handle>,
    pub why: Known,
}

impl fmt::Display for LookAlike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (called, key) = (
            claimed(&self.package, self.handle.as_ref()),
            self.package.owner.fingerprint(),
        );
        match self.why {
            Known::Own => write!(f, "{called}, which is your own"),
            Known::Pinned => write!(f, "{called} ({key}), whose publisher you pinned"),
            Known::Needed => write!(f, "{called} ({key}), which packages that you know need"),
        }
    }
}

/// The share of the network that a search's answer covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    pub asked: usize,
    pub answered: usize,
    /// Share of the packages there are, as far as can be told, that this node or one that answered
    /// holds, 0 to 1; `None` before anybody has said how many there are.
    #[serde(default)]
    pub share: Option<f64>,
}

/// A message of a streamed search. It sends local hits, then hits as peers answer, then exactly one
/// `Done`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum SearchUpdate {
    Hits {
        hits: Vec<Hit>,
        coverage: Coverage,
        /// Packages that match, as far as is known so far.
        #[serde(default)]
        total: u64,
        /// The words that were searched for instead, where next to nothing had those of the query.
        #[serde(default)]
        instead: Option<String>,
    },
    /// The labels of the local matches; they come once.
    Facets { facets: Facets },
    Done {
        coverage: Coverage,
        elapsed: Duration,
        truncated: bool,
    },
}

/// A collected search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SearchResults {
    /// Best first, from the query's offset on.
    pub hits: Vec<Hit>,
    /// Packages that match, as far as is known.
    #[serde(default)]
    pub total: u64,
    #[serde(default)]
    pub instead: Option<String>,
    #[serde(default)]
    pub facets: Facets,
    pub coverage: Coverage,
    pub elapsed: Duration,
    /// More was found than `limit` or the stream's buffer let through.
    pub truncated: bool,
}
