//! From what a person has (a directory, a file, a crate) to what a node can publish: a draft, and
//! the bytes of a release on the node.

use std::{
    fs::File,
    io::{self, Read, Seek},
    path::{Path, PathBuf},
};

use tokio_util::io::InspectReader;

use crate::{
    RegistryError, Result,
    archive::{
        inspect,
        pack::{
            self, FoundKey, PackLimits, PackListing, PackPlan, PackProgress, Packed, RefusedFile,
            Rules,
        },
        project::{self, PackOptions, ProjectError, ProjectFile, ProjectReadme},
        release::{ArchivedRelease, FoundFile},
    },
    domain::{
        manifest::{Artifacts, Content, Draft, PutFile, file_of, limit},
        secret::MAX_KEY_FILE,
        text::printable,
        time::Timestamp,
    },
    error::toml_error,
    registry::Contents,
};

/// A release that is ready to be put on a node.
#[derive(Debug)]
pub struct Prepared {
    pub draft: Draft,
    /// The name of the content as a file.
    pub file: String,
    /// Bytes of the content.
    pub size: u64,
    pub readme: Option<Vec<u8>>,
    /// The ecosystem's own data of the release.
    pub native: Option<Vec<u8>>,
    /// The ecosystem's own data of its file.
    pub file_native: Option<Vec<u8>>,
    /// The time at which the archive says that it was made.
    pub published_at: Option<Timestamp>,
    /// The list of packed files, for a directory.
    pub packed: Option<Packed>,
    /// The contents, for the person who publishes.
    pub listing: PackListing,
    /// The content, from its start.
    bytes: File,
    /// The content that it must be once it is put: a file may change in between.
    must_be: Option<Content>,
}

/// A directory that was looked through, and not packed yet.
pub struct Planned {
    draft: Draft,
    readme: Option<String>,
    plan: PackPlan,
}

/// Looks through a directory that is described by its `swarmdex.toml`; `most` bytes may be in it,
/// and what is in `own` stays out of it. Blocks.
///
/// # Errors
/// Sentences that name the file, the line or the path that stands in the way. Keys that must not be
/// published are none yet.
pub fn plan(dir: &Path, most: u64, own: &[PathBuf]) -> Result<Planned> {
    let ProjectFile { draft, pack } = project::read(dir).map_err(wrong)?;
    planned(dir, draft, pack, most, own)
}

/// Looks through a directory that is described by `draft`; of its `swarmdex.toml`, if it has one,
/// only `exclude`,
/// `include` and `readme` count. Blocks.
///
/// # Errors
/// As [`plan`].
pub fn plan_as(dir: &Path, draft: Draft, most: u64, own: &[PathBuf]) -> Result<Planned> {
    planned(dir, draft, project::packing(dir).map_err(wrong)?, most, own)
}

fn wrong(error: ProjectError) -> RegistryError {
    match error {
        ProjectError::Toml { path, text, error } => toml_error(&path, &text, &error),
        other => RegistryError::Usage(other.to_string()),
    }
}

fn planned(
    dir: &Path,
    draft: Draft,
    options: PackOptions,
    most: u64,
    own: &[PathBuf],
) -> Result<Planned> {
    check(&draft)?;
    let PackOptions {
        exclude,
        include,
        readme,
    } = options;
    let rules = Rules {
        exclude,
        include,
        own: own.to_vec(),
    };
    let limits = PackLimits {
        bytes: most,
        ..PackLimits::default()
    };
    let mut plan = pack::plan(dir, &rules, limits).map_err(usage)?;
    if let Some(readme) = &readme {
        check_readme(dir, readme, &rules, &mut plan)?;
    }
    Ok(Planned {
        draft,
        readme: readme.map(|readme| readme.text),
        plan,
    })
}

fn usage(error: impl ToString) -> RegistryError {
    RegistryError::Usage(error.to_string())
}

