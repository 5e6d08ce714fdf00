//! Debian's names (Policy 5.6.1), versions (Policy 5.6.12, with dpkg's validity and order) and
//! version relations.

use std::{cmp::Ordering, fmt};

use super::{InvalidText, number::DecimalNumber};

/// Highest epoch that dpkg accepts.
const MAX_EPOCH: &str = "2147483647";

/// Normalises to lower case, as dpkg-deb does. A single letter, which dpkg-deb accepts, is no valid
/// name: Policy requires two.
pub(super) fn normalise(name: &str) -> Result<String, InvalidText> {
    if name.len() < 2 {
        return Err(InvalidText::because("is shorter than two characters"));
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(InvalidText::because("must start with a letter or a digit"));
    }
    if !name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    {
        return Err(InvalidText::because(
            "may only have letters, digits, plus signs, hyphens and dots",
        ));
    }
    Ok(name.to_ascii_lowercase())
}

/// `[epoch:]upstream[-revision]`, normalised for ordering: `1.0`, `0:1.00` and `1.0-0` are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    epoch: DecimalNumber,
    upstream: VersionParts,
    revision: VersionParts,
}

/// Alternating non-digits and numbers. The first may begin with a number. The last is never empty
/// text with zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct VersionParts(Vec<(Letters, DecimalNumber)>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Letters(Box<str>);

impl Version {
    /// Accepts the versions that `dpkg --validate-version` accepts, except for surrounding blanks
    /// and signed epochs.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidText> {
        let (epoch, rest) = text
            .split_once(':')
            .map_or((None, text), |(epoch, rest)| (Some(epoch), rest));
        let (upstream, revision) = rest
            .rsplit_once('-')
            .map_or((rest, None), |(up, revision)| (up, Some(revision)));
        let epoch = epoch.map_or(Ok(DecimalNumber::default()), |epoch| {
            if epoch.is_empty() || !epoch.bytes().all(|b| b.is_ascii_digit()) {
                return Err(InvalidText::because(
                    "has an epoch, before the colon, that is not a number",
                ));
            }
            let epoch = DecimalNumber::of(epoch);
            if epoch > DecimalNumber::of(MAX_EPOCH) {
                return Err(InvalidText(format!("has an epoch above {MAX_EPOCH}")));
            }
            Ok(epoch)
        })?;
        if !upstream.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(InvalidText::because(
                "must begin with a digit, after its epoch if it has one",
            ));
        }
        let valid = |text: &str, others: &[u8]| {
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || others.contains(&b))
        };
        if !valid(upstream, b".-+~:") {
            return Err(InvalidText::because(
                "may only have letters, digits and .+-~, and a colon after an epoch",
            ));
        }
        if revision == Some("") {
            return Err(InvalidText::because(
                "has a hyphen without a revision after it",
            ));
        }
        let revision = revision.unwrap_or_default();
        if !valid(revision, b".+~") {
            return Err(InvalidText::because(
                "may only have letters, digits and .+~ in its revision, after the last hyphen",
            ));
        }
        Ok(Self {
            epoch,
            upstream: VersionParts::of(upstream),
            revision: VersionParts::of(revision),
        })
    }

    /// Returns the version with all optional parts written out.
    pub(super) fn key(&self) -> String {
        let Self {
            epoch,
            upstream,
            revision,
        } = self;
        format!("{epoch}:{upstream}-{revision}")
    }
}

impl VersionParts {
    fn of(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
            let after = digits.trim_start_matches(|c: char| c.is_ascii_digit());
            let letters = rest.strip_suffix(digits).unwrap_or_default();
            let number = digits.strip_suffix(after).unwrap_or_default();
            parts.push((Letters(letters.into()), DecimalNumber::of(number)));
            rest = after;
        }
        // Zero equals the empty text; after letters it is part of the same pair.
        if parts
            .last()
            .is_some_and(|(letters, number)| letters.0.is_empty() && number.is_zero())
        {
            parts.pop();
        }
        Self(parts)
    }
}

impl Ord for VersionParts {
    fn cmp(&self, other: &Self) -> Ordering {
        let nothing = (Letters::default(), DecimalNumber::default());
        let padding = || std::iter::repeat(&nothing);
        let most = self.0.len().max(other.0.len());
        self.0
            .iter()
            .chain(padding())
            .take(most)
            .cmp(other.0.iter().chain(padding()).take(most))
    }
}

