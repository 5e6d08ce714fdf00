//! Resolves over a running registry: the solver blocks on a thread of its own while the registry
//! answers on the runtime.

use std::sync::Arc;

use futures::{StreamExt, stream};
use tokio::runtime;
use tokio_util::sync::CancellationToken;

use super::{Machine, PackageReleases, ReleaseSource, Resolution, Resolving, resolve};
use crate::{
    RegistryError, Result,
    domain::{
        manifest::Manifest,
        name::{Handle, Owner, PackageId, PackageName, PackageRef, PublisherId},
        version::{RequirementText, VersionText},
    },
    registry::{Namesake, Registry},
};

/// The most concurrent requests: half of what a peer answers one node at a time, so that a person
/// can still search.
const AT_ONCE: usize = 4;

/// A registry as a [`ReleaseSource`]. Its methods block.
pub struct OverRegistry {
    pub registry: Arc<dyn Registry>,
    pub runtime: runtime::Handle,
    pub machine: Machine,
    /// Once cancelled, every request ends with [`RegistryError::Closed`].
    pub stop: CancellationToken,
}

impl OverRegistry {
    fn wait<T>(&self, question: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(async {
            tokio::select! {
                answer = question => answer,
                () = self.stop.cancelled() => Err(RegistryError::Closed),
            }
        })
    }
}

async fn ask(registry: &dyn Registry, package: &PackageRef) -> Result<PackageReleases> {
    if let Owner::Handle(handle) = &package.owner {
        is_bound(registry, handle).await?;
    }
    let package = registry.get_package(package).await?;
    Ok(PackageReleases {
        id: package.id,
        handle: package.handle,
        trust: package.trust,
        releases: package.releases.into(),
        complete: package.complete,
        latest: package.latest,
    })
}

/// Refuses a handle that is not bound to a key here: the first to claim it must not decide which
/// packages are fetched. Callers that asked a person, or were told to trust, use the key.
async fn is_bound(registry: &dyn Registry, handle: &Handle) -> Result<()> {
    if registry.claims(handle, false).await?.bound.is_some() {
        return Ok(());
    }
    registry.claims(handle, true).await?.bound_key()?;
    Ok(())
}

impl ReleaseSource for OverRegistry {
    fn releases(&self, package: &PackageRef) -> Result<PackageReleases> {
        self.wait(ask(&*self.registry, package))
    }

    fn manifest(&self, package: &PackageId, version: &VersionText) -> Result<Manifest> {
        let package = PackageRef::of(package);
        self.wait(self.registry.metadata(&package, version))
    }

    fn namesakes(&self, name: &PackageName, beside: PublisherId) -> Result<Vec<Namesake>> {
        self.wait(self.registry.namesakes(name, beside))
    }

    fn machine(&self) -> &Machine {
        &self.machine
    }

    fn all_releases(&self, packages: &[PackageRef]) -> Vec<Result<PackageReleases>> {
        let questions = packages.iter().map(|package| ask(&*self.registry, package));
        let answers =
            self.wait(async { Ok(stream::iter(questions).buffered(AT_ONCE).collect().await) });
        answers.unwrap_or_else(|_| {
            packages
                .iter()
                .map(|_| Err(RegistryError::Closed))
                .collect()
        })
    }
}

/// Runs [`resolve`] over a registry. `told` is called on another thread and must not block for
/// long. If the future is dropped, the running request is cancelled and the thread ends at its next
/// one.
///
/// # Errors
/// [`RegistryError::Unresolvable`] with the explanation, or the error of a request.
pub async fn resolve_on(
    registry: Arc<dyn Registry>,
    wanted: Vec<(PackageRef, RequirementText)>,
    machine: Machine,
    told: impl Fn(Resolving) + Send + 'static,
) -> Result<Resolution> {
    let stop = CancellationToken::new();
    let _until_dropped = stop.clone().drop_guard();
    let source = OverRegistry {
        registry,
        runtime: runtime::Handle::current(),
        machine,
        stop,
    };
    let resolution = tokio::task::spawn_blocking(move || resolve(&source, &wanted, &told)).await;
    match resolution {
        Ok(resolution) => Ok(resolution?),
        Err(error) => Err(RegistryError::Internal {
            what: "resolving",
            why: error.to_string(),
        }),
    }
}
