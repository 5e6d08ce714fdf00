//! Recordings of a node's events: files of one JSON value a line, the first of which is a header.
//! For bug reports, demonstrations and tests.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{Control, Link, Logged, Status, Wait};
use crate::{
    RegistryError, Result,
    bus::{Batch, Level, Notice, PeerSnapshot},
    clock,
    domain::{
        conflict::{ConflictId, ConflictList, Evidence},
        faults::Ruling,
        hash::{ContentRoot, Hash},
        health::Sample,
        held::{Freed, Held, Lost, StorageUsage},
        lookup::{LookupResult, RoutingTable, Sought, Trace},
        manifest::{Content, Draft, Manifest},
        name::{Handle, PackageId, PackageName, PackageRef, PublisherId},
        query::Query,
        release::ReleaseEntry,
        time::Timestamp,
        transfer::{Transfer, TransferId},
        trust::Claims,
        version::{RequirementText, VersionText},
    },
    registry::{
        Artifacts, Bundle, Change, Contents, Coverage, Fetched, Imported, Incoming, LookAlike,
        Names, Namesake, Order, OwnPackages, OwnPublisher, Package, PublishStep, Receipt, Registry,
        Release, SearchResults, SearchUpdate, Wanted,
    },
    store::backup::{Ask, Backup},
};

/// Version of the format.
const FORMAT: u32 = 2;
/// Longest line: a batch with ten thousand peers in it has a quarter of that.
const MOST: u64 = 64 << 20;
/// Batches read ahead of the time they are played.
const AHEAD: usize = 16;

#[derive(Serialize, Deserialize)]
struct Head {
    swarmdex_recording: u32,
    started: Timestamp,
    /// Of the node that was recorded, when it began.
    status: Status,
}

#[derive(Serialize, Deserialize)]
struct Line {
    after_ms: u64,
    batch: Batch,
}

/// Writes a recording. One that can go no further, as on a full disk, ends with a whole line.
pub struct Recorder {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines.
    whole: u64,
    started: Instant,
}

impl Recorder {
    /// Begins a file, which must not be there yet.
    ///
    /// # Errors
    /// [`RegistryError::File`] when it cannot be made or written.
    pub fn create(path: &Path, status: Status) -> Result<Self> {
        let file = File::options().write(true).create_new(true).open(path);
        let file = file.map_err(RegistryError::file(path, "created"))?;
        let mut recorder = Self {
            path: path.to_owned(),
            file,
            whole: 0,
            started: Instant::now(),
        };
        let head = recorder.line(&Head {
            swarmdex_recording: FORMAT,
            started: clock::now(),
            status,
        });
        // Without its first line it is no recording, and would be in the way of the next attempt.
        head.inspect_err(|_| drop(std::fs::remove_file(path)))?;
        Ok(recorder)
    }

    /// Writes a batch of events.
    ///
    /// # Errors
    /// [`RegistryError::File`] where the file cannot be written.
    pub fn record(&mut self, batch: &Batch) -> Result<()> {
        let after_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.line(&Line {
            after_ms,
            batch: batch.clone(),
        })
    }

    /// Written out at once: what was recorded before a power cut is there.
    fn line(&mut self, value: &impl Serialize) -> Result<()> {
        let mut write = || -> io::Result<()> {
            let mut line = serde_json::to_vec(value)?;
            line.push(b'\n');
            self.file
                .write_all(&line)
                .inspect_err(|_| drop(self.file.set_len(self.whole)))?;
            self.whole += line.len() as u64;
            Ok(())
        };
        write().map_err(RegistryError::file(&self.path, "written"))
    }
}

/// A recording that is played: a node that can be watched and not asked anything.
#[derive(Clone)]
pub struct Replay {
    path: Arc<Path>,
    status: Arc<Status>,
    started: Timestamp,
    /// Seconds of the recording that pass in a second.
    speed: f64,
    link: Arc<watch::Sender<Link>>,
}

/// A line of a file, as it was understood.
enum Piece {
    Line(String),
    /// The last line has no end.
    Broken,
    End,
}

