//! npm's names, versions and ranges: names of existing packages as in `validate-npm-package-name`
//! 7, the rest as in `semver` 7.8 without `loose`. The npm command itself is looser and guesses at
//! invalid input.

mod range;
mod version;

pub(super) use range::Requirement;
pub(super) use version::Version;

use super::InvalidText;

/// Returns the name unchanged, with its scope: JSONStream and jsonstream are two packages.
///
/// Names of existing packages are accepted, with the capitals and the `~'!()*` that new packages
/// may no longer have. Two things that npm accepts are rejected: names of more than 214 bytes,
/// allowed for old packages, and `node_modules` in a scope, which would be taken for a directory of
/// packages.
pub(super) fn normalise(name: &str) -> Result<String, InvalidText> {
    let own = match name.strip_prefix('@') {
        Some(scoped) => {
            let Some((scope, own)) = scoped.split_once('/') else {
                return Err(InvalidText::because(
                    "begins with @ but has no slash after the scope: write @scope/name",
                ));
            };
            check(scope)?;
            if own.starts_with('.') {
                return Err(InvalidText::because(
                    "must not begin its second part with a dot",
                ));
            }
            own
        }
        None => {
            if name.starts_with(['.', '-', '_']) {
                return Err(InvalidText::because(
                    "must not begin with a dot, a hyphen or an underscore",
                ));
            }
            if name.eq_ignore_ascii_case("favicon.ico") {
                return Err(InvalidText::because("is reserved by npm"));
            }
            name
        }
    };
    check(own)?;
    if own.eq_ignore_ascii_case("node_modules") {
        return Err(InvalidText::because(
            "is reserved for the directory of packages",
        ));
    }
    Ok(name.to_owned())
}

/// Checks a scope or a name in one: characters that need no escaping in a URL.
fn check(part: &str) -> Result<(), InvalidText> {
    if part.is_empty() {
        return Err(InvalidText::because("has an empty part beside its slash"));
    }
    if !part
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-_.~'!()*".contains(&b))
    {
        return Err(InvalidText::because(
            "may only have letters, digits and -_.~'!()*, and one slash after a scope",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_npm_takes_for_packages_that_exist() {
        for name in [
            "a",
            "JSONStream",
            "left-pad",
            "http",
            "a..",
            "a.b",
            "@babel/core",
            "@a/_b",
            "@a/-b",
            "@_a/b",
            "@../b",
            "hs!",
            "@a/favicon.ico",
            "7",
            "a~b'()*",
        ] {
            assert_eq!(normalise(name).as_deref(), Ok(name));
        }
        for bad in [
            ".",
            "..",
            ".a",
            "_a",
            "-a",
            "a/b",
            "@a",
            "@a/",
            "@/a",
            "@/",
            "@a/b/c",
            "@a/.b",
            "@a/..",
            "node_modules",
            "Node_Modules",
            "@a/node_modules",
            "favicon.ico",
            "a b",
            " a",
            "a%2fb",
            "a\\b",
            "é",
            "a@b",
            "@@a/b",
            "a?b",
            "a#b",
            "a:b",
            "a+b",
            "a\0",
        ] {
            assert!(normalise(bad).is_err(), "{bad}");
        }
    }
}
