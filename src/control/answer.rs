//! Answers of the control socket, as all of its routers give them.

use std::sync::Arc;

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{State, rejection::JsonRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::stream;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{
    Local,
    wire::{self, Failure, Fault},
};
use crate::{RegistryError, Result};

/// Streams of events, searches and content at once; further ones are told that the node is busy.
pub(super) const MAX_STREAMS: usize = 48;

pub(super) struct Shared {
    pub node: Arc<Local>,
    streams: Arc<Semaphore>,
}

impl Shared {
    pub fn of(node: Arc<Local>) -> Self {
        Self {
            node,
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        }
    }

    pub fn stream(&self) -> Result<OwnedSemaphorePermit> {
        let busy = |_| RegistryError::Busy {
            what: "the control socket",
            limit: MAX_STREAMS,
        };
        self.streams.clone().try_acquire_owned().map_err(busy)
    }
}

pub(super) type Node = State<Arc<Shared>>;

pub(super) fn answer<T: Serialize>(result: Result<T>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => refuse(&error),
    }
}

pub(super) fn refuse(error: &RegistryError) -> Response {
    fault(wire::status_of(error), error.into())
}

fn fault(status: StatusCode, error: Fault) -> Response {
    (status, Json(Failure { error })).into_response()
}

/// Refuses a request that makes no sense.
pub(super) fn wrong(status: StatusCode, code: &str, message: String) -> Response {
    let code = code.to_owned();
    fault(
        status,
        Fault {
            code,
            usage: true,
            message,
        },
    )
}

pub(super) type Given<T> = Result<Json<T>, JsonRejection>;

#[expect(
    clippy::result_large_err,
    reason = "an answer is what it is, and refusals are rare"
)]
pub(super) fn read<T>(given: Given<T>) -> Result<T, Response> {
    given
        .map(|Json(value)| value)
        .map_err(|rejection| wrong(rejection.status(), "request", rejection.body_text()))
}

/// One JSON value a line, as they come.
pub(super) fn json_lines<T: Serialize + Send + 'static>(
    values: mpsc::Receiver<T>,
    permit: OwnedSemaphorePermit,
) -> Response {
    let lines = stream::unfold((values, permit), async |(mut values, permit)| {
        let value = values.recv().await?;
        let line = serde_json::to_vec(&value).map(|mut line| {
            line.push(b'\n');
            Bytes::from(line)
        });
        Some((line, (values, permit)))
    });
    (
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(lines),
    )
        .into_response()
}