impl Replay {
    /// Opens a recording.
    ///
    /// # Errors
    /// [`RegistryError::File`] when it cannot be read, [`RegistryError::Usage`] when it is none, or
    /// one of a newer format.
    pub fn open(path: &Path, speed: f64) -> Result<Self> {
        let none = |why: &str| {
            RegistryError::Usage(format!(
                "{} is no recording: {why}; `swarmdex events --record` makes one",
                path.display()
            ))
        };
        let mut file = reader(path)?;
        let head = match next(&mut file).map_err(RegistryError::file(path, "read"))? {
            Piece::Line(line) => serde_json::from_str::<serde_json::Value>(&line)
                .map_err(|_| none("its first line is not JSON"))?,
            Piece::Broken | Piece::End => return Err(none("it has no first line")),
        };
        match head
            .get("swarmdex_recording")
            .and_then(serde_json::Value::as_u64)
        {
            Some(version) if version == u64::from(FORMAT) => {}
            Some(version) => {
                let path = path.display();
                let why = format!(
                    "{path} has format {version}, and this program knows {FORMAT}; use a newer release"
                );
                return Err(RegistryError::Usage(why));
            }
            None => return Err(none("its first line does not say so")),
        }
        let Head {
            started, status, ..
        } = serde_json::from_value(head).map_err(|error| none(&error.to_string()))?;
        Ok(Self {
            path: path.into(),
            status: Arc::new(status),
            started,
            speed,
            link: Arc::default(),
        })
    }

    /// Everything in it, with the time of each, as it was recorded.
    ///
    /// # Errors
    /// [`RegistryError::File`] when it cannot be read; what is damaged ends it.
    pub fn batches(&self) -> Result<Vec<(Timestamp, Batch)>> {
        let mut file = reader(&self.path)?;
        let failed = |error| RegistryError::file(&*self.path, "read")(error);
        next(&mut file).map_err(failed)?;
        let mut out = Vec::new();
        while let Piece::Line(line) = next(&mut file).map_err(failed)? {
            let Ok(Line { after_ms, batch }) = serde_json::from_str(&line) else {
                break;
            };
            out.push((self.started.after(Duration::from_millis(after_ms)), batch));
        }
        Ok(out)
    }
}

fn reader(path: &Path) -> Result<BufReader<File>> {
    File::open(path)
        .map(BufReader::new)
        .map_err(RegistryError::file(path, "opened"))
}

fn next(file: &mut BufReader<File>) -> io::Result<Piece> {
    let mut line = Vec::new();
    file.take(MOST).read_until(b'\n', &mut line)?;
    match line.pop() {
        None => Ok(Piece::End),
        Some(b'\n') => Ok(Piece::Line(String::from_utf8_lossy(&line).into_owned())),
        Some(_) => Ok(Piece::Broken),
    }
}

/// Reads ahead on a thread of its own; the last thing it sends may be why the recording ends before
/// its end.
fn read_ahead(path: Arc<Path>) -> mpsc::Receiver<Result<Box<Line>, String>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        let read = || -> Result<(), String> {
            let mut file = reader(&path).map_err(|error| error.to_string())?;
            let mut number = 0;
            loop {
                number += 1;
                let line =
                    match next(&mut file).map_err(|error| format!("it cannot be read: {error}"))? {
                        Piece::Line(_) if number == 1 => continue,
                        Piece::Line(line) => line,
                        Piece::Broken => {
                            return Err(format!(
                                "line {number} is cut off: the recording was not finished"
                            ));
                        }
                        Piece::End => return Ok(()),
                    };
                let line = serde_json::from_str(&line)
                    .map_err(|error| format!("line {number} is damaged: {error}"))?;
                if sender.blocking_send(Ok(Box::new(line))).is_err() {
                    return Ok(());
                }
            }
        };
        if let Err(why) = read() {
            // Nobody watches any more, perhaps.
            let _ = sender.blocking_send(Err(why));
        }
    });
    receiver
}

/// The batch as if it had been recorded `by` later.
fn moved(mut batch: Batch, by: Duration) -> Batch {
    let later = |at: &mut Timestamp| *at = at.after(by);
    if let Some(node) = &mut batch.node {
        later(&mut node.started_at);
    }
    for peer in &mut batch.peers {
        if let Some(connection) = &mut peer.connection {
            later(&mut connection.since);
        }
        later(&mut peer.first_seen);
        later(&mut peer.last_seen);
        peer.evidence.iter_mut().for_each(|one| later(&mut one.at));
    }
    batch
        .announcements
        .iter_mut()
        .for_each(|one| later(&mut one.at));
    batch.notices.iter_mut().for_each(|one| later(&mut one.at));
    for transfer in &mut batch.transfers {
        later(&mut transfer.started_at);
        transfer.ended_at.iter_mut().for_each(later);
    }
    batch
        .lookups
        .iter_mut()
        .for_each(|trace| later(&mut trace.started_at));
    batch
}

