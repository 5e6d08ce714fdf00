//! Index files and crates: what a package's releases say of themselves, and their bytes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{http::StatusCode, response::Response};
use futures::{StreamExt, stream};
use tokio::time::timeout;

use super::{
    Endpoint, Refused,
    line::{self, Line},
    name_of, whose,
};
use crate::{
    RegistryError, Result,
    domain::{
        hash::Hash,
        manifest::{Manifest, limit},
        name::PackageId,
        release::ReleaseEntry,
        trust::Trust,
    },
    gateway::{
        answer::document,
        file::{self, File},
        service::{Asked, Service},
    },
    registry::{Package, Wanted, claimed, read_whole},
};

/// Lines of one index that are looked for at once.
const AT_ONCE: usize = 8;
/// Bytes that lines may take in memory, about.
const MOST: usize = 48 << 20;

/// Lines that were read, by the hashes of their manifests: neither changes.
#[derive(Default)]
pub struct Lines(Mutex<(usize, HashMap<Hash, Arc<Line>>)>);

impl Lines {
    fn get(&self, hash: &Hash) -> Option<Arc<Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.get(hash).cloned()
    }

    fn keep(&self, hash: Hash, line: Arc<Line>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0 + line.weight() > MOST {
            *held = (0, HashMap::new());
        }
        held.0 += line.weight();
        held.1.insert(hash, line);
    }
}

/// The content of a release, and what travels beside it: the only place here that says where in a manifest they are.
fn wanted(id: &PackageId, manifest: &Manifest) -> (Wanted, Option<Wanted>) {
    let content = Wanted {
        content: manifest.content(),
        what: format!("{} {}", claimed(id, None), manifest.version),
        package: Some(id.clone()),
        beside: None,
        for_others: false,
    };
    let native = manifest.native.map(|native| Wanted {
        content: native,
        what: format!("index line of {}", content.what),
        beside: Some(manifest.content().root),
        ..content.clone()
    });
    (content, native)
}

/// The package at an endpoint, as this node knows it.
async fn package(service: &Service, id: &PackageId) -> Result<Package, Refused> {
    let reference = id.to_string().parse().map_err(RegistryError::from)?;
    match service.registry().get_package(&reference).await {
        Ok(package) if package.trust == Trust::Distrusted => {
            let text = format!("{} is distrusted here; `swarmdex trust {}` takes that back", id.owner, id.owner);
            Err(Refused::Because(StatusCode::NOT_FOUND, text))
        }
        Ok(package) => Ok(package),
        Err(error) if error.is_missing() && service.is_too_early().await? => Err(Refused::TooEarly),
        Err(error) => Err(error.into()),
    }
}

/// The line of one release.
async fn line_of(service: &Service, id: &PackageId, entry: &ReleaseEntry) -> Result<Arc<Line>> {
    let missing = || RegistryError::NotFound { package: format!("the manifest of {id} {}", entry.version), asked: 0 };
    let hash = entry.first().ok_or_else(missing)?;
    if let Some(line) = service.lines.get(&hash) {
        return Ok(line);
    }
    let manifest = service.registry().manifest_of(id, &hash).await?;
    let what = || format!("{} {}", claimed(id, None), entry.version);
    let (_, native) = wanted(id, &manifest);
    let native =
        native.ok_or_else(|| RegistryError::NotFound { package: format!("the index line of {}", what()), asked: 0 })?;
    let (contents, root) = (service.contents(), native.content.root);
    let wait = service.options.wait;
    timeout(wait, contents.fetch(native, None)).await.map_err(|_| RegistryError::Timeout {
        what: format!("the index line of {}", what()),
        millis: wait.as_millis(),
    })??;
    let text = read_whole(&*contents, root, limit::BESIDE).await?;
    let read = line::read(&manifest, &text).map_err(|why| RegistryError::NotFound {
        package: format!("a line of an index for {}, of which what it has is none ({why}),", what()),
        asked: 0,
    })?;
    let line = Arc::new(read);
    service.lines.keep(hash, line.clone());
    Ok(line)
}

/// Returns whether an endpoint has the release with this line.
fn is_at(endpoint: &Endpoint, line: &Line) -> bool {
    !endpoint.mirror || line.is_of_default_registry()
}

/// The index file of a crate: a line for each of its releases.
pub(super) async fn file(
    service: &Service,
    endpoint: &Endpoint,
    asked: &Asked,
    name: &str,
) -> Result<Response, Refused> {
    let crate_name = name_of(name)?;
    let id = whose(service, endpoint, &crate_name, true).await?;
    let package = package(service, &id).await?;
    let blocks = service.node().names().blocks(&crate_name).await?;
    let is_served = |entry: &ReleaseEntry| blocks.iter().all(|block| block.version.as_ref() != Some(&entry.version));
    let entries: Vec<ReleaseEntry> = package.releases.into_iter().filter(is_served).collect();
    let id = &id;
    let looked = entries.into_iter().map(|entry| async move {
        let line = line_of(service, id, &entry).await;
        (entry, line)
    });
    let mut looked = stream::iter(looked).buffered(AT_ONCE);
    let mut text = String::new();
    while let Some((entry, line)) = looked.next().await {
        match line {
            // Of two spellings, only the one that was published is there: cargo looks for the others by itself.
            Ok(line) if line.name.to_ascii_lowercase() == name && is_at(endpoint, &line) => {
                text.push_str(&line.text(entry.is_yanked(), &asked.base, endpoint.only.as_ref()));
                text.push('\n');
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(package = %id, version = %entry.version, %error, "a release is missing from the index");
            }
        }
    }
    if text.is_empty() {
        let text = format!("{id} has no release that cargo could use under the name {name}");
        return Err(Refused::Because(StatusCode::NOT_FOUND, text));
    }
    Ok(document(&asked.headers, "text/plain; charset=utf-8", text))
}

/// The bytes of a crate.
pub(super) async fn download(
    service: &Arc<Service>,
    endpoint: &Endpoint,
    asked: &Asked,
    name: &str,
    version: &str,
) -> Result<Response, Refused> {
    let name = name_of(name)?;
    let id = whose(service, endpoint, &name, true).await?;
    let package = package(service, &id).await?;
    let missing = || RegistryError::NotFound { package: format!("{id} {version}"), asked: 0 };
    let entry = package.releases.iter().find(|entry| entry.version.as_str() == version).ok_or_else(missing)?;
    let blocks = service.node().names().blocks(&name).await?;
    if let Some(block) = blocks.iter().find(|block| block.version.as_ref() == Some(&entry.version)) {
        let text = format!("{name} {version} is blocked on this node: {}", block.why);
        return Err(Refused::Because(StatusCode::NOT_FOUND, text));
    }
    let line = line_of(service, &id, entry).await?;
    if !is_at(endpoint, &line) {
        let text = format!("nobody attests that the default registry has {name} {version}; it is at /cargo/");
        return Err(Refused::Because(StatusCode::NOT_FOUND, text));
    }
    let manifest = service.registry().manifest_of(&id, &entry.first().ok_or_else(missing)?).await?;
    let (wanted, _) = wanted(&id, &manifest);
    let file = File {
        wanted,
        digest: line.digest.clone(),
        package: id,
        version: entry.version.clone(),
        kind: "application/gzip",
    };
    Ok(file::answer(service, file, &asked.method, &asked.headers, asked.client.clone()).await)
}
