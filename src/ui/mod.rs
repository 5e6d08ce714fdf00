//! The explorer: input becomes actions, actions and batches change the model, the model is drawn, effects ask the
//! registry. The swarm never waits for it, nor it for the swarm.

mod action;
mod effect;
mod keymap;
mod layout;
mod lines;
mod measure;
mod model;
mod popup;
mod runtime;
mod screen;
mod terminal;
#[cfg(test)]
mod tests;
mod theme;
mod update;
mod widget;

use std::{
    future::Future,
    io::{self, IsTerminal},
    sync::Arc,
};

use crossterm::event::EventStream;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::Instant,
};

#[doc(hidden)]
pub use measure::time_frames;

use crate::{RegistryError, Result, bus::Batch, clock, registry::Registry};
use effect::{Executor, Message};
use model::Model;
use runtime::{Explorer, Sources};
use terminal::Tui;
use theme::Theme;

/// What the explorer shows and acts on.
pub struct Backend {
    pub registry: Arc<dyn Registry>,
    pub events: mpsc::Receiver<Batch>,
}

/// How the explorer looks.
pub struct Options {
    pub colour: bool,
    /// First word of the header.
    pub title: String,
    pub demo: bool,
}

/// The table of keys as Markdown, for the README.
pub fn keys_markdown() -> String {
    keymap::markdown()
}

/// # Errors
/// [`RegistryError::Usage`] when there is no terminal to draw on.
pub fn check_terminal() -> Result<()> {
    if io::stdout().is_terminal() && io::stdin().is_terminal() {
        return Ok(());
    }
    Err(RegistryError::Usage(
        "the explorer needs a terminal on stdin and stdout; without one use `swarmdex node`, `swarmdex search`, or \
         `swarmdex demo --headless`"
            .to_owned(),
    ))
}

/// Runs until the person quits. The first frame is there at once, while `starting` still starts the node.
pub async fn run(starting: impl Future<Output = Result<Backend>> + Send + 'static, options: Options) -> Result<()> {
    check_terminal()?;
    let failed = |error: io::Error| RegistryError::file("the terminal", "taken")(error);
    let size = crossterm::terminal::size().map_err(failed)?;
    let (sender, messages) = runtime::messages();
    let signals = ending_signals()?;
    let surface = Tui::take().map_err(failed)?;
    let mut explorer = Explorer {
        model: Model::new(options.title, options.demo, size, clock::now()),
        surface,
        theme: Theme::new(options.colour),
        executor: Executor::new(sender.clone()),
        frames: 0,
    };
    let start = tokio::spawn(async move {
        let started = Box::new(starting.await);
        // Nobody listens any more when the person has quit already.
        let _ = sender.send(Message::Started(started)).await;
    });
    let mut sources =
        Sources { inputs: EventStream::new(), signals, messages, batches: None, next_tick: Instant::now() };
    let ended = explorer.run(&mut sources).await;
    drop(explorer);
    // A node that is still starting is waited for, so that it can be shut down in order.
    drop(sources);
    let _ = start.await;
    ended
}

/// SIGTERM and SIGHUP end the explorer like `q` does.
fn ending_signals() -> Result<mpsc::Receiver<()>> {
    let (sender, receiver) = mpsc::channel(1);
    let failed = |error: io::Error| RegistryError::Internal { what: "watching signals", why: error.to_string() };
    for kind in [SignalKind::terminate(), SignalKind::hangup()] {
        let mut signal = signal(kind).map_err(failed)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while signal.recv().await.is_some() {
                let _ = sender.try_send(());
            }
        });
    }
    Ok(receiver)
}
