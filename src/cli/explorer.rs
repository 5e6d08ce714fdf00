//! No verb: the explorer on your own node.

use std::future::Future;

use tokio::sync::oneshot;

use super::{DONE, global::Global};
use crate::{
    Result,
    config::Settings,
    node::Node,
    store::keys,
    telemetry::{self, Logs, Screen},
    ui::{self, Backend, Depth, Kept, Options, Places},
};

pub(super) async fn run(global: &Global) -> Result<u8> {
    let settings = global.settings()?;
    ui::check_terminal()?;
    let logs = telemetry::start(&settings, Screen::Taken)?;
    let options = settings.node_options();
    let starting = async move {
        let node = Node::start(options).await?;
        let backend = Backend { registry: node.registry(), events: node.subscribe() };
        Ok((node, backend))
    };
    let shown = ui_options("swarmdex".to_owned(), &settings, Some(&logs));
    let (node, shown) = open(shown, starting).await;
    let ended = match node {
        Some(node) => node.shutdown().await,
        None => Ok(()),
    };
    shown.and(ended).map(|()| DONE)
}

/// Opens the explorer at once, on what `starting` brings up behind it. Returns that, to be taken down in order once
/// the terminal is back, and how the explorer ended.
pub(super) async fn open<T: Send + 'static>(
    options: Options,
    starting: impl Future<Output = Result<(T, Backend)>> + Send + 'static,
) -> (Option<T>, Result<()>) {
    let (keep, mut kept) = oneshot::channel();
    let starting = async move {
        let (started, backend) = starting.await?;
        // The receiver outlives the explorer.
        let _ = keep.send(started);
        Ok(backend)
    };
    let shown = ui::run(starting, options).await;
    (kept.try_recv().ok(), shown)
}

/// How the explorer looks by the settings.
pub(super) fn ui_options(title: String, settings: &Settings, logs: Option<&Logs>) -> Options {
    let paths = &settings.paths;
    Options {
        title,
        demo: false,
        depth: depth(),
        theme: settings.theme.clone(),
        themes: paths.config.parent().map(|dir| dir.join("themes")),
        ascii: settings.ascii,
        mouse: settings.mouse,
        keys: settings.keys.clone(),
        columns: settings.columns.clone(),
        places: Places {
            data: paths.data.clone(),
            config: paths.config.clone(),
            logs: paths.logs(),
            publisher_key: keys::publisher_path(&paths.data),
        },
        kept: Kept { draft: paths.state.join("draft.json"), settings: Some(paths.config.clone()) },
        logs: logs.map(Logs::recent),
    }
}

/// No colour with `NO_COLOR` set to anything (<https://no-color.org>), or on a terminal that can show none; 24 bits
/// where the terminal says that it has them (<https://github.com/termstandard/colors>).
fn depth() -> Depth {
    let says = |name: &str, what: &[&str]| std::env::var(name).is_ok_and(|value| what.contains(&value.as_str()));
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match () {
        () if refused || says("TERM", &["dumb"]) => Depth::None,
        () if says("COLORTERM", &["truecolor", "24bit"]) => Depth::True,
        () => Depth::Colours256,
    }
}
