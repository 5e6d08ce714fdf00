//! From what a person has (a directory, a file, a crate) to what a node can publish: a draft, and the bytes of a release
//! on the node.

use std::{
    fs::File,
    io::{self, Read, Seek},
    path::Path,
};

use tokio_util::io::InspectReader;

use crate::{
    RegistryError, Result,
    archive::{
        Need, crates,
        pack::{self, Limits, Packed, Packing},
        project::{self, Project, ProjectError},
    },
    config::toml_error,
    domain::manifest::{Artifacts, Content, Draft, limit},
    registry::Contents,
};

/// A release that is ready to be put on a node.
#[derive(Debug)]
pub struct Prepared {
    pub draft: Draft,
    /// What the content is called as a file.
    pub file: String,
    /// Bytes of the content.
    pub size: u64,
    pub readme: Option<String>,
    /// The ecosystem's own data.
    pub native: Option<String>,
    /// What was packed, for a directory.
    pub packed: Option<Packed>,
    /// The content, from its start.
    bytes: File,
    /// What it must be when it has been put: a file may change in between.
    must_be: Option<Content>,
}

/// Packs a directory by its `swarmdex.toml`. Blocks; `told` hears how far it is.
///
/// # Errors
/// Sentences that name the file, the line or the path that stands in the way.
pub fn directory(dir: &Path, most: u64, told: impl FnMut(Packing)) -> Result<Prepared> {
    let Project { draft, exclude, readme } = project::read(dir).map_err(wrong)?;
    pack(dir, draft, &exclude, readme, most, told)
}

/// Packs a directory that is described by `draft`; of its `swarmdex.toml`, if it has one, only `exclude` and `readme`
/// count. Blocks.
///
/// # Errors
/// As [`directory`].
pub fn directory_as(dir: &Path, draft: Draft, most: u64, told: impl FnMut(Packing)) -> Result<Prepared> {
    let (exclude, readme) = project::packing(dir).map_err(wrong)?;
    pack(dir, draft, &exclude, readme, most, told)
}

fn wrong(error: ProjectError) -> RegistryError {
    match error {
        ProjectError::Toml { path, text, error } => toml_error(&path, &text, &error),
        other => RegistryError::Usage(other.to_string()),
    }
}

fn pack(
    dir: &Path,
    draft: Draft,
    exclude: &[String],
    readme: Option<String>,
    most: u64,
    told: impl FnMut(Packing),
) -> Result<Prepared> {
    check(&draft)?;
    let failed = |error| RegistryError::file(std::env::temp_dir(), "used for the archive")(error);
    let mut bytes = tempfile::tempfile().map_err(failed)?;
    let limits = Limits { bytes: most, ..Limits::default() };
    let packed = pack::pack(dir, exclude, limits, io::BufWriter::new(&mut bytes), told);
    let packed = packed.map_err(|error| RegistryError::Usage(error.to_string()))?;
    bytes.rewind().map_err(failed)?;
    let file = format!("{}-{}.tar.zst", draft.name, draft.version);
    let packed = Some(packed);
    let size = packed.map_or(0, |packed| packed.written);
    Ok(Prepared { draft, file, size, readme, native: None, packed, bytes, must_be: None })
}

/// Takes any file as it is.
///
/// # Errors
/// When it cannot be read, is no file, or has a name that cannot be published.
pub fn file(path: &Path, draft: Draft) -> Result<Prepared> {
    check(&draft)?;
    // Looked at before it is opened: a pipe would be waited for.
    let about = std::fs::metadata(path).map_err(RegistryError::file(path, "read"))?;
    if !about.is_file() {
        let why = format!("{} is neither a file nor a directory; publish one of these", path.display());
        return Err(RegistryError::Usage(why));
    }
    let name = path.file_name().and_then(|name| name.to_str());
    // A name that is none elsewhere is not worth refusing the file for.
    let file = name.filter(|name| crate::domain::manifest::check_file(name).is_ok());
    let file = file.map_or_else(|| format!("{}-{}", draft.name, draft.version), str::to_owned);
    let bytes = File::open(path).map_err(RegistryError::file(path, "read"))?;
    let size = about.len();
    Ok(Prepared { draft, file, size, readme: None, native: None, packed: None, bytes, must_be: None })
}

/// Reads a crate; its dependencies are those of `owner`, as `owner/name`. Blocks.
///
/// # Errors
/// Why it is none.
pub fn crate_file(path: &Path, owner: &str) -> Result<Prepared, crates::Unusable> {
    let read = crates::read(path)?;
    let dependency = |need: &Need| crate::domain::manifest::Dependency {
        package: format!("{owner}/{}", need.name),
        requirement: need.requirement.clone(),
        optional: need.optional,
    };
    let draft = Draft { dependencies: read.needs.iter().map(dependency).collect(), ..read.draft };
    let bytes = File::open(path)?;
    let file = format!("{}-{}.crate", draft.name, draft.version);
    Ok(Prepared {
        draft,
        file,
        size: read.content.size,
        readme: read.readme,
        native: Some(read.index),
        packed: None,
        bytes,
        must_be: Some(read.content),
    })
}

/// Whether the draft can be signed, as far as that can be said without its bytes.
fn check(draft: &Draft) -> Result<()> {
    let content = Content { root: crate::domain::hash::ContentRoot::of(b""), size: 0 };
    match draft.clone().into_manifest(content, crate::clock::now()) {
        Ok(_) => Ok(()),
        Err(errors) => Err(RegistryError::Draft { package: draft.name.clone(), errors }),
    }
}

impl Prepared {
    /// Hashes the content, which from then on must be that. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn hash(&mut self, mut told: impl FnMut(u64)) -> io::Result<Content> {
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = self.bytes.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hasher.update(buffer.get(..read).unwrap_or_default());
            told(hasher.count());
        }
        self.bytes.rewind()?;
        let content = Content { root: hasher.finalize().into(), size: hasher.count() };
        self.must_be = Some(content);
        Ok(content)
    }

    /// What the content must be when it is put.
    pub fn expect(&mut self, content: Content) {
        self.must_be = Some(content);
    }

    /// Puts the bytes on a node; `told` hears how many have been read. The draft is published with what this returns.
    ///
    /// # Errors
    /// When the node cannot take them, or the file has changed since it was looked at.
    pub async fn put(
        self,
        contents: &dyn Contents,
        told: impl FnMut(usize) + Send + 'static,
    ) -> Result<(Draft, Artifacts)> {
        let mut told = told;
        let reader = InspectReader::new(tokio::fs::File::from_std(self.bytes), move |bytes| told(bytes.len()));
        let content = contents.put(Box::pin(reader)).await?;
        if content.size != self.size || self.must_be.is_some_and(|must| must != content) {
            let why = format!("{} changed while it was read; publish it when it is whole", self.file);
            return Err(RegistryError::Usage(why));
        }
        let text = async |text: Option<String>| match text {
            Some(text) if text.len() as u64 <= limit::BESIDE => {
                contents.put(Box::pin(io::Cursor::new(text.into_bytes()))).await.map(Some)
            }
            _ => Ok(None),
        };
        let (readme, native) = (text(self.readme).await?, text(self.native).await?);
        Ok((self.draft, Artifacts { content, file: Some(self.file), readme, native }))
    }
}