impl PartialOrd for VersionParts {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A tilde sorts before the end, the end before letters, letters before everything else.
impl Ord for Letters {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |byte: u8| match byte {
            b'~' => (0, byte),
            _ if byte.is_ascii_alphabetic() => (2, byte),
            _ => (3, byte),
        };
        let end = [(1, 0)];
        self.0
            .bytes()
            .map(rank)
            .chain(end)
            .cmp(other.0.bytes().map(rank).chain(end))
    }
}

impl PartialOrd for Letters {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for VersionParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("0");
        }
        self.0
            .iter()
            .try_for_each(|(letters, number)| write!(f, "{}{number}", letters.0))
    }
}

/// Comma-separated relations such as `>= 1.2-3`, all of which must hold; empty for any version. A
/// version alone means that version, as for dpkg.
#[derive(Clone, Debug)]
pub(super) struct Requirement(Vec<(Relation, Version)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Earlier,
    EarlierEq,
    Exact,
    LaterEq,
    Later,
}

impl Requirement {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidText> {
        if text.bytes().all(is_blank) {
            return Ok(Self(Vec::new()));
        }
        text.split(',')
            .map(|part| relation(part.trim_matches(|c| matches!(c, ' ' | '\t'))))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(super) fn matches(&self, version: &Version) -> bool {
        self.0.iter().all(|(relation, wanted)| {
            let order = version.cmp(wanted);
            match relation {
                Relation::Earlier => order.is_lt(),
                Relation::EarlierEq => order.is_le(),
                Relation::Exact => order.is_eq(),
                Relation::LaterEq => order.is_ge(),
                Relation::Later => order.is_gt(),
            }
        })
    }

    pub(super) fn is_exactly(&self, version: &Version) -> bool {
        !self.0.is_empty()
            && self
                .0
                .iter()
                .all(|(relation, wanted)| *relation == Relation::Exact && wanted == version)
    }

