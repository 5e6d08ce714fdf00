//! File names of releases.

use super::limit;
use crate::domain::{
    name::WrittenName,
    text::{as_file, is_unsafe_char},
    version::VersionText,
};

/// File name suffix of a Debian index stanza that stands in for a package that was not available.
pub const DESCRIPTION: &str = ".control";

/// Returns the release's name and version as a valid file name.
pub fn file_of(name: &WrittenName, version: &VersionText) -> String {
    format!("{}-{}", as_file(name.as_str()), as_file(version.as_str()))
}

/// Checks that a name is a single file in any directory on any system.
pub(crate) fn check_file(file: &str) -> Result<(), String> {
    let wrong = if file.is_empty() || file.len() > limit::FILE {
        "must have 1 to 160 bytes"
    } else if file.starts_with(['.', '-']) || file.ends_with(['.', ' ']) {
        "must not begin with a dot or a hyphen, nor end with a dot or a space"
    } else if file
        .chars()
        .any(|c| is_unsafe_char(c) || r#"/\:*?"<>|"#.contains(c))
    {
        "is not a safe file name: it has a character that is special to some system or terminal"
    } else {
        return Ok(());
    };
    Err(wrong.to_owned())
}
