//! The node's side of streams.

use std::{convert::Infallible, io, time::Duration};

use axum::{
    body::{Body, BodyDataStream, Bytes},
    extract::{Path, Request, State},
    http::{HeaderValue, header},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
    routing::{get, post, put},
};
use futures::{StreamExt, stream};
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout,
};
use tokio_util::io::StreamReader;

use super::super::{
    Control, Watch,
    answer::{Given, Node, Shared, answer, json_lines, read, refuse},
    calls::Row,
    wire::{Publish, Stream, Told},
};
use crate::{
    RegistryError, Result,
    domain::{hash::ContentRoot, query::Query},
    registry::Wanted,
};

/// Sent on a stream on which nothing happens, so that either side finds out when the other is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A client that sends content and falls silent for so long has gone.
const SILENCE: Duration = Duration::from_secs(30);
/// Lines waiting for a client that reads slowly: as many as a publish has steps, and the end.
const LINES: usize = 16;

pub(in crate::control) const ROWS: &[Row] = &[
    Row::by_hand(
        "GET",
        "/v1/events",
        "",
        &["Sends server-sent events; see [Events](#events)."],
        || get(events),
    ),
    Row::by_hand(
        "POST",
        "/v1/search/stream",
        "as `/v1/search`",
        &["Sends one JSON value a line as peers answer, the last with `\"kind\": \"done\"`."],
        || post(search),
    ),
    Row::by_hand(
        "POST",
        "/v1/publish",
        "`{\"draft\": {…}, \"content\": {\"files\": […]}}`; optional in `content`: `readme`, \
         `native`",
        &["Sends one JSON value a line: `step`s, then `done` with the receipt, or `error`."],
        || post(publish),
    ),
    Row::by_hand(
        "POST",
        "/v1/fetch",
        "as `/v1/fetch/start`",
        &[
            "Sends one JSON value a line: `progress` with the transfer, then `done` with the sources",
            "of the bytes, or `error`. The fetch continues if its client disconnects.",
        ],
        || post(fetch),
    ),
    Row::by_hand(
        "PUT",
        "/v1/content",
        "the bytes, of any length",
        &["Returns `{\"root\": \"bafk…\", \"size\": 7}`, for use in a publish."],
        || put(put_content),
    )
    .endless(),
    Row::by_hand(
        "GET",
        "/v1/content/{root}",
        "",
        &[
            "Sends the bytes, verified as they are read; the connection ends early if they are",
            "damaged.",
        ],
        || get(get_content),
    ),
    Row::by_hand(
        "POST",
        "/v1/content/stream",
        "as `/v1/fetch/start`, and `from`, an offset",
        &["Sends the verified bytes from that offset, as they arrive."],
        || post(stream_content),
    ),
];

/// Returns the request and a place among the streams, or a refusal.
#[expect(
    clippy::result_large_err,
    reason = "an answer is what it is, and refusals are rare"
)]
fn admit<T>(it: &Shared, given: Given<T>) -> Result<(T, OwnedSemaphorePermit), Response> {
    let place = it.stream();
    Ok((read(given)?, place.map_err(|error| refuse(&error))?))
}

async fn events(State(it): Node) -> Response {
    let permit = match it.stream() {
        Ok(permit) => permit,
        Err(error) => return refuse(&error),
    };
    let batches = it.node.subscribe();
    let events = stream::unfold((batches, permit), async |(mut batches, permit)| {
        let batch = batches.recv().await?;
        let event = Event::default()
            .event("batch")
            .json_data(&batch)
            .unwrap_or_else(|error| {
                tracing::error!(%error, "a batch could not be written as JSON");
                Event::default()
                    .event("error")
                    .data("a batch could not be written as JSON")
            });
        Some((Ok::<_, Infallible>(event), (batches, permit)))
    });
    Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response()
}

async fn search(State(it): Node, given: Given<Query>) -> Response {
    match admit(&it, given) {
        Ok((query, permit)) => json_lines(it.node.registry().search_stream(query), permit),
        Err(response) => response,
    }
}

