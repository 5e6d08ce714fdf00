//! One name, one owner: decides whose package a bare name means on this node. Index, download,
//! search and publish all use it.
//!
//! A person's rule comes first, then an own package, then the owner from which the name was first
//! served, then the only claimant trusted for the name. A handle gives nobody a name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    name::{NameError, PackageName, PublisherId, WrittenName},
    time::Timestamp,
    version::VersionText,
};
use crate::ecosystem::Ecosystem;

/// Replaces a star while a pattern is normalised: every ecosystem accepts it within a name.
const STAR: &str = "x0star0x";
/// The most claimants listed in a message.
const NAMED: usize = 4;

/// The names covered by a rule or by trust: `cargo:serde`, `npm:@bar/*`, or `*` for all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern {
    /// `None` for all ecosystems.
    ecosystem: Option<Ecosystem>,
    /// A normalised name, in which a star matches any text.
    glob: Box<str>,
}

impl NamePattern {
    /// Returns the pattern for every name of every ecosystem.
    pub fn all() -> Self {
        Self {
            ecosystem: None,
            glob: "*".into(),
        }
    }

    /// Returns the pattern for one name.
    pub fn of(name: &PackageName) -> Self {
        Self {
            ecosystem: Some(name.ecosystem().clone()),
            glob: name.bare().into(),
        }
    }

    /// Returns true if the pattern covers the name.
    pub fn takes(&self, name: &PackageName) -> bool {
        self.ecosystem
            .as_ref()
            .is_none_or(|ecosystem| ecosystem == name.ecosystem())
            && takes(&self.glob, name.bare())
    }

    /// Returns the only name it covers, if there is one.
    pub fn exactly(&self) -> Option<PackageName> {
        let ecosystem = self
            .ecosystem
            .as_ref()
            .filter(|_| !self.glob.contains('*'))?;
        PackageName::of(ecosystem, &self.glob.parse().ok()?).ok()
    }

    /// Returns the precedence among patterns that match a name: an exact name first, then the one
    /// with more literal characters.
    fn weight(&self) -> (bool, usize, bool) {
        let literal = self.glob.chars().filter(|c| *c != '*').count();
        (!self.glob.contains('*'), literal, self.ecosystem.is_some())
    }
}

/// Returns true if the glob matches the text, in linear time for each star.
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
                format!("contains {STAR}, which is reserved"),
            ));
        }
        let (ecosystem, glob) = match text.split_once(':') {
            Some((word, glob)) => {
                let wrong = |refused| {
                    NameError::new(
                        "pattern of names",
                        text,
                        format!("has an invalid ecosystem before its colon, which {refused}"),
                    )
                };
                (word.parse::<Ecosystem>().map_err(wrong)?, glob)
            }
            None => (Ecosystem::Generic, text),
        };
        let written: WrittenName = glob.replace('*', STAR).parse()?;
        let normal = match ecosystem.normalise(written.as_str()) {
            Ok(normal) => normal.replace(STAR, "*"),
            // A whole-name star cannot break a rule for names.
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
            // A bare star would mean every ecosystem.
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

/// The author of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleAuthor {
    /// The settings, under `[names]`.
    Settings,
    /// The command `names set`.
    Command,
}

/// A person's rule that a name means a certain owner's package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameRule {
    /// The names that the rule covers.
    pub pattern: NamePattern,
    /// The owner that they mean.
    pub owner: PublisherId,
    /// The author of the rule.
    pub written: RuleAuthor,
}

/// A key that a person trusts for names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedKey {
    /// The trusted key.
    pub publisher: PublisherId,
    /// The names for which it is trusted.
    pub names: NamePattern,
    /// The time at which the person trusted it.
    pub since: Timestamp,
}

/// A name, a version, or one file of a version that must not be served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameBlock {
    /// The name.
    pub name: PackageName,
    /// `None` for all versions.
    pub version: Option<VersionText>,
    /// The only file concerned; `None` for all files of the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The reason for the block.
    pub why: String,
    /// The time of the block.
    pub since: Timestamp,
}

/// The owner from which a name was first served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedName {
    /// The name.
    pub name: PackageName,
    /// The owner from which it was served.
    pub owner: PublisherId,
    /// The time at which it was first served.
    pub since: Timestamp,
}

/// All rules, trusted keys and blocks of a person, and the names served so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NameTable {
    /// Rules of the settings come first.
    pub rules: Vec<NameRule>,
    /// The keys trusted for names.
    pub trusted: Vec<TrustedKey>,
    /// The blocked names.
    pub blocks: Vec<NameBlock>,
    /// The names served so far.
    pub served: Vec<ServedName>,
}

