//! The release that a person names.

use std::fmt::Display;

use semver::VersionReq;

use super::id::exactly;
use crate::{
    RegistryError, Result, clock,
    domain::{
        freshness::Freshness,
        name::{Owner, PackageRef},
        release,
    },
    registry::{Registry, Release},
};

/// With `--fresh`: what no quorum has confirmed is an error.
pub(super) fn check_fresh(fresh: bool, package: &dyn Display, freshness: &Freshness) -> Result<()> {
    let now = clock::now();
    if !fresh || freshness.is_fresh(now) {
        return Ok(());
    }
    Err(RegistryError::NotFresh { package: package.to_string(), told: freshness.told(now).to_string() })
}

/// The release that is meant; without a requirement the newest that is not yanked, releases proper before others.
pub(super) async fn find(registry: &dyn Registry, package: &PackageRef) -> Result<Release> {
    let requirement = match &package.requirement {
        Some(requirement) => requirement.clone(),
        None => {
            let releases = registry.get_package(package).await?.releases;
            release::resolve(&releases, None).map_or(VersionReq::STAR, |latest| exactly(&latest.version))
        }
    };
    registry.get_package_version(package, &requirement).await
}

/// Asking for a package by name is a person's act: from now on the handle means this key on this node, unless it
/// means another one already.
pub(super) async fn pin(registry: &dyn Registry, package: &PackageRef, release: &Release) -> Result<()> {
    let handle = match &package.owner {
        Owner::Handle(handle) => Some(handle),
        Owner::Publisher(_) => release.handle.as_ref(),
    };
    match handle {
        Some(handle) => registry.pin(handle, release.package.publisher).await,
        None => Ok(()),
    }
}
