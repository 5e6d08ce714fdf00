//! `cargo publish`: an upload becomes what `import` makes of a crate, and goes the whole way of a publish.

use std::{io, path::Path, sync::Arc, time::Duration};

use axum::{
    body::{Body, BodyDataStream},
    http::{StatusCode, header},
    response::Response,
};
use futures::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tokio_util::io::StreamReader;

use super::{Endpoint, Refused, change::not_yours, is_blocked, line, name_of};
use crate::{
    RegistryError, Result,
    archive::{crates, inspect, release::of_crate, sanitise::with_dependencies},
    clock,
    domain::{
        hash::ContentRoot,
        manifest::{Dependency, Draft, Kind},
        name::{NameError, PackageId, PackageName, PublisherId},
        names::{By, Meaning},
        release::ReleaseEntry,
    },
    ecosystem::Ecosystem,
    gateway::{
        answer,
        service::{Asked, Service},
    },
    prepare::{self, Prepared},
    registry::Publisher,
};

/// Bytes of what cargo says of a crate beside its file; crates with thousands of features have a few hundred KiB.
const MAX_WORDS: usize = 4 << 20;
/// A client that sends nothing for so long has gone.
const SILENCE: Duration = Duration::from_secs(60);
/// Time in which an upload that is refused may still come.
const HEARD_OUT: Duration = Duration::from_secs(5);
/// Bytes that are written to the disk at once.
const PIECE: usize = 256 << 10;
/// Files that are warned of by name.
const NAMED: usize = 3;

/// What cargo says of a crate, as far as its file does not say it: where dependencies come from.
#[derive(Debug, Deserialize)]
struct Said {
    name: String,
    vers: String,
    #[serde(default)]
    deps: Vec<SaidDep>,
}

#[derive(Debug, Deserialize)]
struct SaidDep {
    /// What its registry calls it.
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
    /// What the crate itself calls it.
    #[serde(default)]
    explicit_name_in_toml: Option<String>,
}

fn wrong(text: impl Into<String>) -> Refused {
    Refused::Because(StatusCode::BAD_REQUEST, text.into())
}

