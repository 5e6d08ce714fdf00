//! What each ecosystem of packages has as names, versions and requirements: one normaliser and one
//! order each, as its own tools have them.
//!
//! Records carry names, versions and requirements as text, as they were written. What such a text
//! means is asked here, where the ecosystem is known. A text that an ecosystem's tool refuses is
//! refused, never guessed. Of an ecosystem that this version does not know, names and versions are
//! what their bytes are, in the order of their bytes.

pub mod cargo;
mod debian;
mod generic;
#[cfg(test)]
mod hard_cases;
mod npm;
mod number;
pub mod pypi;
mod requirement;
mod version;

pub use requirement::Requirement;
pub use version::{Plain, Version};

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest version, in bytes: none of the ecosystems sets a bound, a head of 14 KiB must.
pub const MAX_VERSION: usize = 64;
/// Longest name, in bytes: npm's bound, which is the highest of those that there are.
pub const MAX_NAME: usize = 214;
/// Longest requirement, in bytes.
pub const MAX_REQUIREMENT: usize = 200;

/// The packages that a package is one of. A node takes, keeps and shows packages of ecosystems that
/// it does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Ecosystem {
    /// Packages of no other ecosystem: names and versions are Swarmdex's own.
    #[default]
    Generic,
    Cargo,
    Debian,
    Npm,
    Pypi,
    /// What a later version knows: 1 to 20 letters a to z and hyphens.
    Other(Box<str>),
}

/// A text that is no name, version or requirement of its ecosystem, and why: `is empty`, `has a
/// space`. Whoever tells a person about it says which text it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl Refused {
    fn because(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl Ecosystem {
    /// Those whose rules are known.
    pub const KNOWN: [Self; 5] = [
        Self::Generic,
        Self::Cargo,
        Self::Debian,
        Self::Npm,
        Self::Pypi,
    ];

    pub fn as_str(&self) -> &str {
        match self {
            Self::Generic => "generic",
            Self::Cargo => "cargo",
            Self::Debian => "debian",
            Self::Npm => "npm",
            Self::Pypi => "pypi",
            Self::Other(word) => word,
        }
    }

    pub fn is_generic(&self) -> bool {
        *self == Self::Generic
    }

    /// Returns true where a release may get further files after it was published. Of an ecosystem
    /// that is not known, nobody can say that it may not.
    pub fn grows(&self) -> bool {
        !matches!(self, Self::Cargo | Self::Npm)
    }

    /// The name by which the package is found: two spellings that normalise alike are one package.
    ///
    /// # Errors
    /// When it is no name of a package there.
    pub fn normalise(&self, name: &str) -> Result<String, Refused> {
        if name.is_empty() {
            return Err(Refused::because("is empty"));
        }
        if name.len() > MAX_NAME {
            return Err(Refused(format!("is longer than {MAX_NAME} bytes")));
        }
        match self {
            Self::Generic => generic::normalise(name),
            Self::Cargo => cargo::normalise(name),
            Self::Debian => debian::normalise(name),
            Self::Npm => npm::normalise(name),
            Self::Pypi => pypi::normalise(name),
            Self::Other(_) => generic::any_name(name),
        }
    }

    /// # Errors
    /// When the ecosystem's tools refuse it as a version, or it is longer than [`MAX_VERSION`].
    pub fn version(&self, text: &str) -> Result<Version, Refused> {
        Version::parse(self, text)
    }

    /// The version of a text, where it is numbers and dots that need not be read.
    pub fn plain_version<'a>(&self, text: &'a str) -> Option<Plain<'a>> {
        Plain::of(self, text)
    }

    /// The key of a version, by its text: the same for versions that are equal. `None` where the
    /// ecosystem's tools refuse the text.
    pub fn version_key(&self, text: &str) -> Option<String> {
        Version::key_of(self, text)
    }

    /// # Errors
    /// When the ecosystem's tools refuse it as a requirement, or it is longer than
    /// [`MAX_REQUIREMENT`].
    pub fn requirement(&self, text: &str) -> Result<Requirement, Refused> {
        Requirement::parse(self, text)
    }
}

impl fmt::Display for Ecosystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl TryFrom<String> for Ecosystem {
    type Error = Refused;

    fn try_from(word: String) -> Result<Self, Refused> {
        word.parse()
    }
}

impl std::str::FromStr for Ecosystem {
    type Err = Refused;

    fn from_str(word: &str) -> Result<Self, Refused> {
        Ok(match word {
            "generic" => Self::Generic,
            "cargo" => Self::Cargo,
            "debian" => Self::Debian,
            "npm" => Self::Npm,
            "pypi" => Self::Pypi,
            _ if (1..=20).contains(&word.len())
                && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') =>
            {
                Self::Other(word.into())
            }
            _ => {
                return Err(Refused::because(
                    "must be 1 to 20 letters a to z and hyphens, such as generic or cargo",
                ));
            }
        })
    }
}

impl From<Ecosystem> for String {
    fn from(ecosystem: Ecosystem) -> Self {
        ecosystem.as_str().to_owned()
    }
}
