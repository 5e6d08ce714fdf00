//! The rules on universes in memory: they are pure, so a stand-in for a registry suffices.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use libp2p::identity::Keypair;
use proptest::prelude::*;

use super::*;
use crate::domain::{
    manifest::{Dependency, Draft, File, Manifest, file_of},
    name::{Owner, PublisherId},
    time::Timestamp,
    trust::Trust,
};
use crate::ecosystem::{Ecosystem, Version};

/// A publisher for each handle, always the same.
pub(super) fn publisher(handle: &str) -> PublisherId {
    thread_local!(static KNOWN: RefCell<BTreeMap<String, PublisherId>> = RefCell::default());
    let make = || {
        PublisherId::of(
            &Keypair::ed25519_from_bytes(Hash::of(handle.as_bytes()).0)
                .unwrap()
                .public(),
        )
    };
    KNOWN.with_borrow_mut(|known| *known.entry(handle.to_owned()).or_insert_with(make))
}

pub(super) fn id(package: &str) -> PackageId {
    let (handle, name) = package.split_once('/').unwrap();
    PackageId {
        owner: publisher(handle),
        name: name.parse().unwrap(),
    }
}

pub(super) fn wanted(list: &[(&str, &str)]) -> Vec<(PackageRef, RequirementText)> {
    list.iter()
        .map(|(package, requirement)| (package.parse().unwrap(), requirement.parse().unwrap()))
        .collect()
}

fn read(version: &VersionText) -> Version {
    version.read(&Ecosystem::Generic).unwrap()
}

/// Packages as `handle/name`, each with releases and dependencies.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    releases: BTreeMap<PackageId, (Handle, Vec<ReleaseEntry>)>,
    manifests: BTreeMap<(PackageId, String), Manifest>,
    broken: BTreeSet<PackageId>,
    mute: BTreeSet<PackageId>,
    asked: RefCell<Vec<String>>,
    /// The own publisher and the pinned ones.
    own: Option<PublisherId>,
    pinned: BTreeSet<PublisherId>,
}

impl World {
    /// Adds a release. `release` is a version, followed by `!` if it is yanked. Each need is
    /// `package requirement`, preceded by `?` if it is optional; a package without an owner is a
    /// bare name.
    pub(super) fn with(mut self, package: &str, release: &str, needs: &[&str]) -> Self {
        let (handle, _) = package.split_once('/').unwrap();
        let id = id(package);
        let version: VersionText = release.trim_end_matches('!').parse().unwrap();
        let dependencies = needs.iter().map(|need| {
            let (package, requirement) = need.trim_start_matches('?').split_once(' ').unwrap();
            let requirement: RequirementText = requirement.parse().unwrap();
            if !package.contains('/') {
                return Dependency::bare(package.parse().unwrap(), requirement);
            }
            let optional = need.starts_with('?');
            let dependency = Dependency {
                optional,
                ..Dependency::on(package, requirement)
            };
            // Manifests are signed with keys, not handles.
            dependency
                .by_key(&Ecosystem::Generic, |handle| {
                    Ok::<_, ()>(publisher(handle.as_str()))
                })
                .unwrap()
        });
        let draft = Draft {
            dependencies: dependencies.collect(),
            ..draft(&id, &version)
        };
        let bytes = format!("{package} {version}");
        let file = File::of(
            &Ecosystem::Generic,
            file_of(&draft.name, &version),
            bytes.as_bytes(),
        );
        let manifest = draft.into_manifest(id.owner, file, Timestamp(0)).unwrap();
        let hash = Hash::of(serde_json::to_string(&manifest).unwrap().as_bytes());
        let yanked = release.ends_with('!').then(String::new);
        let entry = ReleaseEntry {
            yanked,
            ..ReleaseEntry::new(version.clone(), hash)
        };
        self.releases
            .entry(id.clone())
            .or_insert_with(|| (handle.parse().unwrap(), Vec::new()))
            .1
            .push(entry);
        self.manifests.insert((id, version.to_string()), manifest);
        self
    }

    /// Removes the manifest of a release.
    fn lacking(mut self, package: &str, version: &str) -> Self {
        self.manifests
            .remove(&(id(package), version.to_owned()))
            .unwrap();
        self
    }

