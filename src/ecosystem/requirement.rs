//! A requirement as written, with its meaning in its ecosystem.

use std::fmt;

use super::{
    Ecosystem, InvalidText, MAX_REQUIREMENT, Version,
    cargo::{self, Builds},
    debian, npm, pypi,
    version::VersionOrder,
};

/// A requirement on a package's version, in its ecosystem's own language.
#[derive(Clone, Debug)]
pub struct Requirement {
    text: Box<str>,
    terms: RequirementTerms,
}

#[derive(Clone, Debug)]
enum RequirementTerms {
    /// Any version.
    Any,
    /// One version only.
    Exactly(VersionOrder),
    Semver(cargo::Requirement),
    Debian(debian::Requirement),
    Npm(npm::Requirement),
    Pypi(pypi::Requirement),
    /// In an unknown ecosystem: the version as written.
    Bytes(Box<str>),
}

impl Requirement {
    pub(super) fn parse(ecosystem: &Ecosystem, text: &str) -> Result<Self, InvalidText> {
        if text.len() > MAX_REQUIREMENT {
            return Err(InvalidText(format!(
                "is longer than {MAX_REQUIREMENT} bytes"
            )));
        }
        let terms = match ecosystem {
            Ecosystem::Generic => {
                RequirementTerms::Semver(cargo::Requirement::parse(text, Builds::Count)?)
            }
            Ecosystem::Cargo => {
                RequirementTerms::Semver(cargo::Requirement::parse(text, Builds::Open)?)
            }
            Ecosystem::Debian => RequirementTerms::Debian(debian::Requirement::parse(text)?),
            Ecosystem::Npm => RequirementTerms::Npm(npm::Requirement::parse(text)?),
            Ecosystem::Pypi => RequirementTerms::Pypi(pypi::Requirement::parse(text)?),
            Ecosystem::Other(_) => match text {
                "" => RequirementTerms::Any,
                _ => RequirementTerms::Bytes(
                    ecosystem
                        .version(text.trim_start_matches('='))?
                        .as_str()
                        .into(),
                ),
            },
        };
        Ok(Self {
            text: text.into(),
            terms,
        })
    }

    /// Returns the requirement `*` for every version that is not a pre-release. It is valid even if
    /// the ecosystem's own language has no such form.
    pub fn any() -> Self {
        Self {
            text: "*".into(),
            terms: RequirementTerms::Any,
        }
    }

    /// Returns the requirement `===1.0` for one version only, not even another build of it. It is
    /// valid even if the ecosystem's own language has no such form.
    pub fn only(version: &Version) -> Self {
        Self {
            text: format!("==={version}").into(),
            terms: RequirementTerms::Exactly(version.order().clone()),
        }
    }

    /// Returns the requirement as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns true if the ecosystem's own tool says that the version matches: cargo's and npm's
    /// with their rules about pre-releases, PyPI's like `packaging` 26.1 and later, which lets
    /// pre-releases match.
    pub fn matches(&self, version: &Version) -> bool {
        match (&self.terms, version.order()) {
            (RequirementTerms::Semver(terms), VersionOrder::Semver(version)) => {
                terms.matches(version)
            }
            (RequirementTerms::Debian(terms), VersionOrder::Debian(version)) => {
                terms.matches(version)
            }
            (RequirementTerms::Npm(terms), VersionOrder::Npm(version)) => terms.matches(version),
            (RequirementTerms::Pypi(terms), VersionOrder::Pypi(order)) => {
                terms.matches(order, version.as_str())
            }
            (RequirementTerms::Bytes(wanted), VersionOrder::Bytes(version)) => wanted == version,
            (RequirementTerms::Exactly(wanted), order) => wanted == order,
            (RequirementTerms::Any, order) => {
                !version.is_pre_release() || matches!(order, VersionOrder::Pypi(_))
            }
            _ => false,
        }
    }

    /// Returns true if the version would match if pre-releases were wanted. This is an outer bound.
    pub fn includes(&self, version: &Version) -> bool {
        match (&self.terms, version.order()) {
            (RequirementTerms::Semver(terms), VersionOrder::Semver(version)) => {
                terms.includes(version)
            }
            (RequirementTerms::Npm(terms), VersionOrder::Npm(version)) => terms.includes(version),
            (RequirementTerms::Any, _) => true,
            _ => self.matches(version),
        }
    }

    /// Returns true if the version matches and, if it is a pre-release, the requirement admits
    /// pre-releases by naming one.
    pub fn names(&self, version: &Version) -> bool {
        let asked = match &self.terms {
            RequirementTerms::Pypi(terms) => !version.is_pre_release() || terms.names_pre_release(),
            RequirementTerms::Any => !version.is_pre_release(),
            _ => true,
        };
        asked && self.matches(version)
    }

    /// Returns true if the requirement names this one version in full and nothing else, as a lock
    /// file does. Only this admits a yanked release.
    pub fn is_exactly(&self, version: &Version) -> bool {
        match (&self.terms, version.order()) {
            (RequirementTerms::Semver(terms), VersionOrder::Semver(version)) => {
                terms.is_exactly(version)
            }
            (RequirementTerms::Debian(terms), VersionOrder::Debian(version)) => {
                terms.is_exactly(version)
            }
            (RequirementTerms::Npm(terms), VersionOrder::Npm(version)) => terms.is_exactly(version),
            (RequirementTerms::Pypi(terms), VersionOrder::Pypi(order)) => {
                terms.is_exactly(order, version.as_str())
            }
            (RequirementTerms::Bytes(wanted), VersionOrder::Bytes(version)) => wanted == version,
            (RequirementTerms::Exactly(wanted), order) => wanted == order,
            _ => false,
        }
    }

    /// Returns true if the version differs at most in build metadata from one named in full.
    pub fn names_build_of(&self, version: &Version) -> bool {
        match (&self.terms, version.order()) {
            (RequirementTerms::Semver(terms), VersionOrder::Semver(version)) => {
                terms.names_build_of(version)
            }
            _ => false,
        }
    }

    /// Returns the comparators if the language is cargo's, each with the only version that it
    /// takes, if there is only one.
    pub fn comparators(&self) -> Option<Vec<(semver::Comparator, Option<semver::Version>)>> {
        match &self.terms {
            RequirementTerms::Semver(terms) => Some(terms.comparators()),
            _ => None,
        }
    }

    /// Returns true if every version that is not a pre-release matches.
    pub fn is_any(&self) -> bool {
        match &self.terms {
            RequirementTerms::Semver(terms) => terms.is_any(),
            RequirementTerms::Debian(terms) => terms.is_any(),
            RequirementTerms::Npm(terms) => terms.is_any(),
            RequirementTerms::Pypi(terms) => terms.is_any(),
            RequirementTerms::Any => true,
            RequirementTerms::Bytes(_) | RequirementTerms::Exactly(_) => false,
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// Compares texts: two spellings of one requirement differ.
impl PartialEq for Requirement {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Requirement {}
