//! The embedded catalogue: facts about real crates, for tests and for machines without a cargo
//! cache.

use serde::{Deserialize, Serialize};

use super::CatalogueEntry;
use crate::{
    RegistryError, Result,
    archive::sanitise::{Facts, checked, draft, with_dependencies},
    domain::{hash::ContentRoot, manifest::Dependency},
    ecosystem::Ecosystem,
    registry::Content,
};

const CATALOGUE: &str = include_str!("../../../assets/catalogue.json");

/// One release. `content` is the BLAKE3 root of the real archive.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CrateFact {
    name: String,
    version: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    categories: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
    license: Option<String>,
    repository: Option<String>,
    size: u64,
    content: ContentRoot,
    /// Each entry is a name, or a name and a requirement separated by a space.
    #[serde(default)]
    dependencies: Vec<String>,
}

pub(super) fn embedded() -> Result<Vec<CatalogueEntry>> {
    let damaged = |why| RegistryError::Internal {
        what: "reading the embedded catalogue",
        why,
    };
    let facts: Vec<CrateFact> =
        serde_json::from_str(CATALOGUE).map_err(|error| damaged(error.to_string()))?;
    facts
        .into_iter()
        .map(|fact| entry(fact).map_err(damaged))
        .collect()
}

fn entry(fact: CrateFact) -> Result<CatalogueEntry, String> {
    let draft = draft(Facts {
        ecosystem: Ecosystem::Cargo,
        name: &fact.name,
        version: &fact.version,
        description: &fact.description,
        categories: fact.categories,
        tags: fact.tags,
        license: fact.license.as_deref(),
        authors: Vec::new(),
        repository: fact.repository.as_deref(),
        homepage: None,
    })?;
    let content = Content {
        root: fact.content,
        size: fact.size,
    };
    let package = draft.package().map_err(|error| error.to_string())?;
    let needs = fact
        .dependencies
        .iter()
        .filter_map(|text| need(text))
        .collect();
    let (draft, _) = with_dependencies(checked(draft)?, needs);
    Ok(CatalogueEntry {
        package,
        draft,
        content,
        path: None,
        needed: false,
    })
}

fn need(text: &str) -> Option<Dependency> {
    let (name, requirement) = text.split_once(' ').unwrap_or((text, "*"));
    Some(Dependency::bare(
        name.parse().ok()?,
        requirement.parse().ok()?,
    ))
}
