//! The arrows between the folders of `src/` are those that ARCHITECTURE.md's table allows, and
//! there is no circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Top-level modules that are there for everybody: an error is told everywhere, and `lib.rs` names
/// it at the top.
const EVERYWHERE: [&str; 1] = ["error"];

/// Rust files below a directory, without those that are tests only.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        match path.is_dir() {
            _ if stem == "tests" => {}
            true => found.extend(files(&path)),
            false if path.extension().is_some_and(|ext| ext == "rs") => found.push(path),
            false => {}
        }
    }
    found
}

/// The code of a file without comments, and without the tests at its end.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..end]
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// First words of the paths that begin with `crate::`, of those in braces too.
fn named(code: &str) -> BTreeSet<String> {
    let word = |text: &str| {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let mut names = BTreeSet::new();
    for (at, start) in code.match_indices("crate::") {
        // A macro's `$crate::` and a name that ends so are something else.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '$' || c == '_') {
            continue;
        }
        let rest = &code[at + start.len()..];
        let Some(braced) = rest.strip_prefix('{') else {
            names.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut from = 0;
        for (place, c) in braced.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => {
                    names.insert(word(&braced[from..place]));
                    break;
                }
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    names.insert(word(&braced[from..place]));
                    from = place + 1;
                }
                _ => {}
            }
        }
    }
    names
        .into_iter()
        .filter(|name| !name.is_empty())
        .map(|name| module_of(&name))
        .collect()
}

/// What `lib.rs` lifts to the top belongs to a module all the same.
fn module_of(name: &str) -> String {
    if matches!(name, "RegistryError" | "Result") {
        "error"
    } else {
        name
    }
    .to_owned()
}

fn drawn() -> Arrows {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut arrows = Arrows::new();
    for path in files(&src) {
        let first = path
            .strip_prefix(&src)
            .unwrap()
            .components()
            .next()
            .unwrap();
        let from = first
            .as_os_str()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs")
            .to_owned();
        if ["lib", "main"].contains(&from.as_str()) {
            continue;
        }
        let to = named(&code(&fs::read_to_string(&path).unwrap()));
        let to = to
            .into_iter()
            .filter(|to| *to != from && !EVERYWHERE.contains(&to.as_str()));
        arrows.entry(from.clone()).or_default().extend(to);
    }
    arrows
}

/// The table's third column, by the folders in its first. `everything` stands for itself.
fn allowed() -> Arrows {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    let rows = text
        .lines()
        .skip_while(|line| !line.starts_with("| Folder |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut arrows = Arrows::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [folders, _, to] = cells[..] else {
            panic!("a row of the table has {} cells: {row}", cells.len())
        };
        let folder = |text: &str| {
            text.trim_matches(['`', ' '])
                .trim_end_matches('/')
                .trim_end_matches(".rs")
                .to_owned()
        };
        let to: BTreeSet<String> = to
            .split(',')
            .map(folder)
            .filter(|to| !to.is_empty() && to != "nothing")
            .collect();
        for from in folders.split(',') {
            arrows.insert(folder(from), to.clone());
        }
    }
    assert!(arrows.len() > 15, "the table was not found");
    arrows
}

#[test]
fn the_table_has_every_arrow_and_no_other() {
    let (drawn, allowed) = (drawn(), allowed());
    let everything = BTreeSet::from(["everything".to_owned()]);
    let mut wrong = Vec::new();
    for (from, to) in &drawn {
        match allowed.get(from) {
            None => wrong.push(format!("{from} is not in the table")),
            Some(may) if *may == everything => {}
            Some(may) => {
                wrong.extend(
                    to.difference(may)
                        .map(|to| format!("{from} uses {to}, which the table does not have")),
                );
                wrong.extend(
                    may.difference(to)
                        .map(|to| format!("{from} may use {to} by the table, and does not")),
                );
            }
        }
    }
    wrong.extend(
        allowed
            .keys()
            .filter(|from| !drawn.contains_key(*from))
            .map(|from| format!("{from} is in the table only")),
    );
    assert!(
        wrong.is_empty(),
        "ARCHITECTURE.md's table and the code differ:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_arrow_leads_back() {
    let mut left = drawn();
    // Whoever uses nothing that is left can be built; with a circle, somebody never can.
    loop {
        let built: Vec<String> = left
            .iter()
            .filter(|(_, to)| to.is_empty())
            .map(|(from, _)| from.clone())
            .collect();
        if built.is_empty() {
            break;
        }
        left.retain(|from, _| !built.contains(from));
        left.values_mut()
            .for_each(|to| to.retain(|to| !built.contains(to)));
    }
    assert!(
        left.is_empty(),
        "these use each other in a circle: {left:?}"
    );
}

#[test]
fn an_arrow_is_found_however_it_is_written() {
    let found = named(
        "use crate::{net::{a, b}, Result, store::c};\nfn f() { crate::ui::x(); $crate::macros!(); }",
    );
    assert_eq!(
        found,
        ["error", "net", "store", "ui"].map(str::to_owned).into()
    );
    assert!(!code("use a; // crate::net\n#[cfg(test)]\nmod tests {\n crate::ui").contains("crate"));
}
