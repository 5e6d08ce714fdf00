//! One name, one owner: whose package a bare name means on this node. The only place that says so;
//! index, download, search and publish ask it alike.
//!
//! A rule that a person wrote goes before everything. Then an own package, then the owner that the
//! name was first served from, then the only one of those whom a person trusts for names. A handle
//! gives nobody a name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    name::{NameError, PackageName, PublisherId, WrittenName},
    time::Timestamp,
    version::VersionText,
};
use crate::ecosystem::Ecosystem;

/// Stands for a star while a pattern is normalised: every ecosystem takes it within a name as it
/// is.
const STAR: &str = "x0star0x";
/// Claimants that are named to a person.
const NAMED: usize = 4;

/// The names that a rule or a trust is for: `cargo:serde`, `npm:@bar/*`, or `*` for all there are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern {
    /// None for all of them.
    ecosystem: Option<Ecosystem>,
    /// Normalised; a star stands for any text.
    glob: Box<str>,
}

impl NamePattern {
    /// Every name of every ecosystem.
    pub fn all() -> Self {
        Self {
            ecosystem: None,
            glob: "*".into(),
        }
    }

    pub fn of(name: &PackageName) -> Self {
        Self {
            ecosystem: Some(name.ecosystem().clone()),
            glob: name.bare().into(),
        }
    }

    pub fn takes(&self, name: &PackageName) -> bool {
        self.ecosystem
            .as_ref()
            .is_none_or(|ecosystem| ecosystem == name.ecosystem())
            && takes(&self.glob, name.bare())
    }

    /// The one name that it is for, if it is for one.
    pub fn exactly(&self) -> Option<PackageName> {
        let ecosystem = self
            .ecosystem
            .as_ref()
            .filter(|_| !self.glob.contains('*'))?;
        PackageName::of(ecosystem, &self.glob.parse().ok()?).ok()
    }

    /// Of two patterns that take a name, the greater one counts: the name itself, then what says
    /// more of it.
    fn weight(&self) -> (bool, usize, bool) {
        let literal = self.glob.chars().filter(|c| *c != '*').count();
        (!self.glob.contains('*'), literal, self.ecosystem.is_some())
    }
}

/// Returns whether the glob takes the text. In linear time of each star's text, whatever is in
/// either.
fn takes(glob: &str, text: &str) -> bool {
    let mut parts = glob.split('*');
    let Some(rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    let Some(mut rest) = rest.strip_suffix(last) else {
        return false;
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    true
}

impl FromStr for NamePattern {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text == "*" {
            return Ok(Self::all());
        }
        if text.contains(STAR) {
            return Err(NameError::new(
                "pattern of names",
                text,
                format!("has {STAR} in it, which no name here may have"),
            ));
        }
        let (ecosystem, glob) = match text.split_once(':') {
            Some((word, glob)) => {
                let wrong = |refused| {
                    NameError::new(
                        "pattern of names",
                        text,
                        format!("has before its : what {refused}"),
                    )
                };
                (word.parse::<Ecosystem>().map_err(wrong)?, glob)
            }
            None => (Ecosystem::Generic, text),
        };
        let written: WrittenName = glob.replace('*', STAR).parse()?;
        let normal = match ecosystem.normalise(written.as_str()) {
            Ok(normal) => normal.replace(STAR, "*"),
            // A star for a whole name, or at an end, says nothing that a name could break.
            Err(_) if glob == "*" => "*".to_owned(),
            Err(refused) => {
                return Err(NameError::new(
                    "pattern of names",
                    text,
                    format!("{refused} (in {ecosystem})"),
                ));
            }
        };
        Ok(Self {
            ecosystem: Some(ecosystem),
            glob: normal.into(),
        })
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ecosystem {
            None => f.pad("*"),
            // A star alone is all of everything.
            Some(ecosystem) if ecosystem.is_generic() && &*self.glob != "*" => f.pad(&self.glob),
            Some(ecosystem) => f.pad(&format!("{ecosystem}:{}", self.glob)),
        }
    }
}

impl TryFrom<String> for NamePattern {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> Self {
        pattern.to_string()
    }
}

/// Who wrote a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Written {
    /// It stands in the settings, under `[names]`.
    Settings,
    /// `names set` did.
    Command,
}

