//! Decides which of a package's releases a requirement admits.
//!
//! Every requirement admits the matching releases that are neither yanked nor pre-releases. The
//! others need more:
//!
//! - a pre-release is admitted by a requirement that names it, by the rules of its ecosystem: in
//!   cargo and npm it names a pre-release of the same `major.minor.patch`, in PyPI any pre-release;
//! - a yanked release is admitted by a requirement that names exactly this version;
//! - either is admitted by every matching requirement if a top-level requirement of the same
//!   package names it so. A person may choose for the dependencies too, but a dependency only for
//!   itself, or one release somewhere would bring in everybody's pre-releases;
//! - `*` at the top level admits pre-releases if a package has nothing else.

use super::{range, set::VersionRanges, universe::ReleaseChoice};
use crate::ecosystem::Requirement;

/// Returns the set of versions that a requirement admits. `asked` are the top-level requirements of
/// this very package.
pub(super) fn admit(
    requirement: &Requirement,
    releases: &[ReleaseChoice],
    asked: &[Requirement],
) -> VersionRanges {
    let range = range::of(requirement, releases.iter().map(|(version, _)| version));
    let bare = !releases.iter().any(is_plain);
    let meant = |choice: &ReleaseChoice| {
        names(requirement, choice)
            || asked.iter().any(|asked| {
                names(asked, choice) || (bare && !choice.1.is_yanked() && asked.is_any())
            })
    };
    let held_back = VersionRanges::of(
        releases
            .iter()
            .filter(|choice| !is_plain(choice) && range.contains(&choice.0) && !meant(choice))
            .map(|(version, _)| version),
    );
    VersionRanges(range.intersection(&held_back.0.complement()))
}

/// Returns true for a release that need not be named.
pub(super) fn is_plain((version, release): &ReleaseChoice) -> bool {
    !version.is_pre_release() && !release.is_yanked()
}

fn names(requirement: &Requirement, (version, release): &ReleaseChoice) -> bool {
    if release.is_yanked() {
        requirement.is_exactly(version)
    } else {
        requirement.names(version)
    }
}
