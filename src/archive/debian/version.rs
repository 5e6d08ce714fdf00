//! From a Debian version to one of semver.
//!
//! Debian has `[epoch:]upstream[-revision]` (Debian Policy 5.6.12, deb-version(7)), semver three numbers and what may stand
//! behind them:
//!
//! | Debian | semver |
//! |---|---|
//! | `1:2.30.2-1+deb11u2` | `2.30.2+1-2.30.2.1.deb11u.2` |
//! | `3.0.0~rc1-2` | `3.0.0-rc.1+3.0.0-rc.1.2` |
//! | `2023.05` | `2023.5.0+2023.05` |
//! | `0.0~git20220216.ae108ef-2` | `0.0.0+0.0-git.20220216.ae108ef.2` |
//!
//! - The numbers that upstream begins with, three at most, are the version proper. The epoch is not: nobody who asks for
//!   git 2 means its epoch.
//! - `~rc1` and its like, directly behind them, are a pre-release. Other words behind a `~` are not: with `~git` and
//!   `~dfsg` people mark what they took, and what they left out, of something that they do release.
//! - All of it is the build, in which semver's order has the last word: so `-10` comes after `-9`, and `deb12u10` after
//!   `deb12u9`. `:` and `~` become `-`, everything else that semver does not have becomes a dot.

use semver::{BuildMetadata, Comparator, Op, Prerelease, Version};

use crate::domain::{release::MAX_VERSION, requirement::Requirement};

/// What upstreams call a version that is not finished.
const UNFINISHED: [&str; 11] = ["a", "alpha", "b", "beta", "cr", "dev", "devel", "m", "pre", "preview", "rc"];

/// The version, at most [`MAX_VERSION`] characters long. Any text has one: whoever made the index is not asked again.
pub(super) fn semver(debian: &str) -> Version {
    let (mut version, _) = release(debian);
    let room = MAX_VERSION.saturating_sub(version.to_string().len() + 1);
    let build = identifiers(debian);
    // The end, where versions of one upstream release differ: the beginning is said already.
    let build = build.get(build.len().saturating_sub(room)..).unwrap_or_default().trim_start_matches('.');
    version.build = BuildMetadata::new(build).unwrap_or_default();
    version
}

/// What `(>= 1.2-3)` and its like ask for, from what is between the parentheses; `*` when it is nothing of the kind.
/// `(= 1.2-3)` is that revision and no other. The others are never narrower than what Debian asks for, because revisions
/// do not count there: `(>> 1.2-3)` and `(<< 1.2-3)` both
/// include `1.2.0`, which 1.2-4 and 1.2-2 have become. git needs git-man `(>> 1:2.39.5)` and `(<< 1:2.39.5-.)`.
pub(super) fn requirement(debian: &str) -> Requirement {
    let wanted = debian.trim_start_matches(['<', '=', '>']);
    let (version, rest) = release(wanted.trim());
    let op = match debian.strip_suffix(wanted) {
        Some(">=" | ">>") => Op::GreaterEq,
        // With the build, which is all of Debian's version.
        Some("=") => return Requirement::exactly(&semver(wanted.trim())),
        // Whatever begins with these numbers is later than they are, but for what a tilde makes earlier.
        Some("<<") if matches!(rest, "" | "~") => Op::Less,
        Some("<<" | "<=") => Op::LessEq,
        _ => return Requirement::STAR,
    };
    let Version { major, minor, patch, pre, .. } = version;
    Requirement::of(Comparator { op, major, minor: Some(minor), patch: Some(patch), pre })
}

/// The version without a build, and what stands behind that in Debian's.
fn release(debian: &str) -> (Version, &str) {
    let upstream = match debian.split_once(':') {
        Some((epoch, upstream)) if epoch.bytes().all(|byte| byte.is_ascii_digit()) => upstream,
        _ => debian,
    };
    let (major, rest) = number(upstream);
    let (minor, rest) = further(rest);
    let (patch, rest) = further(rest);
    let version = Version::new(major, minor, patch);
    match pre_release(rest) {
        Some((pre, rest)) if version.to_string().len() + 1 + pre.len() <= MAX_VERSION => {
            (Version { pre, ..version }, rest)
        }
        _ => (version, rest),
    }
}

