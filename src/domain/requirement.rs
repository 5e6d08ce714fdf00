//! What versions are asked for: cargo's requirements, in which a version that is named exactly means its build, too.

use std::{fmt, str::FromStr};

use semver::{BuildMetadata, Comparator, Op, Version, VersionReq};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::text::{fit, printable};

/// A list of comparators, all of which hold. [`VersionReq`] drops the build metadata that somebody writes into one; here
/// `=1.2.3+b2` is that build, and `=1.2.3` the version that has none. Every other comparator takes all builds, as in
/// semver.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement(Vec<Term>);

/// One comparator, and the build metadata that was written behind it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Term {
    comparator: Comparator,
    build: BuildMetadata,
}

/// A text that is no requirement, and why.
#[derive(Debug, thiserror::Error)]
pub enum RequirementError {
    #[error(transparent)]
    Semver(#[from] semver::Error),
    #[error("a build such as +{0} can only be asked for exactly; write = and the whole version")]
    Build(BuildMetadata),
}

impl Requirement {
    /// `*`: every version proper.
    pub const STAR: Self = Self(Vec::new());

    /// The requirement that only `version` fulfils, yanked or not.
    pub fn exactly(version: &Version) -> Self {
        let Version { major, minor, patch, pre, build } = version.clone();
        let comparator = Comparator { op: Op::Exact, major, minor: Some(minor), patch: Some(patch), pre };
        Self(vec![Term { comparator, build }])
    }

    /// What one comparator asks for, of every build.
    pub fn of(comparator: Comparator) -> Self {
        Self(vec![Term { comparator, build: BuildMetadata::EMPTY }])
    }

    pub fn matches(&self, version: &Version) -> bool {
        self.semver().matches(version) && self.exact().all(|exact| exact == *version)
    }

    /// Returns true where a version is named in full and this is the one.
    pub fn is_exactly(&self, version: &Version) -> bool {
        !self.0.is_empty() && self.0.iter().all(|term| term.exact().as_ref() == Some(version))
    }

    /// Both have to hold.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The same without builds, for rules that are semver's.
    pub fn semver(&self) -> VersionReq {
        VersionReq { comparators: self.0.iter().map(|term| term.comparator.clone()).collect() }
    }

    /// Each comparator with the version that it names in full, if it does.
    pub(crate) fn comparators(&self) -> impl Iterator<Item = (&Comparator, Option<Version>)> {
        self.0.iter().map(|term| (&term.comparator, term.exact()))
    }

    /// Reads what somebody signed: a build where it means nothing is kept and means nothing, as for every earlier version of
    /// this program.
    ///
    /// # Errors
    /// When it is no requirement as semver has it.
    pub fn read(text: &str) -> Result<Self, semver::Error> {
        let comparators = VersionReq::parse(text)?.comparators;
        // `*` has none. Neither a comparator nor a build has a comma within.
        let builds = text.split(',').map(|part| part.split_once('+').map_or("", |(_, build)| build.trim()));
        let terms = comparators.into_iter().zip(builds).map(|(comparator, build)| {
            let build = BuildMetadata::new(build)?;
            Ok(Term { comparator, build })
        });
        Ok(Self(terms.collect::<Result<_, semver::Error>>()?))
    }

    /// Refuses a build that would mean nothing.
    ///
    /// # Errors
    /// [`RequirementError::Build`] with the first such build.
    pub fn check(&self) -> Result<(), RequirementError> {
        match self.0.iter().find(|term| !term.build.is_empty() && term.exact().is_none()) {
            Some(term) => Err(RequirementError::Build(term.build.clone())),
            None => Ok(()),
        }
    }

    fn exact(&self) -> impl Iterator<Item = Version> {
        self.0.iter().filter_map(Term::exact)
    }
}

impl Term {
    fn exact(&self) -> Option<Version> {
        let Comparator { op: Op::Exact, major, minor: Some(minor), patch: Some(patch), pre } = self.comparator.clone()
        else {
            return None;
        };
        Some(Version { major, minor, patch, pre, build: self.build.clone() })
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("*");
        }
        for (index, Term { comparator, build }) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            let plus = if build.is_empty() { "" } else { "+" };
            write!(f, "{comma}{comparator}{plus}{build}")?;
        }
        Ok(())
    }
}

/// As a person writes it.
impl FromStr for Requirement {
    type Err = RequirementError;

    fn from_str(text: &str) -> Result<Self, RequirementError> {
        let requirement = Self::read(text)?;
        requirement.check()?;
        Ok(requirement)
    }
}

impl Serialize for Requirement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Requirement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(&text).map_err(|error| {
            let text = fit(&printable(&text), 40);
            D::Error::custom(format!("\"{text}\" is no requirement ({error}); write one such as ^1.2"))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn takes(requirement: &str, version: &str) -> bool {
        requirement.parse::<Requirement>().unwrap().matches(&version.parse().unwrap())
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
            assert_eq!(takes(requirement, version), taken, "{requirement} {version}");
        }
    }

    #[test]
    fn a_build_that_would_mean_nothing_is_refused_where_a_person_writes_it_and_read_where_it_is_signed() {
        for odd in ["1.0.0+b2", "^1.0.0+b2", ">=1.0.0+b2", "=1.0.0+b, ~1.0.0+c"] {
            let error = odd.parse::<Requirement>().unwrap_err().to_string();
            assert!(error.contains("exactly"), "{odd}: {error}");
            assert!(serde_json::from_value::<Requirement>(odd.into()).is_ok(), "{odd}");
        }
        assert!("=1.0+b".parse::<Requirement>().is_err(), "semver has no build behind a part of a version");
        assert_eq!("*".parse::<Requirement>().unwrap(), Requirement::STAR);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            parts in prop::collection::vec("(=|\\^|~|>|>=|<|<=)?[0-9]\\.[0-9]\\.[0-9](-[a-z][a-z0-9]{0,3})?(\\+[a-z][a-z0-9-]{0,3}(\\.[a-z0-9]{1,3})?)?", 1..4)
        ) {
            let requirement = Requirement::read(&parts.join(", ")).unwrap();
            prop_assert_eq!(&Requirement::read(&requirement.to_string()).unwrap(), &requirement);
            let json = serde_json::to_string(&requirement).unwrap();
            prop_assert_eq!(serde_json::from_str::<Requirement>(&json).unwrap(), requirement);
        }

        #[test]
        fn exactly_one_version_is_exactly_it(
            version in "[0-2]\\.[0-2]\\.0(-a)?(\\+[bc])?", other in "[0-2]\\.[0-2]\\.0(-a)?(\\+[bc])?"
        ) {
            let (version, other): (Version, Version) = (version.parse().unwrap(), other.parse().unwrap());
            let requirement = Requirement::exactly(&version);
            prop_assert_eq!(&requirement.to_string().parse::<Requirement>().unwrap(), &requirement);
            prop_assert_eq!(requirement.matches(&other), version == other);
            prop_assert_eq!(requirement.is_exactly(&other), version == other);
        }
    }
}
