//! Resolves a package's dependencies to one consistent set of releases, and keeps the lock file
//! that fixes them.
//!
//! A requirement is a set of versions ([`range`]), reduced to the yanked releases and pre-releases
//! that it admits (`admit`). The input of the solver, PubGrub, depends only on the releases and the
//! requirements, never on the order of discovery. So it finds a solution if there is one, always
//! the same, and its explanations are true. Releases come from a [`ReleaseSource`], so the rules
//! need no
//! network.
//!
//! Packages are identified by [`PackageId`]: `alice/json` and `12D3KooW…/json` are one package if
//! that key is alice's. A resolution has one release of each package. [`Machine`] decides which
//! dependencies count. A bare name means the package of this node's own publisher, otherwise that
//! of the dependent's owner, otherwise that of the only pinned publisher who has it.

mod admit;
mod explain;
pub mod lock;
mod machine;
mod order;
mod over;
pub mod range;
mod set;
#[cfg(test)]
mod tests;
mod universe;

pub use lock::LockFile;
pub use machine::Machine;
pub use over::{OverRegistry, resolve_on};

use std::{collections::BTreeMap, fmt};

use pubgrub::PubGrubError;
use serde::{Deserialize, Serialize};

use crate::{
    RegistryError,
    domain::{
        hash::Hash,
        manifest::{Dependency, Manifest},
        name::{Handle, PackageId, PackageName, PackageRef, PublisherId},
        release::ReleaseEntry,
        trust::Trust,
        version::{RequirementText, VersionText},
    },
    ecosystem::Version,
    registry::Namesake,
};
use universe::{GraphNode, Universe};

/// The most packages that one resolution may look at. Manifests are untrusted, and 256 dependencies
/// at each of a few levels would otherwise request the whole network.
pub const MAX_PACKAGES: usize = 2_000;
/// The most solver decisions, including those taken back. The problem is NP-complete, so on some
/// inputs no solver terminates; real packages take about one decision each.
pub const MAX_STEPS: usize = 10_000;

/// The releases of a package.
#[derive(Clone, Debug, PartialEq)]
pub struct PackageReleases {
    pub id: PackageId,
    pub handle: Option<Handle>,
    /// The trust in the key; unless it binds the handle, the package is shown with the key's
    /// fingerprint.
    pub trust: Trust,
    /// The releases in any order.
    pub releases: Vec<ReleaseEntry>,
    /// False if the oldest releases were unavailable.
    pub complete: bool,
    /// A manifest that came with the releases, which saves a request, since it is usually the one
    /// chosen.
    pub latest: Option<Manifest>,
}

/// A source of releases and manifests.
pub trait ReleaseSource {
    /// Returns every release of a package, whichever way it is named.
    ///
    /// # Errors
    /// A "missing" error (not found, or an unclaimed handle) rules out the releases that need this
    /// package; any other error ends the resolution.
    fn releases(&self, package: &PackageRef) -> crate::Result<PackageReleases>;

    /// Returns the manifest of a release.
    ///
    /// # Errors
    /// As for [`ReleaseSource::releases`]: a missing manifest rules out the release.
    fn manifest(&self, package: &PackageId, version: &VersionText) -> crate::Result<Manifest>;

    /// Returns the known packages that a name may mean in a release of the owner `beside`.
    ///
    /// # Errors
    /// The look-up failed, which ends the resolution.
    fn namesakes(&self, _name: &PackageName, _beside: PublisherId) -> crate::Result<Vec<Namesake>> {
        Ok(Vec::new())
    }

    /// Returns the machine to resolve for.
    fn machine(&self) -> &Machine;

    /// Returns [`ReleaseSource::releases`] of several packages, in their order; one after the other
    /// unless
    /// overridden.
    fn all_releases(&self, packages: &[PackageRef]) -> Vec<crate::Result<PackageReleases>> {
        packages
            .iter()
            .map(|package| self.releases(package))
            .collect()
    }
}

/// A progress message of a running resolution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "step")]
pub enum Resolving {
    /// The releases of a package are being requested.
    Asking { package: String },
    /// A release was chosen, for now.
    Chose {
        package: String,
        version: VersionText,
    },
    /// A package or manifest is missing, so releases that need it are ruled out.
    Missing { what: String, why: String },
}

