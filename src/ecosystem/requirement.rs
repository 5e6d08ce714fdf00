//! A requirement, as it was written, with what its ecosystem makes of it.

use std::fmt;

use super::{Ecosystem, MAX_REQUIREMENT, Refused, Version, cargo, debian, npm, pypi, version::Order};

/// Which versions of a package are asked for, in its ecosystem's own language.
#[derive(Clone, Debug)]
pub struct Requirement {
    text: Box<str>,
    terms: Terms,
}

#[derive(Clone, Debug)]
enum Terms {
    Semver(cargo::Requirement),
    Debian(debian::Requirement),
    Npm(npm::Requirement),
    Pypi(pypi::Requirement),
    /// Of an ecosystem that is not known: every version, or the one that is written.
    Bytes(Option<Box<str>>),
}

impl Requirement {
    pub(super) fn parse(ecosystem: &Ecosystem, text: &str) -> Result<Self, Refused> {
        if text.len() > MAX_REQUIREMENT {
            return Err(Refused(format!("is longer than {MAX_REQUIREMENT} bytes")));
        }
        let terms = match ecosystem {
            Ecosystem::Generic | Ecosystem::Cargo => Terms::Semver(cargo::Requirement::parse(text)?),
            Ecosystem::Debian => Terms::Debian(debian::Requirement::parse(text)?),
            Ecosystem::Npm => Terms::Npm(npm::Requirement::parse(text)?),
            Ecosystem::Pypi => Terms::Pypi(pypi::Requirement::parse(text)?),
            Ecosystem::Other(_) => match text {
                "" | "*" => Terms::Bytes(None),
                _ => {
                    let version = ecosystem.version(text.trim_start_matches('='))?;
                    Terms::Bytes(Some(version.as_str().into()))
                }
            },
        };
        Ok(Self { text: text.into(), terms })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns true where the ecosystem's own tool says that the version is one of those asked for: cargo's and npm's with
    /// their rules about pre-releases, PyPI's as `packaging` (26.1 and later) has it, which lets pre-releases in.
    pub fn matches(&self, version: &Version) -> bool {
        match (&self.terms, version.order()) {
            (Terms::Semver(terms), Order::Semver(version)) => terms.matches(version),
            (Terms::Debian(terms), Order::Debian(version)) => terms.matches(version),
            (Terms::Npm(terms), Order::Npm(version)) => terms.matches(version),
            (Terms::Pypi(terms), Order::Pypi(order)) => terms.matches(order, version.as_str()),
            (Terms::Bytes(terms), Order::Bytes(version)) => terms.as_ref().is_none_or(|wanted| wanted == version),
            _ => false,
        }
    }

    /// Returns true where the version would be one of those asked for if pre-releases were wanted: an outer bound.
    pub fn includes(&self, version: &Version) -> bool {
        match (&self.terms, version.order()) {
            (Terms::Semver(terms), Order::Semver(version)) => terms.includes(version),
            (Terms::Npm(terms), Order::Npm(version)) => terms.includes(version),
            _ => self.matches(version),
        }
    }

    /// Returns true where the version matches and, if it is a pre-release, pre-releases are what the requirement asks for by
    /// naming one.
    pub fn names(&self, version: &Version) -> bool {
        let asked = match &self.terms {
            Terms::Pypi(terms) => !version.is_pre_release() || terms.names_pre_release(),
            _ => true,
        };
        asked && self.matches(version)
    }

    /// Returns true where this one version is named in full, and nothing else: what a lock file says, and the only thing that takes a
    /// yanked release.
    pub fn is_exactly(&self, version: &Version) -> bool {
        match (&self.terms, version.order()) {
            (Terms::Semver(terms), Order::Semver(version)) => terms.is_exactly(version),
            (Terms::Debian(terms), Order::Debian(version)) => terms.is_exactly(version),
            (Terms::Npm(terms), Order::Npm(version)) => terms.is_exactly(version),
            (Terms::Pypi(terms), Order::Pypi(order)) => terms.is_exactly(order, version.as_str()),
            (Terms::Bytes(Some(wanted)), Order::Bytes(version)) => wanted == version,
            _ => false,
        }
    }

    /// Returns true where every version is asked for that is not a pre-release.
    pub fn is_any(&self) -> bool {
        match &self.terms {
            Terms::Semver(terms) => terms.is_any(),
            Terms::Debian(terms) => terms.is_any(),
            Terms::Npm(terms) => terms.is_any(),
            Terms::Pypi(terms) => terms.is_any(),
            Terms::Bytes(wanted) => wanted.is_none(),
        }
    }
}

impl Ecosystem {
    /// How the requirement is written that only this version fulfils.
    pub fn exactly(&self, version: &Version) -> String {
        match self {
            Self::Pypi => format!("=={version}"),
            Self::Debian => format!("= {version}"),
            _ => format!("={version}"),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// By what is written: two spellings of one requirement are two here.
impl PartialEq for Requirement {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Requirement {}
