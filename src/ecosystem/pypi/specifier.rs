//! PEP 440 specifier sets, interpreted like `packaging` 26.1 and later: pre-releases match, a
//! wildcard longer than a version pads it with zeros, and `<` and `>` exclude versions that belong
//! to the named one.

use super::{
    super::{InvalidText, number::DecimalNumber},
    is_space,
    version::{Dev, MORE, Version, VersionScanner},
};

/// A list of specifiers, all of which must hold. An empty list takes every version.
#[derive(Clone, Debug)]
pub(in crate::ecosystem) struct Requirement(Vec<Specifier>);

#[derive(Clone, Debug)]
enum Specifier {
    Compared {
        operator: Operator,
        version: Version,
    },
    /// `==1.2.*` and `!=1.2.*`: all versions of an epoch whose release begins with this prefix, or
    /// all others.
    Prefix {
        within: bool,
        epoch: DecimalNumber,
        release: Vec<DecimalNumber>,
    },
    /// `~=1.2.3`: that version or a later one whose release begins with 1.2.
    Compatible {
        version: Version,
        release: Vec<DecimalNumber>,
    },
    /// `===` and any text, in lower case, with its version if it is one.
    Arbitrary {
        text: String,
        version: Option<Version>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    AtLeast,
    AtMost,
    Above,
    Below,
}

impl Requirement {
    /// Parses a set. Commas with nothing between or after them are ignored.
    pub(in crate::ecosystem) fn parse(text: &str) -> Result<Self, InvalidText> {
        let parts = text
            .split(',')
            .map(|part| part.trim_matches(is_space))
            .filter(|part| !part.is_empty());
        parts
            .map(Specifier::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Parses a single specifier, in which a comma is nothing special.
    pub(super) fn one(text: &str) -> Result<Self, InvalidText> {
        Ok(Self(vec![Specifier::parse(text.trim_matches(is_space))?]))
    }

    /// Like [`Self::matches`] for a text that may not be a version, which only `===` can match.
    pub(super) fn matches_text(&self, text: &str) -> bool {
        let version = Version::parse(text).ok();
        self.0.iter().all(|specifier| match (&version, specifier) {
            (Some(version), specifier) => specifier.matches(version, text),
            (None, Specifier::Arbitrary { text: named, .. }) => text.to_lowercase() == *named,
            (None, _) => false,
        })
    }

    pub(in crate::ecosystem) fn matches(&self, version: &Version, text: &str) -> bool {
        self.0
            .iter()
            .all(|specifier| specifier.matches(version, text))
    }

    /// Returns true if a specifier admits pre-releases by naming one.
    pub(in crate::ecosystem) fn names_pre_release(&self) -> bool {
        self.0.iter().any(|specifier| match specifier {
            Specifier::Compared {
                operator: Operator::NotEqual,
                ..
            }
            | Specifier::Prefix { .. } => false,
            Specifier::Compared { version, .. } | Specifier::Compatible { version, .. } => {
                version.is_pre_release()
            }
            Specifier::Arbitrary { version, .. } => {
                version.as_ref().is_some_and(Version::is_pre_release)
            }
        })
    }

    /// Returns true if the set only has `==` or `===` with this version; `==1.0` is not exactly
    /// `1.0+local`.
    pub(in crate::ecosystem) fn is_exactly(&self, version: &Version, text: &str) -> bool {
        !self.0.is_empty()
            && self.0.iter().all(|specifier| match specifier {
                Specifier::Compared {
                    operator: Operator::Equal,
                    version: named,
                } => named == version,
                Specifier::Arbitrary { .. } => specifier.matches(version, text),
                _ => false,
            })
    }

    pub(in crate::ecosystem) fn is_any(&self) -> bool {
        self.0.is_empty()
    }
}

impl Specifier {
    fn parse(text: &str) -> Result<Self, InvalidText> {
        if let Some(text) = text.strip_prefix("===") {
            return arbitrary(text.trim_start_matches(is_space));
        }
        if let Some(text) = text.strip_prefix("~=") {
            return compatible(text.trim_start_matches(is_space));
        }
        let operators = [
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<=", Operator::AtMost),
            (">=", Operator::AtLeast),
            ("<", Operator::Below),
            (">", Operator::Above),
        ];
        let found = operators
            .iter()
            .find_map(|(sign, operator)| Some((text.strip_prefix(sign)?, *operator)));
        let (text, operator) = found.ok_or_else(|| {
            InvalidText::because(
                "must have one of == != <= >= < > ~= === before each version, as >=1.0,<2 does",
            )
        })?;
        compared(operator, text.trim_start_matches(is_space))
    }

    fn matches(&self, version: &Version, text: &str) -> bool {
        match self {
            Self::Compared {
                operator,
                version: named,
            } => operator.holds(version, named),
            Self::Prefix {
                within,
                epoch,
                release,
            } => *within == (version.epoch == *epoch && begins_with(version, release)),
            Self::Compatible {
                version: named,
                release,
            } => version >= named && version.epoch == named.epoch && begins_with(version, release),
            Self::Arbitrary { text: named, .. } => text.to_lowercase() == *named,
        }
    }
}

fn begins_with(version: &Version, release: &[DecimalNumber]) -> bool {
    version.prefix(release.len()).eq(release.iter().cloned())
}

fn arbitrary(text: &str) -> Result<Specifier, InvalidText> {
    if text.is_empty() {
        return Err(InvalidText::because("needs a version after ==="));
    }
    if text.contains(|c: char| is_space(c) || matches!(c, ';' | ')')) {
        return Err(InvalidText::because(
            "may not have a space, semicolon or closing parenthesis after ===",
        ));
    }
    Ok(Specifier::Arbitrary {
        text: text.to_lowercase(),
        version: Version::parse(text).ok(),
    })
}

fn compatible(text: &str) -> Result<Specifier, InvalidText> {
    let mut scanner = VersionScanner::new(text);
    let version = scanner.version()?;
    if !scanner.is_at_end() {
        return Err(InvalidText(format!(
            "has something after ~= that {MORE}; wildcards and local versions are not allowed there"
        )));
    }
    let mut release = scanner.release;
    release.pop();
    if release.is_empty() {
        return Err(InvalidText::because(
            "needs at least two numbers after ~=, as in ~=1.0",
        ));
    }
    Ok(Specifier::Compatible { version, release })
}

fn compared(operator: Operator, text: &str) -> Result<Specifier, InvalidText> {
    let mut scanner = VersionScanner::new(text);
    let epoch = scanner.base()?;
    let equality = matches!(operator, Operator::Equal | Operator::NotEqual);
    if equality && scanner.wildcard() {
        if !scanner.is_at_end() {
            return Err(InvalidText::because(
                "must not have anything after the * of a wildcard",
            ));
        }
        return Ok(Specifier::Prefix {
            within: operator == Operator::Equal,
            epoch,
            release: scanner.release,
        });
    }
    let mut version = scanner.suffixes(epoch);
    if equality {
        version = version.with_local(scanner.local());
    }
    if !scanner.is_at_end() {
        return Err(InvalidText(format!(
            "has something after an operator that {MORE}; wildcards and local versions are only \
            allowed after == and !="
        )));
    }
    Ok(Specifier::Compared { operator, version })
}

impl Operator {
    fn holds(self, version: &Version, named: &Version) -> bool {
        match self {
            Self::Equal => is_equal(version, named),
            Self::NotEqual => !is_equal(version, named),
            Self::AtLeast => version.cmp_public(named).is_ge(),
            Self::AtMost => version.cmp_public(named).is_le(),
            Self::Above => is_above(version, named),
            Self::Below => is_below(version, named),
        }
    }
}

/// Returns true for equality: `==1.0` takes every local version of 1.0, `==1.0+x` only that one.
fn is_equal(version: &Version, named: &Version) -> bool {
    if named.local.is_empty() {
        version.cmp_public(named).is_eq()
    } else {
        version == named
    }
}

/// Returns true for `>`: `>1.0` takes no post-release of 1.0, `>1.0rc1` none of 1.0rc1, and neither
/// takes local versions of the named one.
fn is_above(version: &Version, named: &Version) -> bool {
    let is_one_of_many = named.post.is_some() || named.dev != Dev::Released;
    if is_one_of_many {
        version.cmp_public(named).is_gt()
    } else {
        version
            .cmp_release(named)
            .then_with(|| version.pre.cmp(&named.pre))
            .is_gt()
    }
}

/// Returns true for `<`: `<1.0` takes no pre-release of 1.0, `<1.0.post1` none of 1.0.post1;
/// `<1.0rc1` takes 1.0b1.
fn is_below(version: &Version, named: &Version) -> bool {
    if named.is_pre_release() {
        return version.cmp_public(named).is_lt();
    }
    version
        .cmp_public(&named.first_development_release())
        .is_lt()
}
