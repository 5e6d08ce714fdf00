//! Runs effects against the registry and the file system, and sends their results back.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

use super::{
    Shown,
    effect::{Download, Effect, EffectResult},
    files::{self, Stamp},
    model::{
        peers::{PeerAction, PeerPackages},
        picker::{self},
        publish::Hashed,
        readme::ReadmeText,
    },
    recorded,
};
use crate::{
    Result,
    archive::pack::PackListing,
    bus::Level,
    control::Control,
    domain::{
        content::MAX_CONTENT,
        hash::ContentRoot,
        manifest::{Draft, limit},
        name::{PackageId, PackageRef},
        query::Query,
        trust::Trust,
        version::{RequirementText, VersionText},
    },
    prepare::{self, Prepared},
    registry::{Content, Receipt, Wanted, read_whole},
};

/// Runs effects in tasks of their own.
pub struct Executor {
    shown: Option<Shown>,
    messages: mpsc::Sender<EffectResult>,
    search: Option<JoinHandle<()>>,
    /// The release that was read or packed last, ready to be published.
    ready: Arc<Mutex<Option<Ready>>>,
    /// Saves drafts, searches and columns to disk.
    pub saver: Option<files::Saver>,
    /// The node's own directories, which are never packed.
    pub of_the_node: Vec<PathBuf>,
}

impl Executor {
    pub fn new(messages: mpsc::Sender<EffectResult>) -> Self {
        Self {
            shown: None,
            messages,
            search: None,
            ready: Arc::default(),
            saver: None,
            of_the_node: Vec::new(),
        }
    }

    pub fn connect(&mut self, shown: Shown) {
        let (mut link, messages) = (shown.watch().link(), self.messages.clone());
        tokio::spawn(async move {
            while link.changed().await.is_ok() {
                let now = link.borrow_and_update().clone();
                if messages.send(EffectResult::Link(now)).await.is_err() {
                    return;
                }
            }
        });
        self.shown = Some(shown);
    }

    pub fn run(&mut self, effect: Effect) {
        match effect {
            Effect::SaveDraft(draft) => {
                if let Some(saver) = &self.saver {
                    saver.save_draft(draft);
                }
            }
            Effect::SaveSearches(texts) => {
                if let Some(saver) = &self.saver {
                    saver.save_searches(texts);
                }
            }
            Effect::SaveColumns { table, words } => {
                if let Some(saver) = &self.saver {
                    saver.save_columns(table, words);
                }
            }
            Effect::Stat { generation, path } => self.blocking(move || {
                let (state, proposals) =
                    (files::state_of(Path::new(&path)), picker::complete(&path));
                EffectResult::Stat {
                    generation,
                    state,
                    proposals,
                }
            }),
            Effect::List { generation, dir } => {
                self.blocking(move || EffectResult::Listed {
                    generation,
                    entries: picker::list(&dir),
                });
            }
            Effect::Hash {
                generation,
                path,
                draft,
            } => self.hash(generation, path, draft),
            Effect::Export { path, sheet } => self.blocking(move || {
                let result = files::export(Path::new(&path), &sheet).map(|()| sheet.rows.len());
                EffectResult::Exported { path, result }
            }),
            effect => self.ask(effect),
        }
    }