/// Takes an upload, if `allowed`. Whoever is refused is heard out for a moment: a connection that is closed on what was not read is
/// a reset for the client, which then never sees why.
pub(super) async fn take(
    service: &Arc<Service>,
    endpoint: &Endpoint,
    asked: &Asked,
    body: Body,
    allowed: Result<(), Refused>,
) -> Result<Response, Refused> {
    let most = service.options.upload;
    let announced =
        asked.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most.saturating_add(MAX_WORDS as u64)) {
        return Err(too_large(most));
    }
    let mut bytes = coming(body);
    let taken = match allowed {
        Ok(()) => take_all(service, endpoint, asked, &mut bytes).await,
        Err(refused) => Err(refused),
    };
    if taken.is_err() {
        let mut rest = bytes.take(most);
        // Who sends for longer than this sees its connection end.
        let _ = timeout(HEARD_OUT, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
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
    let dir = tempfile::tempdir_in(&service.uploads).map_err(RegistryError::file(&service.uploads, "written to"))?;
    let (said, path) = received(bytes, dir.path(), most).await?;
    let name = name_of(&said.name)?;
    let id = may_publish(service, endpoint, &name).await?;
    let file = path.clone();
    let read = move || crates::read(&file).and_then(|found| of_crate(found, &file, clock::now()));
    let read = tokio::task::spawn_blocking(read).await;
    let read = read.map_err(|error| RegistryError::Internal { what: "reading a crate", why: error.to_string() })?;
    let read = read.map_err(|why| wrong(format!("{} {} cannot be taken: it is {why}", said.name, said.vers)))?;
    let mut prepared = prepare::release(read)?;
    let draft = &prepared.draft;
    if draft.name.as_str() != said.name || draft.version.as_str() != said.vers {
        let text =
            format!("the file holds {} {}, and is sent as {} {}", draft.name, draft.version, said.name, said.vers);
        return Err(wrong(text));
    }
    let left_out = tell_of_registries(service, endpoint, (&asked.base, id.owner), &said, &mut prepared).await?;
    let mut warnings = doubtful(&path).await;
    warnings.extend(left_out.iter().map(|left| format!("its manifest does not say that it needs {left}")));
    if let Some(alike) = service.registry().look_alike(&name, None).await? {
        warnings.push(format!("{name} looks like {alike}"));
    }
    publish(service, &id, prepared).await?;
    for warning in &warnings {
        tracing::warn!(package = %id, version = said.vers, "{warning}");
    }
    let warnings = json!({ "invalid_categories": [], "invalid_badges": [], "other": warnings });
    Ok(answer::json(StatusCode::OK, &json!({ "warnings": warnings })))
}

fn too_large(most: u64) -> Refused {
    let text = format!("the upload has more than {} MiB, which is the most here; raise gateway_upload_mb", most >> 20);
    Refused::Because(StatusCode::PAYLOAD_TOO_LARGE, text)
}

/// The bytes of a request as they come, as long as they come.
fn coming(body: Body) -> impl AsyncRead + Send + Unpin {
    let next = async |mut body: BodyDataStream| {
        let piece = match timeout(SILENCE, body.next()).await {
            Ok(piece) => piece?.map_err(io::Error::other),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        Some((piece, body))
    };
    StreamReader::new(Box::pin(stream::unfold(body.into_data_stream(), next)))
}

fn cut(error: &io::Error) -> Refused {
    wrong(format!("the upload broke off or is shorter than it says ({error}); publish it again"))
}

/// Takes an upload apart: a length and what cargo says, a length and the file. The file goes to the disk as it comes.
async fn received(
    bytes: &mut (impl AsyncRead + Unpin),
    dir: &Path,
    most: u64,
) -> Result<(Said, std::path::PathBuf), Refused> {
    let length = bytes.read_u32_le().await.map_err(|error| cut(&error))? as usize;
    if length > MAX_WORDS {
        return Err(wrong(format!("what is said of the crate has {length} bytes, and may have {MAX_WORDS}")));
    }
    let mut words = vec![0; length];
    bytes.read_exact(&mut words).await.map_err(|error| cut(&error))?;
    let said: Said = serde_json::from_slice(&words)
        .map_err(|error| wrong(format!("what is said of the crate cannot be read: {error}")))?;
    // Both become the name of a file.
    name_of(&said.name)?;
    Ecosystem::Cargo.version(&said.vers).map_err(|why| wrong(format!("{} is no version: it {why}", said.vers)))?;
    let size = u64::from(bytes.read_u32_le().await.map_err(|error| cut(&error))?);
    if size > most {
        return Err(too_large(most));
    }
    let path = dir.join(format!("{}-{}.crate", said.name, said.vers));
    let written = write(bytes, &path, size).await;
    match written {
        Ok(Some(())) => {}
        Ok(None) => return Err(cut(&io::ErrorKind::UnexpectedEof.into())),
        Err(error) => return Err(RegistryError::file(&path, "written")(error).into()),
    }
    let mut more = [0; 1];
    match bytes.read(&mut more).await {
        Ok(0) => Ok((said, path)),
        Ok(_) => Err(wrong("the upload is longer than it says; publish it again")),
        Err(error) => Err(cut(&error)),
    }
}

/// `None` when fewer bytes came.
async fn write(bytes: &mut (impl AsyncRead + Unpin), path: &Path, size: u64) -> io::Result<Option<()>> {
    let mut file = tokio::fs::File::create(path).await?;
    let mut left = size;
    let mut buffer = vec![0; PIECE];
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let Ok(read) = bytes.read(buffer.get_mut(..most).unwrap_or_default()).await else { return Ok(None) };
        if read == 0 {
            return Ok(None);
        }
        file.write_all(buffer.get(..read).unwrap_or_default()).await?;
        left -= read as u64;
    }
    file.flush().await?;
    Ok(Some(()))
}

/// The package that a publish under a name makes, if it may.
async fn may_publish(service: &Service, endpoint: &Endpoint, name: &PackageName) -> Result<PackageId, Refused> {
    if is_blocked(service, name).await? {
        let decided = service.node().names().why(name).await?;
        return Err(Refused::Because(StatusCode::FORBIDDEN, decided.refusal().unwrap_or_default()));
    }
    let Publisher { id: own, new_key } = service.registry().publisher().await?;
    if let Some(path) = new_key {
        tracing::warn!(path = %path.display(), "a publisher's key was made; back it up, because nobody else can publish your packages");
    }
    if let Some(only) = endpoint.only.filter(|only| *only != own) {
        return Err(Refused::Because(StatusCode::FORBIDDEN, not_yours(name, &only)));
    }
    // What a person said goes before one's own package, so that nobody would get it.
    let decided = service.node().names().why(name).await?;
    match &decided.meaning {
        Meaning::Owner { owner, by: By::Rule(rule) } if *owner != own && endpoint.only.is_none() => {
            let (reason, fingerprint, pattern) = (decided.reason(), owner.fingerprint(), &rule.pattern);
            let text = format!(
                "{name} is {owner} ({fingerprint}) on this node, because {reason}; `swarmdex names unset {pattern}` takes \
                 that back, or publish at /cargo/~{own}/"
            );
            Err(Refused::Because(StatusCode::FORBIDDEN, text))
        }
        _ => Ok(PackageId { owner: own, name: name.clone() }),
    }
}

/// Has the line of the index and the manifest say where the dependencies come from, as cargo says: in the file itself stand
/// addresses, and none for those of the default registry. Returns what the manifest has no room for.
async fn tell_of_registries(
    service: &Service,
    endpoint: &Endpoint,
    (base, own): (&str, PublisherId),
    said: &Said,
    prepared: &mut Prepared,
) -> Result<Vec<String>, Refused> {
    let line = prepared.native.take().unwrap_or_default();
    let mut line: Map<String, Value> = serde_json::from_slice(&line)
        .map_err(|error| RegistryError::Internal { what: "reading an index line", why: error.to_string() })?;
    let deps: Vec<Value> = said.deps.iter().map(|dep| told(dep, base)).collect();
    line.insert("deps".to_owned(), deps.into());
    prepared.native = Some(Value::Object(line).to_string().into_bytes());
    let mut needs = Vec::new();
    for dep in said.deps.iter().filter(|dep| dep.kind.as_deref() != Some("dev")) {
        let name = name_of(&dep.name)?;
        let owner = match line::signed_registry(dep.registry.as_deref(), base) {
            // Of a crate in another registry nobody here is the owner.
            Some(registry) => line::owner_of(&registry),
            None => Some(meant(service, endpoint, &name, own).await?),
        };
        let Some(owner) = owner else { continue };
        let called = dep.explicit_name_in_toml.as_ref().unwrap_or(&dep.name);
        let requirement = dep.version_req.parse().map_err(|error: NameError| wrong(format!("{called}: {error}")))?;
        needs.push(Dependency {
            optional: dep.optional,
            kind: if dep.kind.as_deref() == Some("build") { Kind::Build } else { Kind::Runtime },
            extras: dep.features.clone(),
            // An optional one is a feature of its own name.
            under: dep.optional.then(|| called.clone()),
            platform: dep.target.clone(),
            ..Dependency::on(PackageId { owner, name }.to_string(), requirement)
        });
    }
    let draft = Draft { dependencies: Vec::new(), ..prepared.draft.clone() };
    let (draft, left_out) = with_dependencies(draft, needs);
    prepared.draft = draft;
    Ok(left_out)
}

/// Whose package a dependency of the same registry is.
async fn meant(
    service: &Service,
    endpoint: &Endpoint,
    name: &PackageName,
    own: PublisherId,
) -> Result<PublisherId, Refused> {
    Ok(match endpoint.only {
        Some(_) => own,
        None => service.node().names().why(name).await?.owner().unwrap_or(own),
    })
}

/// A dependency as a line of an index has it: the name is what the crate itself calls it.
fn told(dep: &SaidDep, base: &str) -> Value {
    let renamed = dep.explicit_name_in_toml.as_ref().filter(|renamed| **renamed != dep.name);
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

/// What is called or looks like a key is in an archive that is taken as it is: its digest is fixed.
async fn doubtful(path: &Path) -> Vec<String> {
    let path = path.to_owned();
    let look = move || inspect::doubtful(&mut std::fs::File::open(path)?);
    let Ok(Ok(paths)) = tokio::task::spawn_blocking(look).await else { return Vec::new() };
    if paths.is_empty() {
        return Vec::new();
    }
    let named = paths.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match paths.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    vec![format!("what is called or looks like a private key is in the crate, and is published with it: {named}{more}")]
}

async fn publish(service: &Service, id: &PackageId, prepared: Prepared) -> Result<(), Refused> {
    let version = prepared.draft.version.clone();
    let (draft, artifacts) = prepared.put(&*service.contents(), |_| {}).await?;
    let root = artifacts.files.first().map(|file| file.content.root);
    match service.registry().publish(draft, artifacts, None).await {
        Ok(receipt) => {
            tracing::info!(id = receipt.id, "published through the gateway");
            Ok(())
        }
        Err(error) if error.code() == "version_taken" && is_same(service, id, version.as_str(), root).await? => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Returns whether what is published of a version has these bytes.
async fn is_same(service: &Service, id: &PackageId, version: &str, root: Option<ContentRoot>) -> Result<bool> {
    let package = service.registry().get_package(&id.to_string().parse()?).await?;
    let entry = package.releases.iter().find(|entry| entry.version.as_str() == version);
    let Some(first) = entry.and_then(ReleaseEntry::first) else { return Ok(false) };
    let manifest = service.registry().manifest_of(id, &first).await?;
    Ok(manifest.files.iter().any(|file| Some(file.root) == root))
}