/// The error of a recording for everything but being watched.
fn only_watched<T>(what: &'static str) -> Result<T> {
    Err(RegistryError::Recorded { what })
}

#[async_trait]
impl Control for Replay {
    fn registry(&self) -> Arc<dyn Registry> {
        Arc::new(self.clone())
    }

    fn contents(&self) -> Arc<dyn Contents> {
        Arc::new(self.clone())
    }

    fn names(&self) -> Arc<dyn Names> {
        Arc::new(self.clone())
    }

    fn subscribe(&self) -> mpsc::Receiver<Batch> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let Self {
            path,
            started,
            speed,
            ..
        } = self.clone();
        tokio::spawn(async move {
            let mut lines = read_ahead(path);
            let began = Instant::now();
            let mut end = "the recording is over; q quits".to_owned();
            while let Some(line) = lines.recv().await {
                let Line { after_ms, batch } = match line {
                    Ok(line) => *line,
                    Err(why) => {
                        end = why;
                        break;
                    }
                };
                let after = Duration::from_millis(after_ms);
                tokio::time::sleep_until(began + after.div_f64(speed)).await;
                let by = clock::now().since(started.after(after));
                if sender.send(moved(batch, by)).await.is_err() {
                    return;
                }
            }
            let notice = Notice {
                at: clock::now(),
                level: Level::Info,
                text: end,
            };
            // The last picture stays.
            if sender
                .send(Batch {
                    notices: vec![notice],
                    events: 1,
                    ..Batch::default()
                })
                .await
                .is_ok()
            {
                sender.closed().await;
            }
        });
        receiver
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    async fn status(&self) -> Result<Status> {
        Ok((*self.status).clone())
    }

    async fn peers(&self) -> Result<Vec<PeerSnapshot>> {
        only_watched("asking for peers")
    }

    async fn health(&self) -> Result<Sample> {
        only_watched("measuring")
    }

    async fn lookups(&self) -> Result<Vec<Trace>> {
        Ok(Vec::new())
    }

    async fn routing(&self) -> Result<RoutingTable> {
        only_watched("asking for the routing table")
    }

    async fn look(&self, _: Sought, _: Option<String>, _: Duration) -> Result<LookupResult> {
        only_watched("looking up")
    }

    async fn dial(&self, _: &Multiaddr, _: bool, _: Duration) -> Result<PeerId> {
        only_watched("connecting")
    }

    async fn disconnect(&self, _: PeerId) -> Result<bool> {
        only_watched("disconnecting")
    }

    async fn judge(&self, _: PeerId, _: Ruling) -> Result<bool> {
        only_watched("judging a peer")
    }

    async fn wait(&self, _: Wait, _: Duration) -> Result<bool> {
        only_watched("waiting")
    }

    async fn logs(&self, _: u64) -> Result<Logged> {
        Ok(Logged::default())
    }

    async fn log_filter(&self) -> Result<String> {
        only_watched("reading the log's filter")
    }

    async fn set_log_filter(&self, _: &str) -> Result<()> {
        only_watched("changing the log's filter")
    }

    async fn metrics(&self) -> Result<String> {
        only_watched("measuring")
    }

    async fn backup(&self, _ask: Ask) -> Result<Backup> {
        only_watched("backing up")
    }

    async fn shut_down(&self) -> Result<()> {
        only_watched("stopping")
    }
}

#[async_trait]
impl Contents for Replay {
    async fn put(&self, _: Incoming) -> Result<Content> {
        only_watched("publishing")
    }

    async fn fetch(&self, _: Wanted, _: Option<mpsc::Sender<Transfer>>) -> Result<Fetched> {
        only_watched("fetching")
    }

    async fn start_fetch(&self, _: Wanted) -> Result<()> {
        only_watched("fetching")
    }

    async fn read(&self, _: ContentRoot) -> Result<mpsc::Receiver<Result<Bytes>>> {
        only_watched("reading content")
    }

    async fn stream(&self, _: Wanted, _: u64) -> Result<mpsc::Receiver<Result<Bytes>>> {
        only_watched("reading content")
    }

    async fn held(&self, _: ContentRoot) -> Result<Option<Held>> {
        Ok(None)
    }

