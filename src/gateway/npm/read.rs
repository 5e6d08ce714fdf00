//! Documents and tarballs: the metadata of a package's releases, and their files.

use std::sync::Arc;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use futures::{StreamExt, stream};

use super::{
    document::{Document, Listed},
    error, name_of,
    route::version_of,
    version::{self, Form, VersionDocument},
};
use crate::{
    RegistryError, Result,
    domain::{
        hash::Hash,
        name::PackageId,
        release::{self, ReleaseEntry},
        version::VersionText,
    },
    ecosystem::Ecosystem,
    gateway::{
        answer::{self, Written},
        companions::{self, Ahead, ParsedCache},
        file::{self, Others, ServedFile},
        policy::{Refused, may_serve},
        served::{Served, served},
        service::{Asked, Service},
    },
    registry::{Package, Wanted, claimed},
};

/// Versions of one package that are looked up at once.
const AT_ONCE: usize = 32;
/// Bytes of the caches of parsed versions and of documents as they were sent, for repeated requests
/// of one client or several.
const MOST_VERSIONS: usize = 8 << 20;
const MOST_DOCUMENTS: usize = 6 << 20;
/// The abbreviated form, for installs.
const SHORT: &str = "application/vnd.npm.install-v1+json";

/// The versions parsed and documents written lately.
pub struct ParsedDocuments {
    versions: ParsedCache<VersionDocument>,
    /// By a hash of all their inputs.
    documents: ParsedCache<Written>,
}

impl Default for ParsedDocuments {
    fn default() -> Self {
        Self {
            versions: ParsedCache::of(MOST_VERSIONS),
            documents: ParsedCache::of(MOST_DOCUMENTS),
        }
    }
}

/// Parses the metadata of one release, once.
async fn version_in(
    service: &Service,
    ahead: &Ahead<'_>,
    id: &PackageId,
    entry: &ReleaseEntry,
) -> Result<Arc<VersionDocument>> {
    let what = format!(
        "the package.json of {} {}",
        claimed(id, None),
        entry.version
    );
    let missing = || RegistryError::NotFound {
        package: what.clone(),
        asked: 0,
    };
    let hash = entry.first().ok_or_else(missing)?;
    if let Some(version) = service.npm.versions.get(&hash) {
        return Ok(version);
    }
    let manifest = ahead.manifest(&hash).await?;
    let native = manifest.native.ok_or_else(missing)?;
    let text = ahead.read(&manifest.content().root, native, &what).await?;
    let version = version::read(&manifest, &text).map_err(|why| RegistryError::NotFound {
        package: format!("{what}, because what is there is none ({why}),"),
        asked: 0,
    })?;
    Ok(service.npm.versions.keep(hash, version.weight(), version))
}

/// Returns the document of a package, and whether it is complete. Yanked versions are left out: new
/// installs must not choose them, and a client with one in its lock file requests only the tarball.
pub(super) async fn listed(
    service: &Service,
    asked: &Asked,
    package: &Package,
) -> (Document, bool) {
    let Package {
        id,
        handle,
        seq,
        signed_at,
        tags,
        releases,
        trust,
        ..
    } = package;
    let live = releases.iter().filter(|entry| !entry.is_yanked());
    let live: Vec<ReleaseEntry> = live.cloned().collect();
    let unread = |hash: &Hash| service.npm.versions.get(hash).is_none();
    let hashes: Vec<Hash> = live
        .iter()
        .filter_map(ReleaseEntry::first)
        .filter(unread)
        .collect();
    let ahead = Ahead::of(service, id, &hashes, companions::of_first).await;
    let looked = live.into_iter().map(|entry| {
        let ahead = &ahead;
        async move {
            let version = version_in(service, ahead, id, &entry).await;
            (entry, version)
        }
    });
    let mut looked = stream::iter(looked).buffered(AT_ONCE);
    let (mut versions, mut is_whole) = (Vec::new(), true);
    while let Some((entry, version)) = looked.next().await {
        match version {
            Ok(version) => versions.push(Listed { entry, version }),
            Err(error) => {
                is_whole = false;
                tracing::warn!(package = %id, version = %entry.version, %error, "a version is missing from the document");
            }
        }
    }
    drop(looked);
    drop(ahead);
    let fingerprint = id.owner.fingerprint();
    let owner = match handle {
        Some(handle) if trust.is_bound() => handle.to_string(),
        Some(handle) => format!("{handle} ({fingerprint})"),
        None => fingerprint,
    };
    let document = Document {
        name: id.name.bare().to_owned(),
        owner,
        registry: registry(asked),
        rev: rev(*seq, signed_at.0),
        modified: *signed_at,
        tags: tags.clone(),
        versions,
    };
    (document, is_whole)
}

/// Returns the beginning of this registry's URLs.
pub(super) fn registry(asked: &Asked) -> String {
    format!("{}/npm", asked.base)
}

/// Returns the revision of a package's state, for clients that send back a changed document.
pub(super) fn rev(seq: u64, signed_at: u64) -> String {
    format!("{seq}-{signed_at}")
}

