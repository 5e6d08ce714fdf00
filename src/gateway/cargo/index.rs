//! Index files and crates: the index lines of a package's releases, and their files.

use std::sync::Arc;

use axum::{http::StatusCode, response::Response};
use futures::{StreamExt, stream};

use super::{
    Endpoint, ahead,
    line::{self, CrateLine},
    name_of,
};
use crate::{
    RegistryError, Result,
    domain::{hash::Hash, manifest::Manifest, name::PackageId, release::ReleaseEntry},
    gateway::{
        answer::{Written, document, tagged},
        companions::{self, Ahead},
        file::{self, Others, ServedFile},
        policy::{Refused, may_serve},
        served::served,
        service::{Asked, Service},
    },
    registry::{Package, Wanted, claimed},
};

/// Lines of one index that are looked up at once.
const AT_ONCE: usize = 8;

/// Returns the file of a release.
pub(super) fn wanted(id: &PackageId, manifest: &Manifest) -> Wanted {
    Wanted {
        content: manifest.content(),
        what: format!("{} {}", claimed(id, None), manifest.version),
        package: Some(id.clone()),
        beside: None,
        for_others: false,
    }
}

/// Returns the line of one release.
pub(super) async fn line_of(
    service: &Service,
    ahead: &Ahead<'_>,
    id: &PackageId,
    entry: &ReleaseEntry,
) -> Result<Arc<CrateLine>> {
    let missing = || RegistryError::NotFound {
        package: format!("the manifest of {id} {}", entry.version),
        asked: 0,
    };
    let hash = entry.first().ok_or_else(missing)?;
    if let Some(line) = service.lines.get(&hash) {
        return Ok(line);
    }
    let manifest = ahead.manifest(&hash).await?;
    let what = format!("the index line of {} {}", claimed(id, None), entry.version);
    let missing = || RegistryError::NotFound {
        package: what.clone(),
        asked: 0,
    };
    let native = manifest.native.ok_or_else(missing)?;
    let text = ahead.read(&manifest.content().root, native, &what).await?;
    let line = line::read(&manifest, &text).map_err(|why| RegistryError::NotFound {
        package: format!("{what}, because what is there is none ({why}),"),
        asked: 0,
    })?;
    Ok(service.lines.keep(hash, line.weight(), line))
}

const KIND: &str = "text/plain; charset=utf-8";

/// Returns a hash of all inputs of an index file.
fn key(endpoint: &Endpoint, asked: &Asked, package: &Package, name: &str) -> Hash {
    let (id, base) = (&package.id, &asked.base);
    let made_of = (
        id,
        name,
        base,
        endpoint.only,
        endpoint.mirror,
        package.releases.digest(),
    );
    Hash(*blake3::hash(format!("{made_of:?}").as_bytes()).as_bytes())
}

/// Returns true if an endpoint, which is a mirror or not, serves the release with this line.
pub(super) fn is_at(mirror: bool, line: &CrateLine) -> bool {
    !mirror || line.is_of_default_registry()
}

/// Returns the index file of a crate: a line for each release.
pub(super) async fn file(
    service: &Arc<Service>,
    endpoint: &Endpoint,
    asked: &Asked,
    name: &str,
) -> Result<Response, Refused> {
    let crate_name = name_of(name)?;
    let served = served(service, endpoint.only, &crate_name).await?;
    let package = &served.package;
    ahead::asked(service, endpoint, package, None);
    let key = key(endpoint, asked, package, name);
    if let Some(written) = service.indexes.get(&key) {
        return Ok(tagged(
            &asked.headers,
            KIND,
            &written.etag,
            written.text.clone(),
        ));
    }
    let id = &package.id;
    let unread = || {
        let hashes = package.releases.iter().filter_map(ReleaseEntry::first);
        hashes
            .filter(|hash| service.lines.get(hash).is_none())
            .collect::<Vec<Hash>>()
    };
    // Do not wait for the lock if everything is in memory.
    let _turn = if unread().is_empty() {
        None
    } else {
        Some(service.turns.of(id).await)
    };
    let ahead = &Ahead::of(service, id, &unread(), companions::of_first).await;
    let looked = package
        .releases
        .clone()
        .into_iter()
        .map(|entry| async move {
            let line = line_of(service, ahead, id, &entry).await;
            (entry, line)
        });
    let mut looked = stream::iter(looked).buffered(AT_ONCE);
    let (mut text, mut is_whole) = (String::new(), true);
    while let Some((entry, line)) = looked.next().await {
        match line {
            // Serve only the published spelling: cargo tries the others by itself.
            Ok(line) if line.name.to_ascii_lowercase() == name && is_at(endpoint.mirror, &line) => {
                text.push_str(&line.text(entry.is_yanked(), &asked.base, endpoint.only.as_ref()));
                text.push('\n');
            }
            Ok(_) => {}
            Err(error) => {
                is_whole = false;
                tracing::warn!(package = %id, version = %entry.version, %error, "a release is missing from the index");
            }
        }
    }
    if text.is_empty() {
        let text = format!("{id} has no release that cargo could use under the name {name}");
        return Err(Refused::Because(StatusCode::NOT_FOUND, text));
    }
    if !is_whole {
        return Ok(document(&asked.headers, KIND, text));
    }
    let written = service.indexes.keep(key, text.len(), Written::of(text));
    Ok(tagged(
        &asked.headers,
        KIND,
        &written.etag,
        written.text.clone(),
    ))
}

/// Returns the bytes of a crate.
pub(super) async fn download(
    service: &Arc<Service>,
    endpoint: &Endpoint,
    asked: &Asked,
    name: &str,
    version: &str,
) -> Result<Response, Refused> {
    let name = name_of(name)?;
    let served = served(service, endpoint.only, &name).await?;
    let package = &served.package;
    let id = &package.id;
    let missing = || RegistryError::NotFound {
        package: format!("{id} {version}"),
        asked: 0,
    };
    let entry = package
        .releases
        .iter()
        .find(|entry| entry.version.as_str() == version);
    let Some(entry) = entry else {
        if let Ok(version) = version.parse() {
            may_serve(service, &name, &version).await?;
        }
        return Err(missing().into());
    };
    ahead::asked(service, endpoint, package, Some(&entry.version));
    let line = line_of(service, &Ahead::alone(service, id), id, entry).await?;
    if !is_at(endpoint.mirror, &line) {
        let text = format!(
            "nobody attests that the default registry has {name} {version}; it is at /cargo/"
        );
        return Err(Refused::Because(StatusCode::NOT_FOUND, text));
    }
    let manifest = service
        .registry()
        .manifest_of(id, &entry.first().ok_or_else(missing)?)
        .await?;
    let file = ServedFile {
        wanted: wanted(id, &manifest),
        digest: line.digest.clone(),
        others: Others::default(),
        package: id.clone(),
        version: entry.version.clone(),
        name: None,
        kind: "application/gzip",
        fixed: false,
    };
    Ok(file::answer(
        service,
        file,
        &asked.method,
        &asked.headers,
        asked.client.clone(),
    )
    .await)
}
