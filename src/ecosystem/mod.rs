//! Names, versions and requirements of each ecosystem, normalised and ordered as its own tools do.
//!
//! Records carry names, versions and requirements as written; this module interprets them by
//! ecosystem. A text that an ecosystem's tool rejects is rejected, never guessed. In an unknown
//! ecosystem, names and versions are plain bytes, ordered as such.

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

/// Longest version in bytes. No ecosystem sets a bound, but a head of 14 KiB needs one.
pub const MAX_VERSION: usize = 64;
/// Longest name in bytes: npm's bound, the highest of all ecosystems.
pub const MAX_NAME: usize = 214;
/// Longest requirement in bytes.
pub const MAX_REQUIREMENT: usize = 200;

/// An ecosystem of packages. A node accepts, keeps and shows packages of ecosystems that it does
/// not know.
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
    /// An ecosystem of a later version: 1 to 20 letters a to z and hyphens.
    Other(Box<str>),
}

/// The reason why a text is no name, version or requirement of its ecosystem: `is empty`, `has a
/// space`. The caller adds which text it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidText(pub String);

impl InvalidText {
    fn because(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl Ecosystem {
    /// The ecosystems whose rules are known.
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

    /// Returns true if a release may get further files after it was published. For an unknown
    /// ecosystem this is assumed.
    pub fn grows(&self) -> bool {
        !matches!(self, Self::Cargo | Self::Npm)
    }

    /// Returns the normal form of a name: spellings with one normal form are one package.
    ///
    /// # Errors
    /// The ecosystem does not allow the name.
    pub fn normalise(&self, name: &str) -> Result<String, InvalidText> {
        if name.is_empty() {
            return Err(InvalidText::because("is empty"));
        }
        if name.len() > MAX_NAME {
            return Err(InvalidText(format!("is longer than {MAX_NAME} bytes")));
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

    /// Parses a version.
    ///
    /// # Errors
    /// The ecosystem's tools reject it, or it is longer than [`MAX_VERSION`].
    pub fn version(&self, text: &str) -> Result<Version, InvalidText> {
        Version::parse(self, text)
    }

    /// Returns the version if it consists of plain numbers and dots, without parsing it.
    pub fn plain_version<'a>(&self, text: &'a str) -> Option<Plain<'a>> {
        Plain::of(self, text)
    }

    /// Returns the key of a version: the same for equal versions. Returns `None` if the ecosystem's
    /// tools reject the text.
    pub fn version_key(&self, text: &str) -> Option<String> {
        Version::key_of(self, text)
    }

    /// Parses a requirement.
    ///
    /// # Errors
    /// The ecosystem's tools reject it, or it is longer than [`MAX_REQUIREMENT`].
    pub fn requirement(&self, text: &str) -> Result<Requirement, InvalidText> {
        Requirement::parse(self, text)
    }
}

impl fmt::Display for Ecosystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl TryFrom<String> for Ecosystem {
    type Error = InvalidText;

    fn try_from(word: String) -> Result<Self, InvalidText> {
        word.parse()
    }
}

impl std::str::FromStr for Ecosystem {
    type Err = InvalidText;

    fn from_str(word: &str) -> Result<Self, InvalidText> {
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
                return Err(InvalidText::because(
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