/// Returns the hash of all inputs of a document.
fn key(asked: &Asked, package: &Package, form: Form, for_change: bool) -> Hash {
    let mut key = blake3::Hasher::new();
    let mut add = |part: &[u8]| {
        key.update(&(part.len() as u64).to_le_bytes());
        key.update(part);
    };
    let Package {
        id,
        handle,
        trust,
        seq,
        signed_at,
        tags,
        releases,
        ..
    } = package;
    add(format!(
        "{form:?} {for_change} {} {id} {handle:?} {trust:?} {seq} {signed_at:?} {tags:?}",
        asked.base
    )
    .as_bytes());
    add(&releases.digest().0);
    Hash(*key.finalize().as_bytes())
}

/// Returns the form that a client requests. Without a preference it is the full one, as yarn 4
/// needs it.
fn form(headers: &HeaderMap) -> Form {
    let mut accepted = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    if accepted.any(|accepted| accepted.contains(SHORT)) {
        Form::Short
    } else {
        Form::Full
    }
}

pub(super) async fn document(
    service: &Service,
    asked: &Asked,
    name: &str,
) -> Result<Response, Refused> {
    let for_change = url::form_urlencoded::parse(asked.query.as_bytes())
        .any(|(key, value)| key == "write" && value == "true");
    let served = match package(service, name).await {
        // On 404, npm assumes that the package was unpublished already.
        Err(Refused::Because(StatusCode::NOT_FOUND, text)) if for_change => {
            return Err(Refused::Because(StatusCode::FORBIDDEN, text));
        }
        other => other?,
    };
    let form = if for_change {
        Form::Full
    } else {
        form(&asked.headers)
    };
    let package = &served.package;
    let key = key(asked, package, form, for_change);
    let written = match service.npm.documents.get(&key) {
        Some(written) => written,
        None => made(service, asked, package, (key, form, for_change)).await?,
    };
    Ok(sent(&asked.headers, form, &written))
}

/// Creates a document, unless another request has just created it.
async fn made(
    service: &Service,
    asked: &Asked,
    package: &Package,
    (key, form, for_change): (Hash, Form, bool),
) -> Result<Arc<Written>, Refused> {
    let _turn = service.turns.of(&package.id).await;
    if let Some(written) = service.npm.documents.get(&key) {
        return Ok(written);
    }
    let (document, is_whole) = listed(service, asked, package).await;
    if document.versions.is_empty() {
        return Err(none_left(&document.name));
    }
    let written = Written::of(document.text(form, for_change));
    Ok(match is_whole {
        true => service.npm.documents.keep(key, written.text.len(), written),
        false => Arc::new(written),
    })
}

/// Returns the package of a name, to be served.
async fn package(service: &Service, name: &str) -> Result<Arc<Served>, Refused> {
    served(service, None, &name_of(name)?).await
}

fn none_left(name: &str) -> Refused {
    let text = format!("{name} has no version to install: all are yanked or not available");
    Refused::Because(StatusCode::NOT_FOUND, text)
}

fn sent(headers: &HeaderMap, form: Form, written: &Written) -> Response {
    let kind = match form {
        Form::Full => "application/json",
        Form::Short => SHORT,
    };
    let mut response = answer::tagged(headers, kind, &written.etag, written.text.clone());
    response
        .headers_mut()
        .insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// Returns one version, by its number or a tag.
pub(super) async fn version(
    service: &Service,
    asked: &Asked,
    name: &str,
    wanted: &str,
) -> Result<Response, Refused> {
    let (document, _) = listed(service, asked, &package(service, name).await?.package).await;
    match document.choose(wanted) {
        Some(listed) => Ok(answer::document(
            &asked.headers,
            "application/json",
            document.version(listed),
        )),
        None => Ok(error(
            StatusCode::NOT_FOUND,
            &format!("{name} has no version {wanted}, and no tag"),
        )),
    }
}

/// Returns the file of a version, even if it is yanked.
pub(super) async fn tarball(
    service: &Arc<Service>,
    asked: &Asked,
    name: &str,
    called: &str,
) -> Result<Response, Refused> {
    let missing = || RegistryError::NotFound {
        package: format!("{called}, a file of {name}"),
        asked: 0,
    };
    let version: VersionText = version_of(name, called)
        .and_then(|text| text.parse().ok())
        .ok_or_else(missing)?;
    let name = name_of(name)?;
    let served = served(service, None, &name).await?;
    let Package { id, releases, .. } = &served.package;
    let Some(entry) = release::find(&Ecosystem::Npm, releases, &version) else {
        may_serve(service, &name, &version).await?;
        return Err(missing().into());
    };
    let manifest = service
        .registry()
        .manifest_of(id, &entry.first().ok_or_else(missing)?)
        .await?;
    let signed = manifest.first().ok_or_else(missing)?;
    let file = ServedFile {
        wanted: Wanted {
            content: signed.content(),
            what: format!("{} {}", claimed(id, None), manifest.version),
            package: Some(id.clone()),
            beside: None,
            for_others: false,
        },
        digest: signed.sha256.to_string(),
        others: Others {
            sha512: signed.sha512,
            sha1: signed.sha1,
        },
        package: id.clone(),
        version: entry.version.clone(),
        name: None,
        kind: "application/octet-stream",
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
