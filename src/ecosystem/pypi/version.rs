//! PEP 440 versions. The fields of [`Version`] are in the order of comparison, and so are the
//! variants.

use std::{cmp::Ordering, fmt};

use super::{
    super::{InvalidText, number::DecimalNumber},
    is_separator, is_space,
};

/// A version without insignificant parts: `v`, capitals, leading zeros, trailing zeros of the
/// release, alternative words for `a`, `b`, `rc` and `post`, and the choice of separators.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ecosystem) struct Version {
    pub(super) epoch: DecimalNumber,
    release: Vec<DecimalNumber>,
    pub(super) pre: Pre,
    pub(super) post: Option<DecimalNumber>,
    pub(super) dev: Dev,
    pub(super) local: Vec<LocalPart>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pre {
    /// A development release of neither a pre-release nor a post-release comes before all others of
    /// its release.
    Development,
    Alpha(DecimalNumber),
    Beta(DecimalNumber),
    Candidate(DecimalNumber),
    Final,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dev {
    Number(DecimalNumber),
    Released,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LocalPart {
    Text(Box<str>),
    Number(DecimalNumber),
}

impl Version {
    pub(in crate::ecosystem) fn parse(text: &str) -> Result<Self, InvalidText> {
        let mut scanner = VersionScanner::new(text.trim_matches(is_space));
        let version = scanner.version()?.with_local(scanner.local());
        if scanner.is_at_end() {
            Ok(version)
        } else {
            Err(InvalidText::because(MORE))
        }
    }

    /// Returns the text that `packaging.utils.canonicalize_version` writes.
    pub(in crate::ecosystem) fn key(&self) -> String {
        self.to_string()
    }

    pub(in crate::ecosystem) fn is_pre_release(&self) -> bool {
        self.pre != Pre::Final || self.dev != Dev::Released
    }

    /// Returns the first `n` numbers of the release, padded with zeros.
    pub(super) fn prefix(&self, n: usize) -> impl Iterator<Item = DecimalNumber> {
        self.release
            .iter()
            .cloned()
            .chain(std::iter::repeat_with(DecimalNumber::default))
            .take(n)
    }

    /// Compares epochs and releases only.
    pub(super) fn cmp_release(&self, other: &Self) -> Ordering {
        (&self.epoch, &self.release).cmp(&(&other.epoch, &other.release))
    }

    /// Compares without local versions.
    pub(super) fn cmp_public(&self, other: &Self) -> Ordering {
        let suffixes = (&self.pre, &self.post, &self.dev);
        self.cmp_release(other)
            .then_with(|| suffixes.cmp(&(&other.pre, &other.post, &other.dev)))
    }

    /// Returns the lowest version that belongs to a version which is no pre-release: `1.0.dev0` for
    /// 1.0, `1.0.post1.dev0` for 1.0.post1.
    pub(super) fn first_development_release(&self) -> Self {
        let pre = if self.post.is_none() {
            Pre::Development
        } else {
            Pre::Final
        };
        Self {
            pre,
            dev: Dev::Number(DecimalNumber::default()),
            local: Vec::new(),
            ..self.clone()
        }
    }

    pub(super) fn with_local(self, local: Vec<LocalPart>) -> Self {
        Self { local, ..self }
    }
}

/// The error for a text that continues after a version.
pub(super) const MORE: &str =
    "is not a PEP 440 version such as 1.0, 1.0rc1, 1.0.post1, 1.0.dev1 or 1.0+local.1";

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.epoch != DecimalNumber::default() {
            write!(f, "{}!", self.epoch)?;
        }
        if self.release.is_empty() {
            f.write_str("0")?;
        }
        write_joined(f, &self.release)?;
        match &self.pre {
            Pre::Alpha(number) => write!(f, "a{number}")?,
            Pre::Beta(number) => write!(f, "b{number}")?,
            Pre::Candidate(number) => write!(f, "rc{number}")?,
            Pre::Development | Pre::Final => {}
        }
        if let Some(number) = &self.post {
            write!(f, ".post{number}")?;
        }
        if let Dev::Number(number) = &self.dev {
            write!(f, ".dev{number}")?;
        }
        if !self.local.is_empty() {
            f.write_str("+")?;
        }
        write_joined(f, &self.local)
    }
}

fn write_joined<T: fmt::Display>(f: &mut fmt::Formatter<'_>, parts: &[T]) -> fmt::Result {
    for (before, part) in parts.iter().enumerate() {
        let dot = if before == 0 { "" } else { "." };
        write!(f, "{dot}{part}")?;
    }
    Ok(())
}

impl fmt::Display for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// Parses the parts of a version from the front of a text. Each part is greedy without
/// backtracking, as in `packaging`: `1.0a-` is `1.0a0`, not `1.0a` followed by something.
pub(super) struct VersionScanner<'a> {
    rest: &'a str,
    /// The release as written, with trailing zeros.
    pub(super) release: Vec<DecimalNumber>,
}

