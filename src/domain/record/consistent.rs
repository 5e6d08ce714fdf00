//! Whether records belong together: the one rule for taking and for sending them.
//!
//! A rule may cost the peer that answers only if every honest node applies it before it stores a
//! record and again before it sends it. So whoever takes a head with a manifest, from wherever, and
//! whoever sends the two, asks [`consistent`].

use super::{Authorised, Head, Refusal};
use crate::domain::{manifest::Manifest, release::ReleaseEntry};

/// Whether the manifest is of a release that the head lists: of the same publisher and package, and
/// listed with its hash under its own version.
///
/// # Errors
/// [`Refusal::Mismatch`] where it is not.
pub fn consistent(head: &Authorised<Head>, manifest: &Authorised<Manifest>) -> Result<(), Refusal> {
    let same = head.package() == manifest.package();
    let listed = || head.releases.iter().any(|entry| is_of(entry, manifest));
    if same && listed() {
        Ok(())
    } else {
        Err(Refusal::Mismatch)
    }
}

/// Whether an entry of a head or page is about this manifest. The same version may be spelt
/// otherwise in a manifest that was added.
pub fn is_of(entry: &ReleaseEntry, manifest: &Authorised<Manifest>) -> bool {
    let same =
        || entry.version.key(&manifest.ecosystem) == manifest.version.key(&manifest.ecosystem);
    entry.lists(&manifest.hash()) && (entry.version == manifest.version || same())
}
