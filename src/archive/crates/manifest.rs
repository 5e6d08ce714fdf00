//! From a `Cargo.toml` that somebody wrote to a draft that can be signed. Name and version must be right; everything
//! else is cut, cleaned or left out.

use toml::{Table, Value};

use crate::{
    archive::sanitise::{Facts, Need, bounded, checked, draft},
    domain::{
        manifest::{Draft, Ecosystem},
        name::PackageName,
        version::RequirementText,
    },
};

/// What a `Cargo.toml` says of its crate; the error says what is wrong with it.
pub(super) fn release(manifest: &Table) -> Result<(Draft, Vec<Need>), String> {
    let package = manifest.get("package").and_then(Value::as_table).ok_or("it has no [package]")?;
    let text = |key: &str| package.get(key).and_then(Value::as_str);
    let list = |key: &str| {
        let values = package.get(key).and_then(Value::as_array).into_iter().flatten();
        values.filter_map(Value::as_str).map(ToOwned::to_owned).collect::<Vec<_>>()
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
    let dependencies = manifest.get("dependencies").and_then(Value::as_table);
    let needs = bounded(dependencies.into_iter().flatten().filter_map(|(name, value)| need(name, value)));
    Ok((checked(draft)?, needs))
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
