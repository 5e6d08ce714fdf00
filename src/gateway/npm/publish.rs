//! `npm publish`: an upload is prepared as by `import`, and then published.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{http::StatusCode, response::Response};
use data_encoding::BASE64;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::{attachment::Splitter, change, done, name_of, reference, route::short};
use crate::{
    RegistryError, Result,
    archive::release,
    clock,
    domain::{
        hash::{Digester, FileDigests},
        name::PackageId,
        record::check_tag,
        version::VersionText,
    },
    ecosystem::Ecosystem,
    gateway::{
        policy::{Refused, may_publish, package},
        publish::publish,
        service::{Asked, Service},
        upload::{cut, too_large},
    },
    prepare,
    registry::Change,
};

/// Bytes that are read, decoded and written at once.
const PIECE: usize = 256 << 10;

/// A document as a client sends it: of one version that it publishes, or of all.
#[derive(Debug, Deserialize)]
pub(super) struct PublishDocument {
    #[serde(default)]
    name: Option<String>,
    #[serde(default, rename = "dist-tags")]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub versions: Option<BTreeMap<String, SaidVersion>>,
    #[serde(default)]
    pub maintainers: Option<Value>,
    #[serde(default, rename = "_attachments")]
    attachments: BTreeMap<String, Attachment>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SaidVersion {
    #[serde(default)]
    pub deprecated: Option<Value>,
    #[serde(default)]
    dist: Dist,
}

#[derive(Debug, Default, Deserialize)]
struct Dist {
    #[serde(default)]
    integrity: Option<String>,
    #[serde(default)]
    shasum: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Attachment {
    #[serde(default)]
    length: Option<u64>,
    #[serde(default, rename = "data")]
    _data: IgnoredAny,
}

/// A received body, split into parts.
struct Received {
    said: PublishDocument,
    /// The tarball, if there is one.
    file: Option<Tarball>,
}

struct Tarball {
    path: PathBuf,
    size: u64,
    digests: FileDigests,
}

/// Accepts a publish, or changes to published versions.
pub(super) async fn take(
    service: &Arc<Service>,
    asked: &Asked,
    bytes: &mut (impl AsyncRead + Unpin),
    name: &str,
    rev: Option<&str>,
) -> Result<Response, Refused> {
    let closed = |_| RegistryError::Closed;
    let _place = service.uploading.acquire().await.map_err(closed)?;
    let dir = tempfile::tempdir_in(&service.uploads)
        .map_err(RegistryError::file(&service.uploads, "written to"))?;
    let Received { said, file } = received(bytes, dir.path(), service.options.upload).await?;
    if let Some(other) = said.name.as_ref().filter(|other| *other != name) {
        return Err(Refused::wrong(format!(
            "the document sent to {name} is for {other}"
        )));
    }
    match file {
        Some(tarball) => publish_one(service, name, &said, tarball).await,
        None => change::say(service, asked, name, &said, rev).await,
    }
}

/// Reads a body to its end. The tarball is written to the disk as it arrives.
async fn received(
    bytes: &mut (impl AsyncRead + Unpin),
    dir: &Path,
    most: u64,
) -> Result<Received, Refused> {
    let path = dir.join("upload.tgz");
    let written = |error| Refused::from(RegistryError::file(&path, "written")(error));
    let mut file = tokio::fs::File::create(&path).await.map_err(written)?;
    let (mut splitter, mut digester) = (Splitter::default(), Digester::of(&Ecosystem::Npm));
    let (mut buffer, mut decoded, mut size) = (vec![0; PIECE], Vec::with_capacity(PIECE), 0);
    loop {
        let read = bytes.read(&mut buffer).await.map_err(|error| cut(&error))?;
        if read == 0 {
            break;
        }
        splitter
            .feed(buffer.get(..read).unwrap_or_default(), &mut decoded)
            .map_err(unread)?;
        size += decoded.len() as u64;
        if size > most {
            return Err(too_large(most));
        }
        digester.update(&decoded);
        file.write_all(&decoded).await.map_err(written)?;
        decoded.clear();
    }
    file.flush().await.map_err(written)?;
    let (words, found) = splitter.end().map_err(unread)?;
    let said: PublishDocument = serde_json::from_slice(&words).map_err(unread)?;
    let file = found.then(|| Tarball {
        path,
        size,
        digests: digester.finish(),
    });
    Ok(Received { said, file })
}

fn unread(why: impl ToString) -> Refused {
    Refused::wrong(format!(
        "the request cannot be read or broke off ({}); publish it again",
        why.to_string()
    ))
}

async fn publish_one(
    service: &Arc<Service>,
    name: &str,
    said: &PublishDocument,
    tarball: Tarball,
) -> Result<Response, Refused> {
    let package_name = name_of(name)?;
    let path = tarball.path.clone();
    let read = tokio::task::spawn_blocking(move || release::read(&path, clock::now())).await;
    let read = read.map_err(|error| RegistryError::Internal {
        what: "reading a tarball",
        why: error.to_string(),
    })?;
    let mut read = read.map_err(|why| Refused::wrong(format!("{name} cannot be taken: {why}")))?;
    let (inside, version) = (read.draft.name.to_string(), read.draft.version.clone());
    if inside != name {
        return Err(Refused::wrong(format!(
            "the tarball holds {inside}, and is sent as {name}"
        )));
    }
    check(name, said, &version, &tarball)?;
    let tags = tags_of(said, &version)?;
    let left_out = std::mem::take(&mut read.left_out);
    if let Some(file) = read.files.first_mut() {
        file.name = format!("{}-{version}.tgz", short(name));
    }
    let prepared = prepare::release(read)?;
    let id = may_publish(service, None, &package_name).await?;
    may_follow(service, &id, &version).await?;
    let published = publish(service, &id, prepared, &left_out, &tarball.path).await;
    let warnings = published.map_err(|refused| over(refused, name, &version))?;
    for tag in tags {
        let change = Change::Tag {
            tag,
            version: Some(version.clone()),
        };
        service.registry().change(&reference(&id)?, change).await?;
    }
    Ok(done(StatusCode::CREATED, &warnings))
}

/// Compares the document's version with its tarball.
fn check(
    name: &str,
    said: &PublishDocument,
    version: &VersionText,
    tarball: &Tarball,
) -> Result<(), Refused> {
    let key = version.key(&Ecosystem::Npm);
    let is_it = |text: &&String| {
        text.parse()
            .is_ok_and(|text: VersionText| text.key(&Ecosystem::Npm) == key)
    };
    let versions = said.versions.iter().flatten();
    let Some((_, SaidVersion { dist, .. })) = versions.clone().find(|(text, _)| is_it(text)) else {
        let sent = versions
            .map(|(text, _)| text.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        return Err(Refused::wrong(format!(
            "the tarball holds {name} {version}, and is sent as {name} {sent}"
        )));
    };
    let length = said
        .attachments
        .iter()
        .find(|(key, _)| key.ends_with(".tgz"))
        .and_then(|(_, one)| one.length);
    if let Some(length) = length.filter(|length| *length != tarball.size) {
        let text = format!(
            "the tarball has {} bytes, and {length} are announced; publish it again",
            tarball.size
        );
        return Err(Refused::wrong(text));
    }
    let FileDigests { sha512, sha1, .. } = &tarball.digests;
    let sha512 = sha512
        .map(|digest| format!("sha512-{}", BASE64.encode(&digest.0)))
        .unwrap_or_default();
    let sha1 = sha1.map(|digest| digest.to_string()).unwrap_or_default();
    let mut words = dist
        .integrity
        .iter()
        .flat_map(|integrity| integrity.split_whitespace());
    let is_other =
        |word: &str| word.starts_with("sha512-") && word.split('?').next() != Some(&sha512);
    if words.any(is_other)
        || dist
            .shasum
            .as_ref()
            .is_some_and(|shasum| !shasum.eq_ignore_ascii_case(&sha1))
    {
        let text = format!(
            "the tarball of {name} {version} has another digest than its document says; publish \
             it again"
        );
        return Err(Refused::wrong(text));
    }
    Ok(())
}

/// Returns the tags for the new version.
fn tags_of(said: &PublishDocument, version: &VersionText) -> Result<Vec<String>, Refused> {
    let key = version.key(&Ecosystem::Npm);
    let is_it = |text: &str| {
        text.parse()
            .is_ok_and(|text: VersionText| text.key(&Ecosystem::Npm) == key)
    };
    let tags: Vec<String> = said
        .tags
        .iter()
        .filter(|(_, text)| is_it(text))
        .map(|(tag, _)| tag.clone())
        .collect();
    match tags
        .iter()
        .find_map(|tag| check_tag(&Ecosystem::Npm, tag).err().map(|why| (tag, why)))
    {
        Some((tag, why)) => Err(Refused::wrong(format!("the tag {tag} {why}"))),
        None => Ok(tags),
    }
}

/// Refuses a version that was unpublished.
async fn may_follow(
    service: &Service,
    id: &PackageId,
    version: &VersionText,
) -> Result<(), Refused> {
    let name = id.name.bare();
    if let Ok(package) = package(service, id).await
        && let Some(entry) =
            crate::domain::release::find(&Ecosystem::Npm, &package.releases, version)
        && entry.is_yanked()
    {
        let text = format!(
            "You cannot publish over {name} {version}, which was unpublished: here that is a \
             yank; `swarmdex unyank {id}@{version}` \
             takes it back, or publish another version"
        );
        return Err(Refused::Because(StatusCode::FORBIDDEN, text));
    }
    Ok(())
}

/// Explains why a version with other bytes is refused, as npm's own registry does. On 409, npm
/// would read the document and send everything again.
fn over(refused: Refused, name: &str, version: &VersionText) -> Refused {
    match refused {
        Refused::Because(StatusCode::CONFLICT, why) => {
            let text = format!(
                "You cannot publish over the previously published version {version} of {name}: \
                 {why}"
            );
            Refused::Because(StatusCode::FORBIDDEN, text)
        }
        other => other,
    }
}
