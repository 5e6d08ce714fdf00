//! Cargo's names and requirements; `generic` uses the requirements too. Versions and comparators
//! are those of the `semver` crate, which cargo uses.

use semver::{BuildMetadata, Comparator, Op, Version, VersionReq};

use super::InvalidText;

/// Longest name of a crate that registries accept.
const MAX_NAME: usize = 64;

/// Normalises a letter followed by letters, digits, `-` and `_`, 64 at most, to lower case with `-`
/// for `_`, because cargo treats both as one name.
pub(super) fn normalise(name: &str) -> Result<String, InvalidText> {
    if name.len() > MAX_NAME {
        return Err(InvalidText::because("is longer than 64 characters"));
    }
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(InvalidText::because("must start with a letter"));
    }
    if !name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    {
        return Err(InvalidText::because(
            "may only have letters, digits, hyphens and underscores",
        ));
    }
    Ok(name.to_ascii_lowercase().replace('_', "-"))
}

/// Returns the path of a crate's index file
/// (<https://doc.rust-lang.org/cargo/reference/registry-index.html#index-files>), or `None` for
/// anything but a lower-case name.
pub fn index_path(name: &str) -> Option<String> {
    let is_name = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
    is_name.then_some(())?;
    Some(match name.len() {
        0 => return None,
        1 => format!("1/{name}"),
        2 => format!("2/{name}"),
        3 => format!("3/{}/{name}", name.get(..1)?),
        _ => format!("{}/{}/{name}", name.get(..2)?, name.get(2..4)?),
    })
}

/// A list of comparators, all of which must hold. [`VersionReq`] drops build metadata, but here
/// `=1.2.3+b2` means that build. `=1.2.3` means the version without a build in `generic`, and every
/// build of it in `cargo`. Every other comparator takes all builds, as in semver.
#[derive(Clone, Debug)]
pub(super) struct Requirement {
    semver: VersionReq,
    /// The versions named in full, with their builds.
    exact: Vec<Version>,
    builds: Builds,
}

/// The meaning of an exact version without a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Builds {
    /// The version without a build.
    Count,
    /// Each of its builds.
    Open,
}

impl Requirement {
    pub(super) fn parse(text: &str, builds: Builds) -> Result<Self, InvalidText> {
        let semver = VersionReq::parse(text)
            .map_err(|error| InvalidText(format!("does not follow semver: {error}")))?;
        // `*` has none. Commas occur neither within a comparator nor within a build.
        let written = text
            .split(',')
            .map(|part| part.split_once('+').map_or("", |(_, build)| build.trim()));
        let mut exact = Vec::new();
        for (comparator, build) in semver.comparators.iter().zip(written) {
            let build = BuildMetadata::new(build)
                .map_err(|error| InvalidText(format!("does not follow semver: {error}")))?;
            match named(comparator) {
                Some(version) => exact.push(Version { build, ..version }),
                None if !build.is_empty() => {
                    return Err(InvalidText(format!(
                        "asks for the build +{build}, which can only be requested exactly: write = and \
                        the full version"
                    )));
                }
                None => {}
            }
        }
        Ok(Self {
            semver,
            exact,
            builds,
        })
    }

    pub(super) fn matches(&self, version: &Version) -> bool {
        let is_it = |exact: &Version| {
            exact == version
                || self.builds == Builds::Open
                    && exact.build.is_empty()
                    && exact.cmp_precedence(version).is_eq()
        };
        self.semver.matches(version) && self.exact.iter().all(is_it)
    }

    /// Like [`Self::matches`], but also returns true for pre-releases of matching versions, unless
    /// they are below a lower bound; `^1` has no 2.0.0-alpha.
    pub(super) fn includes(&self, version: &Version) -> bool {
        let proper = Version {
            pre: semver::Prerelease::EMPTY,
            ..version.clone()
        };
        let above = |comparator: &Comparator| {
            let Comparator {
                op,
                major,
                minor,
                patch,
                pre,
            } = comparator.clone();
            let lowest = Version {
                pre,
                ..Version::new(major, minor.unwrap_or_default(), patch.unwrap_or_default())
            };
            matches!(op, Op::Less | Op::LessEq) || version.cmp_precedence(&lowest).is_ge()
        };
        self.matches(version)
            || self.exact.is_empty()
                && self.semver.matches(&proper)
                && self.semver.comparators.iter().all(above)
    }

    pub(super) fn is_exactly(&self, version: &Version) -> bool {
        !self.exact.is_empty()
            && self.exact.len() == self.semver.comparators.len()
            && self.exact.iter().all(|exact| exact == version)
    }

    pub(super) fn comparators(&self) -> Vec<(Comparator, Option<Version>)> {
        let mut exact = self.exact.iter();
        let one = |comparator: &Comparator| {
            let named = named(comparator).and_then(|_| exact.next());
            let only =
                named.filter(|named| self.builds == Builds::Count || !named.build.is_empty());
            (comparator.clone(), only.cloned())
        };
        self.semver.comparators.iter().map(one).collect()
    }