    /// Runs an effect that needs the node.
    fn ask(&mut self, effect: Effect) {
        let messages = self.messages.clone();
        let control = match self.shown.clone() {
            Some(Shown::Node(control)) => control,
            Some(Shown::Recording(_)) => {
                if let Some(result) = recorded::result_of(effect) {
                    tokio::spawn(async move { messages.send(result).await });
                }
                return;
            }
            None => return,
        };
        let (registry, contents) = (control.registry(), control.contents());
        match effect {
            Effect::Search { generation, text } => {
                self.stop_search();
                self.search = Some(tokio::spawn(async move {
                    let started = Instant::now();
                    let mut updates = registry.search_stream(Query::text(text));
                    while let Some(update) = updates.recv().await {
                        let message = EffectResult::Search {
                            generation,
                            update,
                            after: started.elapsed(),
                        };
                        if messages.send(message).await.is_err() {
                            return;
                        }
                    }
                }));
            }
            Effect::GetPackage {
                generation,
                package,
            } => drop(tokio::spawn(async move {
                let result = Box::new(registry.get_package(&PackageRef::of(&package)).await);
                messages
                    .send(EffectResult::Package { generation, result })
                    .await
            })),
            Effect::Files {
                generation,
                package,
                version,
            } => drop(tokio::spawn(async move {
                let exactly = RequirementText::exactly(package.name.ecosystem(), &version);
                let found = registry
                    .get_package_version(&PackageRef::of(&package), &exactly)
                    .await;
                messages
                    .send(EffectResult::Files {
                        generation,
                        result: Box::new(found),
                    })
                    .await
            })),
            Effect::Held { generation, root } => drop(tokio::spawn(async move {
                let result = Box::new(contents.held(root).await);
                messages
                    .send(EffectResult::Held { generation, result })
                    .await
            })),
            Effect::Readme { generation, wanted } => drop(tokio::spawn(async move {
                let root = wanted.content.root;
                let read = async {
                    contents.fetch(*wanted, None).await?;
                    read_whole(&*contents, root, limit::BESIDE).await
                };
                let result = read
                    .await
                    .map(|bytes| ReadmeText::of(&bytes))
                    .map_err(|error| error.to_string());
                messages
                    .send(EffectResult::Readme { generation, result })
                    .await
            })),
            Effect::Download {
                package,
                version,
                title,
            } => drop(tokio::spawn(async move {
                let mut root = None;
                if let Err(error) =
                    download(&*control, &messages, &package, &version, &mut root).await
                {
                    let (what, why) = (format!("{title} {version}"), error.to_string());
                    let _ = messages
                        .send(EffectResult::Download(Download::Failed { root, what, why }))
                        .await;
                }
            })),
            Effect::Direct { id, order, what } => drop(tokio::spawn(async move {
                let result = Box::new(contents.direct(id, order).await);
                messages
                    .send(EffectResult::Directed {
                        what,
                        order,
                        result,
                    })
                    .await
            })),
            Effect::Peer { id, name, action } => drop(tokio::spawn(async move {
                let result = match action {
                    PeerAction::Rule(ruling) => control.judge(id, ruling).await,
                    PeerAction::Disconnect => control.disconnect(id).await,
                };
                messages
                    .send(EffectResult::Peer {
                        name,
                        action,
                        result: Box::new(result),
                    })
                    .await
            })),
            Effect::PackagesOf { peer, publisher } => drop(tokio::spawn(async move {
                /// Items that a window lists by name; it only counts the rest.
                const NAMED: usize = 20;
                let text = format!("publisher:{publisher}");
                let query = Query {
                    local: true,
                    limit: NAMED,
                    ..Query::text(text)
                };
                let Ok(found) = registry.search(&query).await else {
                    return;
                };
                let names = found
                    .hits
                    .iter()
                    .map(|hit| hit.package.name.to_string())
                    .collect();
                let _ = messages
                    .send(EffectResult::Served(PeerPackages {
                        peer,
                        names,
                        total: found.total,
                    }))
                    .await;
            })),
            Effect::Reannounce => drop(tokio::spawn(async move {
                let (level, text) = match contents.offer_again().await {
                    Ok(()) => (
                        Level::Info,
                        "re-announcing all content and checking its replicas".to_owned(),
                    ),
                    Err(error) => (Level::Error, format!("not re-announced: {error}")),
                };
                messages.send(EffectResult::Notice(level, text)).await
            })),
            Effect::Own => drop(tokio::spawn(async move {
                let result = Box::new(registry.own().await);
                messages.send(EffectResult::Own(result)).await
            })),
            Effect::Routing => drop(tokio::spawn(async move {
                let result = Box::new(control.routing().await);
                messages.send(EffectResult::Routing(result)).await
            })),
            Effect::Logs { since } => drop(tokio::spawn(async move {
                let result = Box::new(control.logs(since).await);
                messages.send(EffectResult::Logs(result)).await
            })),
            Effect::Conflicts => drop(tokio::spawn(async move {
                let result = Box::new(registry.conflicts().await);
                messages.send(EffectResult::Conflicts(result)).await
            })),
            Effect::ExportEvidence { path, id } => drop(tokio::spawn(async move {
                let evidence = registry
                    .conflict_evidence(id)
                    .await
                    .map_err(|error| error.to_string());
                let file = PathBuf::from(&path);
                let write = move || {
                    evidence
                        .and_then(|evidence| files::write_new(&file, evidence.to_text().as_bytes()))
                };
                let result = tokio::task::spawn_blocking(write).await;
                let result = result.unwrap_or_else(|error| Err(error.to_string()));
                messages
                    .send(EffectResult::ExportedEvidence { path, result })
                    .await
            })),
            Effect::Trust {
                publisher,
                handle,
                what,
            } => drop(tokio::spawn(async move {
                let result = Box::new(registry.trust(publisher, handle.as_ref()).await);
                let trust = if handle.is_some() {
                    Trust::Pinned
                } else {
                    Trust::Unknown
                };
                messages
                    .send(EffectResult::Trust {
                        what,
                        publisher,
                        handle,
                        trust,
                        result,
                    })
                    .await
            })),
            Effect::Distrust { publisher, what } => drop(tokio::spawn(async move {
                let result = Box::new(registry.distrust(publisher).await);
                let (handle, trust) = (None, Trust::Distrusted);
                messages
                    .send(EffectResult::Trust {
                        what,
                        publisher,
                        handle,
                        trust,
                        result,
                    })
                    .await
            })),
            Effect::Claimed { handle, ask } => drop(tokio::spawn(async move {
                let Ok(claims) = registry.claims(&handle, ask).await else {
                    return;
                };
                let _ = messages.send(EffectResult::Claimed(Box::new(claims))).await;
            })),
            Effect::Yank {
                package,
                version,
                yank,
                name,
            } => drop(tokio::spawn(async move {
                let done = if yank { "yanked" } else { "un-yanked" };
                let what = format!("{name} is {done}");
                let result = if yank {
                    registry.yank(&package, &version).await
                } else {
                    registry.unyank(&package, &version).await
                };
                messages
                    .send(EffectResult::Yanked {
                        what,
                        result: Box::new(result),
                    })
                    .await
            })),
            Effect::Publish {
                generation,
                draft,
                content,
                path,
            } => {
                let ready = self.ready.lock().ok().and_then(|mut ready| ready.take());
                let own = self.of_the_node.clone();
                drop(tokio::spawn(async move {
                    let started = Instant::now();
                    let publishing = publish(
                        control,
                        messages.clone(),
                        generation,
                        *draft,
                        content,
                        path,
                        ready,
                        own,
                        started,
                    );
                    let result = Box::new(publishing.await);
                    messages
                        .send(EffectResult::Published { generation, result })
                        .await
                }));
            }
            _ => {}
        }
    }