    /// Makes every request about a package fail.
    fn failing(mut self, package: &str) -> Self {
        self.broken.insert(id(package));
        self
    }

    /// Makes the manifests of a package unavailable while its releases are known.
    fn mute(mut self, package: &str) -> Self {
        self.mute.insert(id(package));
        self
    }

    pub(super) fn solve(&self, list: &[(&str, &str)]) -> Result<Resolution, Unresolved> {
        resolve(self, &wanted(list), &|_| {})
    }

    /// Returns the resolved releases in order, as `handle/name version`.
    fn names(&self, list: &[(&str, &str)]) -> Vec<String> {
        match self.solve(list) {
            Ok(resolution) => names(&resolution),
            Err(error) => panic!("{error}"),
        }
    }

    fn explanation(&self, list: &[(&str, &str)]) -> String {
        let error = self.solve(list).unwrap_err();
        let Unresolved::Conflict { explanation } = error else {
            panic!("{error}")
        };
        explanation
    }
}

fn draft(id: &PackageId, version: &VersionText) -> Draft {
    toml::from_str(&format!(
        "name = \"{}\"\nversion = \"{version}\"\ndescription = \"d\"",
        id.name
    ))
    .unwrap()
}

fn names(resolution: &Resolution) -> Vec<String> {
    let name = |release: &Resolved| {
        let handle = release.handle.as_ref().unwrap();
        format!("{handle}/{} {}", release.package.name, release.version)
    };
    resolution.releases.iter().map(name).collect()
}

impl ReleaseSource for World {
    fn namesakes(&self, name: &PackageName, beside: PublisherId) -> crate::Result<Vec<Namesake>> {
        let known = |id: &&PackageId| {
            let owner = id.owner;
            id.name == *name
                && (self.own == Some(owner) || owner == beside || self.pinned.contains(&owner))
        };
        let found = self.releases.iter().filter(|(id, _)| known(id));
        let namesake = |(id, (handle, _)): (&PackageId, &(Handle, _))| Namesake {
            package: id.clone(),
            handle: Some(handle.clone()),
            own: self.own == Some(id.owner),
        };
        Ok(found.map(namesake).collect())
    }

    fn machine(&self) -> &Machine {
        static HERE: LazyLock<Machine> = LazyLock::new(Machine::here);
        &HERE
    }

    fn releases(&self, package: &PackageRef) -> crate::Result<PackageReleases> {
        self.asked.borrow_mut().push(package.to_string());
        let publisher = match &package.owner {
            Owner::Handle(handle) => publisher(handle.as_str()),
            Owner::Publisher(publisher) => *publisher,
        };
        let id = PackageId {
            owner: publisher,
            name: package.name.within(&Ecosystem::Generic).unwrap(),
        };
        if self.broken.contains(&id) {
            return Err(RegistryError::Timeout {
                what: package.to_string(),
                millis: 5,
            });
        }
        let (handle, releases) = self
            .releases
            .get(&id)
            .ok_or_else(|| RegistryError::NotFound {
                package: package.to_string(),
                asked: 3,
            })?;
        Ok(PackageReleases {
            id,
            handle: Some(handle.clone()),
            trust: Trust::Pinned,
            releases: releases.clone(),
            complete: true,
            latest: None,
        })
    }

    fn manifest(&self, package: &PackageId, version: &VersionText) -> crate::Result<Manifest> {
        self.asked
            .borrow_mut()
            .push(format!("{} {version}", package.name));
        if self.mute.contains(package) {
            return Err(RegistryError::Timeout {
                what: package.to_string(),
                millis: 5,
            });
        }
        self.manifests
            .get(&(package.clone(), version.to_string()))
            .cloned()
            .ok_or_else(|| RegistryError::NoVersion {
                package: package.to_string(),
                version: version.clone(),
            })
    }
}

