//! The explorer on the user's own node, if no verb is given.

use std::{future::Future, sync::Arc};

use tokio::sync::oneshot;

use super::{
    DONE,
    global::Global,
    session::{self, Hosted},
};
use crate::{
    RegistryError, Result,
    config::{Settings, problems},
    control::{Control, Watch},
    domain::hash::Hash,
    telemetry::{self, StderrUse},
    ui::{self, Depth, ExplorerOptions, ExplorerPaths, SavedPaths},
};

pub(super) async fn run(global: &Global) -> Result<u8> {
    let settings = global.settings()?;
    ui::check_terminal()?;
    check(global, &settings)?;
    if let Some(remote) = session::find(global, &settings).await? {
        let title = if global.readonly {
            "swarmdex, attached, read only"
        } else {
            "swarmdex, attached"
        };
        let mut shown = ui_options(title.to_owned(), &settings);
        shown.readonly = global.readonly;
        // The explorer itself reports a node that does not answer.
        if let Ok(status) = remote.status().await {
            if status.data_dir != settings.paths.data {
                // Drafts and searches belong to a node, by its data directory.
                let own = Hash::of(status.data_dir.as_os_str().as_encoded_bytes());
                let dir = settings
                    .paths
                    .state
                    .join("attached")
                    .join(own.fingerprint());
                shown.kept.draft = dir.join("draft.json");
                shown.kept.searches = dir.join("searches.json");
            }
            shown.places.of_the_node.push(status.data_dir);
        }
        let attached: Arc<dyn Control> = Arc::new(remote);
        return ui::run(async { Ok(attached) }, shown).await.map(|()| DONE);
    }
    let logs = telemetry::start(&settings.log_options(), StderrUse::Taken)?;
    let shown = ExplorerOptions {
        ends_node: true,
        ..ui_options("swarmdex".to_owned(), &settings)
    };
    let starting = async move {
        let hosted = Hosted::start(&settings, &logs).await?;
        let control: Arc<dyn Control> = hosted.local.clone();
        Ok(((hosted, logs), control))
    };
    let (hosted, shown) = open(shown, starting).await;
    let ended = match hosted {
        Some((hosted, _logs)) => hosted.end().await,
        None => Ok(()),
    };
    shown.and(ended).map(|()| DONE)
}

/// Reports problems with the explorer's settings before it takes the terminal, with lines of the
/// settings file.
pub(super) fn check(global: &Global, settings: &Settings) -> Result<()> {
    let wrong = ui::settings_problems(settings);
    if wrong.is_empty() {
        return Ok(());
    }
    let file = global.settings_file()?;
    let in_file = problems(
        &file.path,
        file.text.as_deref().unwrap_or_default(),
        ui::settings_problems,
    )?;
    let in_file: Vec<String> = in_file
        .iter()
        .map(|problem| problem.error.to_string())
        .collect();
    // A problem that is not in the file comes from a flag or a variable.
    let sentences = if in_file.is_empty() { wrong } else { in_file };
    Err(RegistryError::Usage(sentences.join("\nerror: ")))
}

/// Opens the explorer at once, while `starting` starts the node in the background. Returns the
/// result of `starting`, to be shut down properly, and the result of the explorer.
pub(super) async fn open<T: Send + 'static>(
    options: ExplorerOptions,
    starting: impl Future<Output = Result<(T, Arc<dyn Control>)>> + Send + 'static,
) -> (Option<T>, Result<()>) {
    let (keep, mut kept) = oneshot::channel();
    let starting = async move {
        let (started, control) = starting.await?;
        // The receiver outlives the explorer.
        let _ = keep.send(started);
        Ok(control)
    };
    let shown = ui::run(starting, options).await;
    (kept.try_recv().ok(), shown)
}

/// Returns the explorer's options by the settings.
pub(super) fn ui_options(title: String, settings: &Settings) -> ExplorerOptions {
    let paths = &settings.paths;
    ExplorerOptions {
        title,
        demo: false,
        ends_node: false,
        readonly: false,
        depth: depth(),
        theme: settings.theme.clone(),
        themes: paths.themes(),
        ascii: settings.ascii,
        mouse: settings.mouse,
        keys: settings.keys.clone(),
        columns: settings.columns.clone(),
        places: ExplorerPaths {
            data: paths.data.clone(),
            config: paths.config.clone(),
            logs: paths.logs(),
            of_the_node: paths.of_the_node(),
        },
        kept: SavedPaths {
            draft: paths.state.join("draft.json"),
            searches: paths.state.join("searches.json"),
            settings: Some(paths.config.clone()),
        },
    }
}

/// Returns the number of colours: none if `NO_COLOR` is set (<https://no-color.org>) or the
/// terminal has none; 24 bits if the terminal announces them
/// (<https://github.com/termstandard/colors>).
fn depth() -> Depth {
    let says = |name: &str, what: &[&str]| {
        std::env::var(name).is_ok_and(|value| what.contains(&value.as_str()))
    };
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match () {
        () if refused || says("TERM", &["dumb"]) => Depth::None,
        () if says("COLORTERM", &["truecolor", "24bit"]) => Depth::True,
        () => Depth::Colours256,
    }
}
