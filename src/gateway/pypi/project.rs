//! Projects: the files of all manifests of every release and their metadata, for pages and for
//! download.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{http::StatusCode, response::Response};
use bytes::Bytes;
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::page::{Form, Listed, Project};
use crate::{
    RegistryError, Result,
    archive::pypi::CoreMetadata,
    domain::{
        hash::{ContentRoot, Digest, Hash, Sha256Digest},
        manifest::{self, Manifest},
        name::{PackageId, PackageName},
        release::ReleaseEntry,
        time::Timestamp,
        version::VersionText,
    },
    ecosystem::{Ecosystem, Version, pypi::file::FileName},
    gateway::{
        answer,
        companions::Ahead,
        file::{self, Others, ServedFile},
        policy::{Refused, may_serve, name_of},
        request_log,
        served::served,
        service::{Asked, Service},
    },
    registry::{Package, Wanted, claimed},
};

/// Manifests of one project that are looked up at once.
const AT_ONCE: usize = 8;
/// Most bytes of pages kept in memory.
const MOST: usize = 6 << 20;
/// An incomplete page is created again after this long.
const INCOMPLETE: Duration = Duration::from_secs(30);
/// Approximate memory of a file besides its texts, in bytes.
const FILE: usize = 512;

/// The files of one manifest, as a client of the index sees them.
pub struct Files {
    signed_at: Timestamp,
    files: Vec<FileMetadata>,
}

/// A file with its metadata.
struct FileMetadata {
    file: manifest::File,
    requires_python: Option<String>,
    /// Digest of the metadata file beside it, if it is a wheel.
    metadata: Option<Sha256Digest>,
}

impl Files {
    fn weight(&self) -> usize {
        let texts = |known: &FileMetadata| {
            known.file.name.len() + known.requires_python.as_ref().map_or(0, String::len)
        };
        self.files.iter().map(|known| FILE + texts(known)).sum()
    }
}

/// The cache of pages.
#[derive(Default)]
pub struct ProjectPages(Mutex<PageCache>);

#[derive(Default)]
struct PageCache {
    pages: HashMap<(PackageId, Form), Arc<ProjectPage>>,
    /// Bytes of their texts.
    bytes: usize,
}

struct ProjectPage {
    /// Hash of the page's inputs.
    state: blake3::Hash,
    etag: String,
    text: Bytes,
    /// `None` if it is complete.
    until: Option<Instant>,
}

impl ProjectPages {
    fn get(&self, key: &(PackageId, Form), state: &blake3::Hash) -> Option<Arc<ProjectPage>> {
        let held = self.0.lock();
        let page = held.pages.get(key).filter(|page| page.state == *state)?;
        page.until
            .is_none_or(|until| Instant::now() < until)
            .then(|| page.clone())
    }

    fn keep(&self, key: (PackageId, Form), page: ProjectPage) -> Arc<ProjectPage> {
        let page = Arc::new(page);
        let mut held = self.0.lock();
        if held.bytes + page.text.len() > MOST {
            *held = PageCache::default();
        }
        held.bytes += page.text.len();
        if let Some(before) = held.pages.insert(key, page.clone()) {
            held.bytes -= before.text.len();
        }
        page
    }
}

/// Returns a hash of all inputs of a project's page.
fn state_of(package: &Package, blocked: &BTreeMap<String, String>) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    add(&(blocked.len() as u64).to_le_bytes());
    blocked.keys().for_each(|file| add(file.as_bytes()));
    add(&package.releases.digest().0);
    hasher.finalize()
}

/// Returns the page of a project.
pub(super) async fn page(
    service: &Service,
    asked: &Asked,
    name: &str,
    form: Form,
) -> Result<Response, Refused> {
    let served = served(service, None, &name_of(&Ecosystem::Pypi, name)?).await?;
    let (package, blocked) = (&served.package, &served.blocked_files);
    let (key, state) = ((package.id.clone(), form), state_of(package, blocked));
    let page = match service.pages.get(&key, &state) {
        Some(page) => page,
        None => {
            let _turn = service.turns.of(&package.id).await;
            let (project, complete) = listed(service, package, blocked).await;
            if project.files.is_empty() {
                let text = format!(
                    "{} has no wheel and no source distribution that can be served",
                    package.id
                );
                return Err(Refused::Because(StatusCode::NOT_FOUND, text));
            }
            let text = project.written(form);
            let etag = answer::etag_of(text.as_bytes());
            let until = (!complete).then(|| Instant::now() + INCOMPLETE);
            service.pages.keep(
                key,
                ProjectPage {
                    state,
                    etag,
                    text: text.into(),
                    until,
                },
            )
        }
    };
    Ok(answer::tagged(
        &asked.headers,
        form.media_type(),
        &page.etag,
        page.text.clone(),
    ))
}

