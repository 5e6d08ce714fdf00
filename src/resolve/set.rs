//! A set of versions for the solver, displayed for people.

use std::{fmt, ops::Bound};

use pubgrub::{Ranges, VersionSet};
use semver::Prerelease;

use super::range;
use crate::ecosystem::Version;

/// [`Ranges`] displayed like requirements: `^1.2.0` rather than `>=1.2.0, <2.0.0-0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VersionRanges(pub Ranges<Version>);

impl VersionSet for VersionRanges {
    type V = Version;

    fn empty() -> Self {
        Self(Ranges::empty())
    }

    fn singleton(version: Version) -> Self {
        Self(Ranges::singleton(version))
    }

    fn complement(&self) -> Self {
        Self(self.0.complement())
    }

    fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0))
    }

    fn contains(&self, version: &Version) -> bool {
        self.0.contains(version)
    }

    fn full() -> Self {
        Self(Ranges::full())
    }

    fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0))
    }

    fn is_disjoint(&self, other: &Self) -> bool {
        self.0.is_disjoint(&other.0)
    }

    fn subset_of(&self, other: &Self) -> bool {
        self.0.subset_of(&other.0)
    }
}

impl VersionRanges {
    /// Returns the set of exactly these versions.
    pub fn of<'a>(versions: impl Iterator<Item = &'a Version>) -> Self {
        Self(
            versions
                .map(|version| {
                    (
                        Bound::Included(version.clone()),
                        Bound::Included(version.clone()),
                    )
                })
                .collect(),
        )
    }

    /// Returns the versions that are isolated points of the set.
    pub fn named(&self) -> impl Iterator<Item = &Version> {
        self.0.iter().filter_map(|bounds| match bounds {
            (Bound::Included(from), Bound::Included(to)) if from == to => Some(from),
            _ => None,
        })
    }
}

/// The most parts of a set that are displayed.
const TOLD: usize = 8;

impl fmt::Display for VersionRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("(no version)");
        }
        for (index, (from, to)) in self.0.iter().enumerate().take(TOLD) {
            f.write_str(if index > 0 { " or " } else { "" })?;
            match (from, to) {
                (Bound::Included(from), Bound::Excluded(to)) if ends(from, to, range::next) => {
                    // All its builds, whereas the next case is a single build.
                    write!(f, ">={from}, <={from}")?;
                }
                (Bound::Included(from), Bound::Included(to)) if from == to => write!(f, "{from}")?,
                (Bound::Included(from), Bound::Excluded(to)) if ends(from, to, caret_end) => {
                    write!(f, "^{from}")?;
                }
                (Bound::Unbounded, Bound::Unbounded) => f.write_str("*")?,
                (Bound::Unbounded, to) => upper(f, to)?,
                (from, Bound::Unbounded) => lower(f, from)?,
                (from, to) => {
                    lower(f, from)?;
                    f.write_str(", ")?;
                    upper(f, to)?;
                }
            }
        }
        match self.0.iter().count().saturating_sub(TOLD) {
            0 => Ok(()),
            more => write!(f, " or {more} more"),
        }
    }
}

/// Returns true if `end` maps `from` to `to`.
fn ends(
    from: &Version,
    to: &Version,
    end: impl Fn(&semver::Version) -> Option<semver::Version>,
) -> bool {
    from.semver()
        .and_then(end)
        .is_some_and(|end| to.semver() == Some(&end))
}

fn caret_end(from: &semver::Version) -> Option<semver::Version> {
    range::caret_end(from.major, Some(from.minor), Some(from.patch))
}

fn lower(f: &mut fmt::Formatter<'_>, bound: &Bound<Version>) -> fmt::Result {
    match bound {
        Bound::Included(version) => write!(f, ">={}", plain(version)),
        Bound::Excluded(version) => write!(f, ">{version}"),
        Bound::Unbounded => Ok(()),
    }
}

fn upper(f: &mut fmt::Formatter<'_>, bound: &Bound<Version>) -> fmt::Result {
    match bound {
        Bound::Included(version) => write!(f, "<={version}"),
        Bound::Excluded(version) => write!(f, "<{}", plain(version)),
        Bound::Unbounded => Ok(()),
    }
}

/// Returns a bound without the `-0` that only includes or excludes its pre-releases.
fn plain(version: &Version) -> Version {
    match version.semver() {
        Some(bound) if bound.pre.as_str() == "0" => semver::Version {
            pre: Prerelease::EMPTY,
            ..bound.clone()
        }
        .into(),
        _ => version.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::Ecosystem;

    #[test]
    fn a_set_prints_like_the_requirement_it_came_from() {
        for (requirement, shown) in [
            ("*", "*"),
            ("^1", "^1.0.0"),
            ("1.2.3", "^1.2.3"),
            ("^0.2.3", "^0.2.3"),
            ("~1.2.3", ">=1.2.3, <1.3.0"),
            ("=1.2.3", "1.2.3"),
            ("=1.2.3+b2", "1.2.3+b2"),
            (">=1.2.3, <=1.2.3", ">=1.2.3, <=1.2.3"),
            ("=1.2.3-rc.1", "1.2.3-rc.1"),
            ("<2", "<2.0.0"),
            (">1.2", ">=1.3.0"),
            (">1, <1", "(no version)"),
        ] {
            assert_eq!(
                VersionRanges(range::of(
                    &Ecosystem::Generic.requirement(requirement).unwrap(),
                    std::iter::empty()
                ))
                .to_string(),
                shown,
                "{requirement}"
            );
        }
    }
}