/// The number that `text` begins with, 0 for none, and what follows. One that is too large is as large as can be: it
/// stands in the build as it is.
fn number(text: &str) -> (u64, &str) {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    match text.strip_suffix(rest) {
        Some(digits) if !digits.is_empty() => (digits.parse().unwrap_or(u64::MAX), rest),
        _ => (0, rest),
    }
}

/// The number behind a dot, 0 for none, and what follows.
fn further(text: &str) -> (u64, &str) {
    match text.strip_prefix('.') {
        Some(after) if after.starts_with(|c: char| c.is_ascii_digit()) => number(after),
        _ => (0, text),
    }
}

/// What `~rc1`, `~beta` and `~alpha.2` say, and what follows.
fn pre_release(text: &str) -> Option<(Prerelease, &str)> {
    let text = text.strip_prefix('~')?;
    let rest = text.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let word = text.strip_suffix(rest)?.to_ascii_lowercase();
    if !UNFINISHED.contains(&word.as_str()) {
        return None;
    }
    let counted = rest.strip_prefix('.').unwrap_or(rest);
    let (pre, rest) = if counted.starts_with(|c: char| c.is_ascii_digit()) {
        let (count, rest) = number(counted);
        (format!("{word}.{count}"), rest)
    } else {
        (word, rest)
    };
    Some((Prerelease::new(&pre).ok()?, rest))
}

