//! Finds the release that the user named.

use std::fmt::Display;

use crate::{
    RegistryError, Result, clock,
    domain::{freshness::Freshness, name::PackageRef, release, version::RequirementText},
    registry::{Registry, Release},
};

/// With `--fresh`, fails if no quorum has confirmed the state.
pub(super) fn check_fresh(fresh: bool, package: &dyn Display, freshness: &Freshness) -> Result<()> {
    let now = clock::now();
    if !fresh || freshness.is_fresh(now) {
        return Ok(());
    }
    Err(RegistryError::NotFresh {
        package: package.to_string(),
        told: freshness.describe(now).to_string(),
    })
}

/// Returns the requested release; without a requirement, the newest that is not yanked, with
/// pre-releases last.
pub(super) async fn find(registry: &dyn Registry, package: &PackageRef) -> Result<Release> {
    let requirement = match &package.requirement {
        Some(requirement) => requirement.clone(),
        None => {
            let found = registry.get_package(package).await?;
            let ecosystem = found.id.name.ecosystem();
            release::resolve(ecosystem, &found.releases, None)
                .map_or(RequirementText::any(), |latest| {
                    RequirementText::exactly(ecosystem, &latest.version)
                })
        }
    };
    registry.get_package_version(package, &requirement).await
}
