//! The explorer. Input becomes actions, actions and batches of events change the model, the model
//! is drawn, and effects ask the registry. The swarm and the explorer never wait for each other.

mod action;
mod ascii;
mod effect;
mod execute;
mod files;
mod input;
mod keymap;
mod layout;
mod marks;
mod measure;
mod model;
mod popup;
mod recorded;
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

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::Instant,
};

#[doc(hidden)]
pub use measure::{time_frames, time_keys, time_map_frames};
pub use {files::SavedPaths, model::ExplorerPaths, theme::Depth};

use crate::{
    RegistryError, Result,
    bus::Level,
    clock,
    config::{Lists, Settings},
    control::{Control, Watch},
};
use effect::EffectResult;
use execute::Executor;
use model::{Model, recent::RecentSearches};
use runtime::{Explorer, FrameLook, Sources};
use terminal::Tui;
use theme::Themes;

/// The subject of the explorer.
#[derive(Clone)]
pub enum Shown {
    /// A running node.
    Node(Arc<dyn Control>),
    /// A recording, which can only be watched.
    Recording(Arc<dyn Watch>),
}

impl From<Arc<dyn Control>> for Shown {
    fn from(node: Arc<dyn Control>) -> Self {
        Self::Node(node)
    }
}

impl Shown {
    fn watch(&self) -> &dyn Watch {
        match self {
            Self::Node(node) => &**node,
            Self::Recording(recording) => &**recording,
        }
    }
}

/// Settings of the explorer.
pub struct ExplorerOptions {
    /// First word of the header.
    pub title: String,
    pub demo: bool,
    /// The node stops when the explorer quits; its next start resumes unfinished work.
    pub ends_node: bool,
    /// The explorer only watches: the node refuses every change.
    pub readonly: bool,
    pub depth: Depth,
    pub theme: String,
    /// Directory of the user's own themes.
    pub themes: Option<PathBuf>,
    pub ascii: bool,
    pub mouse: bool,
    /// Keys from the settings, by the name of the action.
    pub keys: Lists,
    /// Columns from the settings, by the name of the table.
    pub columns: Lists,
    pub places: ExplorerPaths,
    pub kept: SavedPaths,
}

/// Checks the settings that only the explorer understands: the theme, keys, tables and columns.
/// Returns a sentence for each problem.
pub fn settings_problems(settings: &Settings) -> Vec<String> {
    let themes = Themes::load(
        &settings.theme,
        settings.paths.themes().as_deref(),
        Depth::None,
    );
    let mut problems: Vec<String> = themes
        .err()
        .map(|error| format!("theme: {error}"))
        .into_iter()
        .collect();
    problems.extend(
        keymap::Keymap::new(&settings.keys)
            .err()
            .unwrap_or_default(),
    );
    for (name, words) in &settings.columns {
        match model::TABLES.iter().find(|(table, _)| table == name) {
            Some((_, columns)) => {
                let wrong = table::column::unknown(columns, words);
                problems.extend(
                    wrong
                        .into_iter()
                        .map(|problem| format!("columns.{name}: {problem}")),
                );
            }
            None => {
                let known = model::TABLES.map(|(table, _)| table).join(", ");
                problems.push(format!(
                    "columns.{name}: there is no such table; there are {known}"
                ));
            }
        }
    }
    problems
}

/// Returns the table of keys as Markdown, for the documentation.
pub fn keys_markdown() -> String {
    keymap::markdown()
}

/// Checks that standard output is a terminal that the explorer can draw on.
///
/// # Errors
/// [`RegistryError::Usage`] if it is not.
pub fn check_terminal() -> Result<()> {
    if is_dumb() {
        return Err(RegistryError::Usage(
            "the explorer needs a terminal that can move its cursor, and this one says that it \
             cannot (TERM=dumb); use \
             `swarmdex --plain`, or set TERM to what it is, such as xterm-256color"
                .to_owned(),
        ));
    }
    if io::stdout().is_terminal() && io::stdin().is_terminal() {
        return Ok(());
    }
    Err(RegistryError::Usage(
        "the explorer needs a terminal on stdin and stdout; without one use `swarmdex --plain`, \
         `swarmdex node`, or \
         `swarmdex demo --headless`"
            .to_owned(),
    ))
}

/// Returns true if `TERM` says that the terminal cannot move its cursor, as in some editors.
pub fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Runs until the user quits. Draws the first frame at once, while `starting` is still starting the
/// node or connecting to it.
pub async fn run<S: Into<Shown>>(
    starting: impl Future<Output = Result<S>> + Send + 'static,
    options: ExplorerOptions,
) -> Result<()> {
    check_terminal()?;
    let themes = Themes::load(&options.theme, options.themes.as_deref(), options.depth)?;
    let failed = |error: io::Error| RegistryError::file("the terminal", "taken")(error);
    let size = crossterm::terminal::size().map_err(failed)?;
    let (sender, messages) = runtime::messages();
    let signals = ending_signals()?;
    let surface = Tui::take(options.mouse).map_err(failed)?;
    let mut model = Model::new(options.title, options.demo, size, clock::now());
    model.keymap = keymap::Keymap::new(&options.keys).unwrap_or_default();
    (model.mouse, model.places, model.ends_node) =
        (options.mouse, options.places, options.ends_node);
    (model.ascii, model.readonly) = (options.ascii, options.readonly);
    for screen in action::Screen::ALL {
        let table = model.table_of_mut(screen);
        if let Some(words) = options.columns.get(table.name()) {
            *table.columns_mut() = table::column::Columns::from_words(table.known_columns(), words);
        }
    }
    if let Some(draft) = files::read_draft(&options.kept.draft) {
        update::restore(&mut model, &draft);
    }
    model.search.recent = RecentSearches::from_texts(files::read_searches(&options.kept.searches));
    let mut executor = Executor::new(sender.clone());
    executor.of_the_node.clone_from(&model.places.of_the_node);
    let notices = sender.clone();
    executor.saver = Some(files::Saver::start(options.kept, move |why| {
        tracing::error!("{why}");
        // If the channel is full or closed, the message is still in the log.
        let _ = notices.try_send(EffectResult::Notice(Level::Error, why));
    }));
    let mut explorer = Explorer {
        model,
        surface,
        look: FrameLook {
            themes,
            ascii: options.ascii,
        },
        executor,
        frames: 0,
    };
    let start = tokio::spawn(async move {
        let started = Box::new(starting.await.map(Into::into));
        // Sending fails if the user has quit by now.
        let _ = sender.send(EffectResult::Started(started)).await;
    });
    let mut sources = Sources {
        inputs: input::events(),
        signals,
        messages,
        batches: None,
        next_tick: Instant::now(),
    };
    let ended = explorer.run(&mut sources).await;
    let saver = explorer.executor.saver.take();
    drop(explorer);
    if let Some(saver) = saver {
        saver.end().await;
    }
    // Wait for a node that is still starting, so that it can be shut down properly.
    drop(sources);
    let _ = start.await;
    ended
}

/// Returns a channel that receives SIGTERM and SIGHUP, which end the explorer like `q`.
fn ending_signals() -> Result<mpsc::Receiver<()>> {
    let (sender, receiver) = mpsc::channel(1);
    let failed = |error: io::Error| RegistryError::Internal {
        what: "watching signals",
        why: error.to_string(),
    };
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
