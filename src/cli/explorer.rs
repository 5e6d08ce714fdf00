//! No verb: the explorer on your own node.

use std::sync::{Arc, Mutex, PoisonError};

use super::{DONE, global::Global, own_node};
use crate::{
    Result,
    node::Node,
    telemetry::Screen,
    ui::{self, Backend, Options},
};

pub(super) async fn run(global: &Global) -> Result<u8> {
    let settings = global.settings()?;
    ui::check_terminal()?;
    let _logs = own_node::logs(&settings, Screen::Taken)?;
    let options = settings.node_options();
    let title = "swarmdex".to_owned();
    let node: Arc<Mutex<Option<Node>>> = Arc::default();
    let started = node.clone();
    let starting = async move {
        let node = Node::start(options).await?;
        let backend = Backend { registry: node.registry(), events: node.subscribe() };
        *started.lock().unwrap_or_else(PoisonError::into_inner) = Some(node);
        Ok(backend)
    };
    let shown = ui::run(starting, Options { colour: colour(), title, demo: false }).await;
    let node = node.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(node) = node {
        node.shutdown().await?;
    }
    shown.map(|()| DONE)
}

/// Colour unless `NO_COLOR` is set to anything (<https://no-color.org>), or the terminal can show none.
pub(super) fn colour() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var("TERM").map_or(true, |term| term != "dumb")
}
