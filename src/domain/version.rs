//! Versions and requirements as records carry them: the written text, to which the package's
//! ecosystem gives a meaning.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{name::NameError, text};
use crate::ecosystem::{self, Ecosystem, MAX_REQUIREMENT, MAX_VERSION};

macro_rules! text {
    ($(#[$doc:meta])* $type:ident, $what:literal, $bytes:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Box<str>);

        impl $type {
            /// Returns the text as written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(given: &str) -> Result<Self, NameError> {
                let why = if given.is_empty() {
                    "is empty".to_owned()
                } else if given.len() > $bytes {
                    format!("is longer than {} bytes", $bytes)
                } else if given.chars().any(text::is_unsafe_char) {
                    "has control or invisible characters".to_owned()
                } else {
                    return Ok(Self(given.into()));
                };
                Err(NameError::new($what, given, why))
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(given: String) -> Result<Self, NameError> {
                given.parse()
            }
        }

        impl From<$type> for String {
            fn from(text: $type) -> Self {
                text.0.into()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

text!(
    /// A version as written, 1 to 64 bytes. Different texts may be one version, as the ecosystem
    /// decides.
    VersionText,
    "version",
    MAX_VERSION
);
text!(
    /// A requirement as written, 1 to 200 bytes.
    RequirementText,
    "version requirement",
    MAX_REQUIREMENT
);

impl VersionText {
    /// Parses the version.
    ///
    /// # Errors
    /// The ecosystem does not allow it.
    pub fn read(&self, ecosystem: &Ecosystem) -> Result<ecosystem::Version, NameError> {
        ecosystem.version(&self.0).map_err(|refused| {
            NameError::new(
                "version",
                &self.0,
                format!("is not valid in {ecosystem}, because it {refused}"),
            )
        })
    }

    /// Returns the key for tables and hashes: the same for versions that are equal in the
    /// ecosystem. For an invalid version it is the text.
    pub fn key(&self, ecosystem: &Ecosystem) -> String {
        ecosystem
            .version_key(&self.0)
            .unwrap_or_else(|| self.0.to_string())
    }

    /// Returns whether this is its key: as comparing with [`Self::key`], which is made only where
    /// it is another than the text.
    pub fn has_key(&self, ecosystem: &Ecosystem, key: &str) -> bool {
        match ecosystem.plain_version(&self.0) {
            Some(plain) => plain.key() == key,
            None => self.key(ecosystem) == key,
        }
    }
}

impl RequirementText {
    /// Returns the requirement for any version, in any ecosystem.
    pub fn any() -> Self {
        Self("*".into())
    }

    /// Returns the requirement for this version only, yanked or not: `=1.0.0` in `generic`,
    /// `===1.0` elsewhere, where `=` may mean more.
    pub fn exactly(ecosystem: &Ecosystem, version: &VersionText) -> Self {
        match ecosystem {
            Ecosystem::Generic => Self(format!("={version}").into()),
            _ => Self(format!("==={version}").into()),
        }
    }

    /// Parses the requirement.
    ///
    /// # Errors
    /// The ecosystem does not allow it.
    pub fn read(&self, ecosystem: &Ecosystem) -> Result<ecosystem::Requirement, NameError> {
        // Two forms that are the same everywhere, and one for a name whose ecosystem was unknown
        // when it was written.
        let only = match (self.0.strip_prefix("==="), self.0.strip_prefix('=')) {
            (Some(only), _) => Some(only),
            (None, Some(only))
                if matches!(ecosystem, Ecosystem::Pypi) && !only.starts_with('=') =>
            {
                Some(only)
            }
            _ => None,
        };
        let read = match only.and_then(|only| ecosystem.version(only).ok()) {
            Some(version) => Ok(ecosystem::Requirement::only(&version)),
            None if &*self.0 == "*" => Ok(ecosystem::Requirement::any()),
            None => ecosystem.requirement(&self.0),
        };
        read.map_err(|refused| {
            NameError::new(
                "version requirement",
                &self.0,
                format!("is not valid in {ecosystem}, because it {refused}"),
            )
        })
    }
}