#[test]
fn a_diamond_shares_what_is_below() {
    let world = World::default()
        .with("a/app", "1.0.0", &["a/left ^1", "a/right ^1"])
        .with("a/left", "1.0.0", &["a/base ^1"])
        .with("a/right", "1.0.0", &["a/base >=1.1, <1.3"])
        .with("a/base", "1.0.0", &[])
        .with("a/base", "1.2.0", &[])
        .with("a/base", "1.4.0", &[]);
    assert_eq!(
        world.names(&[("a/app", "*")]),
        [
            "a/base 1.2.0",
            "a/left 1.0.0",
            "a/right 1.0.0",
            "a/app 1.0.0"
        ]
    );
    let resolution = world.solve(&[("a/app", "*")]).unwrap();
    assert_eq!(resolution.root, [id("a/app")]);
    assert_eq!(
        resolution.releases[3].needs,
        BTreeSet::from([id("a/left"), id("a/right")])
            .into_iter()
            .collect::<Vec<_>>()
    );
    assert_eq!(
        resolution.releases[0].manifest_hash,
        world.releases[&id("a/base")].1[1].manifests[0]
    );
}

#[test]
fn a_release_whose_needs_cannot_be_met_is_passed_over() {
    let world = World::default()
        .with("a/app", "1.0.0", &["a/json ^1"])
        .with("a/app", "1.1.0", &["a/json ^2", "a/log ^1"])
        .with("a/json", "1.0.0", &[])
        .with("a/json", "2.0.0", &["a/log ^2"])
        .with("a/log", "1.0.0", &[])
        .with("a/log", "2.0.0", &[]);
    assert_eq!(
        world.names(&[("a/app", "^1")]),
        ["a/json 1.0.0", "a/app 1.0.0"]
    );
}

#[test]
fn a_conflict_is_explained() {
    let world = World::default()
        .with("a/app", "1.0.0", &["a/left ^1", "a/right ^1"])
        .with("a/left", "1.0.0", &["a/base ^1"])
        .with("a/left", "1.1.0", &["a/base ^1"])
        .with("a/right", "1.0.0", &["a/base ^2"])
        .with("a/base", "1.0.0", &[])
        .with("a/base", "2.0.0", &[]);
    insta::assert_snapshot!(world.explanation(&[("a/app", "^1")]));
    let error = RegistryError::from(world.solve(&[("a/app", "^1")]).unwrap_err());
    assert_eq!(
        (error.code(), error.outcome(), error.is_usage()),
        ("unresolvable", "refused", false)
    );
}

#[test]
fn what_is_not_there_is_said() {
    let world = World::default()
        .with("a/app", "1.0.0", &["a/gone ^1"])
        .with("a/lib", "1.0.0", &[])
        .with("a/lib", "1.1.0!", &[])
        .with("a/lib", "2.0.0-rc.1", &[])
        .with("a/self", "1.0.0", &["a/self ^2"])
        .with("a/self", "2.0.0-a", &[])
        .with("a/null", "1.0.0", &[])
        .lacking("a/null", "1.0.0");
    let told = |package, requirement| world.explanation(&[(package, requirement)]);
    insta::assert_snapshot!(
        [
            told("a/app", "*"),
            told("a/lib", "^2"),
            told("a/lib", "^1.1"),
            told("a/self", "*"),
            told("a/null", "^1"),
            told("a/lib", ">2, <1"),
            world.explanation(&[("a/lib", "^1"), ("a/lib", "^3")]),
        ]
        .join("\n\n")
    );
}

#[test]
fn a_missing_package_rules_out_what_needs_it_and_nothing_else() {
    let world = World::default()
        .with("a/app", "1.0.0", &[])
        .with("a/app", "1.1.0", &["b/gone *"])
        .with("a/app", "1.2.0", &[])
        .lacking("a/app", "1.2.0");
    let told = RefCell::new(Vec::new());
    let resolution = resolve(&world, &wanted(&[("a/app", "*")]), &|step| {
        told.borrow_mut().push(step.to_string())
    });
    assert_eq!(names(&resolution.unwrap()), ["a/app 1.0.0"]);
    let told = told.into_inner().join("\n");
    let gone = format!("{} is missing", id("b/gone"));
    for step in [
        "asking for a/app",
        "a/app 1.2.0",
        "the manifest of a/app 1.2.0 is missing",
        &gone,
    ] {
        assert!(told.contains(step), "{step}: {told}");
    }
    let error = RegistryError::from(world.solve(&[("b/gone", "*")]).unwrap_err());
    assert_eq!(
        error.code(),
        "not_found",
        "what was asked for itself is the source's to say"
    );
}

