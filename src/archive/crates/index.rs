//! Derives a crate's line in a cargo registry's index from its `Cargo.toml`:
//! <https://doc.rust-lang.org/cargo/reference/registry-index.html>.

use std::collections::BTreeMap;

use semver::VersionReq;
use serde::Serialize;
use toml::{Table, Value};

/// An index line. All features are in `features`: only an index that serves older clients has to
/// split them.
#[derive(Serialize)]
struct IndexLine<'a> {
    name: &'a str,
    vers: &'a str,
    deps: Vec<Dep<'a>>,
    cksum: String,
    features: BTreeMap<&'a str, Vec<&'a str>>,
    yanked: bool,
    links: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rust_version: Option<&'a str>,
    /// Version 2 is for clients that understand `dep:` and `?/` in a feature.
    v: u32,
}

#[derive(Serialize)]
struct Dep<'a> {
    /// The name that the crate itself uses.
    name: &'a str,
    req: String,
    features: Vec<&'a str>,
    optional: bool,
    default_features: bool,
    target: Option<&'a str>,
    kind: &'static str,
    /// The index of the registry, if it is another one than the crate's.
    registry: Option<&'a str>,
    /// The package's name in its registry, if it was renamed.
    package: Option<&'a str>,
}

/// Returns the line. `cksum` is the SHA-256 of the archive, in hexadecimal. Dependencies that cargo
/// would reject are left out, because it would reject the whole line because of them.
///
/// # Errors
/// The problem with the manifest.
pub(super) fn line(manifest: &Table, cksum: String) -> Result<String, String> {
    let package = manifest
        .get("package")
        .and_then(Value::as_table)
        .ok_or("it has no [package]")?;
    let text = |key: &str| package.get(key).and_then(Value::as_str);
    let features = manifest
        .get("features")
        .and_then(Value::as_table)
        .into_iter()
        .flatten();
    let targets = manifest
        .get("target")
        .and_then(Value::as_table)
        .into_iter()
        .flatten();
    let targets =
        targets.filter_map(|(target, table)| Some((Some(target.as_str()), table.as_table()?)));
    let line = IndexLine {
        name: text("name").ok_or("it has no name")?,
        vers: text("version").ok_or("it has no version")?,
        deps: std::iter::once((None, manifest))
            .chain(targets)
            .flat_map(|(target, table)| deps(target, table))
            .collect(),
        cksum,
        features: features
            .map(|(name, needs)| (name.as_str(), texts(Some(needs))))
            .collect(),
        yanked: false,
        links: text("links"),
        rust_version: text("rust-version").filter(|version| is_rust_version(version)),
        v: 2,
    };
    serde_json::to_string(&line).map_err(|error| error.to_string())
}

fn deps<'a>(target: Option<&'a str>, table: &'a Table) -> impl Iterator<Item = Dep<'a>> {
    // Old crates use the spellings with an underscore, and cargo still reads them.
    let sections = [
        ("dependencies", "normal"),
        ("build-dependencies", "build"),
        ("build_dependencies", "build"),
        ("dev-dependencies", "dev"),
        ("dev_dependencies", "dev"),
    ];
    sections.into_iter().flat_map(move |(section, kind)| {
        let deps = table
            .get(section)
            .and_then(Value::as_table)
            .into_iter()
            .flatten();
        deps.filter_map(move |(name, value)| dep(name, value, target, kind))
    })
}

fn dep<'a>(
    name: &'a str,
    value: &'a Value,
    target: Option<&'a str>,
    kind: &'static str,
) -> Option<Dep<'a>> {
    let field = |key: &str| value.get(key);
    let text = |key: &str| field(key).and_then(Value::as_str);
    let package = text("package").filter(|package| *package != name);
    let requirement = value.as_str().or_else(|| text("version")).unwrap_or("*");
    let default_features = field("default-features").or_else(|| field("default_features"));
    (is_crate_name(name) && package.is_none_or(is_crate_name)).then_some(())?;
    Some(Dep {
        name,
        req: VersionReq::parse(requirement).ok()?.to_string(),
        features: texts(field("features")),
        optional: field("optional")
            .and_then(Value::as_bool)
            .unwrap_or_default(),
        default_features: default_features.and_then(Value::as_bool).unwrap_or(true),
        target,
        kind,
        registry: text("registry-index"),
        package,
    })
}

fn texts(list: Option<&Value>) -> Vec<&str> {
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn is_crate_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Returns true for one to three numbers. Cargo cannot read a line with anything else.
fn is_rust_version(version: &str) -> bool {
    let numbers: Vec<_> = version.split('.').collect();
    let number =
        |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u32>().is_ok();
    numbers.len() <= 3 && numbers.iter().all(number)
}
