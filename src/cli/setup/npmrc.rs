//! Edits `.npmrc`, which npm, pnpm, yarn 1 and bun read, and keeps everything else in it. Pure.
//!
//! Some of them do not support comments after a value, so each of our lines follows a comment line.

/// Begins the comment above each of our lines.
const MARK: &str = "# swarmdex: ";

/// A setting to write, with its reason.
pub struct Setting {
    pub key: String,
    pub value: String,
    pub reason: String,
}

/// Adds settings to a file, in place of our earlier ones.
///
/// # Errors
/// As [`append`].
pub fn add(text: &str, settings: &[Setting]) -> Result<String, String> {
    append(&remove(text), settings)
}

/// Appends settings to a file.
///
/// # Errors
/// One of them is set already; the text is the end of a sentence.
pub fn append(text: &str, settings: &[Setting]) -> Result<String, String> {
    let mut text = text.to_owned();
    let has = |key: &str| {
        text.lines()
            .filter_map(|line| line.split_once('='))
            .find(|(other, _)| other.trim() == key)
    };
    if let Some((key, value)) = settings.iter().find_map(|setting| has(&setting.key)) {
        return Err(format!(
            "it has {} = {} already; remove that line first",
            key.trim(),
            shown(key, value)
        ));
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for Setting { key, value, reason } in settings {
        text.push_str(&format!("{MARK}{reason}\n{key}={value}\n"));
    }
    Ok(text)
}

/// Hides tokens.
fn shown<'a>(key: &str, value: &'a str) -> &'a str {
    if key.trim().ends_with("registry") {
        value.trim()
    } else {
        "something else"
    }
}

/// Returns our keys in the file.
pub fn ours(text: &str) -> Vec<&str> {
    let marked = text
        .lines()
        .zip(text.lines().skip(1))
        .filter(|(mark, _)| mark.starts_with(MARK));
    marked
        .filter_map(|(_, line)| line.split_once('=').map(|(key, _)| key))
        .collect()
}

/// Removes what [`add`] put into the file.
pub fn remove(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        match line.starts_with(MARK) {
            true => drop(lines.next()),
            false => kept.push_str(line),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn setting(key: &str, value: &str) -> Setting {
        Setting {
            key: key.to_owned(),
            value: value.to_owned(),
            reason: "because".to_owned(),
        }
    }

    #[test]
    fn what_is_there_stays_and_ours_goes_in_and_out() {
        for theirs in ["", "# mine\nsave-exact = true\n; more\n"] {
            let ours = |port| {
                [setting(
                    "@team:registry",
                    &format!("http://127.0.0.1:{port}/npm/"),
                )]
            };
            let added = add(theirs, &ours(4810)).unwrap();
            assert_eq!(
                added,
                format!("{theirs}# swarmdex: because\n@team:registry=http://127.0.0.1:4810/npm/\n")
            );
            assert_eq!(
                add(&added, &ours(4810)).unwrap(),
                added,
                "it can be repeated"
            );
            assert!(
                !add(&added, &ours(4811)).unwrap().contains("4810"),
                "an earlier address goes"
            );
            assert_eq!(super::ours(&added), ["@team:registry"]);
            assert_eq!(remove(&added), theirs);
        }
    }

    #[test]
    fn what_is_somebody_elses_is_never_replaced() {
        let theirs = "registry = https://work.example/\n//h/npm/:_authToken=secret";
        assert!(
            add(theirs, &[setting("registry", "x")])
                .unwrap_err()
                .contains("https://work.example/")
        );
        let refused = add(theirs, &[setting("//h/npm/:_authToken", "x")]).unwrap_err();
        assert!(!refused.contains("secret"), "{refused}");
        assert_eq!(remove(theirs), theirs);
        assert!(
            add(theirs, &[setting("@a:registry", "x")])
                .unwrap()
                .starts_with(&format!("{theirs}\n"))
        );
    }

    proptest! {
        #[test]
        fn any_file_keeps_what_is_in_it(theirs in "([a-z@:/=# ]{0,20}\n){0,5}") {
            if let Ok(added) = add(&theirs, &[setting("registry", "http://127.0.0.1:1/npm/")]) {
                prop_assert_eq!(remove(&added), theirs);
            }
        }
    }
}
