//! The solver's view: packages and manifests, each requested once, and the possible choices.

use std::{
    cell::{Cell, RefCell},
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt,
    rc::Rc,
    sync::Arc,
};

use pubgrub::{Dependencies, DependencyProvider, PackageResolutionStatistics, VersionSet};

use super::{
    LeftOutDependency, MAX_PACKAGES, PackageReleases, ReleaseSource, Resolved, Resolving,
    Unresolved, admit::admit, set::VersionRanges,
};
use crate::{
    RegistryError,
    domain::{
        manifest::{DependencyOn, Manifest},
        name::{Handle, NameRef, Owner, PackageId, PackageName, PackageRef, PublisherId},
        release::{self, ReleaseEntry},
        text,
        version::{RequirementText, VersionText},
    },
    ecosystem::{Ecosystem, Requirement, Version},
    registry::{self, Namesake},
};

/// A node of the dependency graph, for which the solver chooses a version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum GraphNode {
    /// The root, which needs the top-level packages.
    Asked,
    /// An id has one title within a universe, so comparing titles as well is harmless.
    Package { id: PackageId, title: Arc<str> },
}

impl fmt::Display for GraphNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "the request",
            Self::Package { title, .. } => title,
        })
    }
}

/// A release to choose, with its parsed version.
pub(super) type ReleaseChoice = (Version, ReleaseEntry);

/// A package that was found.
pub(super) struct FoundPackage {
    pub id: PackageId,
    pub handle: Option<Handle>,
    pub title: Arc<str>,
    /// Unique and sorted by version.
    pub releases: Vec<ReleaseChoice>,
    pub complete: bool,
}

impl FoundPackage {
    fn node(&self) -> GraphNode {
        GraphNode::Package {
            id: self.id.clone(),
            title: self.title.clone(),
        }
    }

    pub fn release(&self, version: &Version) -> Option<&ReleaseEntry> {
        let at = self
            .releases
            .binary_search_by(|(one, _)| one.cmp(version))
            .ok()?;
        self.releases.get(at).map(|(_, release)| release)
    }
}

type Spelling = (Owner, NameRef);
/// The reason why something is missing, as a clause.
type MissingReason = String;
type PackageWish = (PackageRef, RequirementText);

#[derive(Default)]
struct Knowledge {
    spelled: BTreeMap<Spelling, Result<Rc<FoundPackage>, MissingReason>>,
    packages: BTreeMap<PackageId, Rc<FoundPackage>>,
    titles: BTreeSet<Arc<str>>,
    manifests: BTreeMap<(PackageId, Version), Result<Rc<Manifest>, MissingReason>>,
    /// The package that a bare name means in a release of an owner.
    meant: BTreeMap<(PackageName, PublisherId), Result<PackageId, MissingReason>>,
    /// The first release seen to need a package.
    needed_by: BTreeMap<PackageId, String>,
}

pub(super) struct Universe<'a, S: ?Sized> {
    source: &'a S,
    told: &'a dyn Fn(Resolving),
    root: Vec<PackageId>,
    /// Top-level requirements by package.
    asked: BTreeMap<PackageId, Vec<Requirement>>,
    known: RefCell<Knowledge>,
    steps_left: Cell<usize>,
}

impl<'a, S: ReleaseSource + ?Sized> Universe<'a, S> {
    pub fn around(
        source: &'a S,
        wanted: &[PackageWish],
        told: &'a dyn Fn(Resolving),
        steps: usize,
    ) -> Result<Self, Unresolved> {
        let mut universe = Self {
            source,
            told,
            root: Vec::with_capacity(wanted.len()),
            asked: BTreeMap::new(),
            known: RefCell::default(),
            steps_left: Cell::new(steps),
        };
        let wanted: Vec<PackageWish> = wanted
            .iter()
            .cloned()
            .map(with_inner)
            .collect::<Result<_, _>>()?;
        for asked in universe.ask(wanted.iter().map(|(package, _)| package))? {
            universe.learn(asked?);
        }
        for (package, requirement) in wanted {
            let found = universe.look_up([&package])?.pop();
            // Just learned, unless the source answers a request by key with another key.
            let Some(Ok(found)) = found else {
                return Err(RegistryError::NotFound {
                    package: package.to_string(),
                    asked: 0,
                }
                .into());
            };
            let requirement = requirement
                .read(found.id.name.ecosystem())
                .map_err(RegistryError::from)?;
            universe.root.push(found.id.clone());
            universe
                .asked
                .entry(found.id.clone())
                .or_default()
                .push(requirement);
        }
        Ok(universe)
    }

