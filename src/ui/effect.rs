//! What an update wants done, and what comes of it. The only place that talks to the registry.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

use super::Backend;
use crate::{
    Result,
    domain::{
        name::{Handle, PackageId, PackageRef, PublisherId},
        query::Query,
    },
    registry::{Package, Registry, SearchUpdate},
};

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Search { generation: u64, text: String },
    Look { generation: u64, package: PackageId },
    Pin { handle: Handle, publisher: PublisherId },
    Suspend,
}

/// What an effect brings back.
pub enum Message {
    Started(Box<Result<Backend>>),
    Search { generation: u64, update: SearchUpdate, after: Duration },
    Looked { generation: u64, result: Box<Result<Package>> },
    Pinned { handle: Handle, result: Box<Result<()>> },
}

/// Messages waiting; an effect that has more waits with them.
pub const MESSAGES: usize = 64;

/// Runs effects on the registry.
pub struct Executor {
    registry: Option<Arc<dyn Registry>>,
    messages: mpsc::Sender<Message>,
    search: Option<JoinHandle<()>>,
}

impl Executor {
    pub fn new(messages: mpsc::Sender<Message>) -> Self {
        Self { registry: None, messages, search: None }
    }

    pub fn connect(&mut self, registry: Arc<dyn Registry>) {
        self.registry = Some(registry);
    }

    pub fn run(&mut self, effect: Effect) {
        let Some(registry) = self.registry.clone() else { return };
        let messages = self.messages.clone();
        match effect {
            Effect::Search { generation, text } => {
                self.stop_search();
                self.search = Some(tokio::spawn(async move {
                    let started = Instant::now();
                    let mut updates = registry.search_stream(Query::text(text));
                    while let Some(update) = updates.recv().await {
                        let message = Message::Search { generation, update, after: started.elapsed() };
                        if messages.send(message).await.is_err() {
                            return;
                        }
                    }
                }));
            }
            Effect::Look { generation, package } => drop(tokio::spawn(async move {
                let result = Box::new(registry.get_package(&PackageRef::of(&package)).await);
                messages.send(Message::Looked { generation, result }).await
            })),
            Effect::Pin { handle, publisher } => drop(tokio::spawn(async move {
                let result = Box::new(registry.pin(&handle, publisher).await);
                messages.send(Message::Pinned { handle, result }).await
            })),
            // The runtime does it itself: it has the terminal.
            Effect::Suspend => {}
        }
    }

    fn stop_search(&mut self) {
        if let Some(search) = self.search.take() {
            search.abort();
        }
    }
}
