//! Requirements as sets of versions, for the solver to intersect and complement.
//!
//! In most ecosystems a requirement does not depend on the order alone (PyPI's wildcards, npm's
//! pre-releases), so its set lists the releases that it takes. Cargo's language, also used by
//! `generic`, has ranges, which read well:
//!
//! For versions without a pre-release, the set has exactly the versions that
//! [`Requirement::matches`] takes. For pre-releases it is an outer bound: it has every match, but
//! no pre-release of an upper bound, so `^1` never reaches `2.0.0-alpha`. [`super::admit`] decides
//! about pre-releases inside.
//!
//! An exact version means one build, in `cargo` only if the build is named. All other comparators
//! ignore build metadata, as in semver. [`Version`] orders by it, though, so a bound that includes
//! `1.2.3` is written as "below the next possible version", which includes every build of `1.2.3`.

use std::ops::Bound;

use pubgrub::Ranges;
use semver::{Comparator, Op, Prerelease, Version};

use crate::ecosystem::{self, Requirement};

/// Returns the set of versions that a requirement takes, given the existing ones.
pub fn of<'a>(
    requirement: &Requirement,
    there: impl Iterator<Item = &'a ecosystem::Version>,
) -> Ranges<ecosystem::Version> {
    if requirement.is_any() {
        return Ranges::full();
    }
    let Some(comparators) = requirement.comparators() else {
        let taken = there.filter(|version| requirement.includes(version));
        return taken
            .map(|version| {
                (
                    Bound::Included(version.clone()),
                    Bound::Included(version.clone()),
                )
            })
            .collect();
    };
    comparators
        .iter()
        .map(|(comparator, only)| match only {
            Some(only) => Ranges::singleton(ecosystem::Version::from(only.clone())),
            None => one(comparator, &comparators),
        })
        .fold(Ranges::full(), |set, next| set.intersection(&next))
}

type Comparators = [(Comparator, Option<Version>)];

fn one(comparator: &Comparator, requirement: &Comparators) -> Ranges<ecosystem::Version> {
    let (major, minor, patch) = (comparator.major, comparator.minor, comparator.patch);
    let lowest = Version {
        pre: comparator.pre.clone(),
        ..Version::new(major, minor.unwrap_or_default(), patch.unwrap_or_default())
    };
    // The end of the versions that a partial version covers: `1.2` covers every `1.2.x`, `1.2.3`
    // only itself.
    let past = match patch {
        Some(_) => next(&lowest),
        None => after(major, minor, None),
    };
    match comparator.op {
        Op::Greater => past.map_or_else(Ranges::empty, |past| {
            Ranges::higher_than(ecosystem::Version::from(past))
        }),
        Op::GreaterEq => Ranges::higher_than(ecosystem::Version::from(lowest)),
        Op::Less if patch.is_some() && names_pre_release_of(requirement, &lowest) => {
            below(Some(lowest))
        }
        Op::Less => below(Some(first_of(major, lowest.minor, lowest.patch))),
        Op::LessEq => below(past),
        Op::Tilde => from_to(lowest, after(major, minor, None)),
        Op::Caret => {
            // If another comparator names a pre-release, semver lets ^x.y take those of x.y.0.
            let start = match patch {
                None if names_pre_release_of(requirement, &lowest) => {
                    first_of(major, lowest.minor, 0)
                }
                _ => lowest,
            };
            from_to(start, caret_end(major, minor, patch))
        }
        // A partial exact version, a wildcard, and anything a new release of semver adds.
        _ => from_to(lowest, past),
    }
}

/// Returns the end of `^major.minor.patch`: the next version whose leftmost non-zero part differs.
pub(super) fn caret_end(major: u64, minor: Option<u64>, patch: Option<u64>) -> Option<Version> {
    match (major, minor, patch) {
        (0, Some(0), Some(_)) => after(major, minor, patch),
        (0, Some(_), _) => after(major, minor, None),
        _ => after(major, None, None),
    }
}

/// Returns the lowest version after all that begin with these parts; `None` if the numbers
/// overflow.
fn after(major: u64, minor: Option<u64>, patch: Option<u64>) -> Option<Version> {
    let patched = minor
        .zip(patch)
        .and_then(|(minor, patch)| Some(first_of(major, minor, patch.checked_add(1)?)));
    let minored = || minor.and_then(|minor| Some(first_of(major, minor.checked_add(1)?, 0)));
    patched
        .or_else(minored)
        .or_else(|| Some(first_of(major.checked_add(1)?, 0, 0)))
}

/// Returns the lowest version after every build of this one: a pre-release with one more field, or
/// the first of the next patch.
pub(super) fn next(version: &Version) -> Option<Version> {
    if version.pre.is_empty() {
        return after(version.major, Some(version.minor), Some(version.patch));
    }
    let pre = Prerelease::new(&format!("{}.0", version.pre)).ok()?;
    Some(Version {
        pre,
        ..Version::new(version.major, version.minor, version.patch)
    })
}

/// Returns the lowest pre-release of a version: semver orders numbers before words.
fn first_of(major: u64, minor: u64, patch: u64) -> Version {
    Version {
        pre: Prerelease::new("0").unwrap_or_default(),
        ..Version::new(major, minor, patch)
    }
}