async fn publish(State(it): Node, given: Given<Publish>) -> Response {
    let (asked, permit) = match admit(&it, given) {
        Ok(admitted) => admitted,
        Err(response) => return response,
    };
    let (lines, told) = mpsc::channel(LINES);
    let registry = it.node.registry();
    // On a task of its own: it ends in order, whether or not the client is still there. One that
    // has gone asks `own` what became of it.
    tokio::spawn(async move {
        let (progress, steps) = mpsc::channel(LINES);
        let publishing = registry.publish(asked.draft, asked.artifacts, Some(progress));
        relay(publishing, steps, &lines, Told::Step).await;
    });
    json_lines(told, permit)
}

async fn fetch(State(it): Node, given: Given<Wanted>) -> Response {
    let (wanted, permit) = match admit(&it, given) {
        Ok(admitted) => admitted,
        Err(response) => return response,
    };
    let (lines, told) = mpsc::channel(LINES);
    let contents = it.node.contents();
    tokio::spawn(async move {
        let (progress, transfers) = mpsc::channel(LINES);
        let fetching = contents.fetch(wanted, Some(progress));
        tokio::select! {
            // The fetch goes on; whoever wants to stop it says so.
            () = lines.closed() => {}
            () = relay(fetching, transfers, &lines, Told::Progress) => {}
        }
    });
    json_lines(told, permit)
}

/// Writes how far a job is, as far as there is room, and then its end.
async fn relay<P: Serialize, D: Serialize>(
    job: impl Future<Output = Result<D>>,
    mut steps: mpsc::Receiver<P>,
    lines: &mpsc::Sender<Told<P, D>>,
    line: fn(P) -> Told<P, D>,
) {
    tokio::pin!(job);
    let result = loop {
        tokio::select! {
            biased;
            Some(step) = steps.recv() => drop(lines.try_send(line(step))),
            result = &mut job => break result,
        }
    };
    while let Ok(step) = steps.try_recv() {
        drop(lines.try_send(line(step)));
    }
    let end = match result {
        Ok(done) => Told::Done(done),
        Err(error) => Told::Error((&error).into()),
    };
    let _ = lines.send(end).await;
}

/// The bytes of a request as they come, as long as they come.
fn coming(body: Body) -> impl tokio::io::AsyncRead + Send {
    let next = async |mut body: BodyDataStream| {
        let piece = match timeout(SILENCE, body.next()).await {
            Ok(piece) => piece?.map_err(io::Error::other),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        Some((piece, body))
    };
    StreamReader::new(Box::pin(stream::unfold(body.into_data_stream(), next)))
}

async fn put_content(State(it): Node, request: Request) -> Response {
    let contents = it.node.contents();
    match it.stream() {
        Ok(_permit) => answer(contents.put(Box::pin(coming(request.into_body()))).await),
        Err(error) => refuse(&error),
    }
}

async fn get_content(State(it): Node, Path(root): Path<String>) -> Response {
    let bytes = async {
        let root: ContentRoot = root
            .parse()
            .map_err(|why| RegistryError::Usage(format!("{root} is no root: {why}")))?;
        let permit = it.stream()?;
        let contents = it.node.contents();
        let size = contents
            .held(root)
            .await?
            .ok_or(RegistryError::NoContent(root))?
            .content
            .size;
        Ok::<_, RegistryError>((contents.read(root).await?, size, permit))
    };
    match bytes.await {
        Ok((pieces, size, permit)) => pieces_of(pieces, permit, Some(size)),
        Err(error) => refuse(&error),
    }
}

async fn stream_content(State(it): Node, given: Given<Stream>) -> Response {
    let (Stream { wanted, from }, permit) = match admit(&it, given) {
        Ok(admitted) => admitted,
        Err(response) => return response,
    };
    match it.node.contents().stream(wanted, from).await {
        Ok(pieces) => pieces_of(pieces, permit, None),
        Err(error) => refuse(&error),
    }
}

fn pieces_of(
    pieces: mpsc::Receiver<Result<Bytes>>,
    permit: OwnedSemaphorePermit,
    size: Option<u64>,
) -> Response {
    // A piece that cannot be read breaks the connection off: its client sees that it did not get
    // all of it.
    let pieces = stream::unfold((pieces, permit), async |(mut pieces, permit)| {
        Some((pieces.recv().await?, (pieces, permit)))
    });
    let mut response = Body::from_stream(pieces).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    if let Some(size) = size {
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    }
    response
}