impl fmt::Display for Resolving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asking { package } => write!(f, "asking for {package}"),
            Self::Chose { package, version } => write!(f, "{package} {version}"),
            Self::Missing { what, why } => write!(f, "{what} is missing: {why}"),
        }
    }
}

/// A release of a resolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resolved {
    pub package: PackageId,
    pub handle: Option<Handle>,
    pub version: VersionText,
    pub manifest_hash: Hash,
    pub manifest: Manifest,
    /// The packages it needs, sorted; all are in the resolution. The package itself is left out.
    pub needs: Vec<PackageId>,
    /// Dependencies in its manifest that were not followed.
    pub left_out: Vec<LeftOutDependency>,
}

/// A dependency that was not followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutDependency {
    pub dependency: Dependency,
    pub why: String,
}

/// A consistent set of releases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resolution {
    /// The package of each top-level requirement, in their order.
    pub root: Vec<PackageId>,
    /// Releases after those they need, ties by id; packages that need each other are adjacent.
    pub releases: Vec<Resolved>,
}

/// The reason why there is no resolution.
#[derive(Debug, thiserror::Error)]
pub enum Unresolved {
    #[error(
        "no set of releases satisfies the requirements; request other versions, or fewer \
        packages. The reason:\n{explanation}"
    )]
    Conflict { explanation: String },
    #[error(
        "the dependencies lead to more than {MAX_PACKAGES} packages, the limit of one resolution; \
        request fewer packages at once"
    )]
    TooManyPackages,
    #[error(
        "no set of releases was found in {MAX_STEPS} steps; request exact versions of some of the \
        packages"
    )]
    TooManySteps,
    /// Boxed, so that results stay small.
    #[error(transparent)]
    Failed(Box<RegistryError>),
}

impl From<RegistryError> for Unresolved {
    fn from(error: RegistryError) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl From<Unresolved> for RegistryError {
    fn from(unresolved: Unresolved) -> Self {
        match unresolved {
            Unresolved::Failed(error) => *error,
            other => Self::Unresolvable {
                explanation: other.to_string(),
            },
        }
    }
}

/// Finds one release of every needed package such that all requirements are met: the highest
/// versions that go together, preferring the packages in `wanted`. A requirement within a reference
/// in `wanted` counts if the one beside it is `*`.
///
/// Blocks while `source` does: do not call it on an async runtime's thread with a source that uses
/// the network.
///
/// # Errors
/// [`Unresolved::Conflict`] if there is no such set, otherwise the reason why that could not be
/// decided. A package in `wanted` that is not found is the source's own error.
pub fn resolve(
    source: &(impl ReleaseSource + ?Sized),
    wanted: &[(PackageRef, RequirementText)],
    told: &dyn Fn(Resolving),
) -> Result<Resolution, Unresolved> {
    resolve_within(MAX_STEPS, source, wanted, told)
}

/// Returns the single version of the top-level node.
fn asked() -> Version {
    Version::from(semver::Version::new(0, 0, 0))
}

fn resolve_within(
    steps: usize,
    source: &(impl ReleaseSource + ?Sized),
    wanted: &[(PackageRef, RequirementText)],
    told: &dyn Fn(Resolving),
) -> Result<Resolution, Unresolved> {
    let universe = Universe::around(source, wanted, told, steps)?;
    let selected = match pubgrub::resolve(&universe, GraphNode::Asked, asked()) {
        Ok(selected) => selected,
        Err(PubGrubError::NoSolution(tree)) => {
            return Err(Unresolved::Conflict {
                explanation: explain::explain(tree, &universe),
            });
        }
        Err(
            PubGrubError::ErrorRetrievingDependencies { source: error, .. }
            | PubGrubError::ErrorChoosingVersion { source: error, .. }
            | PubGrubError::ErrorInShouldCancel(error),
        ) => return Err(error),
    };
    let mut releases = BTreeMap::new();
    for (node, version) in selected {
        if let GraphNode::Package { id, .. } = node {
            let release = universe.resolved(&id, &version)?;
            releases.insert(id, release);
        }
    }
    let needs = releases
        .iter()
        .map(|(id, release)| (id.clone(), release.needs.clone()))
        .collect();
    let ordered = order::dependencies_first(&needs)
        .into_iter()
        .filter_map(|id| releases.remove(&id))
        .collect();
    Ok(Resolution {
        root: universe.root().to_vec(),
        releases: ordered,
    })
}
