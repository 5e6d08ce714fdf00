//! Names of generic packages, and of packages in ecosystems that this version does not know.

use super::InvalidText;

/// Longest name of a generic package.
const MAX_NAME: usize = 64;

/// Normalises `[A-Za-z0-9][A-Za-z0-9._-]{0,63}` to lower case.
pub(super) fn normalise(name: &str) -> Result<String, InvalidText> {
    if name.len() > MAX_NAME {
        return Err(InvalidText::because("is longer than 64 characters"));
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(InvalidText::because("must start with a letter or a digit"));
    }
    if !name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    {
        return Err(InvalidText::because(
            "may only have letters, digits, dots, underscores and hyphens",
        ));
    }
    Ok(name.to_ascii_lowercase())
}

/// Accepts visible ASCII unchanged, for an unknown ecosystem.
pub(super) fn any_name(name: &str) -> Result<String, InvalidText> {
    if name.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(name.to_owned())
    } else {
        Err(InvalidText::because(
            "may only have visible ASCII characters",
        ))
    }
}
