//! Consistency of a head and a manifest: the one rule for accepting and for sending them.
//!
//! A peer may be penalised for breaking a rule only if every honest node applies it both before
//! storing a record and before sending it. So every path that accepts or sends a head with a
//! manifest calls [`consistent`].

use super::{Authorised, Head, Refusal};
use crate::domain::{manifest::Manifest, release::ReleaseEntry};

/// Checks that the manifest is of a release that the head lists: of the same publisher and package,
/// and listed with its hash under its own version.
///
/// # Errors
/// [`Refusal::Mismatch`] if it is not.
pub fn consistent(head: &Authorised<Head>, manifest: &Authorised<Manifest>) -> Result<(), Refusal> {
    let same = head.package() == manifest.package();
    let listed = || head.releases.iter().any(|entry| is_of(entry, manifest));
    if same && listed() {
        Ok(())
    } else {
        Err(Refusal::Mismatch)
    }
}

/// Returns true if an entry of a head or page lists this manifest. A manifest that was added may
/// spell the version differently.
pub fn is_of(entry: &ReleaseEntry, manifest: &Authorised<Manifest>) -> bool {
    let same =
        || entry.version.key(&manifest.ecosystem) == manifest.version.key(&manifest.ecosystem);
    entry.lists(&manifest.hash()) && (entry.version == manifest.version || same())
}
