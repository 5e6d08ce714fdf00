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
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{Link, Status, Watch};
use crate::{
    RegistryError, Result,
    bus::{Batch, Level, Notice},
    clock,
    domain::time::Timestamp,
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

/// A recording that is played: a node that can be watched, and not asked or told anything.
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

#[async_trait]
impl Watch for Replay {
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
            let mut end = "the recording is over".to_owned();
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
}

#[cfg(test)]
mod tests;
