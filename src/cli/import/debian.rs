//! `import debian FILE …`: a mirror's index, signed as releases of one's own.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::lacks;
use crate::{
    RegistryError, Result,
    archive::{
        debian::{self, Bad, Index, Stanza},
        release,
    },
    cli::{DONE, FAILED, global::Global, print, session},
    control::Control,
    domain::{
        manifest::{DESCRIPTION, Draft},
        name::{Handle, PackageName},
    },
    registry::{Bundle, Imported},
};

/// Bytes of stanzas in one batch: with what is around them it fits into a request of the control
/// socket.
const BATCH_BYTES: usize = 80 << 10;
const BATCH: usize = 250;
/// Packages that are named; of more only the number is told.
const NAMED: usize = 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// `Packages` indexes, plain or packed with gzip, xz or lz4, such as those in
    /// /var/lib/apt/lists
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Accepted for scripts that say it: indexes are always signed
    #[arg(long, hide = true)]
    sign: bool,
    /// Answer yes to what is asked at a terminal
    #[arg(long, short)]
    yes: bool,
    /// Print what was passed over as JSON, one object a line, and a summary
    #[arg(long)]
    json: bool,
}

#[derive(Default, Serialize)]
pub(super) struct Summary {
    pub imported: u64,
    pub known: u64,
    pub refused: u64,
    /// Of those that were imported, what is not its package's latest.
    behind: u64,
    /// Files that could not be read to their end.
    pub unread: u64,
}

/// Versions of packages of which a `.deb` was found, by their keys.
pub(super) type DebsFound = HashSet<(Option<PackageName>, String)>;

#[derive(Serialize)]
struct StanzaLine<'a> {
    package: Option<&'a str>,
    why: &'a str,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    let indexes = open(&args.files)?;
    session::with(global, async |node, settings| {
        let Some((_, handle)) = super::owner(node, settings, args.yes).await? else {
            return Ok(FAILED);
        };
        let mut import = IndexImport::new(node, handle, args.json);
        for (file, index) in indexes {
            import.index(&file, index).await?;
        }
        let Summary {
            imported,
            known,
            refused,
            behind,
            unread,
        } = import.summary;
        if args.json {
            print::json(&import.summary)?;
        } else {
            let more = [
                (behind, "of them not the latest of their package"),
                (unread, "files not read to their end"),
            ];
            let more = more.iter().filter(|(count, _)| *count > 0);
            let more: String = more
                .map(|(count, what)| format!(", {} {what}", HumanCount(*count)))
                .collect();
            let (imported, known, refused) =
                (HumanCount(imported), HumanCount(known), HumanCount(refused));
            print::lines(&format!(
                "{imported} signed as your own, {known} there already, {refused} passed over{more}"
            ))?;
        }
        Ok(if refused + unread == 0 { DONE } else { FAILED })
    })
    .await
}

pub(super) fn open(files: &[PathBuf]) -> Result<Vec<(PathBuf, Index)>> {
    let opened = |file: &PathBuf| match debian::open(file) {
        Ok(index) => Ok((file.clone(), index)),
        Err(error) => Err(RegistryError::Usage(error.to_string())),
    };
    files.iter().map(opened).collect()
}

/// An import under way.
struct IndexImport<'a> {
    node: &'a dyn Control,
    handle: Option<Handle>,
    json: bool,
    summary: Summary,
    batch: Vec<Bundle>,
    /// Packages that were named.
    named: usize,
    /// Passed over, because their packages are taken.
    found: DebsFound,
}

/// Signs what indexes say of those packages that are not among the found ones.
pub(super) async fn describe(
    node: &dyn Control,
    handle: Option<Handle>,
    json: bool,
    indexes: Vec<(PathBuf, Index)>,
    found: DebsFound,
) -> Result<Summary> {
    let mut import = IndexImport {
        found,
        ..IndexImport::new(node, handle, json)
    };
    for (file, index) in indexes {
        import.index(&file, index).await?;
    }
    Ok(import.summary)
}

impl<'a> IndexImport<'a> {
    fn new(node: &'a dyn Control, handle: Option<Handle>, json: bool) -> Self {
        Self {
            node,
            handle,
            json,
            summary: Summary::default(),
            batch: vec![],
            named: 0,
            found: DebsFound::new(),
        }
    }