    /// Returns the package of each top-level requirement.
    pub fn root(&self) -> &[PackageId] {
        &self.root
    }

    pub fn found(&self, node: &GraphNode) -> Option<Rc<FoundPackage>> {
        match node {
            GraphNode::Asked => None,
            GraphNode::Package { id, .. } => self.known.borrow().packages.get(id).cloned(),
        }
    }

    /// Returns true if the solver has looked into a release.
    pub fn tried(&self, id: &PackageId, version: &Version) -> bool {
        self.known
            .borrow()
            .manifests
            .contains_key(&(id.clone(), version.clone()))
    }

    /// Returns a chosen release in full, from what is already known.
    pub fn resolved(&self, id: &PackageId, version: &Version) -> Result<Resolved, Unresolved> {
        let lost = || RegistryError::Internal {
            what: "resolving",
            why: format!("{id} {version} was lost"),
        };
        let found = self
            .known
            .borrow()
            .packages
            .get(id)
            .cloned()
            .ok_or_else(lost)?;
        let manifest = self.manifest(&found, version)?.map_err(|_| lost())?;
        let release = found.release(version).ok_or_else(lost)?;
        let wishes = self.wishes(&manifest)?.map_err(|_| lost())?;
        let needs: BTreeSet<PackageId> = self
            .look_up(wishes.iter().map(|(package, _)| package))?
            .into_iter()
            .map(|found| found.map(|found| found.id.clone()).map_err(|_| lost()))
            .collect::<Result<_, _>>()?;
        Ok(Resolved {
            package: id.clone(),
            handle: found.handle.clone(),
            version: release.version.clone(),
            manifest_hash: release.first().ok_or_else(lost)?,
            manifest: (*manifest).clone(),
            needs: needs.into_iter().filter(|needed| needed != id).collect(),
            left_out: self.left_out(&manifest),
        })
    }

    /// Returns the dependencies of a release that are not followed.
    fn left_out(&self, manifest: &Manifest) -> Vec<LeftOutDependency> {
        let Manifest {
            ecosystem,
            dependencies,
            ..
        } = manifest;
        let mut left_out = Vec::new();
        for dependency in dependencies {
            let why = self
                .source
                .machine()
                .leaves_out(dependency, ecosystem)
                .or_else(|| {
                    let asks = *ecosystem == Ecosystem::Pypi && !dependency.extras.is_empty();
                    asks.then(|| format!("extras of {} are not followed", dependency.written()))
                });
            left_out.extend(why.map(|why| LeftOutDependency {
                dependency: dependency.clone(),
                why,
            }));
        }
        left_out
    }

    /// Returns the dependencies that count here. They are named by key or by bare name: a manifest
    /// must not make this node look up handles.
    fn wishes(
        &self,
        manifest: &Manifest,
    ) -> Result<Result<Vec<PackageWish>, MissingReason>, Unresolved> {
        let Manifest {
            owner,
            ecosystem,
            dependencies,
            ..
        } = manifest;
        let mut wishes = Vec::new();
        for dependency in dependencies {
            if self
                .source
                .machine()
                .leaves_out(dependency, ecosystem)
                .is_some()
            {
                continue;
            }
            let id = match (&dependency.on, dependency.id_for_owner(*owner, ecosystem)) {
                (DependencyOn::Package { .. }, Some(id)) => id,
                (DependencyOn::Bare(_), Some(id)) => match self.meant_by(id)? {
                    Ok(id) => id,
                    Err(why) => return Ok(Err(why)),
                },
                (_, None) => {
                    let given = text::fit(&text::printable(dependency.written()), 60);
                    return Ok(Err(format!(
                        "it needs \"{given}\", which does not name a package by its key"
                    )));
                }
            };
            wishes.push((PackageRef::of(&id), dependency.requirement.clone()));
        }
        Ok(Ok(wishes))
    }

    /// Returns the package that the name of `id` means in a release of its owner; the owner's own
    /// if none is known here.
    fn meant_by(&self, id: PackageId) -> Result<Result<PackageId, MissingReason>, Unresolved> {
        let key = (id.name.clone(), id.owner);
        if let Some(meant) = self.known.borrow().meant.get(&key) {
            return Ok(meant.clone());
        }
        let namesakes = self.source.namesakes(&id.name, id.owner)?;
        let meant = meant(&namesakes, &id.name, id.owner).map(|meant| meant.unwrap_or(id));
        self.known.borrow_mut().meant.insert(key, meant.clone());
        Ok(meant)
    }