    fn blocking(&self, work: impl FnOnce() -> EffectResult + Send + 'static) {
        let messages = self.messages.clone();
        tokio::spawn(async move {
            if let Ok(message) = tokio::task::spawn_blocking(work).await {
                // Sending fails only if the explorer has ended.
                let _ = messages.send(message).await;
            }
        });
    }

    fn hash(&self, generation: u64, path: PathBuf, draft: Option<Box<Draft>>) {
        let (messages, ready, own) = (
            self.messages.clone(),
            self.ready.clone(),
            self.of_the_node.clone(),
        );
        tokio::task::spawn_blocking(move || {
            let progress =
                |hashed| drop(messages.try_send(EffectResult::Hashed { generation, hashed }));
            // The listing is sent once and must arrive, so wait for room in the channel.
            let list = |listing: &PackListing| {
                let listing = Box::new(listing.clone());
                drop(messages.blocking_send(EffectResult::Listing {
                    generation,
                    listing,
                }));
            };
            let read = match draft {
                Some(draft) if path.is_dir() => pack(&path, *draft, &own, list, progress),
                draft => {
                    // Any other problem with the file comes up when it is hashed.
                    let checked = draft
                        .filter(|_| path.is_file())
                        .map(|draft| prepare::file(&path, *draft, &own))
                        .transpose();
                    let hashed = checked
                        .map_err(|error| error.to_string())
                        .and_then(|prepared| {
                            prepared.iter().for_each(|prepared| list(&prepared.listing));
                            let hashed = files::hash(&path, |done, size| {
                                progress(Hashed::Reading { done, size })
                            });
                            hashed.map_err(|why| format!("the file {why}"))
                        });
                    hashed.map(|(content, stamp)| (content, Ready::File(path, stamp)))
                }
            };
            let hashed = match read {
                Ok((content, now)) => {
                    if let Ok(mut ready) = ready.lock() {
                        *ready = Some(now);
                    }
                    Hashed::Is(content)
                }
                Err(why) => Hashed::Wrong(why),
            };
            let _ = messages.blocking_send(EffectResult::Hashed { generation, hashed });
        });
    }