    async fn index(&mut self, file: &Path, index: Index) -> Result<()> {
        let bar = bar(&index, file);
        let mut names = HashSet::new();
        let mut bytes = 0;
        // Unpacking takes its time: a few stanzas are read at once where that may.
        let mut reading = Some(index);
        while let Some(index) = reading.take() {
            let read = tokio::task::spawn_blocking(move || some_of(index)).await;
            let (left, stanzas, failed) =
                read.map_err(|error| print::internal("reading an index", error))?;
            if let Some(index) = &left {
                bar.set_position(index.progress().read);
            }
            for stanza in stanzas {
                match stanza {
                    Ok(stanza) if self.found.contains(&release::key(&stanza.draft)) => {}
                    Ok(stanza) => {
                        let size = stanza.text.len();
                        let full = self.batch.len() >= BATCH || bytes + size > BATCH_BYTES;
                        if full || !names.insert(stanza.draft.name.clone()) {
                            self.flush(&bar).await?;
                            names = HashSet::from([stanza.draft.name.clone()]);
                            bytes = 0;
                        }
                        bytes += size;
                        if !stanza.left_out.is_empty() {
                            let name = stanza.draft.name.to_string();
                            self.name(
                                &bar,
                                Some(&name),
                                &format!("{name}: {}", lacks(&stanza.left_out)),
                            )?;
                        }
                        self.batch.push(self.bundle(stanza));
                    }
                    Err(bad) => self.passed_over(&bar, bad.name.as_deref(), &bad.to_string())?,
                }
            }
            if let Some(error) = failed {
                self.summary.unread += 1;
                bar.suspend(|| print::note(format!("error: {error}")));
            }
            reading = left;
        }
        self.flush(&bar).await?;
        bar.finish_and_clear();
        Ok(())
    }

    fn bundle(&self, stanza: Stanza) -> Bundle {
        let draft = Draft {
            handle: self.handle.clone(),
            ..stanza.draft
        };
        let file = format!("{}{DESCRIPTION}", draft.name);
        Bundle {
            draft,
            file,
            text: stanza.text,
        }
    }

    async fn flush(&mut self, bar: &ProgressBar) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        let names: Vec<String> = batch
            .iter()
            .map(|bundle| bundle.draft.name.to_string())
            .collect();
        let outcomes = self.node.registry().import(batch).await?;
        for (name, outcome) in names.iter().zip(outcomes) {
            match outcome {
                Imported::Taken => self.summary.imported += 1,
                Imported::Behind { version, latest } => {
                    self.summary.imported += 1;
                    self.summary.behind += 1;
                    let why = format!(
                        "{name} {version} is signed, and {latest} stays the latest of {name}, because it is higher; who wants the other names its version"
                    );
                    self.name(bar, Some(name), &why)?;
                }
                Imported::Known => self.summary.known += 1,
                Imported::Refused { why } => {
                    self.passed_over(bar, Some(name), &format!("{name} is passed over: {why}"))?
                }
            }
        }
        bar.set_message(HumanCount(self.summary.imported + self.summary.known).to_string());
        Ok(())
    }

    fn passed_over(&mut self, bar: &ProgressBar, package: Option<&str>, why: &str) -> Result<()> {
        self.summary.refused += 1;
        self.name(bar, package, why)
    }

    /// Says what became of a package, if it is one of the first of which there is something to say.
    fn name(&mut self, bar: &ProgressBar, package: Option<&str>, why: &str) -> Result<()> {
        self.named += 1;
        if self.json {
            bar.suspend(|| print::json(&StanzaLine { package, why }))?;
        } else if self.named <= NAMED {
            bar.suspend(|| print::note(why));
        } else if self.named == NAMED + 1 {
            bar.suspend(|| {
                print::note("and others, which are only counted; --json names them all")
            });
        }
        Ok(())
    }
}

/// The next stanzas of an index, what is left of it, and why it cannot be read to its end.
#[allow(clippy::type_complexity)]
fn some_of(
    mut index: Index,
) -> (
    Option<Index>,
    Vec<std::result::Result<Stanza, Bad>>,
    Option<debian::IndexError>,
) {
    let mut stanzas = Vec::new();
    while stanzas.len() < BATCH {
        match index.next() {
            Some(Ok(stanza)) => stanzas.push(stanza),
            Some(Err(error)) => return (None, stanzas, Some(error)),
            None => return (None, stanzas, None),
        }
    }
    (Some(index), stanzas, None)
}

fn bar(index: &Index, file: &Path) -> ProgressBar {
    let name = file
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let bar = print::bar(index.progress().size).with_prefix(crate::domain::text::fit(&name, 40));
    match ProgressStyle::with_template("{prefix} {wide_bar} {eta} {msg} packages") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
