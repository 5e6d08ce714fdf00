//! npm's ranges: lists of comparators separated by `||`; all comparators of one list must hold.
//!
//! `^1.2`, `~1.2`, `1.x`, `1 - 2` and the like are abbreviations of comparators. Each range is
//! parsed twice, because its bounds differ with `includePrerelease`: `1.x` then begins with
//! 1.0.0-0, otherwise with 1.0.0. Without it, a pre-release matches only if a comparator of the
//! same list names a pre-release of the same three numbers.

use super::version::{Identifier, MAX_NUMBER, Version, is_number, number, pre_release, too_large};
use crate::ecosystem::{InvalidText, number::DecimalNumber};

#[derive(Clone, Debug)]
pub(in crate::ecosystem) struct Requirement {
    /// Never empty. A list without comparators takes every release, and is then the only list.
    lists: Vec<Vec<Comparator>>,
    /// The lists with `includePrerelease`.
    wide: Vec<Vec<Comparator>>,
}

#[derive(Clone, Debug)]
struct Comparator {
    op: Op,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Less,
    LessEq,
    Exact,
    GreaterEq,
    Greater,
}

impl Requirement {
    pub(in crate::ecosystem) fn parse(text: &str) -> Result<Self, InvalidText> {
        let text = text
            .split(is_space)
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        if text.split([' ', '|']).any(|word| word.starts_with('+')) {
            // npm removes it, and parses the rest as a range.
            return Err(InvalidText::because(
                "has build metadata without a version before it",
            ));
        }
        let sides = text
            .split("||")
            .map(|side| without_builds(side.trim_matches(' ')))
            .collect::<Vec<_>>();
        let read = |wide| {
            sides
                .iter()
                .map(|side| list(side, wide))
                .collect::<Result<Vec<_>, _>>()
        };
        let mut lists = read(false)?;
        // npm then drops the other lists, along with the pre-releases that they name.
        if lists.iter().any(Vec::is_empty) {
            lists = vec![Vec::new()];
        }
        Ok(Self {
            lists,
            wide: read(true)?,
        })
    }

    pub(in crate::ecosystem) fn matches(&self, version: &Version) -> bool {
        let named = |comparator: &Comparator| {
            comparator.version.is_pre_release() && comparator.version.numbers == version.numbers
        };
        self.lists.iter().any(|list| {
            list.iter().all(|comparator| comparator.holds(version))
                && (!version.is_pre_release() || list.iter().any(named))
        })
    }

    pub(in crate::ecosystem) fn includes(&self, version: &Version) -> bool {
        self.wide
            .iter()
            .any(|list| list.iter().all(|comparator| comparator.holds(version)))
    }

    pub(in crate::ecosystem) fn is_exactly(&self, version: &Version) -> bool {
        let exact =
            |comparator: &Comparator| comparator.op == Op::Exact && comparator.version == *version;
        self.lists
            .iter()
            .all(|list| !list.is_empty() && list.iter().all(exact))
    }

    pub(in crate::ecosystem) fn is_any(&self) -> bool {
        self.lists.iter().any(Vec::is_empty)
    }
}

impl Comparator {
    fn new(op: Op, numbers: [u64; 3], pre: Vec<Identifier>) -> Self {
        Self {
            op,
            version: Version { numbers, pre },
        }
    }

    /// Takes versions below the release with these numbers and all its pre-releases.
    fn below(numbers: [u64; 3]) -> Self {
        Self::new(Op::Less, numbers, lowest())
    }

    /// Takes versions from the release with these numbers on, with its pre-releases if `wide`.
    fn from(numbers: [u64; 3], wide: bool) -> Self {
        Self::new(
            Op::GreaterEq,
            numbers,
            if wide { lowest() } else { Vec::new() },
        )
    }

    fn holds(&self, version: &Version) -> bool {
        let order = version.cmp(&self.version);
        match self.op {
            Op::Less => order.is_lt(),
            Op::LessEq => order.is_le(),
            Op::Exact => order.is_eq(),
            Op::GreaterEq => order.is_ge(),
            Op::Greater => order.is_gt(),
        }
    }