impl<'a> VersionScanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            release: Vec::new(),
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Parses a version up to its local part.
    pub(super) fn version(&mut self) -> Result<Version, InvalidText> {
        let epoch = self.base()?;
        Ok(self.suffixes(epoch))
    }

    /// Parses epoch and release. The release is stored, and the epoch returned.
    pub(super) fn base(&mut self) -> Result<DecimalNumber, InvalidText> {
        self.word(&["v"]);
        let first = self
            .digits()
            .ok_or_else(|| InvalidText::because("must start with a number, as 1.0 does"))?;
        let (epoch, first) = match self.rest.strip_prefix('!') {
            Some(rest) => {
                self.rest = rest;
                let release = self.digits().ok_or_else(|| {
                    InvalidText::because("needs a number after the ! of its epoch")
                })?;
                (first, release)
            }
            None => (DecimalNumber::default(), first),
        };
        self.release.push(first);
        while let Some(number) = self.after(".") {
            self.release.push(number);
        }
        Ok(epoch)
    }

    /// Parses pre-release, post-release and development release.
    pub(super) fn suffixes(&mut self, epoch: DecimalNumber) -> Version {
        // Of two words with a common prefix, the longer one comes first.
        let pre = self.part(&["alpha", "a", "beta", "b", "preview", "pre", "c", "rc"]);
        let post = self
            .after("-")
            .or_else(|| self.part(&["post", "rev", "r"]).map(|(_, number)| number));
        let dev = self.part(&["dev"]).map(|(_, number)| number);
        let pre = match pre {
            Some(("alpha" | "a", number)) => Pre::Alpha(number),
            Some(("beta" | "b", number)) => Pre::Beta(number),
            Some((_, number)) => Pre::Candidate(number),
            None if post.is_none() && dev.is_some() => Pre::Development,
            None => Pre::Final,
        };
        let zeros = self
            .release
            .iter()
            .rev()
            .take_while(|number| **number == DecimalNumber::default())
            .count();
        let release = self
            .release
            .iter()
            .take(self.release.len() - zeros)
            .cloned()
            .collect();
        Version {
            epoch,
            release,
            pre,
            post,
            dev: dev.map_or(Dev::Released, Dev::Number),
            local: Vec::new(),
        }
    }

    /// Parses the local part after `+`; empty if there is none.
    pub(super) fn local(&mut self) -> Vec<LocalPart> {
        let mut parts = Vec::new();
        let mut next = self.rest.strip_prefix('+');
        while let Some(text) = next {
            let end = text
                .find(|c: char| !c.is_ascii_alphanumeric())
                .unwrap_or(text.len());
            let Some((part, rest)) = text
                .split_at_checked(end)
                .filter(|(part, _)| !part.is_empty())
            else {
                break;
            };
            parts.push(if part.bytes().all(|b| b.is_ascii_digit()) {
                LocalPart::Number(DecimalNumber::of(part))
            } else {
                LocalPart::Text(part.to_ascii_lowercase().into())
            });
            self.rest = rest;
            next = rest.strip_prefix(is_separator);
        }
        parts
    }

    /// Consumes the `.*` of `==1.2.*`.
    pub(super) fn wildcard(&mut self) -> bool {
        let rest = self.rest.strip_prefix(".*");
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Parses an optional separator, one of the words, an optional separator, and a number, which
    /// defaults to 0. Consumes nothing without such a word.
    fn part(&mut self, words: &[&'static str]) -> Option<(&'static str, DecimalNumber)> {
        let before = self.rest;
        self.separator();
        let Some(word) = self.word(words) else {
            self.rest = before;
            return None;
        };
        self.separator();
        Some((word, self.digits().unwrap_or_default()))
    }

    /// Parses a number after `sign`. Consumes nothing without a number.
    fn after(&mut self, sign: &str) -> Option<DecimalNumber> {
        let before = self.rest;
        self.rest = self.rest.strip_prefix(sign)?;
        let number = self.digits();
        if number.is_none() {
            self.rest = before;
        }
        number
    }

    fn separator(&mut self) {
        self.rest = self.rest.strip_prefix(is_separator).unwrap_or(self.rest);
    }

    fn word(&mut self, words: &[&'static str]) -> Option<&'static str> {
        let is_next = |word: &&&str| {
            self.rest
                .get(..word.len())
                .is_some_and(|next| next.eq_ignore_ascii_case(word))
        };
        let word = *words.iter().find(is_next)?;
        self.rest = self.rest.get(word.len()..).unwrap_or_default();
        Some(word)
    }

    fn digits(&mut self) -> Option<DecimalNumber> {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(self.rest.len());
        let (digits, rest) = self
            .rest
            .split_at_checked(end)
            .filter(|(digits, _)| !digits.is_empty())?;
        self.rest = rest;
        Some(DecimalNumber::of(digits))
    }
}