#[test]
fn what_failed_is_not_what_is_missing() {
    let world = World::default()
        .with("a/app", "1.0.0", &[])
        .with("a/app", "1.1.0", &["b/slow *"])
        .failing("b/slow");
    let error = RegistryError::from(world.solve(&[("a/app", "*")]).unwrap_err());
    assert_eq!(error.code(), "timeout");
    assert!(
        error
            .to_string()
            .starts_with("a/app 1.1.0 needs what could not be had: "),
        "{error}"
    );
    let error = RegistryError::from(world.solve(&[("b/slow", "*")]).unwrap_err());
    assert!(
        error.to_string().starts_with("b/slow did not"),
        "nothing needs it: {error}"
    );
}

#[test]
fn whose_manifest_does_not_come_is_needed_by_somebody() {
    let world =
        World::default()
            .with("a/app", "1.0.0", &["a/lib *"])
            .with("a/lib", "1.0.0", &["b/deep *"]);
    let world = world.with("b/deep", "1.0.0", &[]).mute("b/deep");
    let error = RegistryError::from(world.solve(&[("a/app", "*")]).unwrap_err());
    assert!(
        error.code() == "timeout" && error.to_string().starts_with("a/lib 1.0.0 needs"),
        "{error}"
    );
    let error = RegistryError::from(world.solve(&[("a/app", "*"), ("b/deep", "*")]).unwrap_err());
    assert!(
        !error.to_string().contains("needs"),
        "it was asked for: {error}"
    );
}

#[test]
fn a_circle_is_no_conflict() {
    let world = World::default()
        .with("a/egg", "1.0.0", &["a/hen ^1"])
        .with("a/hen", "1.0.0", &["a/egg ^1", "a/corn *"])
        .with("a/corn", "1.0.0", &[])
        .with("a/app", "1.0.0", &["a/egg *"]);
    assert_eq!(
        world.names(&[("a/app", "*")]),
        ["a/corn 1.0.0", "a/egg 1.0.0", "a/hen 1.0.0", "a/app 1.0.0"]
    );
}

#[test]
fn a_release_may_need_itself() {
    let world = World::default()
        .with("a/self", "1.0.0", &["a/self ^1"])
        .with("a/self", "1.1.0", &["a/self =1.0.0"]);
    let resolution = world.solve(&[("a/self", "*")]).unwrap();
    assert_eq!(names(&resolution), ["a/self 1.0.0"]);
    assert_eq!(resolution.releases[0].needs, []);
}

#[test]
fn a_yanked_release_is_taken_where_it_is_named() {
    let world = World::default()
        .with("a/lib", "1.0.0", &[])
        .with("a/lib", "1.1.0!", &[])
        .with("a/app", "1.0.0", &["a/lib ^1"])
        .with("a/pin", "1.0.0", &["a/lib =1.1.0"]);
    assert_eq!(world.names(&[("a/lib", "^1")]), ["a/lib 1.0.0"]);
    assert_eq!(world.names(&[("a/lib", "=1.1.0")]), ["a/lib 1.1.0"]);
    assert_eq!(
        world.names(&[("a/pin", "*")]),
        ["a/lib 1.1.0", "a/pin 1.0.0"]
    );
    assert!(world.solve(&[("a/lib", "^1.1")]).is_err());
    assert_eq!(
        world.names(&[("a/app", "*"), ("a/lib", "=1.1.0")]),
        ["a/lib 1.1.0", "a/app 1.0.0"]
    );
    assert!(
        world.solve(&[("a/app", "*"), ("a/pin", "*")]).is_err(),
        "a dependency names it for itself only"
    );
}