    fn takes_every_release(&self) -> bool {
        self.op == Op::GreaterEq && self.version.numbers == [0; 3] && self.version.pre.is_empty()
    }
}

/// Returns the lowest possible pre-release, `-0`.
fn lowest() -> Vec<Identifier> {
    vec![Identifier::Number(DecimalNumber::default())]
}

/// Returns true for JavaScript's white space.
fn is_space(c: char) -> bool {
    c == '\u{feff}' || c.is_whitespace() && c != '\u{85}'
}

/// Removes build metadata, which has no meaning.
fn without_builds(text: &str) -> String {
    let mut parts = text.split('+');
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut rest = part;
        loop {
            let after = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '-');
            if after.len() == rest.len() {
                break;
            }
            rest = after;
            match rest.strip_prefix('.') {
                Some(next) if next.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-') => {
                    rest = next
                }
                _ => break,
            }
        }
        // A + with nothing after it is no build.
        if rest.len() == part.len() {
            kept.push('+');
        }
        kept.push_str(rest);
    }
    kept
}

/// Parses the comparators of one side of `||`.
fn list(side: &str, wide: bool) -> Result<Vec<Comparator>, InvalidText> {
    let mut list = match side.split_once(" - ") {
        Some((from, to)) => between(from, to, wide)?,
        None => {
            let mut list = Vec::new();
            for word in joined(side) {
                list.extend(comparators(&word, wide)?);
            }
            list
        }
    };
    list.retain(|comparator| wide || !comparator.takes_every_release());
    Ok(list)
}

/// Splits a list into words, joining operators with their versions. npm makes two passes, first for
/// `>`, `=` and the like, then for `~` and `^`: so `~ > 1` is one word, and `> = 1` is not.
fn joined(side: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for word in side.split(' ').filter(|word| !word.is_empty()) {
        let version = word.trim_start_matches(['v', '=']);
        match words.last_mut() {
            Some(last) if open && (version.is_empty() || version.starts_with(is_part)) => {
                last.push_str(word);
                open = false;
            }
            _ => {
                words.push(word.to_owned());
                open = is_operator(word);
            }
        }
    }
    let mut twice: Vec<String> = Vec::new();
    for word in words {
        match twice.last_mut() {
            Some(last) if matches!(last.as_str(), "~" | "~>" | "^") => {
                last.truncate(1);
                last.push_str(&word);
            }
            _ => twice.push(word),
        }
    }
    twice
}

/// Returns true for the first character of a number or of an x in its place.
fn is_part(c: char) -> bool {
    c.is_ascii_digit() || "xX*".contains(c)
}

fn is_operator(word: &str) -> bool {
    matches!(
        word.strip_prefix(['~', '^']).unwrap_or(word),
        "<" | "<=" | "=" | ">=" | ">"
    )
}

/// A version with missing or `x` parts, and the meaningless signs before it.
struct PartialVersion<'a> {
    prefix: &'a str,
    major: Option<&'a str>,
    minor: Option<&'a str>,
    patch: Option<&'a str>,
    pre: Vec<Identifier>,
}

/// A partial version without its prefix. A number counts, and is checked for size, only if no part
/// before it is missing.
enum PartialNumbers {
    Any,
    Major(u64),
    Minor(u64, u64),
    Full([u64; 3]),
}

impl<'a> PartialVersion<'a> {
    fn parse(text: &'a str) -> Result<Self, InvalidText> {
        let version = text.trim_start_matches(['v', '=', ' ']);
        let prefix = text.strip_suffix(version).unwrap_or_default();
        let (proper, pre) = version
            .split_once('-')
            .map_or((version, None), |(proper, pre)| (proper, Some(pre)));
        let mut parts = proper.split('.').map(|part| match part {
            "x" | "X" | "*" => Ok(None),
            _ if is_number(part) => Ok(Some(part)),
            _ => Err(odd(text)),
        });
        let (major, minor) = (
            parts.next().transpose()?.flatten(),
            parts.next().transpose()?.flatten(),
        );
        let patch = parts.next().transpose()?;
        if parts.next().is_some() || pre.is_some() && patch.is_none() {
            return Err(odd(text));
        }
        let pre = pre.map_or(Ok(Vec::new()), pre_release)?;
        Ok(Self {
            prefix,
            major,
            minor,
            patch: patch.flatten(),
            pre,
        })
    }