/// Returns a project as its page shows it, without blocked files. The flag is true if it is
/// complete otherwise.
async fn listed(
    service: &Service,
    package: &Package,
    blocked: &BTreeMap<String, String>,
) -> (Project, bool) {
    let id = &package.id;
    let mut hashes = Vec::new();
    for (at, entry) in package.releases.iter().enumerate() {
        hashes.extend(entry.manifests.iter().map(|hash| (at, *hash)));
    }
    let unread = hashes
        .iter()
        .map(|(_, hash)| *hash)
        .filter(|hash| service.python.get(hash).is_none());
    let ahead = &Ahead::of(service, id, &unread.collect::<Vec<_>>(), metadata_in).await;
    let asked = hashes
        .into_iter()
        .map(|(at, hash)| async move { (at, files_of(service, id, &hash, ahead).await) });
    let mut looked = stream::iter(asked).buffered(AT_ONCE);
    let mut project = Project {
        name: id.name.bare().to_owned(),
        ..Project::default()
    };
    let mut complete = true;
    let mut versions = HashSet::new();
    let mut names = HashSet::new();
    while let Some((at, found)) = looked.next().await {
        let Some(entry) = package.releases.get(at) else {
            continue;
        };
        let (files, whole) = match found {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(package = %id, version = %entry.version, %error, "files are missing from a page");
                complete = false;
                continue;
            }
        };
        complete &= whole;
        let Ok(version) = entry.version.read(&Ecosystem::Pypi) else {
            continue;
        };
        // If two manifests list a file of one name, the earlier one counts.
        for known in files
            .files
            .iter()
            .filter(|known| is_of(&known.file.name, &id.name, &version))
        {
            if names.insert(known.file.name.clone()) && !blocked.contains_key(&known.file.name) {
                project.files.push(known.listed(entry, files.signed_at));
                if versions.insert(entry.version.as_str()) {
                    project.versions.push(entry.version.to_string());
                }
            }
        }
    }
    (project, complete)
}

impl FileMetadata {
    fn listed(&self, entry: &ReleaseEntry, signed_at: Timestamp) -> Listed {
        let Self {
            file,
            requires_python,
            metadata,
        } = self;
        Listed {
            name: file.name.clone(),
            sha256: file.sha256.to_string(),
            size: file.size,
            uploaded: file.published_at.unwrap_or(signed_at),
            requires_python: requires_python.clone(),
            metadata: metadata.map(|digest| digest.to_string()),
            yanked: entry.why_yanked(&file.name).map(str::to_owned),
        }
    }
}

/// Returns true if a file name is that of a wheel or a source distribution of this release.
fn is_of(file: &str, project: &PackageName, version: &Version) -> bool {
    FileName::parse(file).is_ok_and(|file| {
        Ecosystem::Pypi
            .normalise(file.name())
            .is_ok_and(|name| name == project.bare())
            && file.version() == version
    })
}

/// Returns the files of a manifest with their metadata. The flag is true if all of the metadata
/// could be had before the deadline.
async fn files_of(
    service: &Service,
    id: &PackageId,
    hash: &Hash,
    ahead: &Ahead<'_>,
) -> Result<(Arc<Files>, bool)> {
    if let Some(files) = service.python.get(hash) {
        return Ok((files, true));
    }
    let manifest = ahead.manifest(hash).await?;
    let mut files = Files {
        signed_at: manifest.signed_at,
        files: Vec::new(),
    };
    let mut complete = true;
    for file in &manifest.files {
        let said = match metadata_of(ahead, &manifest, file).await {
            Ok(said) => said,
            Err(error) => {
                tracing::warn!(package = %id, file = file.name, %error, "the metadata of a file could not be had");
                complete = false;
                None
            }
        };
        let is_wheel = matches!(FileName::parse(&file.name), Ok(FileName::Wheel(_)));
        let (requires_python, digest) = said.unzip();
        files.files.push(FileMetadata {
            file: file.clone(),
            requires_python: requires_python.flatten(),
            // The metadata of a source distribution may change when it is built.
            metadata: digest.filter(|_| is_wheel),
        });
    }
    Ok(match complete {
        true => (service.python.keep(*hash, files.weight(), files), true),
        false => (Arc::new(files), false),
    })
}

/// Returns the content with the metadata of a file, if there is any.
fn metadata_at(manifest: &Manifest, file: &manifest::File) -> Option<manifest::Content> {
    file.native
        .filter(|_| FileName::parse(&file.name).is_ok() && manifest.ecosystem == Ecosystem::Pypi)
}

/// Returns the metadata contents of all files of a manifest, each with its file.
fn metadata_in(manifest: &Manifest) -> Vec<(ContentRoot, manifest::Content)> {
    let one = |file: &manifest::File| Some((file.root, metadata_at(manifest, file)?));
    manifest.files.iter().filter_map(one).collect()
}