#[test]
fn a_build_that_is_named_is_that_one_or_none() {
    let world = World::default()
        .with("a/lib", "1.0.0", &[])
        .with("a/lib", "1.0.0+b2", &[])
        .with("a/lib", "1.0.0+c10", &[])
        .with("a/built", "1.0.0+b2", &[])
        .with("a/built", "1.0.0+c10", &[])
        .with("a/app", "1.0.0", &["a/lib =1.0.0+b2"])
        .with("a/plain", "1.0.0", &["a/built =1.0.0"]);
    assert_eq!(world.names(&[("a/lib", "=1.0.0+b2")]), ["a/lib 1.0.0+b2"]);
    assert_eq!(world.names(&[("a/lib", "=1.0.0")]), ["a/lib 1.0.0"]);
    assert_eq!(world.names(&[("a/lib", "^1")]), ["a/lib 1.0.0+c10"]);
    assert_eq!(
        world.names(&[("a/app", "*")]),
        ["a/lib 1.0.0+b2", "a/app 1.0.0"]
    );
    for (list, asked) in [
        ([("a/built", "=1.0.0")], "1.0.0"),
        ([("a/built", "=1.0.0+zz")], "1.0.0+zz"),
    ] {
        let explanation = world.explanation(&list);
        assert!(
            explanation.contains(&format!("a/built has no release in {asked}")),
            "{explanation}"
        );
        assert!(
            explanation.contains("a/built also has 1.0.0+c10, 1.0.0+b2"),
            "{explanation}"
        );
    }
    let explanation = world.explanation(&[("a/plain", "*")]);
    assert!(
        explanation.contains("a/built also has 1.0.0+c10, 1.0.0+b2"),
        "{explanation}"
    );
}

#[test]
fn a_pre_release_is_taken_where_it_is_named_or_all_there_is() {
    let world = World::default()
        .with("a/lib", "1.0.0", &[])
        .with("a/lib", "2.0.0-rc.1", &[])
        .with("a/lib", "2.0.0-rc.2", &[])
        .with("a/lib", "2.1.0-rc.1", &[])
        .with("a/new", "0.1.0-a", &[])
        .with("a/new", "0.1.0-b!", &[])
        .with("a/app", "1.0.0", &["a/new *", "a/lib >=1"]);
    let lib = |requirement| world.names(&[("a/lib", requirement)]);
    assert_eq!(lib("*"), ["a/lib 1.0.0"]);
    assert_eq!(lib(">=1"), ["a/lib 1.0.0"]);
    assert_eq!(lib("2.0.0-rc.1"), ["a/lib 2.0.0-rc.2"]);
    assert_eq!(lib("=2.0.0-rc.1"), ["a/lib 2.0.0-rc.1"]);
    assert_eq!(world.names(&[("a/new", "*")]), ["a/new 0.1.0-a"]);
    assert!(world.solve(&[("a/new", "^0.1")]).is_err());
    assert!(
        world.solve(&[("a/app", "*")]).is_err(),
        "a dependency's * is not a person's"
    );
    assert_eq!(
        world.names(&[("a/app", "*"), ("a/new", "*"), ("a/lib", "=2.0.0-rc.1")]),
        ["a/lib 2.0.0-rc.1", "a/new 0.1.0-a", "a/app 1.0.0"]
    );
}

#[test]
fn a_bare_name_is_the_own_one_or_the_dependents_owners_or_the_one_that_is_pinned() {
    let world = || {
        let world = World::default().with("carol/app", "1.0.0", &["lib ^1"]);
        world
            .with("alice/lib", "1.1.0", &[])
            .with("bob/lib", "1.2.0", &[])
    };
    let app = [("carol/app", "*")];
    let missing = world().explanation(&app);
    assert!(missing.contains("lib, which was not found"), "{missing}");
    let pinned = |who: &[&str]| World {
        pinned: who.iter().copied().map(publisher).collect(),
        ..world()
    };
    assert_eq!(
        pinned(&["bob"]).names(&app),
        ["bob/lib 1.2.0", "carol/app 1.0.0"]
    );
    let several = pinned(&["alice", "bob"]).explanation(&app);
    assert!(
        several.contains("alice/lib") && several.contains("bob/lib") && several.contains("several"),
        "{several}"
    );
    let both = || pinned(&["alice", "bob"]).with("carol/lib", "1.0.0", &[]);
    assert_eq!(
        both().names(&app),
        ["carol/lib 1.0.0", "carol/app 1.0.0"],
        "her own"
    );
    let own = World {
        own: Some(publisher("alice")),
        ..both()
    };
    assert_eq!(own.names(&app), ["alice/lib 1.1.0", "carol/app 1.0.0"]);
}

#[test]
fn bounds_of_one_package_that_are_written_apart_hold_together() {
    let world = World::default().with("a/app", "1.0.0", &["a/lib >=1.0.0", "lib <1.2.0"]);
    let world = world
        .with("a/lib", "1.0.0", &[])
        .with("a/lib", "1.1.0", &[])
        .with("a/lib", "1.2.0", &[]);
    assert_eq!(
        world.names(&[("a/app", "*")]),
        ["a/lib 1.1.0", "a/app 1.0.0"]
    );
}

