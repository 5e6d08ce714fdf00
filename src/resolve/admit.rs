//! Which of a package's releases a requirement takes.
//!
//! Proper releases that are not yanked are taken by every requirement that matches. The others only where they are meant:
//!
//! - a pre-release by a requirement that matches it as cargo has it, which is one that names a pre-release of the same
//!   `major.minor.patch`;
//! - a yanked release by a requirement that names exactly this version;
//! - either by every requirement whose range it is in, when what was asked for at the top names it so. A person may
//!   choose for the dependencies, too; a dependency chooses for itself only, or one release somewhere would bring
//!   everybody's pre-releases in;
//! - pre-releases by `*` at the top, where a package has nothing else.

use semver::Version;

use super::{range, set::Set};
use crate::domain::{release::ReleaseEntry, requirement::Requirement};

/// The versions of a package that a requirement takes, as a set without the releases that it may not have. `asked` is
/// what was asked for at the top of this very package.
pub(super) fn admit(requirement: &Requirement, releases: &[ReleaseEntry], asked: &[Requirement]) -> Set {
    let range = range::of(requirement);
    let bare = !releases.iter().any(is_plain);
    let meant = |release: &ReleaseEntry| {
        names(requirement, release)
            || asked
                .iter()
                .any(|asked| names(asked, release) || (bare && !release.yanked && *asked == Requirement::STAR))
    };
    let held_back = Set::of(
        releases
            .iter()
            .filter(|release| !is_plain(release) && range.contains(&release.version) && !meant(release))
            .map(|release| &release.version),
    );
    Set(range.intersection(&held_back.0.complement()))
}

/// A release that needs no naming.
pub(super) fn is_plain(release: &ReleaseEntry) -> bool {
    release.version.pre.is_empty() && !release.yanked
}

fn names(requirement: &Requirement, release: &ReleaseEntry) -> bool {
    let version: &Version = &release.version;
    if release.yanked { requirement.is_exactly(version) } else { requirement.matches(version) }
}
