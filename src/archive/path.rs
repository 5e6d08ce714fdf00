//! Rules for paths in archives. Packing and unpacking share them, so each accepts the other's
//! result.
//!
//! A link's target may climb and then descend, but never climb again. Seen from the link's
//! directory, which is a real one, the climb ends inside the tree, and the descent leads through
//! directories and links that follow the same rule. A target such as `a/../..` would climb from the
//! target of `a`.

use crate::domain::text::is_unsafe_char;

/// Longest path in bytes: well below system limits, to leave room for the destination.
pub const MAX_PATH: usize = 1_024;
/// Longest file name in bytes, as on most file systems.
pub const MAX_NAME: usize = 255;

/// The reason why a path is not allowed in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    #[error("is not UTF-8")]
    NotText,
    #[error("is longer than {MAX_PATH} bytes, or one of its names longer than {MAX_NAME}")]
    TooLong,
    #[error("is absolute")]
    Absolute,
    #[error("climbs with ..")]
    Climbs,
    #[error("has an empty name, or a single dot for one")]
    Empty,
    #[error("has a backslash, or a control or invisible character")]
    Unsafe,
    #[error("begins with a drive, as on Windows")]
    Drive,
}

/// The reason why a symbolic link is not allowed in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLink {
    #[error(
        "that is not UTF-8, empty, longer than {MAX_PATH} bytes, or has a backslash or a control \
        character"
    )]
    NotText,
    #[error("that is absolute")]
    Absolute,
    #[error("that leads out of the directory")]
    Leaves,
    #[error("that climbs with .. after it went down")]
    Winding,
}

/// Returns `path` as text if it is relative, does not climb, and means the same on every system.
///
/// # Errors
/// The rule that it breaks.
pub fn check(path: &[u8]) -> Result<&str, BadPath> {
    let path = std::str::from_utf8(path).map_err(|_| BadPath::NotText)?;
    if path.starts_with('/') {
        return Err(BadPath::Absolute);
    }
    if path.len() > MAX_PATH {
        return Err(BadPath::TooLong);
    }
    for name in path.split('/') {
        let drive = matches!(name.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
        if name == ".." {
            return Err(BadPath::Climbs);
        } else if matches!(name, "" | ".") {
            return Err(BadPath::Empty);
        } else if name.len() > MAX_NAME {
            return Err(BadPath::TooLong);
        } else if name.chars().any(is_unsafe) {
            return Err(BadPath::Unsafe);
        } else if drive {
            return Err(BadPath::Drive);
        }
    }
    Ok(path)
}

/// Returns `target` as text if the link at `path`, which passed [`check`], stays in the tree.
///
/// # Errors
/// The rule that it breaks.
pub fn check_link<'a>(path: &str, target: &'a [u8]) -> Result<&'a str, BadLink> {
    let target = std::str::from_utf8(target).map_err(|_| BadLink::NotText)?;
    if target.is_empty() || target.len() > MAX_PATH || target.chars().any(is_unsafe) {
        return Err(BadLink::NotText);
    }
    if target.starts_with('/')
        || matches!(target.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic())
    {
        return Err(BadLink::Absolute);
    }
    let mut above = path.split('/').count() - 1;
    let mut down = false;
    for name in target.split('/').filter(|name| !matches!(*name, "" | ".")) {
        match name {
            ".." if down => return Err(BadLink::Winding),
            ".." => above = above.checked_sub(1).ok_or(BadLink::Leaves)?,
            _ => down = true,
        }
    }
    Ok(target)
}

/// Returns true for unsafe characters. Joiners are allowed, because some languages and emoji need
/// them.
fn is_unsafe(c: char) -> bool {
    c == '\\' || is_unsafe_char(c) && !matches!(c, '\u{200c}' | '\u{200d}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_where_they_are() {
        for good in [
            "a",
            "a/b",
            "...",
            "a..b/..c",
            "Über mich.md",
            "می\u{200c}خواهم",
            ".hidden",
            "aa:b",
            &"x".repeat(255),
        ] {
            assert_eq!(check(good.as_bytes()), Ok(good));
        }
        let long = ["x"; 600].join("/");
        for (bad, why) in [
            ("/a", BadPath::Absolute),
            ("//a", BadPath::Absolute),
            ("..", BadPath::Climbs),
            ("a/../../b", BadPath::Climbs),
            ("", BadPath::Empty),
            ("a//b", BadPath::Empty),
            ("a/", BadPath::Empty),
            ("./a", BadPath::Empty),
            ("a\\b", BadPath::Unsafe),
            ("a\0b", BadPath::Unsafe),
            ("a\nb", BadPath::Unsafe),
            ("\u{1b}[2J", BadPath::Unsafe),
            ("gpj\u{202e}.exe", BadPath::Unsafe),
            ("C:", BadPath::Drive),
            ("a/c:x", BadPath::Drive),
            (&"x".repeat(256), BadPath::TooLong),
            (&long, BadPath::TooLong),
        ] {
            assert_eq!(check(bad.as_bytes()), Err(why), "{bad}");
        }
        assert_eq!(check(b"a\xff"), Err(BadPath::NotText));
    }

    #[test]
    fn links_stay_in_the_tree() {
        for (path, target) in [
            ("a", "b"),
            ("a/b", ".."),
            ("a/b/c", "../../d/e/"),
            ("a", "."),
            ("a", "./b"),
            ("a", "a"),
        ] {
            assert_eq!(check_link(path, target.as_bytes()), Ok(target), "{path}");
        }
        for (path, target, why) in [
            ("a", "..", BadLink::Leaves),
            ("a/b", "../../c", BadLink::Leaves),
            ("a/b", "./.././../c", BadLink::Leaves),
            ("a", "/etc", BadLink::Absolute),
            ("a", "C:\\x", BadLink::NotText),
            ("a", "C:x", BadLink::Absolute),
            ("a", "b/..", BadLink::Winding),
            ("a/b", "../c/../../d", BadLink::Winding),
            ("a", "", BadLink::NotText),
            ("a", "b\0c", BadLink::NotText),
        ] {
            assert_eq!(
                check_link(path, target.as_bytes()),
                Err(why),
                "{path} {target}"
            );
        }
    }
}