#[test]
fn what_is_not_followed_is_told_with_why() {
    let world = World::default()
        .with("a/app", "1.0.0", &["?a/lib ^1", "a/json *"])
        .with("a/json", "1.0.0", &[]);
    let resolution = world.solve(&[("a/app", "*")]).unwrap();
    let told = resolution.releases.iter().flat_map(|one| &one.left_out);
    let told: Vec<_> = told
        .map(|LeftOutDependency { dependency, why }| {
            format!("{}: {why}", dependency.id().unwrap().name)
        })
        .collect();
    assert_eq!(told, ["lib: it is optional"]);
}

#[test]
fn optional_dependencies_are_not_followed() {
    let world = World::default().with("a/app", "1.0.0", &["?b/gone *", "?a/app ^9"]);
    assert_eq!(world.names(&[("a/app", "*")]), ["a/app 1.0.0"]);
    assert_eq!(
        world.solve(&[("a/app", "*")]).unwrap().releases[0].needs,
        []
    );
}

#[test]
fn two_names_of_a_package_are_one_package_and_each_thing_is_asked_for_once() {
    let key = format!("{}/json", publisher("a"));
    let world = World::default()
        .with("a/json", "1.0.0", &[])
        .with("a/json", "1.5.0", &[])
        .with("b/app", "1.0.0", &["a/json ^1", "b/tool *"])
        .with("b/tool", "1.0.0", &[&format!("{key} <1.5")]);
    assert_eq!(
        world.names(&[("b/app", "*"), ("a/json", "*")]),
        ["a/json 1.0.0", "b/tool 1.0.0", "b/app 1.0.0"]
    );
    let asked = world.asked.borrow().clone();
    assert_eq!(
        asked.iter().collect::<BTreeSet<_>>().len(),
        asked.len(),
        "{asked:?}"
    );
    assert!(!asked.contains(&key), "known by its key already: {asked:?}");
    let resolution = world.solve(&[("a/json", "^1"), (&key, "<1.5")]).unwrap();
    assert_eq!(resolution.root, [id("a/json"), id("a/json")]);
    assert_eq!(names(&resolution), ["a/json 1.0.0"]);
    assert!(
        world
            .solve(&[("a/json@^1.5", "*"), (&key, "<1.5")])
            .is_err(),
        "a requirement within a name counts"
    );
}

#[test]
fn a_deep_chain_is_followed_to_its_end() {
    let chain = |end: &[&str]| {
        (0..500).fold(
            World::default().with("a/p500", "1.0.0", end),
            |world, link| {
                world.with(
                    &format!("a/p{link}"),
                    "1.0.0",
                    &[&format!("a/p{} ^1", link + 1)],
                )
            },
        )
    };
    let found = chain(&[]).names(&[("a/p0", "*")]);
    assert_eq!(
        (found.len(), found[0].as_str(), found[500].as_str()),
        (501, "a/p500 1.0.0", "a/p0 1.0.0")
    );
    let explanation = chain(&["a/gone ^1"]).explanation(&[("a/p0", "*")]);
    assert!(explanation.lines().count() < 70, "{explanation}");
    assert!(
        explanation.contains(&format!(
            "no release of a/p500 can be used (it needs {}, which was not found)",
            id("a/gone")
        )),
        "{explanation}"
    );
}

#[test]
fn too_many_packages_are_an_error_that_says_so() {
    let world = (0..50).fold(World::default(), |world, row| {
        let needs: Vec<_> = (0..48)
            .map(|column| format!("a/p{} *", row * 48 + column + 1))
            .collect();
        world.with(
            &format!("a/p{row}"),
            "1.0.0",
            &needs.iter().map(String::as_str).collect::<Vec<_>>(),
        )
    });
    let world = (50..2_401).fold(world, |world, leaf| {
        world.with(&format!("a/p{leaf}"), "1.0.0", &[])
    });
    let error = world.solve(&[("a/p0", "*")]).unwrap_err();
    assert!(matches!(error, Unresolved::TooManyPackages), "{error}");
    assert!(
        RegistryError::from(error)
            .to_string()
            .contains("more than 2000 packages")
    );
}

