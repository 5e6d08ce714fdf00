//! Edits `.yarnrc.yml` and `pnpm-workspace.yaml` line by line, and keeps everything else in them:
//! YAML libraries lose comments. Pure.

/// Ends each of our lines.
const MARK: &str = " # swarmdex";

/// Sets a top-level key.
///
/// # Errors
/// The key has another value; the text is the end of a sentence.
pub fn set(text: &str, key: &str, value: &str) -> Result<String, String> {
    match text.lines().find_map(|line| value_of(line, key)) {
        Some(other) => Err(format!(
            "it has {key}: {other} already; remove that line first"
        )),
        None => Ok(appended(text, &format!("{key}: {value}{MARK}\n"))),
    }
}

/// Adds an entry below a top-level key, which may have other entries. The lines are indented
/// relative to the entry.
///
/// # Errors
/// The key's entries are in flow style, or one begins like the first line of this one; the text is
/// the end of a sentence.
pub fn add_below(text: &str, key: &str, entry: &[String]) -> Result<String, String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let Some(at) = lines.iter().position(|line| value_of(line, key).is_some()) else {
        let below = written(entry, 2);
        return Ok(appended(text, &format!("{key}:{MARK}\n{below}")));
    };
    if value_of(lines.get(at).copied().unwrap_or_default(), key)
        .is_some_and(|value| !value.is_empty())
    {
        return Err(format!(
            "its {key} is on one line; put each of its entries on a line below it"
        ));
    }
    let (before, after) = lines.split_at(at + 1);
    let is_inner = |line: &&&str| indent(line) > 0 || line.starts_with("- ") || is_nothing(line);
    let inner: Vec<&str> = after
        .iter()
        .take_while(is_inner)
        .copied()
        .filter(|line| !is_nothing(line))
        .collect();
    let first = entry.first().map(|line| unquoted(line)).unwrap_or_default();
    let steps = inner.first().map_or(2, |line| indent(line));
    let is_taken =
        |line: &&str| indent(line) == steps && unquoted(without_comment(line).trim()) == first;
    if inner.iter().any(is_taken) {
        // An item that a list has already is not added again.
        return match first.starts_with("- ") {
            true => Ok(text.to_owned()),
            false => Err(format!(
                "its {key} has {} already; remove that first",
                first.trim_end_matches(':')
            )),
        };
    }
    let before = before.concat();
    let newline = if before.ends_with('\n') { "" } else { "\n" };
    Ok(format!(
        "{before}{newline}{}{}",
        written(entry, steps),
        after.concat()
    ))
}

/// Returns our lines, without the comment at their end.
pub fn ours(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| line.strip_suffix(MARK))
        .collect()
}

/// Removes our lines. Keeps a key of ours if someone else has added lines below it.
pub fn remove(text: &str) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut kept = String::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(ours) = line.trim_end().strip_suffix(MARK) else {
            kept.push_str(line);
            continue;
        };
        let mut below = lines.iter().skip(at + 1).filter(|line| !is_nothing(line));
        let is_below =
            |line: &&&str| indent(line) > indent(ours) || line.trim_start().starts_with("- ");
        let has_theirs = |line: &&str| !line.trim_end().ends_with(MARK);
        if ours.ends_with(':')
            && below
                .by_ref()
                .take_while(|line| is_below(line))
                .any(has_theirs)
        {
            kept.push_str(ours);
            kept.push('\n');
        }
    }
    kept
}

fn appended(text: &str, more: &str) -> String {
    let newline = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    format!("{text}{newline}{more}")
}

fn written(entry: &[String], steps: usize) -> String {
    entry
        .iter()
        .map(|line| format!("{:steps$}{line}{MARK}\n", ""))
        .collect()
}

/// Returns the text after a top-level key on its line.
fn value_of<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(key).or_else(|| {
        let quoted = line.strip_prefix(['"', '\''])?.strip_prefix(key)?;
        quoted.strip_prefix(['"', '\''])
    });
    Some(without_comment(rest?.strip_prefix(':')?).trim())
}