    pub(super) fn names_build_of(&self, version: &Version) -> bool {
        self.exact
            .iter()
            .any(|exact| exact.cmp_precedence(version).is_eq())
    }

    pub(super) fn is_any(&self) -> bool {
        self.semver.comparators.is_empty()
    }
}

/// Returns the version that a comparator names in full, if it does.
fn named(comparator: &Comparator) -> Option<Version> {
    match comparator.clone() {
        Comparator {
            op: Op::Exact,
            major,
            minor: Some(minor),
            patch: Some(patch),
            pre,
        } => Some(Version {
            pre,
            ..Version::new(major, minor, patch)
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(requirement: &str, version: &str) -> bool {
        Requirement::parse(requirement, Builds::Count)
            .unwrap()
            .matches(&version.parse().unwrap())
    }

    #[test]
    fn names_that_cargo_takes_for_one_are_one() {
        for (name, normal) in [
            ("serde_json", "serde-json"),
            ("Inflector", "inflector"),
            ("a", "a"),
        ] {
            assert_eq!(normalise(name).unwrap(), normal);
        }
        for bad in ["1a", "_a", "a.b", "a+b", "é", "a b", &"a".repeat(65)] {
            assert!(normalise(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_index_has_one_file_for_a_name() {
        for (name, path) in [
            ("a", "1/a"),
            ("ab", "2/ab"),
            ("abc", "3/a/abc"),
            ("serde", "se/rd/serde"),
        ] {
            assert_eq!(index_path(name).as_deref(), Some(path));
        }
        for bad in ["", "Serde", "../x", "é"] {
            assert_eq!(index_path(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_version_that_is_named_exactly_is_that_build_and_no_other() {
        for (requirement, version, taken) in [
            ("=1.0.0+b2", "1.0.0+b2", true),
            ("=1.0.0+b2", "1.0.0+c10", false),
            ("=1.0.0+b2", "1.0.0", false),
            ("=1.0.0", "1.0.0", true),
            ("=1.0.0", "1.0.0+b2", false),
            ("=1.0.0-rc.1+x", "1.0.0-rc.1+x", true),
            ("=1.0.0-rc.1", "1.0.0-rc.1+x", false),
            ("^1.0.0, =1.0.0+b2", "1.0.0+b2", true),
            ("^2, =1.0.0+b2", "1.0.0+b2", false),
            ("^1", "1.0.0+b2", true),
            ("=1.0", "1.0.0+b2", true),
            (">=1.0.0, <=1.0.0", "1.0.0+b2", true),
        ] {
            assert_eq!(
                takes(requirement, version),
                taken,
                "{requirement} {version}"
            );
        }
    }

    #[test]
    fn cargo_takes_every_build_of_a_version_that_is_named_without_one() {
        let of = |text: &str| Requirement::parse(text, Builds::Open).unwrap();
        let version = |text: &str| text.parse().unwrap();
        assert!(of("=1.0.0").matches(&version("1.0.0+b2")));
        assert!(
            !of("=1.0.0").is_exactly(&version("1.0.0+b2")),
            "a yanked one is named with its build"
        );
        assert!(!of("=1.0.0+b2").matches(&version("1.0.0+c10")));
    }

    #[test]
    fn a_build_that_would_mean_nothing_is_refused() {
        for odd in ["1.0.0+b2", "^1.0.0+b2", ">=1.0.0+b2", "=1.0.0+b, ~1.0.0+c"] {
            let error = Requirement::parse(odd, Builds::Open)
                .unwrap_err()
                .to_string();
            assert!(error.contains("exactly"), "{odd}: {error}");
        }
        assert!(
            Requirement::parse("=1.0+b", Builds::Count).is_err(),
            "semver has no build behind a part of a version"
        );
        assert!(Requirement::parse("*", Builds::Count).unwrap().is_any());
    }

    #[test]
    fn pre_releases_are_included_between_the_bounds() {
        for (requirement, version, within) in [
            ("^1", "2.0.0-alpha", false),
            ("^1", "1.1.0-alpha", true),
            ("^1.0.0", "1.0.0-alpha", false),
            ("<2", "2.0.0-0", false),
            ("<2.0.0", "2.0.0-alpha", false),
            (">=2.0.0-alpha, <2.0.0", "2.0.0-beta", true),
            ("^0.3", "0.3.0-beta", false),
            ("<=1.2.3", "1.2.4-alpha", false),
            (">1.2.3-rc", "1.2.3-beta", false),
            ("=1.2.3", "1.2.3-a", false),
            ("=1.2.3-a+build", "1.2.3-a+build", true),
            ("~0.2.3", "0.3.0-a", false),
            ("*", "0.0.0-0", true),
        ] {
            let requirement = Requirement::parse(requirement, Builds::Count).unwrap();
            assert_eq!(
                requirement.includes(&version.parse().unwrap()),
                within,
                "{requirement:?} {version}"
            );
        }
    }
}