/// A person's word whose package a name is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameRule {
    pub pattern: NamePattern,
    pub owner: PublisherId,
    pub written: Written,
}

/// A key that a person trusts for names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedKey {
    pub publisher: PublisherId,
    /// The names that it may have.
    pub names: NamePattern,
    pub since: Timestamp,
}

/// A name, one version of it, or one file of a version, that is not to be served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    pub name: PackageName,
    /// None for all of them.
    pub version: Option<VersionText>,
    /// The name of the only file of the version that is meant; none for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    pub why: String,
    pub since: Timestamp,
}

/// An owner that a name was first served from, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    pub name: PackageName,
    pub owner: PublisherId,
    pub since: Timestamp,
}

/// All that a person said of names, and what was served.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NameTable {
    /// Those of the settings first.
    pub rules: Vec<NameRule>,
    pub trusted: Vec<TrustedKey>,
    pub blocks: Vec<Block>,
    pub served: Vec<Served>,
}

/// What is known of a name when it is decided.
#[derive(Clone, Debug, Default)]
pub struct Known<'a> {
    pub rules: &'a [NameRule],
    pub trusted: &'a [TrustedKey],
    pub own: Option<PublisherId>,
    /// Those who have a package of the name and are not distrusted, this node's own key among them,
    /// in whatever order.
    pub claimants: &'a [PublisherId],
    pub first: Option<PublisherId>,
    pub block: Option<&'a Block>,
}

/// The reason why a name means a key's package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    Rule(NameRule),
    Own,
    /// It was served from that key first, and several may have it by now.
    First,
    Trusted(NamePattern),
}

/// What a name means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Meaning {
    Owner {
        owner: PublisherId,
        by: By,
    },
    /// Several whom a person trusts have it.
    Several(Vec<PublisherId>),
    /// Nobody whom a person trusts for it has it, as far as is known; these others have.
    Nobody(Vec<PublisherId>),
    Blocked(String),
}

/// What a name means, and who else would have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    pub name: PackageName,
    pub meaning: Meaning,
    /// Trusted keys, other than the owner, that have the name too.
    pub passed_over: Vec<PublisherId>,
}

/// Decides whose package a name means. The order of rules, keys and claimants makes no difference.
pub fn decide(name: &PackageName, known: &Known<'_>) -> Decided {
    let mut claimants = known.claimants.to_vec();
    claimants.sort_unstable();
    claimants.dedup();
    let scope = |publisher: &PublisherId| {
        let theirs = known
            .trusted
            .iter()
            .filter(|key| key.publisher == *publisher && key.names.takes(name));
        theirs
            .map(|key| &key.names)
            .max_by_key(|names| (names.weight(), *names))
    };
    let trusted: Vec<PublisherId> = claimants
        .iter()
        .copied()
        .filter(|claimant| scope(claimant).is_some())
        .collect();
    let rules = known.rules.iter().filter(|rule| rule.pattern.takes(name));
    let rule = rules.max_by_key(|rule| {
        (
            rule.pattern.weight(),
            &rule.pattern,
            rule.written == Written::Settings,
        )
    });
    let owner = |owner, by| Meaning::Owner { owner, by };
    let own = known.own.filter(|own| claimants.contains(own));
    let first = known.first.filter(|first| trusted.contains(first));
    let meaning = if let Some(block) = known.block {
        Meaning::Blocked(block.why.clone())
    } else if let Some(rule) = rule {
        owner(rule.owner, By::Rule(rule.clone()))
    } else if let Some(own) = own {
        owner(own, By::Own)
    } else {
        match (trusted.as_slice(), first) {
            ([], _) => Meaning::Nobody(claimants),
            ([only], _) => owner(
                *only,
                By::Trusted(scope(only).cloned().unwrap_or_else(NamePattern::all)),
            ),
            (_, Some(first)) => owner(first, By::First),
            (several, None) => Meaning::Several(several.to_vec()),
        }
    };
    let passed_over = match &meaning {
        Meaning::Owner { owner, .. } => {
            trusted.into_iter().filter(|other| other != owner).collect()
        }
        _ => Vec::new(),
    };
    Decided {
        name: name.clone(),
        meaning,
        passed_over,
    }
}

