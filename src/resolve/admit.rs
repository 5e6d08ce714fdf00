//! Which of a package's releases a requirement takes.
//!
//! Proper releases that are not yanked are taken by every requirement that matches. The others only
//! where they are meant:
//!
//! - a pre-release by a requirement that names it as its ecosystem has it: of cargo and npm one
//!   that names a pre-release of the same
//!   `major.minor.patch`, of PyPI one that names any;
//! - a yanked release by a requirement that names exactly this version;
//! - either by every requirement whose range it is in, when what was asked for at the top names it
//!   so. A person may choose for the dependencies, too; a dependency chooses for itself only, or
//!   one release somewhere would bring everybody's pre-releases in;
//! - pre-releases by `*` at the top, where a package has nothing else.

use super::{range, set::Set, universe::Choice};
use crate::ecosystem::Requirement;

/// The versions of a package that a requirement takes, as a set without the releases that it may
/// not have. `asked` is what was asked for at the top of this very package.
pub(super) fn admit(requirement: &Requirement, releases: &[Choice], asked: &[Requirement]) -> Set {
    let range = range::of(requirement, releases.iter().map(|(version, _)| version));
    let bare = !releases.iter().any(is_plain);
    let meant = |choice: &Choice| {
        names(requirement, choice)
            || asked.iter().any(|asked| {
                names(asked, choice) || (bare && !choice.1.is_yanked() && asked.is_any())
            })
    };
    let held_back = Set::of(
        releases
            .iter()
            .filter(|choice| !is_plain(choice) && range.contains(&choice.0) && !meant(choice))
            .map(|(version, _)| version),
    );
    Set(range.intersection(&held_back.0.complement()))
}

/// A release that needs no naming.
pub(super) fn is_plain((version, release): &Choice) -> bool {
    !version.is_pre_release() && !release.is_yanked()
}

fn names(requirement: &Requirement, (version, release): &Choice) -> bool {
    if release.is_yanked() {
        requirement.is_exactly(version)
    } else {
        requirement.names(version)
    }
}
