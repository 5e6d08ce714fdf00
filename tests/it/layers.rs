//! The imports between the folders of `src/` are those in ARCHITECTURE.md's table, without cycles.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Modules that everyone may use: errors are shared, and `lib.rs` re-exports them.
const EVERYWHERE: [&str; 1] = ["error"];

/// Returns the Rust files below a directory, without test files.
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

/// Returns the code of a file, without comments and the tests at its end.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..end]
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns every path in the code that begins with `crate` or `super`, also within braces, as
/// segments.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            // Skip `$crate::` of macros, longer names, and segments within a path.
            let before = |c: char| c.is_alphanumeric() || "$_:".contains(c);
            if !code[..at].ends_with(before) {
                spread(&code[at..], &mut Vec::new(), &mut found);
            }
        }
    }
    found
}

/// Adds the path at the beginning of a text, or each path in its braces; returns the rest.
fn spread<'a>(text: &'a str, words: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = spread(rest, &mut words.clone(), found).trim_start();
            match rest.strip_prefix(',') {
                Some(after) => rest = after,
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let (word, mut rest) = text.split_at(end);
    if !word.is_empty() {
        words.push(word.to_owned());
    }
    if let Some(after) = rest.strip_prefix("::").filter(|_| !word.is_empty()) {
        return spread(after, words, found);
    }
    if !words.is_empty() {
        found.push(words.clone());
    }
    if let Some(after) = rest.trim_start().strip_prefix("as ") {
        rest = after.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_' || c == ' ');
    }
    rest
}

/// Returns the first segments of the paths that begin with `crate::`.
fn named(code: &str) -> BTreeSet<String> {
    let of_crate = paths(code).into_iter().filter_map(|path| {
        let mut words = path.into_iter();
        (words.next()? == "crate").then(|| words.next())?
    });
    of_crate.map(|name| module_of(&name)).collect()
}

/// Returns the module of an item that `lib.rs` re-exports.
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

/// Returns the services of the registry and their uses of each other. The files beside their
/// folders are its interface and may use all of them.
fn services() -> Arrows {
    let registry = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/registry");
    let mut arrows = Arrows::new();
    for path in files(&registry) {
        let place = path.strip_prefix(&registry).unwrap().with_extension("");
        let mut module: Vec<String> = place
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .collect();
        if module.len() < 2 {
            continue;
        }
        let from = module[0].clone();
        if module.last().unwrap() == "mod" {
            module.pop();
        }
        for path in paths(&code(&fs::read_to_string(&path).unwrap())) {
            let to = within_registry(&module, &path);
            arrows
                .entry(from.clone())
                .or_default()
                .extend(to.filter(|to| *to != from));
        }
    }
    arrows
}

/// Returns the part of the registry that a path leads to from one of its modules; `None` if it
/// leads elsewhere.
fn within_registry(module: &[String], path: &[String]) -> Option<String> {
    let ups = path.iter().take_while(|word| *word == "super").count();
    let from_root: Vec<&String> = match ups {
        0 => path
            .get(1..)?
            .strip_prefix(&["registry".to_owned()])?
            .iter()
            .collect(),
        ups => {
            let kept = module.len().checked_sub(ups)?;
            module[..kept].iter().chain(&path[ups..]).collect()
        }
    };
    from_root.first().map(|word| (*word).clone())
}

/// Returns the last column of a table, by the folders in the first. `everything` is kept as a word.
fn allowed(first: &str) -> Arrows {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    let rows = text
        .lines()
        .skip_while(|line| !line.starts_with(&format!("| {first} |")))
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
    arrows
}

/// Compares the imports in the code with a table.
fn compare(drawn: &Arrows, allowed: &Arrows) {
    let everything = BTreeSet::from(["everything".to_owned()]);
    let mut wrong = Vec::new();
    for (from, to) in drawn {
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

/// Returns the modules that form a cycle.
fn circle(mut left: Arrows) -> Arrows {
    // Remove modules that use none of the others; the modules of a cycle remain.
    loop {
        let built: Vec<String> = left
            .iter()
            .filter(|(_, to)| to.is_empty())
            .map(|(from, _)| from.clone())
            .collect();
        if built.is_empty() {
            return left;
        }
        left.retain(|from, _| !built.contains(from));
        left.values_mut()
            .for_each(|to| to.retain(|to| !built.contains(to)));
    }
}

#[test]
fn the_table_has_every_arrow_and_no_other() {
    let allowed = allowed("Folder");
    assert!(allowed.len() > 15, "the table was not found");
    compare(&drawn(), &allowed);
}

#[test]
fn no_arrow_leads_back() {
    let left = circle(drawn());
    assert!(
        left.is_empty(),
        "these use each other in a circle: {left:?}"
    );
}

#[test]
fn the_services_of_the_registry_use_one_another_as_the_table_says() {
    let (drawn, allowed) = (services(), allowed("Service"));
    assert_eq!(allowed.len(), 6, "the table was not found");
    compare(&drawn, &allowed);
    let left = circle(drawn);
    assert!(
        left.is_empty(),
        "these use each other in a circle: {left:?}"
    );
}

#[test]
fn an_arrow_between_services_is_found_however_it_is_written() {
    let module = ["catalogue", "sync", "compare"].map(str::to_owned);
    let lead = |code: &str| -> Vec<String> {
        let paths = paths(code);
        let parts = paths
            .iter()
            .filter_map(|path| within_registry(&module, path));
        let parts: BTreeSet<String> = parts.filter(|part| part != "catalogue").collect();
        parts.into_iter().collect()
    };
    assert_eq!(lead("use super::super::super::search::Search;"), ["search"]);
    assert_eq!(
        lead("use super::{super::{super::core::lock, judged}, schedule};"),
        ["core"]
    );
    assert_eq!(
        lead("use crate::{net::x, registry::packages::Packages};"),
        ["packages"]
    );
    assert_eq!(
        lead("fn f() { crate::registry::search::go(); }"),
        ["search"]
    );
    assert_eq!(
        lead("use crate::registry::P2pRegistry as Up;"),
        ["P2pRegistry"],
        "the face"
    );
    assert_eq!(
        lead("use std::sync::Arc; use crate::store::Store;"),
        [""; 0]
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