/// A readme travels beside the archive, whether or not it is in it.
fn check_readme(
    dir: &Path,
    readme: &ProjectReadme,
    rules: &Rules,
    plan: &mut PackPlan,
) -> Result<()> {
    let path = printable(&readme.path);
    if plan
        .listing()
        .entries
        .iter()
        .any(|entry| entry.path == readme.path)
    {
        return Ok(());
    }
    if pack::is_own(&rules.own, &dir.join(&readme.path)) {
        let why = format!(
            "the readme {path} is your node's own; name another with readme, or none with readme = false"
        );
        return Err(RegistryError::Usage(why));
    }
    let key = pack::find_key(readme.text.as_bytes(), readme.text.len() as u64).map_err(usage)?;
    match key.filter(|key| *key == FoundKey::Own || !pack::is_named(&rules.include, &readme.path)) {
        Some(key) => plan.refuse(RefusedFile { path, key }),
        None => plan.warn(format!(
            "{path} stays out of the archive, and is published beside it as its readme"
        )),
    }
    Ok(())
}

impl Planned {
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    pub fn listing(&self) -> &PackListing {
        self.plan.listing()
    }

    /// Packs it. Blocks; `told` hears how far it is.
    ///
    /// # Errors
    /// When a file has a key in it, has changed, or cannot be read any more.
    pub fn pack(self, told: impl FnMut(PackProgress)) -> Result<Prepared> {
        let Self {
            draft,
            readme,
            plan,
        } = self;
        let failed =
            |error| RegistryError::file(std::env::temp_dir(), "used for the archive")(error);
        let mut bytes = tempfile::tempfile().map_err(failed)?;
        let packed = plan
            .write(io::BufWriter::new(&mut bytes), told)
            .map_err(usage)?;
        bytes.rewind().map_err(failed)?;
        let file = format!("{}.tar.zst", file_of(&draft.name, &draft.version));
        let (size, packed, listing) = (packed.written, Some(packed), plan.listing().clone());
        let readme = readme.map(String::into_bytes);
        Ok(Prepared {
            packed,
            readme,
            ..Prepared::of(draft, file, size, listing, bytes)
        })
    }
}

/// Takes any file as it is. One that is an archive is looked through for keys: with one of ours it
/// is refused, and others are warned of, because whoever names a file means it.
///
/// # Errors
/// When it cannot be read, is no file, is in a directory of `own`, or is or holds a key of ours.
pub fn file(path: &Path, draft: Draft, own: &[PathBuf]) -> Result<Prepared> {
    check(&draft)?;
    // Looked at before it is opened: a pipe would be waited for.
    let about = std::fs::metadata(path).map_err(RegistryError::file(path, "read"))?;
    if !about.is_file() {
        let why = format!(
            "{} is neither a file nor a directory; publish one of these",
            path.display()
        );
        return Err(RegistryError::Usage(why));
    }
    if pack::is_own(own, path) {
        let why = format!(
            "{} is in the directory of your node, where its keys and data are",
            path.display()
        );
        return Err(RegistryError::Usage(why + "; publish something else"));
    }
    let name = path.file_name().and_then(|name| name.to_str());
    // A name that is none elsewhere is not worth refusing the file for.
    let file = name.filter(|name| crate::domain::manifest::check_file(name).is_ok());
    let file = file.map_or_else(|| file_of(&draft.name, &draft.version), str::to_owned);
    let unread = |error| RegistryError::file(path, "read")(error);
    let mut bytes = File::open(path).map_err(unread)?;
    let size = about.len();
    let mut listing = PackListing::of_file(&file, size);
    let keys = keys_in_file(path, &mut bytes, size).map_err(unread)?;
    bytes.rewind().map_err(unread)?;
    if let Some(own) = keys.iter().find(|refused| refused.key == FoundKey::Own) {
        return Err(usage(own));
    }
    let warned = |RefusedFile { path, key }| match key {
        FoundKey::Header { label } => {
            format!("{path} has a private key in it ({label}), which cannot be taken back")
        }
        FoundKey::Own => path,
    };
    listing
        .warnings
        .extend(keys.into_iter().take(MOST_WARNINGS).map(warned));
    Ok(Prepared::of(draft, file, size, listing, bytes))
}

/// Keys in a file that are warned of one by one.
const MOST_WARNINGS: usize = 5;