    /// Requests the unknown ones among the packages, all at once.
    fn ask<'p>(
        &self,
        packages: impl IntoIterator<Item = &'p PackageRef>,
    ) -> Result<Vec<crate::Result<(Spelling, PackageReleases)>>, Unresolved> {
        let unknown: BTreeMap<Spelling, PackageRef> = {
            let known = self.known.borrow();
            let unknown: BTreeMap<_, _> = packages
                .into_iter()
                .map(|package| {
                    (
                        spelling(package),
                        PackageRef {
                            requirement: None,
                            ..package.clone()
                        },
                    )
                })
                .filter(|(spelling, _)| !known.knows(spelling))
                .collect();
            if known.spelled.len() + unknown.len() > MAX_PACKAGES {
                return Err(Unresolved::TooManyPackages);
            }
            unknown
        };
        let (spellings, packages): (Vec<_>, Vec<_>) = unknown.into_iter().unzip();
        for package in &packages {
            (self.told)(Resolving::Asking {
                package: package.to_string(),
            });
        }
        let answers = if packages.is_empty() {
            Vec::new()
        } else {
            self.source.all_releases(&packages)
        };
        let mut asked = Vec::with_capacity(packages.len());
        for ((spelling, package), answer) in spellings.into_iter().zip(packages).zip(answers) {
            match answer {
                Ok(releases) => asked.push(Ok((spelling, releases))),
                Err(error) => {
                    if error.is_missing() {
                        let (what, why) = (package.to_string(), error.to_string());
                        self.known
                            .borrow_mut()
                            .spelled
                            .insert(spelling, Err(format!("{what}, which was not found")));
                        (self.told)(Resolving::Missing { what, why });
                    }
                    asked.push(Err(error));
                }
            }
        }
        Ok(asked)
    }

    fn learn(&self, (spelling, releases): (Spelling, PackageReleases)) {
        let mut known = self.known.borrow_mut();
        let PackageReleases {
            id,
            handle,
            trust,
            releases,
            complete,
            latest,
        } = releases;
        let ecosystem = id.name.ecosystem();
        if let Some(latest) = latest.filter(|latest| is_of(latest, &id))
            && let Ok(version) = latest.version.read(ecosystem)
        {
            known
                .manifests
                .entry((id.clone(), version))
                .or_insert_with(|| Ok(Rc::new(latest)));
        }
        let found = match known.packages.get(&id) {
            Some(found) => found.clone(),
            None => {
                let read = release::read(ecosystem, &releases).into_iter();
                let mut releases: Vec<ReleaseChoice> = read
                    .map(|(version, entry)| (version, entry.clone()))
                    .collect();
                releases.sort_by(|(a, _), (b, _)| a.cmp(b));
                releases.dedup_by(|(a, _), (b, _)| a == b);
                // A handle is a mere claim: if two packages would have the same title, the second
                // shows its key.
                let title = Some(registry::title(&id, handle.as_ref(), trust))
                    .filter(|title| !known.titles.contains(title.as_str()))
                    .unwrap_or_else(|| registry::claimed(&id, None));
                let title: Arc<str> = title.into();
                known.titles.insert(title.clone());
                let found = Rc::new(FoundPackage {
                    id: id.clone(),
                    handle,
                    title,
                    releases,
                    complete,
                });
                known.packages.insert(id, found.clone());
                found
            }
        };
        known.spelled.insert(spelling, Ok(found));
    }

    /// Returns the packages in their order, requesting unknown ones.
    fn look_up<'p>(
        &self,
        packages: impl IntoIterator<Item = &'p PackageRef> + Clone,
    ) -> Result<Vec<Result<Rc<FoundPackage>, MissingReason>>, Unresolved> {
        for asked in self.ask(packages.clone())? {
            match asked {
                Ok(releases) => self.learn(releases),
                Err(error) if error.is_missing() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let known = self.known.borrow();
        Ok(packages
            .into_iter()
            .map(|package| known.get(package))
            .collect())
    }

    fn manifest(
        &self,
        found: &FoundPackage,
        version: &Version,
    ) -> Result<Result<Rc<Manifest>, MissingReason>, Unresolved> {
        let key = (found.id.clone(), version.clone());
        if let Some(manifest) = self.known.borrow().manifests.get(&key) {
            return Ok(manifest.clone());
        }
        let written: VersionText = version.as_str().parse().map_err(RegistryError::from)?;
        let is_it = |manifest: &Manifest| {
            is_of(manifest, &found.id)
                && manifest.version.read(found.id.name.ecosystem()).as_ref() == Ok(version)
        };
        let manifest = match self.source.manifest(&found.id, &written) {
            // A head may list any manifest that its publisher signed.
            Ok(manifest) if is_it(&manifest) => Ok(Rc::new(manifest)),
            Ok(manifest) => Err(format!(
                "its manifest is that of {} {}",
                manifest.name, manifest.version
            )),
            Err(error) if error.is_missing() => {
                let what = format!("the manifest of {} {version}", found.title);
                (self.told)(Resolving::Missing {
                    what,
                    why: error.to_string(),
                });
                Err("its manifest was not found".to_owned())
            }
            Err(error) => {
                let by = self.known.borrow().needed_by.get(&found.id).cloned();
                return Err(error
                    .needed_by(by.filter(|_| !self.asked.contains_key(&found.id)))
                    .into());
            }
        };
        self.known
            .borrow_mut()
            .manifests
            .insert(key, manifest.clone());
        Ok(manifest)
    }

    fn set(&self, requirement: &Requirement, found: &FoundPackage) -> VersionRanges {
        admit(
            requirement,
            &found.releases,
            self.asked.get(&found.id).map_or(&[], Vec::as_slice),
        )
    }

    /// Returns the dependencies of a release, or the reason why one is unavailable.
    fn needs(
        &self,
        found: &FoundPackage,
        version: &Version,
    ) -> Result<Result<Vec<(GraphNode, VersionRanges)>, MissingReason>, Unresolved> {
        let manifest = match self.manifest(found, version)? {
            Ok(manifest) => manifest,
            Err(why) => return Ok(Err(why)),
        };
        if manifest.is_description() {
            return Ok(Err(
                "it only has an index entry, not the package itself".to_owned()
            ));
        }
        let wishes = match self.wishes(&manifest)? {
            Ok(wishes) => wishes,
            Err(why) => return Ok(Err(why)),
        };
        let by = || format!("{} {version}", found.title);
        let packages = self
            .look_up(wishes.iter().map(|(package, _)| package))
            .map_err(|failed| match failed {
                Unresolved::Failed(error) => error.needed_by(Some(by())).into(),
                other => other,
            })?;
        let mut needs: Vec<(GraphNode, VersionRanges)> = Vec::with_capacity(wishes.len());
        for ((_, requirement), needed) in wishes.iter().zip(packages) {
            let needed = match needed {
                Ok(needed) => needed,
                Err(why) => return Ok(Err(format!("it needs {why}"))),
            };
            let requirement = match requirement.read(needed.id.name.ecosystem()) {
                Ok(requirement) => requirement,
                Err(error) => return Ok(Err(format!("it needs {}, but {error}", needed.title))),
            };
            self.known
                .borrow_mut()
                .needed_by
                .entry(needed.id.clone())
                .or_insert_with(by);
            let set = self.set(&requirement, &needed);
            // PubGrub leaves dependencies of a package on itself to us.
            if needed.id != found.id {
                let node = needed.node();
                match needs.iter_mut().find(|(other, _)| *other == node) {
                    Some((_, both)) => *both = both.intersection(&set),
                    None => needs.push((node, set)),
                }
            } else if !set.0.contains(version) {
                return Ok(Err(format!(
                    "it needs itself as {requirement}, but only one release of a package can be \
                    chosen"
                )));
            }
        }
        Ok(Ok(needs))
    }
}

impl Knowledge {
    fn get(&self, package: &PackageRef) -> Result<Rc<FoundPackage>, MissingReason> {
        let spelling = spelling(package);
        match self.by_id(&spelling) {
            Some(found) => Ok(found.clone()),
            None => self
                .spelled
                .get(&spelling)
                .cloned()
                .unwrap_or_else(|| Err(format!("{package}, which was not found"))),
        }
    }

    fn knows(&self, spelling: &Spelling) -> bool {
        self.spelled.contains_key(spelling) || self.by_id(spelling).is_some()
    }

    fn by_id(&self, spelling: &Spelling) -> Option<&Rc<FoundPackage>> {
        match spelling {
            (Owner::Publisher(owner), NameRef::Exactly(name)) => self.packages.get(&PackageId {
                owner: *owner,
                name: name.clone(),
            }),
            _ => None,
        }
    }
}

/// Returns true for a manifest of this package.
fn is_of(manifest: &Manifest, id: &PackageId) -> bool {
    manifest.package().is_ok_and(|package| package == *id)
}

fn spelling(package: &PackageRef) -> Spelling {
    (package.owner.clone(), package.name.clone())
}

/// Moves the requirement within a reference to the wish, unless it has one.
pub(super) fn with_inner(
    (mut package, mut requirement): PackageWish,
) -> crate::Result<PackageWish> {
    match package.requirement.take() {
        Some(inner) if requirement == RequirementText::any() => requirement = inner,
        Some(inner) if inner != requirement => {
            let why = format!(
                "{package} is asked for as {inner} and as {requirement}; write one requirement"
            );
            return Err(RegistryError::Usage(why));
        }
        _ => {}
    }
    Ok((package, requirement))
}

/// Returns the package that a name means in a release of the owner `beside`: the own one, otherwise
/// the owner's, otherwise that of the only pinned publisher who has one. Returns `None` if none is
/// known, and the reason if there are several.
pub(super) fn meant(
    namesakes: &[Namesake],
    name: &PackageName,
    beside: PublisherId,
) -> Result<Option<PackageId>, MissingReason> {
    let own = namesakes.iter().find(|namesake| namesake.own);
    let same = || {
        namesakes
            .iter()
            .find(|namesake| namesake.package.owner == beside)
    };
    match (own.or_else(same), namesakes) {
        (Some(namesake), _) | (None, [namesake]) => Ok(Some(namesake.package.clone())),
        (None, []) => Ok(None),
        (None, several) => {
            let called = |namesake: &Namesake| {
                registry::claimed(&namesake.package, namesake.handle.as_ref())
            };
            let named = |namesake: &Namesake| {
                format!(
                    "{} ({})",
                    called(namesake),
                    namesake.package.owner.fingerprint()
                )
            };
            let all: Vec<_> = several.iter().map(named).collect();
            Err(format!(
                "it needs {name}, which several pinned publishers have: {}",
                all.join(", ")
            ))
        }
    }
}

impl<S: ReleaseSource + ?Sized> DependencyProvider for Universe<'_, S> {
    type P = GraphNode;
    type V = Version;
    type VS = VersionRanges;
    type M = MissingReason;
    type Err = Unresolved;
    /// Packages in many conflicts come first, so that these are not rediscovered in every branch;
    /// then top-level packages, so that they get their highest version; then those with the fewest
    /// choices.
    type Priority = (u32, bool, Reverse<usize>);

    fn prioritize(
        &self,
        node: &GraphNode,
        set: &VersionRanges,
        statistics: &PackageResolutionStatistics,
    ) -> Self::Priority {
        let Some(found) = self.found(node) else {
            return (u32::MAX, true, Reverse(0));
        };
        let choices = set
            .0
            .contains_many(found.releases.iter().map(|(version, _)| version));
        let choices = choices.filter(|within| *within).count();
        (
            statistics.conflict_count(),
            self.asked.contains_key(&found.id),
            Reverse(choices),
        )
    }

    fn choose_version(
        &self,
        node: &GraphNode,
        set: &VersionRanges,
    ) -> Result<Option<Version>, Unresolved> {
        let Some(found) = self.found(node) else {
            return Ok(Some(super::asked()));
        };
        let within = found
            .releases
            .iter()
            .filter(|(version, _)| set.0.contains(version));
        let best = within.max_by_key(|(version, release)| (!release.is_yanked(), version));
        Ok(best.map(|(version, release)| {
            (self.told)(Resolving::Chose {
                package: found.title.to_string(),
                version: release.version.clone(),
            });
            version.clone()
        }))
    }

    fn get_dependencies(
        &self,
        node: &GraphNode,
        version: &Version,
    ) -> Result<Dependencies<GraphNode, VersionRanges, MissingReason>, Unresolved> {
        let needs = match self.found(node) {
            Some(found) => self.needs(&found, version)?,
            None => {
                let known = self.known.borrow();
                let wishes = self.asked.iter().filter_map(|(id, requirements)| {
                    let found = known.packages.get(id)?;
                    Some(
                        requirements
                            .iter()
                            .map(|requirement| (found.node(), self.set(requirement, found))),
                    )
                });
                Ok(wishes.flatten().collect())
            }
        };
        Ok(match needs {
            Ok(needs) => Dependencies::Available(needs.into_iter().collect()),
            Err(why) => Dependencies::Unavailable(why),
        })
    }

    fn should_cancel(&self) -> Result<(), Unresolved> {
        let left = self
            .steps_left
            .get()
            .checked_sub(1)
            .ok_or(Unresolved::TooManySteps)?;
        self.steps_left.set(left);
        Ok(())
    }
}
