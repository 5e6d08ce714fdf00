//! `cargo publish`: an upload is prepared as by `import`, and then published.

use std::{path::Path, sync::Arc};

use axum::{body::Body, http::StatusCode, response::Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{Endpoint, line, name_of};
use crate::{
    RegistryError, Result,
    archive::{crates, release::of_crate, sanitise::with_dependencies},
    clock,
    domain::{
        manifest::{Dependency, DependencyKind, Draft},
        name::{NameError, PackageId, PackageName, PublisherId},
    },
    ecosystem::Ecosystem,
    gateway::{
        answer,
        policy::{Refused, may_publish},
        publish::publish,
        service::{Asked, Service},
        upload::{self, cut, too_large, write},
    },
    prepare::{self, Prepared},
};

/// Most bytes of metadata that cargo sends with a crate; crates with thousands of features have a
/// few hundred KiB.
const MAX_WORDS: usize = 4 << 20;

/// The part of cargo's metadata that the crate's file lacks: the registries of its dependencies.
#[derive(Debug, Deserialize)]
struct PublishMetadata {
    name: String,
    vers: String,
    #[serde(default)]
    deps: Vec<SaidDep>,
}

#[derive(Debug, Deserialize)]
struct SaidDep {
    /// Its name in its registry.
    name: String,
    version_req: String,
    #[serde(default)]
    features: Vec<String>,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    default_features: bool,
    #[serde(default)]
    target: Option<String>,
    #[serde(default)]
    kind: Option<String>,
    /// The index of another registry.
    #[serde(default)]
    registry: Option<String>,
    /// Its name in the crate's own code.
    #[serde(default)]
    explicit_name_in_toml: Option<String>,
}

/// Accepts an upload, if `allowed`.
pub(super) async fn take(
    service: &Arc<Service>,
    endpoint: &Endpoint,
    asked: &Asked,
    body: Body,
    allowed: Result<(), Refused>,
) -> Result<Response, Refused> {
    let most = service.options.upload.saturating_add(MAX_WORDS as u64);
    let mut bytes = upload::coming(&asked.headers, body, most)?;
    let taken = match allowed {
        Ok(()) => take_all(service, endpoint, asked, &mut bytes).await,
        Err(refused) => Err(refused),
    };
    if taken.is_err() {
        upload::hear_out(bytes, most).await;
    }
    taken
}

async fn take_all(
    service: &Arc<Service>,
    endpoint: &Endpoint,
    asked: &Asked,
    bytes: &mut (impl AsyncRead + Unpin),
) -> Result<Response, Refused> {
    let most = service.options.upload;
    let closed = |_| RegistryError::Closed;
    let _place = service.uploading.acquire().await.map_err(closed)?;
    let dir = tempfile::tempdir_in(&service.uploads)
        .map_err(RegistryError::file(&service.uploads, "written to"))?;
    let (said, path) = received(bytes, dir.path(), most).await?;
    let name = name_of(&said.name)?;
    let id = may_publish(service, endpoint.only, &name).await?;
    let file = path.clone();
    let read = move || crates::read(&file).and_then(|found| of_crate(found, &file, clock::now()));
    let read = tokio::task::spawn_blocking(read).await;
    let read = read.map_err(|error| RegistryError::Internal {
        what: "reading a crate",
        why: error.to_string(),
    })?;
    let read = read.map_err(|why| {
        Refused::wrong(format!(
            "{} {} cannot be taken: {why}",
            said.name, said.vers
        ))
    })?;
    let mut prepared = prepare::release(read)?;
    let draft = &prepared.draft;
    if draft.name.as_str() != said.name || draft.version.as_str() != said.vers {
        let text = format!(
            "the file holds {} {}, and is sent as {} {}",
            draft.name, draft.version, said.name, said.vers
        );
        return Err(Refused::wrong(text));
    }
    let left_out = tell_of_registries(
        service,
        endpoint,
        (&asked.base, id.owner),
        &said,
        &mut prepared,
    )
    .await?;
    let warnings = publish(service, &id, prepared, &left_out, &path).await?;
    let warnings = json!({ "invalid_categories": [], "invalid_badges": [], "other": warnings });
    Ok(answer::json(
        StatusCode::OK,
        &json!({ "warnings": warnings }),
    ))
}

/// Splits an upload: a length and the metadata, then a length and the file. The file is written to
/// the disk as it arrives.
async fn received(
    bytes: &mut (impl AsyncRead + Unpin),
    dir: &Path,
    most: u64,
) -> Result<(PublishMetadata, std::path::PathBuf), Refused> {
    let length = bytes.read_u32_le().await.map_err(|error| cut(&error))? as usize;
    if length > MAX_WORDS {
        return Err(Refused::wrong(format!(
            "the metadata of the crate has {length} bytes; at most {MAX_WORDS} are allowed"
        )));
    }
    let mut words = vec![0; length];
    bytes
        .read_exact(&mut words)
        .await
        .map_err(|error| cut(&error))?;
    let said: PublishMetadata = serde_json::from_slice(&words).map_err(|error| {
        Refused::wrong(format!("the metadata of the crate cannot be read: {error}"))
    })?;
    // Both become part of a file name.
    name_of(&said.name)?;
    Ecosystem::Cargo
        .version(&said.vers)
        .map_err(|why| Refused::wrong(format!("{} is no version: it {why}", said.vers)))?;
    let size = u64::from(bytes.read_u32_le().await.map_err(|error| cut(&error))?);
    if size > most {
        return Err(too_large(most));
    }
    let path = dir.join(format!("{}-{}.crate", said.name, said.vers));
    write(bytes, &path, size).await?;
    let mut more = [0; 1];
    match bytes.read(&mut more).await {
        Ok(0) => Ok((said, path)),
        Ok(_) => Err(Refused::wrong(
            "the upload is longer than it says; publish it again",
        )),
        Err(error) => Err(cut(&error)),
    }
}

/// Sets the registries of the dependencies in the index line and the manifest, as cargo gives them:
/// the crate's file has only URLs, and none for the default registry. Returns what did not fit into
/// the manifest.
async fn tell_of_registries(
    service: &Service,
    endpoint: &Endpoint,
    (base, own): (&str, PublisherId),
    said: &PublishMetadata,
    prepared: &mut Prepared,
) -> Result<Vec<String>, Refused> {
    let line = prepared.native.take().unwrap_or_default();
    let mut line: Map<String, Value> =
        serde_json::from_slice(&line).map_err(|error| RegistryError::Internal {
            what: "reading an index line",
            why: error.to_string(),
        })?;
    let deps: Vec<Value> = said.deps.iter().map(|dep| told(dep, base)).collect();
    line.insert("deps".to_owned(), deps.into());
    prepared.native = Some(Value::Object(line).to_string().into_bytes());
    let mut needs = Vec::new();
    for dep in said
        .deps
        .iter()
        .filter(|dep| dep.kind.as_deref() != Some("dev"))
    {
        let name = name_of(&dep.name)?;
        let owner = match line::signed_registry(dep.registry.as_deref(), base) {
            // No key here owns a crate of another registry.
            Some(registry) => line::owner_of(&registry),
            None => Some(meant(service, endpoint, &name, own).await?),
        };
        let Some(owner) = owner else { continue };
        let called = dep.explicit_name_in_toml.as_ref().unwrap_or(&dep.name);
        let requirement = dep
            .version_req
            .parse()
            .map_err(|error: NameError| Refused::wrong(format!("{called}: {error}")))?;
        needs.push(Dependency {
            optional: dep.optional,
            kind: if dep.kind.as_deref() == Some("build") {
                DependencyKind::Build
            } else {
                DependencyKind::Runtime
            },
            extras: dep.features.clone(),
            // An optional dependency is a feature of its own name.
            under: dep.optional.then(|| called.clone()),
            platform: dep.target.clone(),
            ..Dependency::on(PackageId { owner, name }.to_string(), requirement)
        });
    }
    let draft = Draft {
        dependencies: Vec::new(),
        ..prepared.draft.clone()
    };
    let (draft, left_out) = with_dependencies(draft, needs);
    prepared.draft = draft;
    Ok(left_out)
}

/// Returns the owner of a dependency from the same registry.
async fn meant(
    service: &Service,
    endpoint: &Endpoint,
    name: &PackageName,
    own: PublisherId,
) -> Result<PublisherId, Refused> {
    Ok(match endpoint.only {
        Some(_) => own,
        None => service
            .node()
            .names()
            .why(name)
            .await?
            .owner()
            .unwrap_or(own),
    })
}

/// Returns a dependency in the form of an index line, where its name is the one in the crate's own
/// code.
fn told(dep: &SaidDep, base: &str) -> Value {
    let renamed = dep
        .explicit_name_in_toml
        .as_ref()
        .filter(|renamed| **renamed != dep.name);
    json!({
        "name": renamed.unwrap_or(&dep.name),
        "req": dep.version_req,
        "features": dep.features,
        "optional": dep.optional,
        "default_features": dep.default_features,
        "target": dep.target,
        "kind": dep.kind.as_deref().unwrap_or("normal"),
        "registry": line::signed_registry(dep.registry.as_deref(), base),
        "package": renamed.map(|_| &dep.name),
    })
}