impl Decided {
    pub fn owner(&self) -> Option<PublisherId> {
        match &self.meaning {
            Meaning::Owner { owner, .. } => Some(*owner),
            _ => None,
        }
    }

    /// The sentence for a person who does not get what the name means, with the command that
    /// decides; `None` where they do.
    pub fn refusal(&self) -> Option<String> {
        let name = &self.name;
        let list = |keys: &[PublisherId]| {
            let named: Vec<_> = keys
                .iter()
                .take(NAMED)
                .map(|key| format!("{key} ({})", key.fingerprint()))
                .collect();
            let more = keys.len().saturating_sub(NAMED);
            let more = if more == 0 {
                String::new()
            } else {
                format!(" and {more} more")
            };
            format!("{}{more}", named.join(", "))
        };
        let commands = |keys: &[PublisherId]| match keys.first() {
            Some(key) => format!(
                "`swarmdex names set {name} {key}` for this name, or `swarmdex trust {key}` for all of that key's"
            ),
            None => String::new(),
        };
        Some(match &self.meaning {
            Meaning::Owner { .. } => return None,
            Meaning::Blocked(why) => {
                format!(
                    "{name} is blocked on this node: {why}; `swarmdex unblock {name}` takes that back"
                )
            }
            Meaning::Several(keys) => format!(
                "{name} has several owners whom this node trusts: {}; say whose it is with {}",
                list(keys),
                commands(keys)
            ),
            Meaning::Nobody(keys) if keys.is_empty() => {
                format!("nobody known to this node has a package {name}")
            }
            Meaning::Nobody(keys) => format!(
                "{name} is published by keys that this node trusts for no names: {}; say whose it is with {}",
                list(keys),
                commands(keys)
            ),
        })
    }

