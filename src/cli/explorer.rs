//! No verb: the explorer on your own node.

use std::future::Future;

use tokio::sync::oneshot;

use super::{DONE, global::Global};
use crate::{
    Result,
    node::Node,
    telemetry::{self, Screen},
    ui::{self, Backend, Options},
};

pub(super) async fn run(global: &Global) -> Result<u8> {
    let settings = global.settings()?;
    ui::check_terminal()?;
    let _logs = telemetry::start(&settings, Screen::Taken)?;
    let options = settings.node_options();
    let starting = async move {
        let node = Node::start(options).await?;
        let backend = Backend { registry: node.registry(), events: node.subscribe() };
        Ok((node, backend))
    };
    let (node, shown) = open("swarmdex".to_owned(), false, starting).await;
    let ended = match node {
        Some(node) => node.shutdown().await,
        None => Ok(()),
    };
    shown.and(ended).map(|()| DONE)
}

/// Opens the explorer at once, on what `starting` brings up behind it. Returns that, to be taken down in order once
/// the terminal is back, and how the explorer ended.
pub(super) async fn open<T: Send + 'static>(
    title: String,
    demo: bool,
    starting: impl Future<Output = Result<(T, Backend)>> + Send + 'static,
) -> (Option<T>, Result<()>) {
    let (keep, mut kept) = oneshot::channel();
    let starting = async move {
        let (started, backend) = starting.await?;
        // The receiver outlives the explorer.
        let _ = keep.send(started);
        Ok(backend)
    };
    let shown = ui::run(starting, Options { colour: colour(), title, demo }).await;
    (kept.try_recv().ok(), shown)
}

/// Colour unless `NO_COLOR` is set to anything (<https://no-color.org>), or the terminal can show none.
fn colour() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