#[test]
fn an_explanation_has_an_end_however_long_the_proof() {
    for links in (10..150).step_by(10) {
        let world = (0..links).fold(
            World::default().with("a/p0", "1.0.0", &["a/gone ^1"]),
            |world, link| {
                let (package, needs) = (format!("a/p{}", link + 1), format!("a/p{link} ^1"));
                world
                    .with(&package, "1.0.0", &[&needs])
                    .with(&package, "1.1.0", &[&needs])
            },
        );
        let explanation = world.explanation(&[(&format!("a/p{links}"), "*")]);
        assert!(
            explanation.contains(&id("a/gone").to_string()) && explanation.lines().count() < 70,
            "{links}: {explanation}"
        );
    }
}

/// The pigeonhole principle is hard for every solver that learns by resolution, so the bound on
/// steps must end it.
#[test]
fn a_search_without_end_is_ended() {
    let holes = 9;
    let mut world = World::default();
    // A pigeon's release is the hole it sits in; each pair of pigeons has a judge for every hole,
    // which fits only one.
    for pigeon in 0..=holes {
        for hole in 0..holes {
            let judges: Vec<_> = (0..=holes)
                .filter(|other| *other != pigeon)
                .map(|other| {
                    let (low, high) = (pigeon.min(other), pigeon.max(other));
                    format!(
                        "a/j{low}-{high}-{hole} ={}.0.0",
                        1 + u8::from(pigeon > other)
                    )
                })
                .collect();
            let judges: Vec<_> = judges.iter().map(String::as_str).collect();
            world = world.with(
                &format!("a/pigeon{pigeon}"),
                &format!("{}.0.0", hole + 1),
                &judges,
            );
        }
        for other in pigeon + 1..=holes {
            for hole in 0..holes {
                let judge = format!("a/j{pigeon}-{other}-{hole}");
                world = world.with(&judge, "1.0.0", &[]).with(&judge, "2.0.0", &[]);
            }
        }
    }
    let names: Vec<_> = (0..=holes)
        .map(|pigeon| format!("a/pigeon{pigeon}"))
        .collect();
    let list: Vec<_> = names.iter().map(|name| (name.as_str(), "*")).collect();
    let error = resolve_within(300, &world, &wanted(&list), &|_| {}).unwrap_err();
    assert!(matches!(error, Unresolved::TooManySteps), "{error}");
}

const PACKAGES: [&str; 5] = ["a/p", "a/q", "a/r", "b/p", "b/s"];
const RELEASES: [&str; 6] = ["1.0.0", "1.1.0", "1.2.0!", "2.0.0", "2.1.0-a", "3.0.0"];
const REQUIREMENTS: [&str; 11] = [
    "*",
    "^1",
    "^2",
    ">=1.1",
    "<2",
    "=1.2.0",
    "^2.1.0-a",
    "~1.1",
    "=2.0.0",
    ">1.0.0, <3",
    "^3",
];

type Needs = Vec<(usize, usize, bool)>;

fn needs(most: usize) -> impl Strategy<Value = Needs> {
    prop::collection::vec(
        (
            0..PACKAGES.len(),
            0..REQUIREMENTS.len(),
            prop::bool::weighted(0.1),
        ),
        0..most,
    )
}

prop_compose! {
    fn small_world()(
        packages in prop::collection::vec(prop::collection::vec(prop::option::weighted(0.6, needs(4)), RELEASES.len()), PACKAGES.len()),
    ) -> World {
        let mut world = World::default();
        for (package, releases) in PACKAGES.iter().zip(packages) {
            for (release, needs) in RELEASES.iter().zip(releases) {
                let Some(needs) = needs else { continue };
                let needs: Vec<_> = needs.into_iter().map(|(package, requirement, optional)| {
                    let mark = if optional { "?" } else { "" };
                    format!("{mark}{} {}", PACKAGES[package], REQUIREMENTS[requirement])
                }).collect();
                world = world.with(package, release, &needs.iter().map(String::as_str).collect::<Vec<_>>());
            }
        }
        world
    }
}