    pub(super) fn is_any(&self) -> bool {
        self.0.is_empty()
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn relation(part: &str) -> Result<(Relation, Version), InvalidText> {
    let relations = [
        ("<<", Relation::Earlier),
        ("<=", Relation::EarlierEq),
        ("=", Relation::Exact),
        (">=", Relation::LaterEq),
        (">>", Relation::Later),
    ];
    let found = relations
        .into_iter()
        .find_map(|(sign, relation)| Some((relation, part.strip_prefix(sign)?)));
    let (relation, version) = found.unwrap_or((Relation::Exact, part));
    let version = version.trim_start_matches([' ', '\t']);
    if version.is_empty() {
        return Err(InvalidText::because(
            "has an empty part, or a relation without a version",
        ));
    }
    // dpkg takes `<` for `<=`, with a warning, and all other tools for `<<`.
    if version.starts_with(['<', '>', '=']) {
        return Err(InvalidText::because(
            "may only have <<, <=, =, >= or >>, one in each part",
        ));
    }
    let version =
        Version::parse(version).map_err(|why| InvalidText(format!("has a version that {why}")))?;
    Ok((relation, version))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn names_are_those_of_policy() {
        for (name, normal) in [
            ("libstdc++6", "libstdc++6"),
            ("python3-zope.interface", "python3-zope.interface"),
            ("Ab", "ab"),
            ("0ad", "0ad"),
            ("a-", "a-"),
        ] {
            assert_eq!(normalise(name).as_deref(), Ok(normal));
        }
        for bad in [
            "a", "-ab", "+a", ".a", "a_b", "a b", "é1", "ab:amd64", "a/b", "a~b", "a\0",
        ] {
            assert!(normalise(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_are_those_that_dpkg_validates() {
        for good in [
            "0",
            "1.0-1",
            "1:1:0",
            "2147483647:1",
            "00001:1",
            "1.0-~",
            "1~",
            "7.3.5+~7.3.9-2",
            "1-2-3",
            "1-a",
            "0-0",
        ] {
            assert!(Version::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            "~",
            "1.0-",
            "1_0",
            "1.0-1_2",
            "2147483648:1",
            "99999999999999999999:1",
            ":1",
            "1:",
            "a:1",
            "-1:1",
            "+1:1",
            "1:a",
            "1 0",
            " 1",
            "1\n",
            "é",
            "1é",
            "1:-1",
            "-1",
            "1-1:2",
            "1.0-1:1",
            "1;2",
            "1/2",
        ] {
            assert!(Version::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_are_in_order() {
        let order = [
            "0~",
            "0",
            "0a",
            "1~~",
            "1~~a",
            "1~",
            "1~rc1",
            "1",
            "1-1~bpo12+1",
            "1-1",
            "1-1a",
            "1-1+b1",
            "1a",
            "1b",
            "1+",
            "1-2-3",
            "1.0-~",
            "1.0",
            "1.0-1",
            "1.0a",
            "1.0+",
            "1.0.1",
            "1.2",
            "1.10",
            "1.99999999999999999999",
            "1.100000000000000000000",
            "1:0",
            "10:0",
        ];
        for pair in order.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        for one in [
            &["1.0", "1.0-0", "0:1.0", "1.00", "1.", "1.0-00", "00:01.0"][..],
            &["1a", "1a0", "1a-0"],
            &["1~", "1~0"],
            &["0", "00", "0-0"],
            &["1-a", "1-a0"],
        ] {
            for text in one {
                assert_eq!(version(text), version(one[0]), "{text}");
                assert_eq!(version(text).key(), version(one[0]).key(), "{text}");
            }
        }
        assert_eq!(version("1.").key(), "0:1.0-0");
        assert_ne!(version("1-2").key(), version("1-2-0").key());
    }

    #[test]
    fn requirements_take_what_dpkg_takes() {
        for (requirement, text, taken) in [
            ("", "1", true),
            (" ", "1~", true),
            (">= 1.2-3", "1.2-3", true),
            (">=1.2-3", "1.2-2", false),
            (">> 1.2", "1.2-0", false),
            (">> 1.2", "1.2-1", true),
            ("<< 2~", "2~~", true),
            ("<< 2~", "2~", false),
            ("<= 1", "1.0", false),
            ("= 1.0", "1.0-0", true),
            ("1.0-1", "1.0-1", true),
            (">= 1, << 2", "1.5", true),
            (">= 1 ,\t<<2", "2", false),
        ] {
            let requirement = Requirement::parse(requirement).unwrap();
            assert_eq!(
                requirement.matches(&version(text)),
                taken,
                "{requirement:?} {text}"
            );
        }
        for bad in [
            "< 1",
            "> 1",
            "<> 1",
            "<<< 1",
            ">>= 1",
            "== 1",
            ">= 1,",
            ",",
            ">= 1,,<< 2",
            ">=",
            "= a",
            "*",
            "!= 1",
            ">= 1 << 2",
            "(>= 1)",
            "a",
        ] {
            assert!(Requirement::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_version_is_named_exactly() {
        for (requirement, exactly) in [
            ("= 1.0", true),
            ("1.0-0", true),
            ("= 1.0, = 1.00", true),
            ("", false),
            ("= 1.1", false),
            (">= 1.0, <= 1.0", false),
        ] {
            let requirement = Requirement::parse(requirement).unwrap();
            assert_eq!(
                requirement.is_exactly(&version("1.0")),
                exactly,
                "{requirement:?}"
            );
        }
        assert!(
            Requirement::parse("").unwrap().is_any()
                && !Requirement::parse(">= 0~").unwrap().is_any()
        );
    }

    /// Versions that have much in common.
    fn versions() -> impl Strategy<Value = String> {
        "([01]:)?[0-2][.~+a0-]{0,3}[0-2.~+a]{0,3}(-[0a~.+1]{1,2})?"
            .prop_filter("has a revision", |text| !text.ends_with('-'))
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in versions(), b in versions(), c in versions()) {
            let (a, b, c) = (version(&a), version(&b), version(&c));
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a.cmp(&b).is_eq(), a.key() == b.key());
            prop_assert_eq!(a.cmp(&b).is_eq(), a == b);
            prop_assert_eq!(version(&a.key()), a.clone());
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
        }

        #[test]
        fn any_text_is_something_or_refused(text in "\\PC{0,40}|[0-2a.+~:<>=, -]{0,20}") {
            let _ = (Version::parse(&text), Requirement::parse(&text));
        }
    }
}
