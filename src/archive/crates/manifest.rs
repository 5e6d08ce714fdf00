//! Turns an untrusted `Cargo.toml` into a draft that can be signed. Name and version must be valid;
//! everything else is shortened, cleaned or left out.

use toml::{Table, Value};

use crate::{
    archive::sanitise::{Facts, checked, draft, with_dependencies},
    domain::{
        manifest::{Dependency, DependencyKind, Draft, Ecosystem},
        name::NameError,
        text::{fit, printable},
    },
};

/// Returns the draft, and the dependencies that it cannot express.
///
/// # Errors
/// The problem with the manifest.
pub(super) fn release(manifest: &Table) -> Result<(Draft, Vec<String>), String> {
    let package = manifest
        .get("package")
        .and_then(Value::as_table)
        .ok_or("it has no [package]")?;
    let text = |key: &str| package.get(key).and_then(Value::as_str);
    let list = |key: &str| {
        let values = package
            .get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        values
            .filter_map(Value::as_str)
            .map(ToOwned::to_owned)
            .collect::<Vec<_>>()
    };
    let draft = draft(Facts {
        ecosystem: Ecosystem::Cargo,
        name: text("name").ok_or("it has no name")?,
        version: text("version").ok_or("it has no version")?,
        description: text("description").unwrap_or_default(),
        categories: list("categories"),
        tags: list("keywords"),
        license: text("license"),
        authors: list("authors"),
        repository: text("repository"),
        homepage: text("homepage"),
    })?;
    let targets = manifest
        .get("target")
        .and_then(Value::as_table)
        .into_iter()
        .flatten();
    let targets =
        targets.filter_map(|(target, table)| Some((Some(target.as_str()), table.as_table()?)));
    let mut unsaid = Vec::new();
    let needs = std::iter::once((None, manifest))
        .chain(targets)
        .flat_map(|(target, table)| needs(target, table));
    let needs = needs
        .filter_map(|need| need.map_err(|why| unsaid.push(why)).ok())
        .collect();
    let (draft, mut left_out) = with_dependencies(checked(draft)?, needs);
    left_out.extend(unsaid);
    Ok((draft, left_out))
}

/// Returns the dependencies for use and for building, or the reason why one cannot be expressed.
/// Development dependencies concern the author only.
fn needs<'a>(
    target: Option<&'a str>,
    table: &'a Table,
) -> impl Iterator<Item = Result<Dependency, String>> {
    // Old crates use the spelling with an underscore, and cargo still reads it.
    let sections = [
        ("dependencies", DependencyKind::Runtime),
        ("build-dependencies", DependencyKind::Build),
        ("build_dependencies", DependencyKind::Build),
    ];
    sections.into_iter().flat_map(move |(section, kind)| {
        let needs = table
            .get(section)
            .and_then(Value::as_table)
            .into_iter()
            .flatten();
        needs.map(move |(name, value)| {
            need(name, value, target, kind.clone())
                .map_err(|why| format!("{}: {why}", fit(&printable(name), 80)))
        })
    })
}

/// Converts `name = "requirement"` or `name = { … }`, using the package's own name if it was
/// renamed.
fn need(
    called: &str,
    value: &Value,
    target: Option<&str>,
    kind: DependencyKind,
) -> Result<Dependency, String> {
    let field = |key: &str| value.get(key);
    if field("registry-index").is_some() {
        return Err("it is in another registry".to_owned());
    }
    let name = field("package").and_then(Value::as_str).unwrap_or(called);
    let requirement = value
        .as_str()
        .or_else(|| field("version")?.as_str())
        .unwrap_or("*");
    let wrong = |error: NameError| error.to_string();
    let extras = field("features")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let optional = field("optional")
        .and_then(Value::as_bool)
        .unwrap_or_default();
    Ok(Dependency {
        optional,
        kind,
        extras: extras.map(str::to_owned).collect(),
        // An optional dependency is a feature of the same name.
        under: optional.then(|| called.to_owned()),
        platform: target.map(str::to_owned),
        ..Dependency::bare(
            name.parse().map_err(wrong)?,
            requirement.parse().map_err(wrong)?,
        )
    })
}
