//! Looks ahead: cargo requests the index of one crate after the other, as it learns their
//! dependencies, and then their files. This fetches what must come from other nodes before cargo
//! requests it: the index lines of a crate's dependencies, many at once, and their files.
//!
//! It considers only packages that a name means on this node, assigns no names by it, and fetches
//! files only while there is room without evicting anything.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    Endpoint,
    index::{is_at, line_of, wanted},
};
use crate::{
    domain::{
        dependency::{Dependency, DependencyKind, DependencyOn},
        manifest::Manifest,
        name::{PackageId, PackageName, PublisherId},
        release::{self, ReleaseEntry},
        trust::Trust,
        version::{RequirementText, VersionText},
    },
    ecosystem::Ecosystem,
    gateway::{
        companions::{self, Ahead},
        policy,
        service::Service,
    },
    registry::{Package, Wanted},
};

/// Crates looked at together.
const TOGETHER: usize = 32;
/// Files fetched at once.
const FILES: usize = 12;
/// Most steps, along dependencies, from a requested crate to one that is looked at.
const DEPTH: u8 = 4;
/// A crate is looked at once in this time, within which the numbers of crates and of bytes are
/// limited.
const WINDOW: Duration = Duration::from_secs(60);
const CRATES: usize = 2_000;
const BYTES: u64 = 256 << 20;
/// Larger files are only fetched on request.
const FILE: u64 = 16 << 20;

/// A crate that cargo is likely to request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Likely {
    /// Its publisher, whatever its name means here.
    only: Option<PublisherId>,
    name: PackageName,
    requirement: RequirementText,
    /// True if it is served in place of the default registry.
    mirror: bool,
    /// True if cargo is likely to request its file, too.
    file: bool,
}

/// A crate to look at, and its distance from the requested one.
struct Wish {
    likely: Likely,
    depth: u8,
}

/// The crates looked at in this window.
struct CrateWindow {
    since: Instant,
    met: HashSet<Likely>,
    bytes: u64,
}

impl CrateWindow {
    fn new(since: Instant) -> Self {
        Self {
            since,
            met: HashSet::new(),
            bytes: 0,
        }
    }

    fn renew(&mut self, now: Instant) {
        if now.saturating_duration_since(self.since) >= WINDOW {
            *self = Self::new(now);
        }
    }

    /// Returns true if a crate should be looked at, which happens once.
    fn meet(&mut self, likely: &Likely, now: Instant) -> bool {
        self.renew(now);
        self.met.len() < CRATES && self.met.insert(likely.clone())
    }

    /// Returns true if a file of this size may be fetched, and counts it.
    fn takes(&mut self, size: u64, now: Instant) -> bool {
        self.renew(now);
        let fits = size <= FILE && self.bytes.saturating_add(size) <= BYTES;
        self.bytes += if fits { size } else { 0 };
        fits
    }
}

struct AheadState {
    waiting: VecDeque<Wish>,
    is_running: bool,
    lately: CrateWindow,
}

/// The crates that are looked at before cargo requests them.
pub struct LookingAhead {
    state: Mutex<AheadState>,
    files: Semaphore,
    stop: CancellationToken,
}

impl LookingAhead {
    /// Starts looking ahead, until `stop` is cancelled.
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            state: Mutex::new(AheadState {
                waiting: VecDeque::new(),
                is_running: false,
                lately: CrateWindow::new(Instant::now()),
            }),
            files: Semaphore::new(FILES),
            stop,
        }
    }

    /// Queues crates that were not looked at lately. Returns true if a task must be started for
    /// them.
    fn add(&self, wishes: impl Iterator<Item = Wish>) -> bool {
        let (mut state, now) = (self.state.lock(), Instant::now());
        for wish in wishes {
            if state.lately.meet(&wish.likely, now) {
                state.waiting.push_back(wish);
            }
        }
        let begins = !state.is_running && !state.waiting.is_empty();
        state.is_running |= begins;
        begins
    }

    fn next(&self) -> Vec<Wish> {
        let mut state = self.state.lock();
        let count = TOGETHER.min(state.waiting.len());
        state.is_running = count > 0;
        state.waiting.drain(..count).collect()
    }
}

