//! `--plain`: the explorer as sentences on stdout, for screen readers and pipes.

mod teller;

use std::{
    io::{self, Write},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval, timeout},
};
use tracing::Level;

use super::{
    DONE,
    global::Global,
    print,
    session::{self, Hosted},
    stop::Stop,
};
use crate::{
    RegistryError, Result, clock,
    control::Control,
    telemetry::{self, Logs, StderrUse},
};
use teller::Narrator;

/// Interval of printing what is due: peers that were held back, and summaries.
const TICK: Duration = Duration::from_secs(1);
/// Longest wait at the end for a slow reader.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Runs the plain explorer on the user's own node.
pub(super) async fn run(global: &Global) -> Result<u8> {
    let settings = global.settings()?;
    let mut stop = Stop::watch()?;
    if let Some(remote) = session::find(global, &settings).await? {
        return tell(&remote, &[], &mut stop).await.map(|()| DONE);
    }
    let logs = telemetry::start(&settings.log_options(), StderrUse::Taken)?;
    let hosted = Hosted::start(&settings, &logs).await?;
    let told = tell(&*hosted.local, &warnings(&logs), &mut stop).await;
    print::note("shutting down");
    let ended = hosted.end().await;
    told.and(ended).map(|()| DONE)
}

/// Returns the warnings from the start of the node, when nobody was listening yet.
fn warnings(logs: &Logs) -> Vec<String> {
    let (entries, ..) = logs.recent().since(0);
    let ours = entries
        .into_iter()
        .filter(|entry| entry.target.starts_with("swarmdex") && entry.level <= Level::WARN);
    ours.map(|entry| {
        format!(
            "{}: {}",
            if entry.level == Level::ERROR {
                "error"
            } else {
                "warning"
            },
            entry.message
        )
    })
    .collect()
}

/// Prints these sentences and then the node's events, until it is told to stop or the reader is
/// gone.
pub(super) async fn tell(node: &dyn Control, first: &[String], stop: &mut Stop) -> Result<()> {
    let (mut events, mut link) = (node.subscribe(), node.link());
    let mut teller = Narrator::new(clock::now());
    let mut lines = teller.begin(&node.status().await?.node, first);
    let (out, mut ended) = stdout();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Take no new events while the reader is behind: the bus merges them within its bounds and
    // counts what it drops.
    loop {
        tokio::select! {
            biased;
            () = stop.told() => break,
            result = &mut ended => return result.unwrap_or(Ok(())),
            permit = out.reserve(), if !lines.is_empty() => {
                if let Ok(permit) = permit {
                    permit.send(std::mem::take(&mut lines));
                }
            }
            batch = events.recv(), if lines.is_empty() => match batch {
                Some(batch) => lines = teller.batch(batch, clock::now()),
                None => return Err(RegistryError::Closed),
            },
            Ok(()) = link.changed(), if lines.is_empty() => {
                let now = link.borrow_and_update().clone();
                lines = teller.link(&now, clock::now());
            }
            _ = tick.tick(), if lines.is_empty() => lines = teller.tick(clock::now()),
        }
    }
    // A stuck reader must not keep the node from stopping.
    let last_words = timeout(LAST_WORDS, async {
        let _ = out.send(lines).await;
        drop(out);
        ended.await.unwrap_or(Ok(()))
    });
    last_words.await.unwrap_or(Ok(()))
}

/// Writes lines to stdout on a thread of its own, because a full pipe blocks the writer. The second
/// part of the result completes when all lines are written or the reader is gone, which is not an
/// error.
fn stdout() -> (mpsc::Sender<Vec<String>>, oneshot::Receiver<Result<()>>) {
    let (out, mut lines) = mpsc::channel::<Vec<String>>(1);
    let (end, ended) = oneshot::channel();
    std::thread::spawn(move || {
        let mut write = || -> io::Result<()> {
            while let Some(lines) = lines.blocking_recv() {
                let mut stdout = io::stdout().lock();
                lines
                    .iter()
                    .try_for_each(|line| writeln!(stdout, "{line}"))?;
                stdout.flush()?;
            }
            Ok(())
        };
        let result = match write() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(RegistryError::file("stdout", "written to")),
        };
        // Sending fails if the node has stopped meanwhile.
        let _ = end.send(result);
    });
    (out, ended)
}