fn without_comment(line: &str) -> &str {
    line.split_once(" #").map_or(line, |(line, _)| line)
}

fn unquoted(line: &str) -> String {
    line.replace(['"', '\''], "")
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Returns true for an empty line or a comment.
fn is_nothing(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scope(name: &str) -> Vec<String> {
        vec![
            format!("{name}:"),
            "  npmRegistryServer: \"http://127.0.0.1:4810/npm/\"".to_owned(),
        ]
    }

    #[test]
    fn what_is_there_stays_and_ours_goes_in_and_out() {
        const SERVER: &str = "npmRegistryServer: \"http://127.0.0.1:4810/npm/\" # swarmdex\n";
        for (theirs, expected) in [
            (
                "",
                format!("npmScopes: # swarmdex\n  team: # swarmdex\n    {SERVER}"),
            ),
            (
                "# mine\nnodeLinker: pnp # old\n",
                format!(
                    "# mine\nnodeLinker: pnp # old\nnpmScopes: # swarmdex\n  team: # swarmdex\n    \
                     {SERVER}"
                ),
            ),
            (
                "npmScopes: # theirs\n    work:\n        a: 1\nnodeLinker: pnp\n",
                format!(
                    "npmScopes: # theirs\n    team: # swarmdex\n      {SERVER}    work:\n        \
                     a: 1\nnodeLinker: pnp\n"
                ),
            ),
            (
                "npmScopes:\n\n  # theirs\n  work: {}\n",
                format!("npmScopes:\n  team: # swarmdex\n    {SERVER}\n  # theirs\n  work: {{}}\n"),
            ),
        ] {
            let added = add_below(theirs, "npmScopes", &scope("team")).unwrap();
            assert_eq!(added, expected);
            let added = set(&added, "npmMinimalAgeGate", "0").unwrap();
            assert_eq!(
                added,
                format!("{expected}npmMinimalAgeGate: 0 # swarmdex\n")
            );
            assert_eq!(remove(&added), theirs);
        }
    }

    #[test]
    fn a_list_may_be_there_and_may_have_it() {
        let entry = ["- \"127.0.0.1\"".to_owned()];
        for (theirs, expected) in [
            (
                "list:\n- a.example\n",
                "list:\n- \"127.0.0.1\" # swarmdex\n- a.example\n",
            ),
            (
                "list:\n  - a.example\n",
                "list:\n  - \"127.0.0.1\" # swarmdex\n  - a.example\n",
            ),
            ("list:\n  - '127.0.0.1'\n", "list:\n  - '127.0.0.1'\n"),
        ] {
            let added = add_below(theirs, "list", &entry).unwrap();
            assert_eq!(added, expected);
            assert_eq!(remove(&added), theirs);
        }
    }

    #[test]
    fn what_is_somebody_elses_is_never_replaced() {
        assert!(set("a: 1\n", "a", "0").unwrap_err().contains("a: 1"));
        assert!(add_below("npmScopes: {work: {}}\n", "npmScopes", &scope("team")).is_err());
        assert!(
            add_below(
                "npmScopes:\n  'team':\n    x: 1\n",
                "npmScopes",
                &scope("team")
            )
            .unwrap_err()
            .contains("team")
        );
        let ours = add_below("", "npmScopes", &scope("team")).unwrap();
        let both = format!("{ours}  work:\n    npmRegistryServer: \"https://work.example/\"\n");
        assert_eq!(
            remove(&both),
            "npmScopes:\n  work:\n    npmRegistryServer: \"https://work.example/\"\n"
        );
    }

    proptest! {
        #[test]
        fn any_file_keeps_what_is_in_it(theirs in "((npmScopes|a|b):( x| # c)?\n|  (work|c):( \
                                                   1)?\n|# c\n|\n){0,6}") {
            if let Ok(added) = add_below(&theirs, "npmScopes", &scope("team")) {
                prop_assert_eq!(remove(&added), theirs);
            }
        }
    }
}