/// Notes that a client requests the index of a crate, or the file of this version of it.
pub fn asked(
    service: &Arc<Service>,
    endpoint: &Endpoint,
    package: &Package,
    version: Option<&VersionText>,
) {
    // All of an own package is here.
    if package.trust == Trust::Own {
        return;
    }
    let likely = Likely {
        only: endpoint.only,
        name: package.id.name.clone(),
        requirement: version.map_or_else(RequirementText::any, |version| {
            RequirementText::exactly(&Ecosystem::Cargo, version)
        }),
        mirror: endpoint.mirror,
        // The file of this version is being fetched already.
        file: version.is_none(),
    };
    let wish = Wish {
        likely,
        depth: DEPTH,
    };
    if service.ahead.add(std::iter::once(wish)) {
        let (service, stop) = (service.clone(), service.ahead.stop.clone());
        tokio::spawn(async move { stop.run_until_cancelled(look(service)).await });
    }
}

/// Looks at one batch after the other, until the queue is empty.
async fn look(service: Arc<Service>) {
    loop {
        let batch = service.ahead.next();
        if batch.is_empty() {
            return;
        }
        let found = look_at(&service, batch).await;
        let more = found.iter().flat_map(|one| needs(&one.wish, &one.manifest));
        // This task continues with them.
        service.ahead.add(more);
        let files = found.into_iter().filter(|one| one.wish.likely.file);
        fetch_files(&service, files.map(|one| wanted(&one.id, &one.manifest))).await;
    }
}

/// The release of a crate that cargo is likely to request.
struct LikelyCrate {
    wish: Wish,
    id: PackageId,
    manifest: Manifest,
}

/// Finds the releases to use, with their index lines.
async fn look_at(service: &Service, batch: Vec<Wish>) -> Vec<LikelyCrate> {
    let looked = batch.into_iter().map(|wish| release_of(service, wish));
    let found: Vec<_> = join_all(looked).await.into_iter().flatten().collect();
    let unread = found.iter().filter(|(_, entry)| {
        entry
            .first()
            .is_some_and(|hash| service.lines.get(&hash).is_none())
    });
    let documents: Vec<Wanted> = unread
        .flat_map(|(one, _)| companions::wanted_of(&one.id, &one.manifest))
        .collect();
    let contents = service.contents();
    if let Err(error) = contents.gather(documents, service.options.wait).await {
        tracing::debug!(%error, "lines of the index are left to be asked for");
    }
    let read = found.into_iter().map(async |(one, entry)| {
        let line = line_of(service, &Ahead::alone(service, &one.id), &one.id, &entry).await;
        line.is_ok_and(|line| is_at(one.wish.likely.mirror, &line))
            .then_some(one)
    });
    join_all(read).await.into_iter().flatten().collect()
}

/// Returns the release that a crate's name and requirement mean here, from local knowledge.
async fn release_of(service: &Service, wish: Wish) -> Option<(LikelyCrate, ReleaseEntry)> {
    let Likely {
        only,
        name,
        requirement,
        ..
    } = &wish.likely;
    let owner = match only {
        Some(owner) => *owner,
        None => service.node().names().known(name).await.ok()?.owner()?,
    };
    let id = PackageId {
        owner,
        name: name.clone(),
    };
    let package = policy::package(service, &id).await.ok()?;
    if package.trust == Trust::Own {
        return None;
    }
    let requirement = requirement.read(&Ecosystem::Cargo).ok()?;
    let entry = release::resolve(&Ecosystem::Cargo, &package.releases, Some(&requirement))?.clone();
    let (registry, hash) = (service.registry(), entry.first()?);
    let manifest = registry.manifest_of(&id, &hash).await.ok()?;
    Some((LikelyCrate { wish, id, manifest }, entry))
}

/// Returns the crates that a release depends on; of optional ones only the index lines are wanted.
fn needs(wish: &Wish, manifest: &Manifest) -> Vec<Wish> {
    let Some(depth) = wish.depth.checked_sub(1) else {
        return Vec::new();
    };
    let need = |dependency: &Dependency| {
        let id = dependency.id_for_owner(manifest.owner, &Ecosystem::Cargo)?;
        let only = match dependency.on {
            DependencyOn::Package { .. } => Some(id.owner),
            DependencyOn::Bare(_) => wish.likely.only,
        };
        let (depth, file) = match dependency.optional {
            true => (0, false),
            false => (depth, true),
        };
        let likely = Likely {
            only,
            name: id.name,
            requirement: dependency.requirement.clone(),
            mirror: wish.likely.mirror,
            file,
        };
        Some(Wish { likely, depth })
    };
    let is_used = |dependency: &&Dependency| {
        matches!(
            dependency.kind,
            DependencyKind::Runtime | DependencyKind::Build
        )
    };
    let used = manifest.dependencies.iter().filter(is_used);
    used.filter_map(need).collect()
}

