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

    /// Returns the key of a text that is a version, without reading it as one where it is numbers
    /// and dots alone: lists of thousands are compared by their keys.
    pub(super) fn key_of(ecosystem: &Ecosystem, text: &str) -> Option<String> {
        match Plain::of(ecosystem, text) {
            Some(Plain(key)) => Some(key.to_owned()),
            None => Self::parse(ecosystem, text)
                .ok()
                .map(|version| version.key()),
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

/// Digits of a number that every ecosystem takes.
const PLAIN_DIGITS: usize = 15;

/// A version whose text is numbers and dots in their shortest form, where its ecosystem looks at
/// nothing else: a release, never a pre-release. Compared and told apart without being read, for
/// lists of thousands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain<'a>(&'a str);

impl<'a> Plain<'a> {
    /// The key of the version.
    pub fn key(&self) -> &'a str {
        self.0
    }

    pub(super) fn of(ecosystem: &Ecosystem, text: &'a str) -> Option<Self> {
        let is_plain = |number: &str| {
            (1..=PLAIN_DIGITS).contains(&number.len())
                && number.bytes().all(|byte| byte.is_ascii_digit())
                && (number.len() == 1 || !number.starts_with('0'))
        };
        if text.len() > MAX_VERSION || !text.split('.').all(is_plain) {
            return None;
        }
        match ecosystem {
            Ecosystem::Generic | Ecosystem::Cargo | Ecosystem::Npm => {
                (text.split('.').count() == 3).then_some(Self(text))
            }
            Ecosystem::Pypi => {
                let mut key = text;
                while let Some(shorter) = key.strip_suffix(".0") {
                    key = shorter;
                }
                Some(Self(key))
            }
            Ecosystem::Debian | Ecosystem::Other(_) => None,
        }
    }
}

impl Ord for Plain<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let mut pairs = self.0.split('.').zip(other.0.split('.'));
        match pairs.find(|(a, b)| a != b) {
            // Of two numbers without zeros before them the shorter one is less.
            Some((a, b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            None => self.0.len().cmp(&other.0.len()),
        }
    }
}

impl PartialOrd for Plain<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Texts of numbers and dots, and such that nearly are.
    fn numbers() -> impl Strategy<Value = String> {
        "0{0,2}[0-9]{0,16}(\\.(0|[1-9][0-9]?|[0-9]{1,17})){0,5}[ab+]?"
    }

    proptest! {
        #[test]
        fn a_plain_text_has_the_key_of_its_version(text in numbers()) {
            for ecosystem in &Ecosystem::KNOWN {
                let read = Version::parse(ecosystem, &text).ok().map(|version| version.key());
                prop_assert_eq!(Version::key_of(ecosystem, &text), read, "{} {}", ecosystem, text);
            }
        }

        #[test]
        fn plain_texts_are_in_the_order_of_their_versions(
            first in prop_oneof![numbers(), "(0|1|2|10)(\\.(0|1|2|10)){0,3}"],
            second in prop_oneof![numbers(), "(0|1|2|10)(\\.(0|1|2|10)){0,3}"],
        ) {
            for ecosystem in &Ecosystem::KNOWN {
                let plain = |text| Plain::of(ecosystem, text);
                let (Some(a), Some(b)) = (plain(&first), plain(&second)) else { continue };
                let read = |text| Version::parse(ecosystem, text).unwrap();
                let (first, second) = (read(&first), read(&second));
                prop_assert_eq!(a.cmp(&b), first.cmp(&second));
                prop_assert!(!first.is_pre_release() && !second.is_pre_release());
            }
        }
    }

    #[test]
    fn numbers_and_dots_alone_are_not_read() {
        for (ecosystem, text, key) in [
            (Ecosystem::Npm, "1.20.3", Some("1.20.3")),
            (Ecosystem::Pypi, "1.0.0", Some("1")),
            (Ecosystem::Pypi, "0.0", Some("0")),
            (Ecosystem::Pypi, "10", Some("10")),
            (Ecosystem::Npm, "1.2", None),
            (Ecosystem::Pypi, "1.02", None),
            (Ecosystem::Pypi, "1.0a1", None),
        ] {
            assert_eq!(
                Plain::of(&ecosystem, text).map(|plain| plain.0),
                key,
                "{text}"
            );
        }
    }
}
