//! npm's versions: semver without build metadata.

use std::{cmp::Ordering, fmt};

use crate::ecosystem::{InvalidText, number::DecimalNumber};

/// Highest number in a version core: JavaScript's largest safe integer.
pub(super) const MAX_NUMBER: u64 = (1 << 53) - 1;

/// The significant parts of a version. Build metadata is parsed and dropped: `1.0.0+9` and
/// `1.0.0+10` are one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::ecosystem) struct Version {
    pub(super) numbers: [u64; 3],
    /// The identifiers after the hyphen; empty for a release.
    pub(super) pre: Vec<Identifier>,
}

/// A number is less than every word. Numbers of any length are compared exactly, whereas npm treats
/// those above 2^53 as floats.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Identifier {
    Number(DecimalNumber),
    Word(Box<str>),
}

impl Version {
    pub(in crate::ecosystem) fn parse(text: &str) -> Result<Self, InvalidText> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, build) = text
            .split_once('+')
            .map_or((text, None), |(text, build)| (text, Some(build)));
        let (proper, pre) = text
            .split_once('-')
            .map_or((text, None), |(proper, pre)| (proper, Some(pre)));
        let mut numbers = proper.split('.');
        let (Some(major), Some(minor), Some(patch), None) = (
            numbers.next(),
            numbers.next(),
            numbers.next(),
            numbers.next(),
        ) else {
            return Err(InvalidText::because(
                "must begin with three numbers, such as 1.2.3",
            ));
        };
        if build.is_some_and(|build| !build.split('.').all(is_word)) {
            return Err(InvalidText::because(
                "may only have letters, digits, hyphens and dots after its +, without empty parts",
            ));
        }
        Ok(Self {
            numbers: [number(major)?, number(minor)?, number(patch)?],
            pre: pre.map_or(Ok(Vec::new()), pre_release)?,
        })
    }

    pub(in crate::ecosystem) fn key(&self) -> String {
        self.to_string()
    }

    pub(in crate::ecosystem) fn is_pre_release(&self) -> bool {
        !self.pre.is_empty()
    }
}

/// Parses a number without leading zeros, exactly representable as a float.
pub(super) fn number(text: &str) -> Result<u64, InvalidText> {
    if !is_number(text) {
        return Err(InvalidText::because(
            "has a part that is not a number without leading zeros",
        ));
    }
    text.parse()
        .ok()
        .filter(|number| *number <= MAX_NUMBER)
        .ok_or_else(too_large)
}

pub(super) fn too_large() -> InvalidText {
    InvalidText(format!("has a number above {MAX_NUMBER}, npm's highest"))
}

/// Returns true for digits without leading zeros.
pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'))
}

/// Returns true for letters, digits and hyphens.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Parses the part after the hyphen.
pub(super) fn pre_release(text: &str) -> Result<Vec<Identifier>, InvalidText> {
    text.split('.').map(identifier).collect()
}

fn identifier(text: &str) -> Result<Identifier, InvalidText> {
    if is_number(text) {
        return Ok(Identifier::Number(DecimalNumber::of(text)));
    }
    if !is_word(text) {
        return Err(InvalidText::because(
            "may only have letters, digits, hyphens and dots after its hyphen, without empty parts",
        ));
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(InvalidText::because(
            "has a number with leading zeros after its hyphen",
        ));
    }
    Ok(Identifier::Word(text.into()))
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        for (before, identifier) in std::iter::once('-')
            .chain(std::iter::repeat('.'))
            .zip(&self.pre)
        {
            match identifier {
                Identifier::Number(number) => write!(f, "{before}{number}")?,
                Identifier::Word(word) => write!(f, "{before}{word}")?,
            }
        }
        Ok(())
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A pre-release comes before its release; a longer one after its own prefix.
impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let released = |version: &Self| version.pre.is_empty();
        self.numbers
            .cmp(&other.numbers)
            .then(released(self).cmp(&released(other)))
            .then_with(|| self.pre.cmp(&other.pre))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn versions_are_those_of_strict_semver() {
        for (text, key) in [
            ("1.2.3", "1.2.3"),
            ("v1.2.3", "1.2.3"),
            ("0.0.0-0", "0.0.0-0"),
            ("1.2.3-a.-.0a+01.-.b", "1.2.3-a.-.0a"),
            (
                "9007199254740991.0.0-99999999999999999999",
                "9007199254740991.0.0-99999999999999999999",
            ),
            ("1.0.0--1", "1.0.0--1"),
        ] {
            assert_eq!(version(text).key(), key);
        }
        for bad in [
            "1",
            "1.2",
            "1.2.3.4",
            "01.2.3",
            "1.2.3-",
            "1.2.3-01",
            "1.2.3-a..b",
            "1.2.3+",
            "1.2.3+a+b",
            "1.2.3-a_b",
            "9007199254740992.0.0",
            "18446744073709551616.0.0",
            "vv1.2.3",
            "=1.2.3",
            " 1.2.3",
            "1.2.x",
            "1.2.3-é",
            "-1.2.3",
            "1.2.+3",
            "v",
            "",
        ] {
            assert!(Version::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_are_in_order() {
        let order = [
            "0.0.0-0",
            "0.0.0",
            "1.0.0-1",
            "1.0.0-9",
            "1.0.0-10",
            "1.0.0-20240101123456789012",
            "1.0.0-20240101123456789013",
            "1.0.0--1",
            "1.0.0-A",
            "1.0.0-a",
            "1.0.0-a.1",
            "1.0.0-a.b",
            "1.0.0-ab",
            "1.0.0",
            "1.0.1-0",
            "1.9.0",
            "1.10.0",
            "9007199254740991.0.0",
        ];
        for pair in order.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        assert_eq!(version("1.0.0+9"), version("1.0.0+10"));
    }

    /// Versions that have much in common.
    fn versions() -> impl Strategy<Value = String> {
        "v?[01]\\.[01]\\.[01](-([0-2]|1[0-9]{0,20}|[a-b-]{1,2})(\\.([0-2]|[a-b]))?)?(\\+[a-z0-9]{1,2})?"
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in versions(), b in versions(), c in versions()) {
            let (a, b, c) = (version(&a), version(&b), version(&c));
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a.cmp(&b).is_eq(), a.key() == b.key());
            prop_assert_eq!(version(&a.key()), a.clone());
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
        }

        #[test]
        fn any_text_is_a_version_or_refused(text in "\\PC{0,40}|[v0-9a.+-]{0,20}") {
            let _ = Version::parse(&text);
        }
    }
}
