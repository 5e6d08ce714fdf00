//! Which releases a package needs, all together, and the lock file that fixes them.
//!
//! A requirement takes a set of versions ([`range`]), narrowed to what it may have of yanked
//! releases and pre-releases (`admit`). What the solver, PubGrub, is given depends on nothing but
//! the releases and the requirement, never on the order in which things came to be known: so it
//! finds a solution wherever there is one, the same one every time, and what it explains is true.
//! Where a release comes from is a [`Source`]'s matter, and the rules need no network.
//!
//! Packages are told apart by [`PackageId`]: `alice/json` and `12D3KooW…/json` are one package if
//! that key is alice's. There is one release of a package in a resolution. What counts of the
//! things that a release needs is for [`Machine`] to say. A bare name is a package of this node's
//! own publisher, else of the dependent's owner, else of the one pinned publisher who has it.

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

pub use lock::Lock;
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
use universe::{Node, Universe};

/// Packages that one resolution may look at, in the solution or not. Manifests come from anybody,
/// and one of 256 dependencies at each of a few levels would otherwise ask for the whole network.
pub const MAX_PACKAGES: usize = 2_000;
/// Decisions that the solver may make and take back. The problem is NP-complete, so there are
/// inputs that no solver ends on; what people publish takes about one decision for each package.
pub const MAX_STEPS: usize = 10_000;

/// What there is of a package.
#[derive(Clone, Debug, PartialEq)]
pub struct Releases {
    pub id: PackageId,
    pub handle: Option<Handle>,
    /// Tells whether the handle is bound to the key here: else the package is shown with the key's
    /// fingerprint.
    pub trust: Trust,
    /// In any order.
    pub releases: Vec<ReleaseEntry>,
    /// False when the oldest releases could not be had.
    pub complete: bool,
    /// A manifest that came along, which then need not be asked for: mostly it is the one that is
    /// chosen.
    pub latest: Option<Manifest>,
}

/// Where releases and manifests come from.
pub trait Source {
    /// Every release of a package, by whatever name it is called.
    ///
    /// # Errors
    /// One that says "missing" (not found, or a handle that nobody has) rules out the releases that
    /// need this package; every other one ends the resolution.
    fn releases(&self, package: &PackageRef) -> crate::Result<Releases>;

    /// The manifest of one release.
    ///
    /// # Errors
    /// As for [`Source::releases`]: a missing one rules out the release.
    fn manifest(&self, package: &PackageId, version: &VersionText) -> crate::Result<Manifest>;

    /// The packages of a name that may be meant by it in a release of `beside`, as far as is known
    /// here.
    ///
    /// # Errors
    /// When it cannot be looked up, which ends the resolution.
    fn namesakes(&self, _name: &PackageName, _beside: PublisherId) -> crate::Result<Vec<Namesake>> {
        Ok(Vec::new())
    }

    /// The machine that is resolved for.
    fn machine(&self) -> &Machine;

    /// [`Source::releases`] of several packages, in their order; one after the other, unless a
    /// source can do better.
    fn all_releases(&self, packages: &[PackageRef]) -> Vec<crate::Result<Releases>> {
        packages
            .iter()
            .map(|package| self.releases(package))
            .collect()
    }
}

/// What a resolution tells while it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "step")]
pub enum Resolving {
    /// The releases of a package are asked for.
    Asking { package: String },
    /// A release was chosen, for now.
    Chose {
        package: String,
        version: VersionText,
    },
    /// A package or manifest is missing, so what needs it is ruled out.
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

/// One release of a resolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resolved {
    pub package: PackageId,
    pub handle: Option<Handle>,
    pub version: VersionText,
    pub manifest_hash: Hash,
    pub manifest: Manifest,
    /// Sorted; each is in the same resolution. The package itself is left out.
    pub needs: Vec<PackageId>,
    /// What its manifest says that it needs and was not followed.
    pub left_out: Vec<LeftOut>,
}

/// A dependency that was not followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    pub dependency: Dependency,
    pub why: String,
}

/// Releases that go together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resolution {
    /// What each thing that was asked for turned out to be, in that order; twice the same for two
    /// names of one package.
    pub root: Vec<PackageId>,
    /// What is needed comes before what needs it, ties by id; packages in a circle stand together.
    pub releases: Vec<Resolved>,
}

/// Why there is no resolution.
#[derive(Debug, thiserror::Error)]
pub enum Unresolved {
    #[error(
        "no set of releases satisfies what was asked for; ask for other versions, or for less. What stands in the way:\n{explanation}"
    )]
    Conflict { explanation: String },
    #[error(
        "the dependencies lead to more than {MAX_PACKAGES} packages, where resolving stops; ask for fewer packages at once"
    )]
    TooManyPackages,
    #[error(
        "no set of releases was found in {MAX_STEPS} steps, where resolving stops; ask for exact versions of some of the packages"
    )]
    TooManySteps,
    #[error(transparent)]
    Failed(#[from] RegistryError),
}

impl From<Unresolved> for RegistryError {
    fn from(unresolved: Unresolved) -> Self {
        match unresolved {
            Unresolved::Failed(error) => error,
            other => Self::Unresolvable {
                explanation: other.to_string(),
            },
        }
    }
}

/// Finds one release of every package that is needed, such that every requirement is met: the
/// highest versions that go together, those that were asked for first. A requirement within a
/// reference in `wanted` counts where the one beside it is `*`.
///
/// Blocks for as long as `source` does; never call it on a runtime's own thread with a source that
/// asks a network.
///
/// # Errors
/// [`Unresolved::Conflict`] where there are no such releases, the other kinds where that could not
/// be found out. A package in `wanted` that is not found is the source's own error.
pub fn resolve(
    source: &(impl Source + ?Sized),
    wanted: &[(PackageRef, RequirementText)],
    told: &dyn Fn(Resolving),
) -> Result<Resolution, Unresolved> {
    resolve_within(MAX_STEPS, source, wanted, told)
}

/// The one version of what was asked for.
fn asked() -> Version {
    Version::from(semver::Version::new(0, 0, 0))
}

fn resolve_within(
    steps: usize,
    source: &(impl Source + ?Sized),
    wanted: &[(PackageRef, RequirementText)],
    told: &dyn Fn(Resolving),
) -> Result<Resolution, Unresolved> {
    let universe = Universe::around(source, wanted, told, steps)?;
    let selected = match pubgrub::resolve(&universe, Node::Asked, asked()) {
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
        if let Node::Package { id, .. } = node {
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