fn names_pre_release_of(requirement: &Comparators, version: &Version) -> bool {
    let same = |other: &Comparator| {
        (other.major, other.minor, other.patch)
            == (version.major, Some(version.minor), Some(version.patch))
    };
    requirement
        .iter()
        .map(|(other, _)| other)
        .any(|other| !other.pre.is_empty() && same(other))
}

fn below(end: Option<Version>) -> Ranges<ecosystem::Version> {
    end.map_or_else(Ranges::full, |end| {
        Ranges::strictly_lower_than(ecosystem::Version::from(end))
    })
}

fn from_to(start: Version, end: Option<Version>) -> Ranges<ecosystem::Version> {
    let end = end.map_or(Bound::Unbounded, |end| Bound::Excluded(end.into()));
    Ranges::from_range_bounds((Bound::Included(ecosystem::Version::from(start)), end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ecosystem::Ecosystem;

    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![8 => 0u64..4, 1 => Just(u64::MAX), 1 => Just(u64::MAX - 1)]
    }

    fn pre() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["0", "a", "a.0", "a.1", "b", "rc.1", "1", "a-"])
    }

    fn build() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["", "+b", "+9.z"])
    }

    fn set(requirement: &Requirement) -> Ranges<ecosystem::Version> {
        of(requirement, std::iter::empty())
    }

    fn version(
        pre: impl Strategy<Value = Option<&'static str>>,
    ) -> impl Strategy<Value = ecosystem::Version> {
        (number(), number(), number(), pre, build()).prop_map(
            |(major, minor, patch, pre, build)| {
                let pre = pre.map(|pre| format!("-{pre}")).unwrap_or_default();
                let version: Version = format!("{major}.{minor}.{patch}{pre}{build}")
                    .parse()
                    .unwrap();
                version.into()
            },
        )
    }

    fn comparator() -> impl Strategy<Value = String> {
        let op = prop::sample::select(vec!["", "^", "~", "=", ">", ">=", "<", "<="]);
        let parts = (
            number(),
            number(),
            number(),
            prop::option::weighted(0.3, pre()),
            1usize..=3,
        );
        let full = (op, parts, build()).prop_map(
            |(op, (major, minor, patch, pre, parts), build)| match (parts, pre) {
                (1, _) => format!("{op}{major}"),
                (2, _) => format!("{op}{major}.{minor}"),
                (_, None) => format!("{op}{major}.{minor}.{patch}{build}"),
                (_, Some(pre)) => format!("{op}{major}.{minor}.{patch}-{pre}{build}"),
            },
        );
        let wild = (number(), number(), any::<bool>()).prop_map(|(a, b, minor)| {
            if minor {
                format!("{a}.{b}.*")
            } else {
                format!("{a}.*")
            }
        });
        prop_oneof![6 => full, 1 => wild]
    }

    fn requirement() -> impl Strategy<Value = Requirement> {
        let list = prop::collection::vec(comparator(), 1..4)
            .prop_filter_map("a build that would mean nothing", |list| {
                Ecosystem::Generic.requirement(&list.join(", ")).ok()
            });
        prop_oneof![12 => list, 1 => Just(Ecosystem::Generic.requirement("*").unwrap())]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn proper_versions_are_in_the_set_exactly_when_they_match(
            requirement in requirement(),
            version in version(Just(None)),
        ) {
            prop_assert_eq!(set(&requirement).contains(&version), requirement.matches(&version), "{} {}", requirement, version);
        }

        #[test]
        fn pre_releases_that_match_are_in_the_set(requirement in requirement(), version in version(pre().prop_map(Some))) {
            prop_assert!(set(&requirement).contains(&version) || !requirement.matches(&version), "{} {}", requirement, version);
        }
    }

    #[test]
    fn an_upper_bound_has_no_pre_releases_in_it() {
        for (requirement, version, within) in [
            ("^1", "2.0.0-alpha", false),
            ("^1", "1.1.0-alpha", true),
            ("<2", "2.0.0-0", false),
            ("<2.0.0", "2.0.0-alpha", false),
            (">=2.0.0-alpha, <2.0.0", "2.0.0-beta", true),
            ("^0.3", "0.3.0-beta", false),
            ("^0.3, <0.3.0-c", "0.3.0-beta", true),
            ("<=1.2.3", "1.2.4-alpha", false),
            ("<=1.2.3", "1.2.3+build", true),
            ("=1.2.3", "1.2.3+build", false),
            ("=1.2.3+build", "1.2.3+build", true),
            ("=1.2.3+build", "1.2.3", false),
            ("=1.2.3-a+build", "1.2.3-a+build", true),
            ("=1.2.3-a", "1.2.3-a.0", false),
            (">1.2.3", "1.2.3+build", false),
            ("~0.2.3", "0.3.0-a", false),
            ("*", "0.0.0-0", true),
        ] {
            let set = set(&Ecosystem::Generic.requirement(requirement).unwrap());
            assert_eq!(
                set.contains(&Ecosystem::Generic.version(version).unwrap()),
                within,
                "{requirement} {version}"
            );
        }
    }
}