/// States the rules again in other words: returns true if a requirement admits a release.
fn takes(
    world: &World,
    asked: &[(PackageRef, RequirementText)],
    id: &PackageId,
    requirement: &RequirementText,
    version: &VersionText,
) -> bool {
    let releases = &world.releases[id].1;
    let release = releases
        .iter()
        .find(|release| release.version == *version)
        .unwrap();
    let all_odd = releases
        .iter()
        .all(|release| release.is_yanked() || read(&release.version).is_pre_release());
    let names = |requirement: &RequirementText| match release.is_yanked() {
        true => requirement.to_string() == format!("={version}"),
        false => requirement
            .read(&Ecosystem::Generic)
            .unwrap()
            .matches(&read(version)),
    };
    let mine = |package: &PackageRef| PackageId {
        owner: publisher(&package.owner.to_string()),
        name: package.name.within(&Ecosystem::Generic).unwrap(),
    };
    let top = asked
        .iter()
        .filter(|(package, _)| mine(package) == *id)
        .any(|(_, top)| {
            names(top) || (all_odd && !release.is_yanked() && *top == RequirementText::any())
        });
    // If no pre-release is involved, the order of versions decides.
    let version = read(version);
    let semver::Version {
        major,
        minor,
        patch,
        ..
    } = *version.semver().unwrap();
    let plain = Version::from(semver::Version::new(major, minor, patch));
    let takes = |version: &Version| {
        requirement
            .read(&Ecosystem::Generic)
            .unwrap()
            .matches(version)
    };
    let within =
        takes(&version) || (takes(&plain) && requirement.to_string() != format!("={plain}"));
    names(requirement)
        || (within && (release.is_yanked() || version.is_pre_release()) && top)
        || (!release.is_yanked() && !version.is_pre_release() && takes(&version))
}

/// Returns true if a choice of at most one release for each package is a solution.
fn holds(
    world: &World,
    asked: &[(PackageRef, RequirementText)],
    choice: &BTreeMap<PackageId, VersionText>,
) -> bool {
    let met = |id: PackageId, requirement: &RequirementText| {
        choice
            .get(&id)
            .is_some_and(|version| takes(world, asked, &id, requirement, version))
    };
    asked
        .iter()
        .all(|(package, requirement)| met(id(&package.to_string()), requirement))
        && choice.iter().all(|(id, version)| {
            let manifest = &world.manifests[&(id.clone(), version.to_string())];
            let needed = manifest
                .dependencies
                .iter()
                .filter(|dependency| !dependency.optional);
            needed
                .into_iter()
                .all(|dependency| met(dependency.id().unwrap(), &dependency.requirement))
        })
}

fn any_holds(world: &World, asked: &[(PackageRef, RequirementText)]) -> bool {
    let packages: Vec<_> = world.releases.iter().collect();
    let mut choices = vec![BTreeMap::new()];
    for (id, (_, releases)) in packages {
        let with: Vec<_> = choices
            .iter()
            .flat_map(|choice| {
                releases.iter().map(|release| {
                    let mut choice: BTreeMap<PackageId, VersionText> = choice.clone();
                    choice.insert(id.clone(), release.version.clone());
                    choice
                })
            })
            .collect();
        choices.extend(with);
    }
    choices.iter().any(|choice| holds(world, asked, choice))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_solution_holds_and_there_is_none_where_none_is_found(world in small_world(), list in needs(3)) {
        let list: Vec<_> = list
            .into_iter()
            .map(|(package, requirement, _)| (PACKAGES[package], REQUIREMENTS[requirement]))
            .filter(|(package, _)| world.releases.contains_key(&id(package)))
            .collect();
        let asked = wanted(&list);
        match world.solve(&list) {
            Ok(resolution) => {
                let choice: BTreeMap<_, _> = resolution.releases.iter().map(|release| (release.package.clone(), release.version.clone())).collect();
                prop_assert!(holds(&world, &asked, &choice), "{:?}", names(&resolution));
                let mut needed: BTreeSet<_> = resolution.root.iter().collect();
                needed.extend(resolution.releases.iter().flat_map(|release| &release.needs));
                prop_assert_eq!(needed, choice.keys().collect::<BTreeSet<_>>(), "nothing that \
                    nobody needs");
                let again = world.solve(&list).unwrap();
                prop_assert_eq!(again, resolution);
            }
            Err(Unresolved::Conflict { explanation }) => {
                prop_assert!(!any_holds(&world, &asked), "{:?} {}", list, explanation);
                prop_assert!(!explanation.is_empty() && explanation.lines().count() < 80, "{}", explanation);
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}