/// `text` as identifiers of semver. A number behind a word is one of its own, because it is compared as a number then.
fn identifiers(text: &str) -> String {
    let words =
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != ':' && c != '~').filter(|word| !word.is_empty());
    let identifiers = words.map(|word| {
        let word = word.replace([':', '~'], "-");
        let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
        let counts = letters.ends_with(|c: char| c.is_ascii_alphabetic());
        match word.strip_prefix(letters) {
            Some(number) if counts && !number.is_empty() => format!("{letters}.{number}"),
            _ => word,
        }
    });
    identifiers.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_those_of_the_table() {
        for (debian, expected) in [
            ("1:2.30.2-1+deb11u2", "2.30.2+1-2.30.2.1.deb11u.2"),
            ("3.0.0~rc1-2", "3.0.0-rc.1+3.0.0-rc.1.2"),
            ("2023.05", "2023.5.0+2023.05"),
            ("0.0~git20220216.ae108ef-2", "0.0.0+0.0-git.20220216.ae108ef.2"),
            ("5.2.15-2+b8", "5.2.15+5.2.15.2.b.8"),
            ("9e-1", "9.0.0+9e.1"),
            ("1.2.3.4-1", "1.2.3+1.2.3.4.1"),
            ("20230311", "20230311.0.0+20230311"),
            ("1.15.2~dfsg-3", "1.15.2+1.15.2-dfsg.3"),
            ("37~deb12u1", "37.0.0+37-deb12u.1"),
            ("1.0.0~BETA1-3", "1.0.0-beta.1+1.0.0-BETA.1.3"),
            ("1.0~alpha.1+git20210426.548c6f7-1", "1.0.0-alpha.1+1.0-alpha.1.git.20210426.548c6f.7.1"),
            ("0.3.6~b03-2", "0.3.6-b.3+0.3.6-b.03.2"),
            ("2.0~beta-1", "2.0.0-beta+2.0-beta.1"),
            ("0~20150919-4", "0.0.0+0-20150919.4"),
            ("99999999999999999999.1", "18446744073709551615.1.0+99999999999999999999.1"),
            // Neither is a Debian version, and neither is a reason to give up a package.
            ("snapshot", "0.0.0+snapshot"),
            ("é", "0.0.0"),
        ] {
            assert_eq!(semver(debian).to_string(), expected, "{debian}");
        }
    }

    #[test]
    fn later_is_later() {
        for (earlier, later) in [
            ("1.9-1", "1.10-1"),
            ("1.0-9", "1.0-10"),
            ("2.36-9+deb12u9", "2.36-9+deb12u10"),
            ("1.0-1", "1.0-1+b1"),
            ("1.0.0.9-1", "1.0.0.10-1"),
            ("1.0~rc9-1", "1.0~rc10-1"),
            ("1.0~rc1-1", "1.0-1"),
            ("1.0~git20220101-1", "1.0~git20230101-1"),
            ("1.1.1.1-1", "1:1.1.1-1"),
            ("0.5.10.2+really0.5.11-9", "0.5.11+git20210903+057cd650a4ed-3"),
        ] {
            assert!(semver(earlier) < semver(later), "{earlier} {later}");
        }
    }

    #[test]
    fn a_long_version_keeps_its_end() {
        let version = semver("1.0+git20180422.6becd92d7fce3fc411d7c0123456789abcdef0123456789-6+b12").to_string();
        assert_eq!(version.len(), MAX_VERSION);
        assert!(version.starts_with("1.0.0+") && version.ends_with(".6.b.12"), "{version}");
    }

    #[test]
    fn requirements_take_what_debian_would() {
        for (debian, expected, taken) in [
            (">= 1:1.2.2", ">=1.2.2", "1:1.2.2-1"),
            (">> 1:2.39.5", ">=2.39.5", "1:2.39.5-0+deb12u3"),
            ("<< 1:2.39.5-.", "<=2.39.5", "1:2.39.5-0+deb12u3"),
            ("= 2:9.0.1378-2+deb12u2", "=9.0.1378+2-9.0.1378.2.deb12u.2", "2:9.0.1378-2+deb12u2"),
            ("<< 3.12", "<3.12.0", "3.11.2-1+b1"),
            ("<< 3.12~", "<3.12.0", "3.11.2-1+b1"),
            ("<= 0.0.26-3", "<=0.0.26", "0.0.26-3"),
            (">= 3.1~", ">=3.1.0", "3.4-1+b6"),
            (">=1.0", ">=1.0.0", "1.0"),
            ("= 1.0~rc2-10.5", "=1.0.0-rc.2+1.0-rc.2.10.5", "1.0~rc2-10.5"),
            ("< 1", "*", "7"),
            ("1", "*", "7"),
            ("", "*", "7"),
        ] {
            let requirement = requirement(debian);
            assert_eq!(requirement.to_string(), expected, "{debian}");
            assert!(requirement.matches(&semver(taken)), "{debian} {taken}");
        }
        assert!(!requirement("<< 3.12").matches(&semver("3.12.1-1")));
        assert!(!requirement("= 3.12-1").matches(&semver("3.12-2")));
    }

    proptest! {
        #[test]
        fn any_version_has_one_that_is_short_enough(
            debian in "([0-9]{1,3}:)?[0-9]{1,25}(\\.[0-9]{1,25}){0,4}[A-Za-z0-9.+~:-]{0,60}|.{0,120}|~(rc|b)\\.?[0-9]{0,70}",
        ) {
            let version = semver(&debian);
            let text = version.to_string();
            prop_assert!(text.len() <= MAX_VERSION, "{}", text);
            prop_assert_eq!(Version::parse(&text).unwrap(), version);
        }

        #[test]
        fn a_release_fulfils_what_asks_for_it(version in "([1-9]:)?[0-9]{1,3}(\\.[0-9]{1,3}){0,3}(~(rc|git|dfsg)[0-9]{0,3})?(\\+[a-z0-9]{1,9})?(-[0-9]{1,2})?") {
            for op in [">=", "=", "<="] {
                let requirement = requirement(&format!("{op} {version}"));
                prop_assert!(requirement.matches(&semver(&version)), "{}", requirement);
                prop_assert_eq!(Requirement::read(&requirement.to_string()).unwrap(), requirement);
            }
        }
    }
}