    fn wanted(&self) -> Result<PartialNumbers, InvalidText> {
        Ok(match (self.major, self.minor, self.patch) {
            (None, ..) => PartialNumbers::Any,
            (Some(major), None, _) => PartialNumbers::Major(number(major)?),
            (Some(major), Some(minor), None) => {
                PartialNumbers::Minor(number(major)?, number(minor)?)
            }
            (Some(major), Some(minor), Some(patch)) => {
                PartialNumbers::Full([number(major)?, number(minor)?, number(patch)?])
            }
        })
    }

    /// Checks that at most one v precedes a full version, and a space if it was joined with an
    /// operator.
    fn check_prefix(&self) -> Result<(), InvalidText> {
        match self.prefix.strip_prefix(' ').unwrap_or(self.prefix) {
            "" | "v" => Ok(()),
            _ => Err(InvalidText::because(
                "has more signs before a version than npm accepts",
            )),
        }
    }
}

/// Returns the reason why npm rejects a word.
fn odd(word: &str) -> InvalidText {
    InvalidText::because(match word {
        _ if word.contains(',') => "has a comma: npm uses a space for and, and || for or",
        _ if word.contains(['@', ':', '/'])
            || word.starts_with(|c: char| c.is_ascii_alphabetic() && !"vxX".contains(c)) =>
        {
            "is not a version range: a tag, an alias, an address or a path is not taken for one"
        }
        _ => "has a part that is not a range such as ^1.2.3, >=1.2, 1.x or 1.2.3 - 2.3.4",
    })
}

fn after(number: u64) -> Result<u64, InvalidText> {
    if number < MAX_NUMBER {
        Ok(number + 1)
    } else {
        Err(too_large())
    }
}

/// Parses `1.2 - 3.4`: both bounds are inclusive, with all versions that begin with them.
fn between(from: &str, to: &str, wide: bool) -> Result<Vec<Comparator>, InvalidText> {
    let (from, to) = (PartialVersion::parse(from)?, PartialVersion::parse(to)?);
    let lower = match from.wanted()? {
        PartialNumbers::Any => None,
        PartialNumbers::Major(major) => Some(Comparator::from([major, 0, 0], wide)),
        PartialNumbers::Minor(major, minor) => Some(Comparator::from([major, minor, 0], wide)),
        PartialNumbers::Full(numbers) => {
            from.check_prefix()?;
            let released = from.pre.is_empty();
            Some(if released {
                Comparator::from(numbers, wide)
            } else {
                Comparator::new(Op::GreaterEq, numbers, from.pre)
            })
        }
    };
    let upper = match to.wanted()? {
        PartialNumbers::Any => None,
        PartialNumbers::Major(major) => Some(Comparator::below([after(major)?, 0, 0])),
        PartialNumbers::Minor(major, minor) => Some(Comparator::below([major, after(minor)?, 0])),
        PartialNumbers::Full(numbers) if !to.pre.is_empty() => {
            Some(Comparator::new(Op::LessEq, numbers, to.pre))
        }
        PartialNumbers::Full([major, minor, patch]) if wide => {
            Some(Comparator::below([major, minor, patch + 1]))
        }
        PartialNumbers::Full(numbers) => {
            to.check_prefix()?;
            Some(Comparator::new(Op::LessEq, numbers, Vec::new()))
        }
    };
    Ok(lower.into_iter().chain(upper).collect())
}

