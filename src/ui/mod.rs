//! The explorer: input becomes actions, actions and batches change the model, the model is drawn, effects ask the
//! registry. The swarm never waits for it, nor it for the swarm.

mod action;
mod ascii;
mod effect;
mod files;
mod keymap;
mod layout;
mod lines;
mod measure;
mod model;
mod popup;
mod runtime;
mod screen;
mod table;
mod terminal;
#[cfg(test)]
mod tests;
mod theme;
mod update;
mod widget;

use std::{
    future::Future,
    io::{self, IsTerminal},
    path::PathBuf,
    sync::Arc,
};

use crossterm::event::EventStream;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::Instant,
};

#[doc(hidden)]
pub use measure::{time_frames, time_keys};
pub use {files::Kept, model::Places, theme::Depth};

use crate::{
    RegistryError, Result,
    bus::{Batch, Level},
    clock,
    config::Lists,
    registry::Registry,
    telemetry::LogRing,
};
use effect::{Executor, Message};
use model::Model;
use runtime::{Explorer, Look, Sources};
use terminal::Tui;
use theme::Themes;

/// What the explorer shows and acts on.
pub struct Backend {
    pub registry: Arc<dyn Registry>,
    pub events: mpsc::Receiver<Batch>,
}

/// How the explorer looks, and where things are.
pub struct Options {
    /// First word of the header.
    pub title: String,
    pub demo: bool,
    pub depth: Depth,
    pub theme: String,
    /// Where a person's own themes are.
    pub themes: Option<PathBuf>,
    pub ascii: bool,
    pub mouse: bool,
    /// A person's own keys, by the name of the action.
    pub keys: Lists,
    /// A person's own columns, by the name of the table.
    pub columns: Lists,
    pub places: Places,
    pub kept: Kept,
    pub logs: Option<Arc<LogRing>>,
}

/// Every key that means two things, and every action that is not known, in a sentence each.
pub fn key_problems(keys: &Lists) -> Vec<String> {
    keymap::Keymap::new(keys).err().unwrap_or_default()
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
        "the explorer needs a terminal on stdin and stdout; without one use `swarmdex --plain`, `swarmdex node`, or \
         `swarmdex demo --headless`"
            .to_owned(),
    ))
}

/// Runs until the person quits. The first frame is there at once, while `starting` still starts the node.
pub async fn run(starting: impl Future<Output = Result<Backend>> + Send + 'static, options: Options) -> Result<()> {
    check_terminal()?;
    // What is wrong with the settings is said on the shell's own screen.
    let wrong = key_problems(&options.keys);
    if !wrong.is_empty() {
        return Err(RegistryError::Usage(format!("in the settings, {}", wrong.join("\n       and "))));
    }
    let themes = Themes::load(&options.theme, options.themes.as_deref(), options.depth)?;
    let failed = |error: io::Error| RegistryError::file("the terminal", "taken")(error);
    let size = crossterm::terminal::size().map_err(failed)?;
    let (sender, messages) = runtime::messages();
    let signals = ending_signals()?;
    let surface = Tui::take(options.mouse).map_err(failed)?;
    let mut model = Model::new(options.title, options.demo, size, clock::now());
    model.keymap = keymap::Keymap::new(&options.keys).unwrap_or_default();
    (model.mouse, model.places) = (options.mouse, options.places);
    for screen in action::Screen::ALL {
        let table = model.table_of_mut(screen);
        if let Some(words) = options.columns.get(table.name()) {
            *table.columns_mut() = table::column::Columns::from_words(table.known_columns(), words);
        }
    }
    if let Some(draft) = files::read_draft(&options.kept.draft) {
        update::restore(&mut model, &draft);
    }
    let mut executor = Executor::new(sender.clone());
    let told = sender.clone();
    executor.keeper = Some(files::Keeper::start(options.kept, move |why| {
        tracing::error!("{why}");
        // With the explorer gone or behind, the log has it.
        let _ = told.try_send(Message::Told(Level::Error, why));
    }));
    let mut explorer = Explorer {
        model,
        surface,
        look: Look { themes, ascii: options.ascii },
        executor,
        logs: options.logs,
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
    let keeper = explorer.executor.keeper.take();
    drop(explorer);
    if let Some(keeper) = keeper {
        keeper.end().await;
    }
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