    /// Why it means what it means, in words.
    pub fn reason(&self) -> String {
        match &self.meaning {
            Meaning::Owner { by, .. } => match by {
                By::Rule(rule) => {
                    let place = match rule.written {
                        Written::Settings => "the settings say so",
                        Written::Command => "`names set` said so",
                    };
                    format!("{place} for {}", rule.pattern)
                }
                By::Own => "it is your own".to_owned(),
                By::First => "it was served from that key first".to_owned(),
                By::Trusted(names) => format!("that key is trusted for {names}"),
            },
            _ => self.refusal().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::identity::Keypair;
    use proptest::prelude::*;

    fn key(n: u8) -> PublisherId {
        PublisherId::of(&Keypair::ed25519_from_bytes([n; 32]).unwrap().public())
    }

    fn name(text: &str) -> PackageName {
        text.parse().unwrap()
    }

    fn trusted(publisher: PublisherId, names: &str) -> TrustedKey {
        TrustedKey {
            publisher,
            names: names.parse().unwrap(),
            since: Timestamp(0),
        }
    }

    fn rule(pattern: &str, owner: PublisherId) -> NameRule {
        NameRule {
            pattern: pattern.parse().unwrap(),
            owner,
            written: Written::Command,
        }
    }

    #[test]
    fn patterns_take_names_in_every_spelling() {
        for (pattern, taken, not) in [
            ("cargo:Serde_JSON", "cargo:serde-json", "cargo:serde"),
            ("cargo:tokio_*", "cargo:tokio-util", "cargo:tokio"),
            ("npm:@bar/*", "npm:@bar/x", "npm:@baz/x"),
            ("pypi:Zope.*", "pypi:zope-interface", "pypi:zope"),
            ("*", "npm:@a/b", ""),
            ("cargo:*", "cargo:a", "npm:a"),
            ("web", "web", "cargo:web"),
            ("cargo:a*b*c", "cargo:axxbyyc", "cargo:axxcyyb"),
            ("cargo:a*a", "cargo:aa", "cargo:a"),
        ] {
            let parsed: NamePattern = pattern.parse().unwrap();
            assert!(parsed.takes(&name(taken)), "{pattern} {taken}");
            assert!(
                not.is_empty() || !parsed.takes(&name(not)),
                "{pattern} {not}"
            );
            assert_eq!(
                parsed.to_string().parse::<NamePattern>().unwrap(),
                parsed,
                "{pattern}"
            );
        }
        for bad in ["", "cargo:", "cargo:a b", "Car go:x", "cargo:x0star0x"] {
            assert!(bad.parse::<NamePattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn rules_go_before_own_and_own_before_trusted() {
        let (me, alice, bob) = (key(1), key(2), key(3));
        let keys = [trusted(alice, "*"), trusted(bob, "*")];
        let rules = [rule("cargo:*", alice), rule("cargo:serde", bob)];
        let claimants = [me, alice, bob];
        let all = Known {
            rules: &rules,
            trusted: &keys,
            own: Some(me),
            claimants: &claimants,
            ..Known::default()
        };
        assert_eq!(
            decide(&name("cargo:serde"), &all).owner(),
            Some(bob),
            "the name itself counts more than a glob"
        );
        assert_eq!(decide(&name("cargo:rand"), &all).owner(), Some(alice));
        let no_rules = Known {
            rules: &[],
            ..all.clone()
        };
        let own = decide(&name("cargo:serde"), &no_rules);
        assert_eq!(own.owner(), Some(me));
        let mut others = vec![alice, bob];
        others.sort_unstable();
        assert_eq!(
            own.passed_over, others,
            "whom an own package shadows is known"
        );
    }

    #[test]
    fn several_are_refused_until_somebody_was_first() {
        let (alice, bob, eve) = (key(2), key(3), key(4));
        let keys = [trusted(alice, "*"), trusted(bob, "cargo:clash")];
        let claimants = [alice, bob, eve];
        let known = Known {
            trusted: &keys,
            claimants: &claimants,
            ..Known::default()
        };
        let clash = decide(&name("cargo:clash"), &known);
        let Meaning::Several(several) = &clash.meaning else {
            panic!("{clash:?}")
        };
        assert!(several.len() == 2 && !several.contains(&eve));
        let said = clash.refusal().unwrap();
        let command = format!("`swarmdex names set cargo:clash {}`", several[0]);
        assert!(
            said.contains(&command) && said.contains(&several[1].fingerprint()),
            "{said}"
        );
        assert!(said.find("names set").unwrap() < said.find("swarmdex trust").unwrap());
        let known = Known {
            first: Some(bob),
            ..known
        };
        assert_eq!(decide(&name("cargo:clash"), &known).owner(), Some(bob));
        assert_eq!(
            decide(&name("cargo:other"), &known).owner(),
            Some(alice),
            "bob is trusted for one name only"
        );
        let known = Known {
            first: Some(eve),
            ..known
        };
        assert!(
            matches!(
                decide(&name("cargo:clash"), &known).meaning,
                Meaning::Several(_)
            ),
            "not one who is trusted"
        );
    }

    #[test]
    fn a_fresh_node_trusts_nobody_and_a_block_goes_before_all() {
        let (me, eve) = (key(1), key(4));
        let known = Known {
            claimants: &[eve],
            ..Known::default()
        };
        let nobody = decide(&name("cargo:serde"), &known);
        assert_eq!(nobody.meaning, Meaning::Nobody(vec![eve]));
        assert!(
            nobody
                .refusal()
                .unwrap()
                .contains(&format!("swarmdex trust {eve}"))
        );
        let block = Block {
            name: name("cargo:serde"),
            version: None,
            file: None,
            why: "broken".into(),
            since: Timestamp(0),
        };
        let rules = [rule("*", me)];
        let known = Known {
            rules: &rules,
            own: Some(me),
            claimants: &[me],
            block: Some(&block),
            ..Known::default()
        };
        assert_eq!(decide(&name("cargo:serde"), &known).owner(), None);
    }

    proptest! {
        /// Whatever is known: nobody has a name but by a rule, as this node's own, or as one who is
        /// trusted for it.
        #[test]
        fn nobody_has_a_name_who_was_given_none(
            claimants in prop::collection::vec(1u8..6, 0..6), given in prop::collection::vec((1u8..6, 0usize..4), 0..6),
            ruled in prop::collection::vec((1u8..6, 0usize..4), 0..3), own in prop::option::of(1u8..6),
            first in prop::option::of(1u8..6), at in 0usize..3, turn in 0usize..6,
        ) {
            let patterns = ["*", "cargo:a*", "cargo:ab", "npm:ab"];
            let name = name(["cargo:ab", "cargo:ac", "npm:ab"][at]);
            let mut claimants: Vec<_> = claimants.into_iter().map(key).collect();
            let mut keys: Vec<_> = given.into_iter().map(|(n, p)| trusted(key(n), patterns[p])).collect();
            let mut rules: Vec<_> = ruled.into_iter().map(|(n, p)| rule(patterns[p], key(n))).collect();
            // One pattern has one owner, as a table of them has.
            rules.sort_by_key(|rule| rule.pattern.clone());
            rules.dedup_by_key(|rule| rule.pattern.clone());
            let own = own.map(key);
            let known = Known { rules: &rules, trusted: &keys, own, claimants: &claimants, first: first.map(key), block: None };
            let decided = decide(&name, &known);
            match &decided.meaning {
                Meaning::Owner { owner, by } => {
                    let is_trusted = keys.iter().any(|key| key.publisher == *owner && key.names.takes(&name));
                    let is_right = match by {
                        By::Rule(rule) => rule.owner == *owner && rule.pattern.takes(&name),
                        By::Own => own == Some(*owner) && claimants.contains(owner),
                        By::First => is_trusted && first.map(key) == Some(*owner),
                        By::Trusted(_) => is_trusted && claimants.contains(owner),
                    };
                    prop_assert!(is_right, "{:?}", decided);
                    prop_assert!(decided.refusal().is_none());
                }
                Meaning::Several(several) => prop_assert!(several.len() > 1),
                Meaning::Nobody(_) | Meaning::Blocked(_) => {}
            }
            // Orders say nothing.
            if !claimants.is_empty() { let by = turn % claimants.len(); claimants.rotate_left(by); }
            if !keys.is_empty() { let by = turn % keys.len(); keys.rotate_left(by); }
            if !rules.is_empty() { let by = turn % rules.len(); rules.rotate_left(by); }
            let known = Known { rules: &rules, trusted: &keys, own, claimants: &claimants, first: first.map(key), block: None };
            prop_assert_eq!(decide(&name, &known), decided);
        }

        #[test]
        fn a_pattern_is_itself_again(text in "(cargo:|npm:|pypi:|debian:|)[a-zA-Z*@/._-]{1,12}") {
            if let Ok(pattern) = text.parse::<NamePattern>() {
                prop_assert_eq!(pattern.to_string().parse::<NamePattern>(), Ok(pattern));
            }
        }

        #[test]
        fn a_name_without_a_star_takes_itself_alone(a in "[a-z][a-z0-9]{0,6}", b in "[a-z][a-z0-9]{0,6}") {
            let (one, two) = (name(&format!("cargo:{a}")), name(&format!("cargo:{b}")));
            prop_assert_eq!(NamePattern::of(&one).takes(&two), a == b);
            prop_assert_eq!(NamePattern::of(&one).exactly(), Some(one));
        }
    }
}