    async fn list(&self) -> Result<Vec<Held>> {
        Ok(Vec::new())
    }

    async fn lost(&self) -> Result<Vec<Lost>> {
        Ok(Vec::new())
    }

    async fn usage(&self) -> Result<StorageUsage> {
        Ok(StorageUsage::default())
    }

    async fn keep(&self, _: ContentRoot, _: String, _: bool) -> Result<bool> {
        only_watched("keeping content")
    }

    async fn clean_up(&self, _: bool) -> Result<Freed> {
        only_watched("cleaning up")
    }

    async fn check(&self, _: ContentRoot) -> Result<bool> {
        only_watched("verifying content")
    }

    async fn holders(&self, _: ContentRoot) -> Result<Vec<PeerId>> {
        Ok(Vec::new())
    }

    async fn offer_again(&self) -> Result<()> {
        only_watched("offering content")
    }

    async fn transfers(&self) -> Result<Vec<Transfer>> {
        Ok(Vec::new())
    }

    async fn direct(&self, _: TransferId, _: Order) -> Result<bool> {
        only_watched("changing a transfer")
    }
}

#[async_trait]
impl Registry for Replay {
    async fn search(&self, _: &Query) -> Result<SearchResults> {
        only_watched("searching")
    }

    fn search_stream(&self, _: Query) -> mpsc::Receiver<SearchUpdate> {
        let (sender, receiver) = mpsc::channel(1);
        let end = SearchUpdate::Done {
            coverage: Coverage::default(),
            elapsed: Duration::ZERO,
            truncated: false,
        };
        // There is room for one.
        let _ = sender.try_send(end);
        receiver
    }

    async fn get_package(&self, _: &PackageRef) -> Result<Package> {
        only_watched("looking into a package")
    }

    async fn get_package_version(&self, _: &PackageRef, _: &RequirementText) -> Result<Release> {
        only_watched("looking into a package")
    }

    async fn list_versions(&self, _: &PackageRef) -> Result<Vec<ReleaseEntry>> {
        only_watched("looking into a package")
    }

    async fn publish(
        &self,
        _: Draft,
        _: Artifacts,
        _: Option<mpsc::Sender<PublishStep>>,
    ) -> Result<Receipt> {
        only_watched("publishing")
    }

    async fn import(&self, _: Vec<Bundle>) -> Result<Vec<Imported>> {
        only_watched("importing")
    }

    async fn manifest_of(&self, _: &PackageId, _: &Hash) -> Result<Manifest> {
        only_watched("asking for a package")
    }

    async fn change(&self, _: &PackageRef, _: Change) -> Result<Receipt> {
        only_watched("changing what is said of a release")
    }

    async fn own(&self) -> Result<OwnPackages> {
        Ok(OwnPackages {
            publisher: None,
            key: PathBuf::new(),
            packages: Vec::new(),
        })
    }

    async fn publisher(&self) -> Result<OwnPublisher> {
        only_watched("making a publisher's key")
    }

    async fn claims(&self, _: &Handle, _: bool) -> Result<Claims> {
        only_watched("asking who claims a handle")
    }

    async fn look_alike(
        &self,
        _: &PackageName,
        _: Option<PublisherId>,
    ) -> Result<Option<LookAlike>> {
        Ok(None)
    }

    async fn namesakes(&self, _: &PackageName, _: PublisherId) -> Result<Vec<Namesake>> {
        only_watched("asking who has a package")
    }

    async fn conflicts(&self) -> Result<ConflictList> {
        Ok(ConflictList::default())
    }

    async fn conflict_evidence(&self, _: ConflictId) -> Result<Evidence> {
        only_watched("exporting evidence")
    }

    async fn exists(&self, _: &PackageRef) -> Result<bool> {
        only_watched("looking for a package")
    }

    async fn metadata(&self, _: &PackageRef, _: &VersionText) -> Result<Manifest> {
        only_watched("looking into a package")
    }

    async fn pin(&self, _: &Handle, _: PublisherId) -> Result<()> {
        only_watched("pinning a handle")
    }

    async fn trust(&self, _: PublisherId, _: Option<&Handle>) -> Result<()> {
        only_watched("trusting")
    }

    async fn distrust(&self, _: PublisherId) -> Result<()> {
        only_watched("distrusting")
    }
}

#[cfg(test)]
mod tests;
