//! A version as written, with its order in its ecosystem.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
};

use super::{Ecosystem, InvalidText, MAX_VERSION, debian, npm, pypi};

/// A version of one ecosystem. Equality and hash follow the ecosystem (`1.0` and `1.0.0` of `pypi`
/// are equal, and `1.0` and `1.0-0` of `debian`); it is displayed as written. In `generic` and
/// `cargo`, build metadata counts.
#[derive(Clone, Debug)]
pub struct Version {
    text: Box<str>,
    order: VersionOrder,
}

/// The comparable form. Versions of two ecosystems never belong to one package, but they are
/// ordered all the same, by ecosystem.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum VersionOrder {
    Semver(semver::Version),
    Debian(debian::Version),
    Npm(npm::Version),
    Pypi(pypi::Version),
    Bytes(Box<str>),
}

impl Version {
    pub(super) fn parse(ecosystem: &Ecosystem, text: &str) -> Result<Self, InvalidText> {
        if text.is_empty() {
            return Err(InvalidText::because("is empty"));
        }
        if text.len() > MAX_VERSION {
            return Err(InvalidText(format!("is longer than {MAX_VERSION} bytes")));
        }
        let order = match ecosystem {
            Ecosystem::Generic | Ecosystem::Cargo => VersionOrder::Semver(
                semver::Version::parse(text)
                    .map_err(|error| InvalidText(format!("does not follow semver: {error}")))?,
            ),
            Ecosystem::Debian => VersionOrder::Debian(debian::Version::parse(text)?),
            Ecosystem::Npm => VersionOrder::Npm(npm::Version::parse(text)?),
            Ecosystem::Pypi => VersionOrder::Pypi(pypi::Version::parse(text)?),
            Ecosystem::Other(_) => {
                if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
                    return Err(InvalidText::because("has a space or a control character"));
                }
                VersionOrder::Bytes(text.into())
            }
        };
        Ok(Self {
            text: text.into(),
            order,
        })
    }

    /// Returns the version as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns a key for tables: the same text for equal versions, and different texts for others.
    pub fn key(&self) -> String {
        match &self.order {
            VersionOrder::Semver(version) => version.to_string(),
            VersionOrder::Debian(version) => version.key(),
            VersionOrder::Npm(version) => version.key(),
            VersionOrder::Pypi(version) => version.key(),
            VersionOrder::Bytes(text) => text.to_string(),
        }
    }

    /// Returns the key of a version's text. Plain numbers and dots are not parsed, because lists of
    /// thousands are compared by their keys.
    pub(super) fn key_of(ecosystem: &Ecosystem, text: &str) -> Option<String> {
        match Plain::of(ecosystem, text) {
            Some(Plain(key)) => Some(key.to_owned()),
            None => Self::parse(ecosystem, text)
                .ok()
                .map(|version| version.key()),
        }
    }

    /// Returns true for a version that its ecosystem holds back unless asked for. Debian has no
    /// pre-releases.
    pub fn is_pre_release(&self) -> bool {
        match &self.order {
            VersionOrder::Semver(version) => !version.pre.is_empty(),
            VersionOrder::Npm(version) => version.is_pre_release(),
            VersionOrder::Pypi(version) => version.is_pre_release(),
            VersionOrder::Debian(_) | VersionOrder::Bytes(_) => false,
        }
    }

    /// Returns true if the two differ at most in build metadata.
    pub fn is_build_of(&self, other: &Self) -> bool {
        match (&self.order, &other.order) {
            (VersionOrder::Semver(version), VersionOrder::Semver(other)) => {
                version.cmp_precedence(other).is_eq()
            }
            (order, other) => order == other,
        }
    }

    /// Returns the semver version, in `generic` and `cargo`.
    pub fn semver(&self) -> Option<&semver::Version> {
        match &self.order {
            VersionOrder::Semver(version) => Some(version),
            _ => None,
        }
    }

    pub(super) fn order(&self) -> &VersionOrder {
        &self.order
    }
}

/// The most digits of a number that every ecosystem accepts.
const PLAIN_DIGITS: usize = 15;

/// A version of plain numbers and dots in shortest form, with no other significance in its
/// ecosystem: a release, never a pre-release. It is compared without being parsed, for lists of
/// thousands.
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
            // Of two numbers without leading zeros, the shorter one is less.
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

/// Converts a version of `generic` or `cargo`, even one longer than allowed in a record: a bound of
/// a range.
impl From<semver::Version> for Version {
    fn from(version: semver::Version) -> Self {
        Self {
            text: version.to_string().into(),
            order: VersionOrder::Semver(version),
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

    /// Texts of numbers and dots, and near misses.
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