    fn stop_search(&mut self) {
        if let Some(search) = self.search.take() {
            search.abort();
        }
    }
}

/// Has the node download a release, and sets `root` to its content once that is known.
async fn download(
    control: &dyn Control,
    messages: &mpsc::Sender<EffectResult>,
    package: &PackageId,
    version: &VersionText,
    root: &mut Option<ContentRoot>,
) -> Result<()> {
    let (contents, registry) = (control.contents(), control.registry());
    let exactly = RequirementText::exactly(package.name.ecosystem(), version);
    let release = registry
        .get_package_version(&PackageRef::of(package), &exactly)
        .await?;
    let first = Wanted::of(&release);
    *root = Some(first.content.root);
    let mut missing = Vec::new();
    let files = release
        .files
        .iter()
        .map(|one| Wanted::file(&release, &one.file));
    for file in files {
        if contents.held(file.content.root).await?.is_none() {
            missing.push(file);
        }
    }
    let others = Wanted::beside(&release);
    // Send `Found` first, or the end of the download could overtake it.
    let looks_like = registry
        .look_alike(&package.name, Some(package.owner))
        .await?;
    let looks_like = looks_like.filter(|_| !release.trust.is_bound());
    let found = Download::Found {
        release: Box::new(release),
        missing: missing.clone(),
        looks_like,
    };
    let _ = messages.send(EffectResult::Download(found)).await;
    for one in missing.into_iter().chain(others) {
        contents.start_fetch(one).await?;
    }
    Ok(())
}

/// A release that was read or packed, ready to be published.
enum Ready {
    /// A file, which must not have changed since.
    File(PathBuf, Stamp),
    /// A packed directory.
    Packed(Box<Prepared>),
}

fn pack(
    path: &Path,
    draft: Draft,
    own: &[PathBuf],
    list: impl Fn(&PackListing),
    progress: impl Fn(Hashed),
) -> Result<(Content, Ready), String> {
    let packed = |at: crate::archive::pack::PackProgress| {
        progress(Hashed::Packing {
            done: at.bytes_done,
            size: at.bytes,
        })
    };
    let planned =
        prepare::plan_as(path, draft, MAX_CONTENT, own).map_err(|error| error.to_string())?;
    list(planned.listing());
    let mut prepared = planned.pack(packed).map_err(|error| error.to_string())?;
    let size = prepared.size;
    let content = prepared
        .hash(|done| progress(Hashed::Reading { done, size }))
        .map_err(|error| error.to_string())?;
    Ok((content, Ready::Packed(Box::new(prepared))))
}

/// Publishes the hashed content, unless the file has changed since.
#[expect(clippy::too_many_arguments, reason = "what a publish is made of")]
async fn publish(
    control: Arc<dyn Control>,
    messages: mpsc::Sender<EffectResult>,
    generation: u64,
    draft: Draft,
    content: Content,
    path: PathBuf,
    ready: Option<Ready>,
    own: Vec<PathBuf>,
    started: Instant,
) -> Result<Receipt> {
    let mut prepared = match ready {
        Some(Ready::Packed(prepared)) => *prepared,
        Some(Ready::File(was, stamp)) => {
            files::unchanged(&path, Some((was, stamp)))?;
            prepare::file(&path, draft, &own)?
        }
        None => return files::unchanged(&path, None).and(Err(crate::RegistryError::Closed)),
    };
    prepared.expect(content);
    let (sender, size) = (messages.clone(), content.size);
    let mut done = 0;
    let taken = move |bytes: usize| {
        done += bytes as u64;
        drop(sender.try_send(EffectResult::Putting {
            generation,
            taken: (done, size),
        }));
    };
    let (draft, artifacts) = prepared.put(&*control.contents(), taken).await?;
    let (progress, mut steps) = mpsc::channel(16);
    let relay = tokio::spawn(async move {
        while let Some(step) = steps.recv().await {
            if messages
                .send(EffectResult::Step {
                    generation,
                    step,
                    after: started.elapsed(),
                })
                .await
                .is_err()
            {
                return;
            }
        }
    });
    let result = control
        .registry()
        .publish(draft, artifacts, Some(progress))
        .await;
    let _ = relay.await;
    result
}