/// Starts fetching those of these files that are not here and for which there is room.
async fn fetch_files(service: &Arc<Service>, files: impl Iterator<Item = Wanted>) {
    let files: Vec<Wanted> = files.collect();
    let (false, Ok(usage)) = (files.is_empty(), service.contents().usage().await) else {
        return;
    };
    let mut room = usage.quota.saturating_sub(usage.bytes);
    for file in files {
        let size = file.content.size;
        let is_here = service.contents().held(file.content.root).await;
        if !is_here.is_ok_and(|held| held.is_none()) || size > room {
            continue;
        }
        if !service
            .ahead
            .state
            .lock()
            .lately
            .takes(size, Instant::now())
        {
            continue;
        }
        room -= size;
        let (service, stop) = (service.clone(), service.ahead.stop.clone());
        tokio::spawn(async move { stop.run_until_cancelled(fetch(&service, file)).await });
    }
}

async fn fetch(service: &Service, file: Wanted) {
    let Ok(_place) = service.ahead.files.acquire().await else {
        return;
    };
    let what = file.what.clone();
    if let Err(error) = service.contents().fetch(file, None).await {
        tracing::debug!(what, %error, "a file is left to be asked for");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn likely(name: &str) -> Likely {
        Likely {
            only: None,
            name: name.parse().unwrap(),
            requirement: RequirementText::any(),
            mirror: true,
            file: true,
        }
    }

    #[test]
    fn a_crate_is_looked_at_once_in_a_while_and_not_too_many_are() {
        let now = Instant::now();
        let mut lately = CrateWindow::new(now);
        assert!(lately.meet(&likely("cargo:a"), now));
        assert!(!lately.meet(&likely("cargo:a"), now));
        assert!(lately.meet(&likely("cargo:a"), now + WINDOW));
        let all = (0..2 * CRATES).filter(|n| lately.meet(&likely(&format!("cargo:b{n}")), now));
        assert_eq!(all.count(), CRATES - 1);
    }

    #[test]
    fn bytes_of_files_are_bounded_and_large_ones_are_left_alone() {
        let now = Instant::now();
        let mut lately = CrateWindow::new(now);
        assert!(!lately.takes(FILE + 1, now));
        let fits = (0..2 * BYTES / FILE).filter(|_| lately.takes(FILE, now));
        assert_eq!(fits.count() as u64, BYTES / FILE);
        assert!(!lately.takes(1, now));
        assert!(lately.takes(1, now + WINDOW));
    }

    #[test]
    fn lines_of_what_a_release_needs_are_wished_for_and_files_of_what_it_must_have() {
        let draft = r#"
            name = "web"
            version = "1.0.0"
            ecosystem = "cargo"
            [[dependencies]]
            name = "must"
            requirement = "^1"
            [[dependencies]]
            name = "may"
            requirement = "^1"
            optional = true
            [[dependencies]]
            name = "tests"
            requirement = "^1"
            kind = "dev"
        "#;
        let draft: crate::domain::manifest::Draft = toml::from_str(draft).unwrap();
        let file = crate::domain::manifest::File::of(&draft.ecosystem, "x.crate", b"x");
        let now = crate::domain::time::Timestamp(7);
        let manifest = draft
            .into_manifest(PublisherId::nobody(), file, now)
            .unwrap();
        let wish = |depth| Wish {
            likely: likely("cargo:web"),
            depth,
        };
        let found = needs(&wish(2), &manifest);
        let told: Vec<_> = found
            .iter()
            .map(|one| (one.likely.name.bare(), one.likely.file, one.depth))
            .collect();
        assert_eq!(told, [("must", true, 1), ("may", false, 0)]);
        assert!(needs(&wish(0), &manifest).is_empty());
    }
}
