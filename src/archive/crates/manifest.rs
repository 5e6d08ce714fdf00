//! From a `Cargo.toml` that somebody wrote to a draft that can be signed. Name and version must be right; everything
//! else is cut, cleaned or left out.

use toml::{Table, Value};

use crate::{
    archive::sanitise::{Need, bounded, checked, clean, labels, link, without_address},
    domain::{
        manifest::{Draft, Ecosystem, limit},
        name::{NameError, PackageName},
        version::RequirementText,
    },
};

/// What a `Cargo.toml` says of the crate with this content; the error says what is wrong with it.
pub(super) fn release(manifest: &Table) -> Result<(Draft, Vec<Need>), String> {
    let package = manifest.get("package").and_then(Value::as_table).ok_or("it has no [package]")?;
    let text = |key: &str| package.get(key).and_then(Value::as_str);
    let list = |key: &str| {
        let values = package.get(key).and_then(Value::as_array).into_iter().flatten();
        values.filter_map(Value::as_str).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let draft = draft(Facts {
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
    let dependencies = manifest.get("dependencies").and_then(Value::as_table);
    let needs = bounded(dependencies.into_iter().flatten().filter_map(|(name, value)| need(name, value)));
    Ok((checked(draft)?, needs))
}

/// What is known of a package, as somebody wrote it.
pub(crate) struct Facts<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub description: &'a str,
    pub categories: Vec<String>,
    pub tags: Vec<String>,
    pub license: Option<&'a str>,
    pub authors: Vec<String>,
    pub repository: Option<&'a str>,
    pub homepage: Option<&'a str>,
}

pub(crate) fn draft(facts: Facts<'_>) -> Result<Draft, String> {
    let authors = facts.authors.iter().filter_map(|author| without_address(author)).collect();
    Ok(Draft {
        handle: None,
        name: facts.name.parse().map_err(|error: NameError| error.to_string())?,
        version: facts.version.parse().map_err(|error: NameError| error.to_string())?,
        title: None,
        description: clean(facts.description, limit::DESCRIPTION),
        categories: labels(facts.categories, limit::CATEGORIES, limit::LABEL),
        tags: labels(facts.tags, limit::TAGS, limit::LABEL),
        license: facts.license.map(|license| clean(license, limit::LICENSE)).filter(|license| !license.is_empty()),
        authors: labels(authors, limit::AUTHORS, limit::AUTHOR),
        repository: facts.repository.and_then(link),
        homepage: facts.homepage.and_then(link),
        dependencies: Vec::new(),
        ecosystem: Ecosystem::Cargo,
    })
}

/// One `name = "requirement"` or `name = { … }`, under the package's own name where it was renamed.
fn need(name: &str, value: &Value) -> Option<Need> {
    let field = |key: &str| value.get(key);
    let name = field("package").and_then(Value::as_str).unwrap_or(name);
    let requirement = value.as_str().or_else(|| field("version")?.as_str()).unwrap_or("*");
    Some(Need {
        name: PackageName::of(&Ecosystem::Cargo, &name.parse().ok()?).ok()?,
        // One that cargo would not read says nothing that could be signed.
        requirement: requirement
            .parse()
            .ok()
            .filter(|wanted: &RequirementText| wanted.read(&Ecosystem::Cargo).is_ok())?,
        optional: field("optional").and_then(Value::as_bool).unwrap_or_default(),
    })
}