/// Parses one word.
fn comparators(word: &str, wide: bool) -> Result<Vec<Comparator>, InvalidText> {
    if let Some(rest) = word.strip_prefix('^') {
        let partial = PartialVersion::parse(rest)?;
        let upper = match partial.wanted()? {
            PartialNumbers::Any => return Ok(Vec::new()),
            PartialNumbers::Full([0, 0, patch]) => [0, 0, after(patch)?],
            PartialNumbers::Full([0, minor, _]) | PartialNumbers::Minor(0, minor) => {
                [0, after(minor)?, 0]
            }
            PartialNumbers::Full([major, ..])
            | PartialNumbers::Minor(major, _)
            | PartialNumbers::Major(major) => [after(major)?, 0, 0],
        };
        return Ok(vec![from_partial(partial, wide)?, Comparator::below(upper)]);
    }
    if let Some(rest) = word.strip_prefix('~') {
        let partial = PartialVersion::parse(rest.strip_prefix('>').unwrap_or(rest))?;
        let upper = match partial.wanted()? {
            PartialNumbers::Any => return Ok(Vec::new()),
            PartialNumbers::Full([major, minor, _]) | PartialNumbers::Minor(major, minor) => {
                [major, after(minor)?, 0]
            }
            PartialNumbers::Major(major) => [after(major)?, 0, 0],
        };
        return Ok(vec![from_partial(partial, wide)?, Comparator::below(upper)]);
    }
    let (op, rest) = operator(word);
    let partial = PartialVersion::parse(rest)?;
    if partial.major.is_none() && partial.minor.is_some()
        || partial.minor.is_none() && partial.patch.is_some()
    {
        return Err(InvalidText::because("has a number after an x"));
    }
    let (lower, upper) = match partial.wanted()? {
        PartialNumbers::Full(numbers) => {
            partial.check_prefix()?;
            return Ok(vec![Comparator::new(op, numbers, partial.pre)]);
        }
        // No version is above or below everything.
        PartialNumbers::Any if matches!(op, Op::Less | Op::Greater) => {
            return Ok(vec![Comparator::below([0; 3])]);
        }
        PartialNumbers::Any => return Ok(Vec::new()),
        PartialNumbers::Major(major) => ([major, 0, 0], [major + 1, 0, 0]),
        PartialNumbers::Minor(major, minor) => ([major, minor, 0], [major, minor + 1, 0]),
    };
    let comparators = match op {
        Op::Less => vec![Comparator::below(lower)],
        Op::LessEq => vec![Comparator::below(upper)],
        Op::Exact => vec![Comparator::from(lower, wide), Comparator::below(upper)],
        Op::GreaterEq => vec![Comparator::from(lower, wide)],
        Op::Greater => vec![Comparator::from(upper, wide)],
    };
    let fits = |comparator: &Comparator| {
        comparator
            .version
            .numbers
            .iter()
            .all(|number| *number <= MAX_NUMBER)
    };
    if comparators.iter().all(fits) {
        Ok(comparators)
    } else {
        Err(too_large())
    }
}

/// Returns the lower bound of `~` and `^`: a full version itself.
fn from_partial(partial: PartialVersion<'_>, wide: bool) -> Result<Comparator, InvalidText> {
    Ok(match partial.wanted()? {
        PartialNumbers::Full(numbers) => Comparator::new(Op::GreaterEq, numbers, partial.pre),
        PartialNumbers::Minor(major, minor) => Comparator::from([major, minor, 0], wide),
        PartialNumbers::Major(major) => Comparator::from([major, 0, 0], wide),
        PartialNumbers::Any => Comparator::from([0; 3], wide),
    })
}

fn operator(word: &str) -> (Op, &str) {
    let ops = [
        ("<=", Op::LessEq),
        ("<", Op::Less),
        (">=", Op::GreaterEq),
        (">", Op::Greater),
        ("=", Op::Exact),
    ];
    ops.into_iter()
        .find_map(|(sign, op)| Some((op, word.strip_prefix(sign)?)))
        .unwrap_or((Op::Exact, word))
}

#[cfg(test)]
mod tests;
