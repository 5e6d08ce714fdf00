//! A version, as it was written, with what its ecosystem's order makes of it.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
};

use super::{Ecosystem, MAX_VERSION, Refused, debian, npm, pypi};

/// A version of one ecosystem. Equal, and hashed, by what the ecosystem takes for one version
/// (`1.0` and `1.0.0` of `pypi`, `1.0` and
/// `1.0-0` of `debian`); shown as it was written. Of `generic` and `cargo`, build metadata is part
/// of it.
#[derive(Clone, Debug)]
pub struct Version {
    text: Box<str>,
    order: Order,
}

/// What is compared. Versions of two ecosystems are never of one package; there is an order all the
/// same, by ecosystem.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    Semver(semver::Version),
    Debian(debian::Version),
    Npm(npm::Version),
    Pypi(pypi::Version),
    Bytes(Box<str>),
}

impl Version {
    pub(super) fn parse(ecosystem: &Ecosystem, text: &str) -> Result<Self, Refused> {
        if text.is_empty() {
            return Err(Refused::because("is empty"));
        }
        if text.len() > MAX_VERSION {
            return Err(Refused(format!("is longer than {MAX_VERSION} bytes")));
        }
        let order = match ecosystem {
            Ecosystem::Generic | Ecosystem::Cargo => Order::Semver(
                semver::Version::parse(text)
                    .map_err(|error| Refused(format!("does not follow semver: {error}")))?,
            ),
            Ecosystem::Debian => Order::Debian(debian::Version::parse(text)?),
            Ecosystem::Npm => Order::Npm(npm::Version::parse(text)?),
            Ecosystem::Pypi => Order::Pypi(pypi::Version::parse(text)?),
            Ecosystem::Other(_) => {
                if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
                    return Err(Refused::because("has a space or a control character"));
                }
                Order::Bytes(text.into())
            }
        };
        Ok(Self {
            text: text.into(),
            order,
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same text for versions that are equal, another one for others: what a table's key is
    /// made of.
    pub fn key(&self) -> String {
        match &self.order {
            Order::Semver(version) => version.to_string(),
            Order::Debian(version) => version.key(),
            Order::Npm(version) => version.key(),
            Order::Pypi(version) => version.key(),
            Order::Bytes(text) => text.to_string(),
        }
    }

    /// Returns true for what its ecosystem holds back unless it is asked for. Debian's order has no
    /// such thing.
    pub fn is_pre_release(&self) -> bool {
        match &self.order {
            Order::Semver(version) => !version.pre.is_empty(),
            Order::Npm(version) => version.is_pre_release(),
            Order::Pypi(version) => version.is_pre_release(),
            Order::Debian(_) | Order::Bytes(_) => false,
        }
    }

    /// Returns true where the two differ in what does not count for the order of releases, build
    /// metadata, at most.
    pub fn is_build_of(&self, other: &Self) -> bool {
        match (&self.order, &other.order) {
            (Order::Semver(version), Order::Semver(other)) => version.cmp_precedence(other).is_eq(),
            (order, other) => order == other,
        }
    }

    /// Where the order is semver's, the version as its crate has it: of `generic` and `cargo`.
    pub fn semver(&self) -> Option<&semver::Version> {
        match &self.order {
            Order::Semver(version) => Some(version),
            _ => None,
        }
    }

    pub(super) fn order(&self) -> &Order {
        &self.order
    }
}

/// A version as `generic` and `cargo` have them, also one that is longer than a record may have: a
/// bound of a range.
impl From<semver::Version> for Version {
    fn from(version: semver::Version) -> Self {
        Self {
            text: version.to_string().into(),
            order: Order::Semver(version),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order.cmp(&other.order)
    }
}

impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}