/// Returns the Python versions in a file's metadata, and the digest of the metadata. Returns
/// nothing if the metadata belongs to another release.
async fn metadata_of(
    ahead: &Ahead<'_>,
    manifest: &Manifest,
    file: &manifest::File,
) -> Result<Option<(Option<String>, Sha256Digest)>> {
    let Some(content) = metadata_at(manifest, file) else {
        return Ok(None);
    };
    let bytes = ahead
        .read(
            &file.root,
            content,
            &format!("the metadata of {}", file.name),
        )
        .await?;
    let Ok(said) = CoreMetadata::parse(&bytes) else {
        return Ok(None);
    };
    let is_of_it = Ecosystem::Pypi.version(&said.version).is_ok_and(|version| {
        let named = PackageName::of(&Ecosystem::Pypi, &manifest.name).ok();
        named.is_some_and(|name| {
            is_of(&file.name, &name, &version)
                && Ecosystem::Pypi.normalise(&said.name).as_deref() == Ok(name.bare())
        })
    });
    Ok(is_of_it.then(|| (said.requires_python, Digest(Sha256::digest(&bytes).into()))))
}

/// A requested file of a project, found by its digest and name.
struct RequestedFile {
    id: PackageId,
    entry: ReleaseEntry,
    manifest: Hash,
    file: manifest::File,
}

/// Finds a file: its name gives the project and the release, the policy gives the owner, and the
/// digest must be the one that this owner lists for the name.
async fn find(
    service: &Service,
    sha256: &Sha256Digest,
    name: &str,
) -> Result<RequestedFile, Refused> {
    let missing = |text: String| Refused::Because(StatusCode::NOT_FOUND, text);
    let parsed =
        FileName::parse(name).map_err(|why| missing(format!("the name of the file {why}")))?;
    let project_name = name_of(&Ecosystem::Pypi, parsed.name())?;
    let version: VersionText = parsed
        .version()
        .to_string()
        .parse()
        .map_err(RegistryError::from)?;
    request_log::version(&version);
    let served = served(service, None, &project_name).await?;
    let Package { id, releases, .. } = &served.package;
    let is_it = |entry: &&ReleaseEntry| {
        entry
            .version
            .read(&Ecosystem::Pypi)
            .is_ok_and(|it| it == *parsed.version())
    };
    if let Some(why) = served.blocked_files.get(name) {
        return Err(missing(format!("{name} is blocked on this node: {why}")));
    }
    let unknown = || missing(format!("{id} has no file {name} with the SHA-256 {sha256}"));
    let Some(entry) = releases.iter().find(is_it) else {
        may_serve(service, &project_name, &version).await?;
        return Err(unknown());
    };
    for hash in &entry.manifests {
        let named = |file: &manifest::File| file.name == name;
        let file = match service.python.get(hash) {
            Some(files) => files
                .files
                .iter()
                .map(|known| &known.file)
                .find(|file| named(file))
                .cloned(),
            None => service
                .registry()
                .manifest_of(id, hash)
                .await?
                .files
                .into_iter()
                .find(named),
        };
        // The earliest manifest that lists the name counts.
        if let Some(file) = file {
            return match file.sha256 == *sha256 {
                true => Ok(RequestedFile {
                    entry: entry.clone(),
                    manifest: *hash,
                    file,
                    id: id.clone(),
                }),
                false => Err(unknown()),
            };
        }
    }
    Err(unknown())
}

/// Returns the bytes of a file.
pub(super) async fn file(
    service: &Arc<Service>,
    asked: &Asked,
    sha256: &Sha256Digest,
    name: &str,
) -> Result<Response, Refused> {
    let RequestedFile {
        id, entry, file, ..
    } = find(service, sha256, name).await?;
    let file = ServedFile {
        wanted: Wanted {
            content: file.content(),
            what: format!("{} of {}", file.name, claimed(&id, None)),
            package: Some(id.clone()),
            beside: None,
            for_others: false,
        },
        digest: file.sha256.to_string(),
        others: Others {
            sha512: file.sha512,
            sha1: file.sha1,
        },
        package: id,
        version: entry.version,
        name: Some(name.to_owned()),
        kind: if name.ends_with(".tar.gz") {
            "application/gzip"
        } else {
            "application/octet-stream"
        },
        fixed: true,
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

/// Returns the metadata of a wheel, byte for byte.
pub(super) async fn metadata(
    service: &Service,
    asked: &Asked,
    sha256: &Sha256Digest,
    name: &str,
) -> Result<Response, Refused> {
    let RequestedFile {
        id, manifest, file, ..
    } = find(service, sha256, name).await?;
    let missing = || {
        Refused::Because(
            StatusCode::NOT_FOUND,
            format!("{name} has no metadata beside it"),
        )
    };
    let ahead = Ahead::alone(service, &id);
    let (files, _) = files_of(service, &id, &manifest, &ahead).await?;
    let known = files.files.iter().find(|known| known.file.name == name);
    let digest = known.and_then(|known| known.metadata).ok_or_else(missing)?;
    let content = file.native.ok_or_else(missing)?;
    let bytes = ahead
        .read(&file.root, content, &format!("the metadata of {name}"))
        .await?;
    let etag = format!("\"{digest}\"");
    let mut response = answer::tagged(
        &asked.headers,
        "application/octet-stream",
        &etag,
        bytes.into(),
    );
    answer::never_changes(&mut response);
    Ok(response)
}
