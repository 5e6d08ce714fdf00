//! Rewords serde's errors about a TOML file in TOML's terms instead of Rust's types.

/// Rewords a message of serde for a person who writes TOML. An unknown form stays as it is.
pub fn in_toml(message: &str) -> String {
    let told = mismatch(message)
        .or_else(|| missing(message))
        .or_else(|| unknown(message));
    told.unwrap_or_else(|| message.to_owned())
}

/// Rewords `invalid type: string "x", expected a sequence`.
fn mismatch(message: &str) -> Option<String> {
    let rest = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))?;
    let (found, expected) = rest.rsplit_once(", expected ")?;
    let number = |kind: &str| {
        Some(format!(
            "the number {}",
            found.strip_prefix(kind)?.trim_matches('`')
        ))
    };
    let found = match found {
        "map" => "a table".to_owned(),
        "sequence" => "a list".to_owned(),
        _ if found.starts_with("string ") => {
            format!("the text {}", found.trim_start_matches("string "))
        }
        _ if found.starts_with("boolean ") => found
            .trim_start_matches("boolean ")
            .trim_matches('`')
            .to_owned(),
        _ => number("integer ")
            .or_else(|| number("floating point "))
            .unwrap_or_else(|| found.to_owned()),
    };
    let expected = match expected {
        "a sequence" => "a list in square brackets",
        "a string" | "a borrowed string" | "string or table" => "a text in quotes",
        "a boolean" => "true or false",
        "a map" => "a table",
        "f32" | "f64" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize" => {
            "a whole number"
        }
        _ if expected.starts_with("struct ") => "a table in curly brackets",
        other => other,
    };
    Some(format!("found {found}, expected {expected}"))
}

/// Rewords ``missing field `x` ``.
fn missing(message: &str) -> Option<String> {
    let key = message.strip_prefix("missing field `")?.strip_suffix('`')?;
    Some(format!("the key {key} is missing"))
}

/// Rewords ``unknown field `x`, expected one of `a`, `b` ``, and the same for variants.
fn unknown(message: &str) -> Option<String> {
    let (is_key, rest) = match message.strip_prefix("unknown field `") {
        Some(rest) => (true, rest),
        None => (false, message.strip_prefix("unknown variant `")?),
    };
    let (given, known) = rest.split_once('`')?;
    let known = known
        .trim_start_matches(", ")
        .trim_start_matches("expected ")
        .trim_start_matches("one of ");
    let known = known.replace('`', "").replace(" or ", ", ");
    Some(match is_key {
        true => format!("unknown key {given}; the known keys are {known}"),
        false => format!("\"{given}\" is not one of {known}"),
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::in_toml;
    use crate::domain::manifest::Draft;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Numbers {
        whole: Option<u16>,
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Dark,
        Light,
    }

    /// Uses the parser's real errors, so that a changed wording in a new version is noticed.
    #[test]
    fn no_error_speaks_of_types() {
        let draft = |text: &str| {
            let text = format!("name = \"x\"\nversion = \"1.0.0\"\n{text}");
            in_toml(toml::from_str::<Draft>(&text).unwrap_err().message())
        };
        for (text, said) in [
            (
                "dependencies = \"alice/json\"",
                "found the text \"alice/json\", expected a list in square brackets",
            ),
            (
                "dependencies = [\"alice/json\"]",
                "found the text \"alice/json\", expected a table in curly brackets",
            ),
            (
                "[dependencies]\njson = \"1\"",
                "found a table, expected a list in square brackets",
            ),
            (
                "dependencies = [{ package = \"a/b\" }]",
                "the key requirement is missing",
            ),
            (
                "dependencies = [{ package = \"a/b\", req = \"1\" }]",
                "unknown key req; the known keys are package, handle, name, requirement, \
                optional, kind, extras, under, marker, platform",
            ),
            (
                "dependencies = [{ package = \"a/b\", requirement = \"1\", optional = \"yes\" }]",
                "found the text \"yes\", expected true or false",
            ),
            (
                "tags = [1]",
                "found the number 1, expected a text in quotes",
            ),
            ("title = true", "found true, expected a text in quotes"),
            (
                "description = 1.5",
                "found the number 1.5, expected a text in quotes",
            ),
            (
                "authors = {}",
                "found a table, expected a list in square brackets",
            ),
        ] {
            assert_eq!(draft(text), said, "{text}");
        }
        let version = toml::from_str::<Draft>("name = \"x\"\nversion = 1").unwrap_err();
        assert_eq!(
            in_toml(version.message()),
            "found the number 1, expected a text in quotes"
        );
        let numbers = |text: &str| in_toml(toml::from_str::<Numbers>(text).unwrap_err().message());
        assert_eq!(
            numbers("whole = \"x\""),
            "found the text \"x\", expected a whole number"
        );
        assert_eq!(
            numbers("kind = \"blue\""),
            "\"blue\" is not one of dark, light"
        );
        assert_eq!(in_toml("duplicate key"), "duplicate key");
    }
}