/// The facts by which a name is decided.
#[derive(Clone, Debug, Default)]
pub struct NameFacts<'a> {
    /// A person's rules.
    pub rules: &'a [NameRule],
    /// The keys trusted for names.
    pub trusted: &'a [TrustedKey],
    /// This node's own publisher.
    pub own: Option<PublisherId>,
    /// Keys that have a package of the name and are not distrusted, this node's own among them, in
    /// any order.
    pub claimants: &'a [PublisherId],
    /// The owner from which the name was first served.
    pub first: Option<PublisherId>,
    /// The block of the name, if there is one.
    pub block: Option<&'a NameBlock>,
}

/// The reason why a name means an owner's package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// A person's rule says so.
    Rule(NameRule),
    /// It is this node's own package.
    Own,
    /// The name was served from that key first; others may have it by now.
    First,
    /// Its owner is the only one trusted for the name.
    Trusted(NamePattern),
}

/// The meaning of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NameMeaning {
    /// The name means this owner's package.
    Owner {
        /// The owner.
        owner: PublisherId,
        /// The reason.
        by: By,
    },
    /// Several trusted keys have it.
    Several(Vec<PublisherId>),
    /// No key trusted for it has it, as far as is known; these others have.
    Nobody(Vec<PublisherId>),
    /// The name is blocked, for the given reason.
    Blocked(String),
}

/// The meaning of a name, and its other claimants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameDecision {
    /// The name.
    pub name: PackageName,
    /// Its meaning.
    pub meaning: NameMeaning,
    /// Other trusted keys that have the name too.
    pub passed_over: Vec<PublisherId>,
}

/// Decides whose package a name means. The order of rules, keys and claimants does not matter.
pub fn decide(name: &PackageName, known: &NameFacts<'_>) -> NameDecision {
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
            rule.written == RuleAuthor::Settings,
        )
    });
    let owner = |owner, by| NameMeaning::Owner { owner, by };
    let own = known.own.filter(|own| claimants.contains(own));
    let first = known.first.filter(|first| trusted.contains(first));
    let meaning = if let Some(block) = known.block {
        NameMeaning::Blocked(block.why.clone())
    } else if let Some(rule) = rule {
        owner(rule.owner, By::Rule(rule.clone()))
    } else if let Some(own) = own {
        owner(own, By::Own)
    } else {
        match (trusted.as_slice(), first) {
            ([], _) => NameMeaning::Nobody(claimants),
            ([only], _) => owner(
                *only,
                By::Trusted(scope(only).cloned().unwrap_or_else(NamePattern::all)),
            ),
            (_, Some(first)) => owner(first, By::First),
            (several, None) => NameMeaning::Several(several.to_vec()),
        }
    };
    let passed_over = match &meaning {
        NameMeaning::Owner { owner, .. } => {
            trusted.into_iter().filter(|other| other != owner).collect()
        }
        _ => Vec::new(),
    };
    NameDecision {
        name: name.clone(),
        meaning,
        passed_over,
    }
}

impl NameDecision {
    /// Returns the owner that the name means, if it means one.
    pub fn owner(&self) -> Option<PublisherId> {
        match &self.meaning {
            NameMeaning::Owner { owner, .. } => Some(*owner),
            _ => None,
        }
    }

    /// Returns the sentence for a person whose name means no package, with the command that
    /// decides; `None` if it means one.
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
                "`swarmdex names set {name} {key}` for this name, or `swarmdex trust {key}` for \
                all of that key's"
            ),
            None => String::new(),
        };
        Some(match &self.meaning {
            NameMeaning::Owner { .. } => return None,
            NameMeaning::Blocked(why) => {
                format!(
                    "{name} is blocked on this node: {why}; unblock it with `swarmdex unblock \
                    {name}`"
                )
            }
            NameMeaning::Several(keys) => format!(
                "{name} has several owners that this node trusts: {}; choose one with {}",
                list(keys),
                commands(keys)
            ),
            NameMeaning::Nobody(keys) if keys.is_empty() => {
                format!("nobody known to this node has a package {name}")
            }
            NameMeaning::Nobody(keys) => format!(
                "{name} is only published by keys that this node does not trust for names: {}; \
                choose one with {}",
                list(keys),
                commands(keys)
            ),
        })
    }

    /// Returns the reason for the meaning, in words.
    pub fn reason(&self) -> String {
        match &self.meaning {
            NameMeaning::Owner { by, .. } => match by {
                By::Rule(rule) => {
                    let place = match rule.written {
                        RuleAuthor::Settings => "the settings say so",
                        RuleAuthor::Command => "`names set` said so",
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
mod tests;
