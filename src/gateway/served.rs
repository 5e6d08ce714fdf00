//! A cache of packages that were served lately, valid while nothing changes: deciding about a
//! package takes a dozen reads of the store, and clients request one package many times in a row.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{
    policy::{Refused, blocked_files, package, whose},
    request_log,
    service::Service,
};
use crate::{
    domain::name::{PackageName, PublisherId},
    registry::Package,
};

/// Most releases of packages in the cache.
const MOST: usize = 16_384;
/// For this long, other nodes are not asked again for changes.
const LATELY: Duration = Duration::from_secs(2);

/// A package that may be served.
pub struct Served {
    /// The package without blocked releases.
    pub package: Package,
    /// The blocked files, with the reasons.
    pub blocked_files: BTreeMap<String, String>,
}

/// A name at an endpoint: of all publishers, or of one.
type EndpointName = (Option<PublisherId>, PackageName);

/// Packages that were served lately.
#[derive(Default)]
pub struct Lately(Mutex<ServedNames>);

#[derive(Default)]
struct ServedNames {
    served: HashMap<EndpointName, Decided>,
    /// Number of releases of all of them.
    releases: usize,
}

/// A package, and the node's revision for which it is valid.
struct Decided {
    served: Arc<Served>,
    revision: u64,
    at: Instant,
}

impl Lately {
    fn get(&self, key: &EndpointName, revision: u64, now: Instant) -> Option<Arc<Served>> {
        let kept = self.0.lock();
        kept.served
            .get(key)
            .filter(|one| one.revision == revision && now.duration_since(one.at) < LATELY)
            .map(|one| one.served.clone())
    }

    /// Adds a package; if there is no room, all others are dropped.
    fn keep(&self, key: EndpointName, decided: Decided) {
        let releases = |one: &Decided| one.served.package.releases.len() + 1;
        let mut kept = self.0.lock();
        if kept.releases + releases(&decided) > MOST {
            *kept = ServedNames::default();
        }
        kept.releases += releases(&decided);
        if let Some(before) = kept.served.insert(key, decided) {
            kept.releases -= releases(&before);
        }
    }
}

/// Returns the package of a name, of any publisher or of `only` one, to be served.
pub async fn served(
    service: &Service,
    only: Option<PublisherId>,
    name: &PackageName,
) -> Result<Arc<Served>, Refused> {
    // Read the revision first, so that a later change invalidates the entry.
    let (key, revision, at) = ((only, name.clone()), service.revision(), Instant::now());
    let held = revision.and_then(|revision| service.lately.get(&key, revision, at));
    if let Some(served) = held {
        request_log::name(name);
        request_log::package(&served.package.id);
        return Ok(served);
    }
    let id = whose(service, only, name, true).await?;
    let package = package(service, &id).await?;
    let blocked_files = blocked_files(service, name).await?;
    let served = Arc::new(Served {
        package,
        blocked_files,
    });
    if let Some(revision) = revision {
        let served = served.clone();
        service.lately.keep(
            key,
            Decided {
                served,
                revision,
                at,
            },
        );
    }
    Ok(served)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            freshness::Freshness, hash::Hash, name::PackageId, release::ReleaseEntry,
            time::Timestamp, trust::Trust,
        },
        registry::Source,
    };

    fn decided(releases: usize, revision: u64, at: Instant) -> Decided {
        let entry = |n| ReleaseEntry::new(format!("{n}.0.0").parse().unwrap(), Hash::of(b"m"));
        let package = Package {
            id: PackageId {
                owner: PublisherId::nobody(),
                name: "npm:a".parse().unwrap(),
            },
            handle: None,
            trust: Trust::Own,
            seq: 1,
            signed_at: Timestamp(1),
            freshness: Freshness {
                own: true,
                received_at: Timestamp(1),
                confirmed_at: None,
                confirmed_by: 0,
                expires: Timestamp(2),
            },
            tags: BTreeMap::new(),
            releases: (0..releases).map(entry).collect(),
            complete: true,
            latest: None,
            conflicts: Vec::new(),
            source: Source::Local,
        };
        Decided {
            served: Arc::new(Served {
                package,
                blocked_files: BTreeMap::new(),
            }),
            revision,
            at,
        }
    }

    fn key(name: &str) -> EndpointName {
        (None, name.parse().unwrap())
    }

    #[test]
    fn what_was_decided_holds_until_anything_changes_or_for_a_moment() {
        let (lately, now) = (Lately::default(), Instant::now());
        lately.keep(key("npm:a"), decided(2, 7, now));
        assert!(lately.get(&key("npm:a"), 7, now).is_some());
        assert!(lately.get(&key("npm:a"), 8, now).is_none());
        assert!(lately.get(&key("npm:b"), 7, now).is_none());
        assert!(lately.get(&key("npm:a"), 7, now + LATELY).is_none());
        let other = (Some(PublisherId::nobody()), "npm:a".parse().unwrap());
        assert!(lately.get(&other, 7, now).is_none());
    }

    #[test]
    fn releases_of_what_is_kept_are_bounded() {
        let (lately, now) = (Lately::default(), Instant::now());
        lately.keep(key("npm:a"), decided(MOST / 2, 1, now));
        // The same package again takes no more room.
        lately.keep(key("npm:a"), decided(MOST / 2 - 1, 2, now));
        lately.keep(key("npm:b"), decided(MOST / 2 - 1, 2, now));
        assert!(lately.get(&key("npm:a"), 2, now).is_some());
        lately.keep(key("npm:c"), decided(2, 2, now));
        assert!(lately.get(&key("npm:a"), 2, now).is_none());
        assert!(lately.get(&key("npm:c"), 2, now).is_some());
    }
}