/// The keys that a file is, or holds if it is an archive.
fn keys_in_file(path: &Path, file: &mut File, size: u64) -> io::Result<Vec<RefusedFile>> {
    let shown = printable(&path.to_string_lossy());
    // A file with a header further in is more than a key.
    if let Some(key) = pack::find_key(file.by_ref().take(MAX_KEY_FILE), size)? {
        return Ok(vec![RefusedFile { path: shown, key }]);
    }
    let inside = inspect::keys(file)?.into_iter();
    Ok(inside
        .map(|RefusedFile { path, key }| RefusedFile {
            path: format!("{shown}, {path}"),
            key,
        })
        .collect())
}

/// Takes the release of one archive. Blocks.
///
/// # Errors
/// When its file cannot be opened, or there is none.
pub fn release(release: ArchivedRelease) -> Result<Prepared> {
    let ArchivedRelease {
        draft,
        files,
        readme,
        native,
        ..
    } = release;
    let Some(file) = files.into_iter().next() else {
        return Err(RegistryError::Usage(format!(
            "{} {} has no file; name one",
            draft.name, draft.version
        )));
    };
    let FoundFile {
        path,
        name,
        content,
        native: file_native,
        published_at,
    } = file;
    let listing = PackListing::of_file(&printable(&path.to_string_lossy()), content.size);
    let bytes = File::open(&path).map_err(RegistryError::file(&path, "read"))?;
    let prepared = Prepared::of(draft, name, content.size, listing, bytes);
    Ok(Prepared {
        readme,
        native,
        file_native,
        published_at,
        must_be: Some(content),
        ..prepared
    })
}

/// Checks all of the draft that can be checked without its bytes.
fn check(draft: &Draft) -> Result<()> {
    let wrong = |errors| RegistryError::Draft {
        package: draft.name.clone(),
        errors,
    };
    draft.check(crate::clock::now()).map_err(wrong)
}

impl Prepared {
    /// A release of one file, with nothing beside it.
    fn of(draft: Draft, file: String, size: u64, listing: PackListing, bytes: File) -> Self {
        Self {
            draft,
            file,
            size,
            readme: None,
            native: None,
            file_native: None,
            published_at: None,
            packed: None,
            listing,
            bytes,
            must_be: None,
        }
    }

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
        let content = Content {
            root: hasher.finalize().into(),
            size: hasher.count(),
        };
        self.must_be = Some(content);
        Ok(content)
    }

    /// Sets the content that it must be when it is put.
    pub fn expect(&mut self, content: Content) {
        self.must_be = Some(content);
    }

    /// Puts the bytes on a node; `told` hears how many have been read. The draft is published with
    /// what this returns.
    ///
    /// # Errors
    /// When the node cannot take them, or the file has changed since it was looked at.
    pub async fn put(
        self,
        contents: &dyn Contents,
        told: impl FnMut(usize) + Send + 'static,
    ) -> Result<(Draft, Artifacts)> {
        let mut told = told;
        let reader = InspectReader::new(tokio::fs::File::from_std(self.bytes), move |bytes| {
            told(bytes.len())
        });
        let content = contents.put(Box::pin(reader)).await?;
        if content.size != self.size || self.must_be.is_some_and(|must| must != content) {
            let why = format!(
                "{} changed while it was read; publish it when it is whole",
                self.file
            );
            return Err(RegistryError::Usage(why));
        }
        let text = async |text: Option<Vec<u8>>| match text {
            Some(text) if !text.is_empty() && text.len() as u64 <= limit::BESIDE => contents
                .put(Box::pin(io::Cursor::new(text)))
                .await
                .map(Some),
            _ => Ok(None),
        };
        // At once, so that they share a commit.
        let (readme, native, of_file) =
            tokio::try_join!(text(self.readme), text(self.native), text(self.file_native))?;
        let file = PutFile {
            native: of_file,
            ..PutFile::from(content).named(self.file)
        };
        let files = vec![PutFile {
            published_at: self.published_at,
            ..file
        }];
        Ok((
            self.draft,
            Artifacts {
                files,
                readme,
                native,
            },
        ))
    }
}
