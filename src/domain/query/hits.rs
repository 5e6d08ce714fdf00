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

/// A package found by a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// The package.
    pub package: PackageId,
    /// The publisher's handle, if it has one.
    pub handle: Option<Handle>,
    /// The trust in the publisher.
    pub trust: Trust,
    /// The latest version.
    pub version: VersionText,
    /// A one-line summary.
    pub summary: String,
    /// Its categories.
    pub categories: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its license expression.
    pub license: Option<String>,
    /// Its ecosystem, such as `cargo`.
    #[serde(default)]
    pub ecosystem: String,
    /// The number of packages in this node's catalogue that need it.
    #[serde(default)]
    pub dependents: u64,
    /// The number of peers seen to have it.
    #[serde(default)]
    pub providers: u64,
    /// Every release is yanked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub yanked: bool,
    /// Its owner advises against it or recommends another package.
    #[serde(default)]
    pub deprecated: bool,
    /// A package known to this node's person that this one may be mistaken for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looks_like: Option<LookAlike>,
    /// The time at which the publisher signed the package's current state.
    pub signed_at: Timestamp,
    /// The origin of the hit.
    pub source: Source,
    /// Its relevance to the query, 0 to 1.
    #[serde(default)]
    pub score: f64,
}

/// The number of packages found that have a certain label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FacetCount {
    /// The kind of label.
    pub facet: Facet,
    /// The value in a search filter.
    pub value: String,
    /// The value as written.
    pub shown: String,
    /// The number of packages with the label.
    pub packages: u64,
}

/// The labels of the packages found in the local catalogue, the most frequent of each facet first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facets {
    /// The number of packages found.
    pub total: u64,
    /// The counts, the most frequent first for each facet.
    pub counts: Vec<FacetCount>,
    /// Counted on an even sample, because there are many packages.
    pub sampled: bool,
}

impl Hit {
    /// Returns the display name: see [`title`].
    pub fn title(&self) -> String {
        title(&self.package, self.handle.as_ref(), self.trust)
    }
}

/// The reason why this node's person knows a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KnownReason {
    /// It is one of this node's own.
    Own,
    /// Its publisher is pinned.
    Pinned,
    /// An own package, or one of a pinned publisher, needs it.
    Needed,
}

/// A package with a given name that this node knows, whose owner the name may mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namesake {
    /// The package.
    pub package: PackageId,
    /// The publisher's handle, if it has one.
    pub handle: Option<Handle>,
    /// It belongs to this node's own publisher.
    pub own: bool,
}

/// A package known to this node's person that another one may be mistaken for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookAlike {
    /// The package.
    pub package: PackageId,
    /// The publisher's handle, if it has one.
    pub handle: Option<Handle>,
    /// The reason why it is known.
    pub why: KnownReason,
}

impl fmt::Display for LookAlike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (called, key) = (
            claimed(&self.package, self.handle.as_ref()),
            self.package.owner.fingerprint(),
        );
        match self.why {
            KnownReason::Own => write!(f, "{called}, which is your own"),
            KnownReason::Pinned => write!(f, "{called} ({key}), whose publisher you pinned"),
            KnownReason::Needed => write!(f, "{called} ({key}), which packages that you know need"),
        }
    }
}

/// The share of the network that a search's answer covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// The number of peers asked.
    pub asked: usize,
    /// The number of peers that answered.
    pub answered: usize,
    /// The share of the known number of packages held by this node or a peer that answered, 0 to 1;
    /// `None` before any peer has reported a number.
    #[serde(default)]
    pub share: Option<f64>,
}

/// A message of a streamed search: first local hits, then hits as peers answer, then exactly one
/// `Done`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum SearchUpdate {
    /// Further hits.
    Hits {
        /// The hits.
        hits: Vec<Hit>,
        /// The coverage so far.
        coverage: Coverage,
        /// Number of matching packages, as far as known.
        #[serde(default)]
        total: u64,
        /// The words searched for instead, if next to nothing matched those of the query.
        #[serde(default)]
        instead: Option<String>,
    },
    /// The labels of the local matches, sent once.
    Facets {
        /// The labels, each with its number of packages.
        facets: Facets,
    },
    /// The search ended.
    Done {
        /// The coverage in the end.
        coverage: Coverage,
        /// The time it took.
        elapsed: Duration,
        /// True if there were more matches than are kept.
        truncated: bool,
    },
}

/// A collected search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SearchResults {
    /// Hits from the query's offset on, best first.
    pub hits: Vec<Hit>,
    /// Number of matching packages, as far as known.
    #[serde(default)]
    pub total: u64,
    /// The words searched for instead, if any.
    #[serde(default)]
    pub instead: Option<String>,
    /// The labels of the local matches.
    #[serde(default)]
    pub facets: Facets,
    /// The coverage.
    pub coverage: Coverage,
    /// Duration of the search.
    pub elapsed: Duration,
    /// More was found than `limit` or the stream's buffer allowed.
    pub truncated: bool,
}
