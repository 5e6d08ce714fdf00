//! Content over the control socket, the node's side: bytes in and out as they are, everything else
//! as JSON.

use std::{io, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, BodyDataStream, Bytes},
    extract::{Path, Request, State},
    http::{HeaderValue, Method, header},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use futures::{StreamExt, stream};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::io::StreamReader;

use super::{
    answer::{Given, Node, Shared, answer, json_lines, read, refuse, with},
    wire::{self, Done, Fetching},
};
use crate::{RegistryError, Result, domain::hash::ContentRoot, registry::Wanted};

/// A client that sends content and falls silent for so long has gone.
const SILENCE: Duration = Duration::from_secs(30);
/// Lines of progress waiting for a client that reads slowly.
const LINES: usize = 8;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/content", put(put_content))
        .route("/content/stream", post(stream_content))
        .route("/content/{root}", get(get_content))
        .route(
            "/contents",
            get(async |State(it): Node| answer(it.contents().list().await)),
        )
        .route(
            "/contents/lost",
            get(async |State(it): Node| answer(it.contents().lost().await)),
        )
        .route(
            "/contents/usage",
            get(async |State(it): Node| answer(it.contents().usage().await)),
        )
        .route("/contents/held", post(held))
        .route("/contents/keep", post(keep))
        .route("/contents/clean-up", post(clean_up))
        .route("/contents/check", post(check))
        .route("/contents/holders", post(holders))
        .route(
            "/contents/offer",
            post(async |State(it): Node| {
                answer(
                    it.contents()
                        .offer_again()
                        .await
                        .map(|()| Done { done: true }),
                )
            }),
        )
        .route("/fetch", post(fetch))
        .route("/fetch/start", post(start_fetch))
        .route(
            "/transfers",
            get(async |State(it): Node| answer(it.contents().transfers().await)),
        )
        .route("/transfers/direct", post(direct))
}

/// Tells if a request carries content: its body has no bound in bytes nor in time.
pub(super) fn is_content(request: &Request) -> bool {
    request.method() == Method::PUT && request.uri().path() == "/v1/content"
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
    match it.stream() {
        Ok(_permit) => answer(
            it.contents()
                .put(Box::pin(coming(request.into_body())))
                .await,
        ),
        Err(error) => refuse(&error),
    }
}

async fn get_content(State(it): Node, Path(root): Path<String>) -> Response {
    let bytes = async {
        let root: ContentRoot = root
            .parse()
            .map_err(|why| RegistryError::Usage(format!("{root} is no root: {why}")))?;
        let permit = it.stream()?;
        let contents = it.contents();
        let size = contents
            .held(root)
            .await?
            .ok_or(RegistryError::NoContent(root))?
            .content
            .size;
        Ok::<_, RegistryError>((contents.read(root).await?, size, permit))
    };
    let (pieces, size, permit) = match bytes.await {
        Ok(bytes) => bytes,
        Err(error) => return refuse(&error),
    };
    pieces_of(pieces, permit, Some(size))
}

async fn stream_content(State(it): Node, given: Given<wire::Stream>) -> Response {
    let (wire::Stream { wanted, from }, permit) = match (read(given), it.stream()) {
        (Ok(asked), Ok(permit)) => (asked, permit),
        (Err(response), _) => return response,
        (_, Err(error)) => return refuse(&error),
    };
    match it.contents().stream(wanted, from).await {
        Ok(pieces) => pieces_of(pieces, permit, None),
        Err(error) => refuse(&error),
    }
}

fn pieces_of(
    pieces: mpsc::Receiver<Result<Bytes>>,
    permit: tokio::sync::OwnedSemaphorePermit,
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

async fn held(State(it): Node, given: Given<wire::OfContent>) -> Response {
    with(given, async |asked| it.contents().held(asked.root).await).await
}

async fn keep(State(it): Node, given: Given<wire::Keep>) -> Response {
    with(given, async |asked| {
        it.contents()
            .keep(asked.root, asked.release, asked.pinned)
            .await
            .map(|done| Done { done })
    })
    .await
}

async fn clean_up(State(it): Node, given: Given<wire::CleanUp>) -> Response {
    with(given, async |asked| it.contents().clean_up(asked.all).await).await
}

async fn check(State(it): Node, given: Given<wire::OfContent>) -> Response {
    with(given, async |asked| {
        it.contents()
            .check(asked.root)
            .await
            .map(|done| Done { done })
    })
    .await
}

async fn holders(State(it): Node, given: Given<wire::OfContent>) -> Response {
    with(given, async |asked| it.contents().holders(asked.root).await).await
}

async fn start_fetch(State(it): Node, given: Given<Wanted>) -> Response {
    with(given, async |wanted| {
        it.contents().start_fetch(wanted).await
    })
    .await
}

async fn direct(State(it): Node, given: Given<wire::Direct>) -> Response {
    with(given, async |asked| {
        it.contents()
            .direct(asked.id, asked.order)
            .await
            .map(|done| Done { done })
    })
    .await
}

async fn fetch(State(it): Node, given: Given<Wanted>) -> Response {
    let (wanted, permit) = match (read(given), it.stream()) {
        (Ok(wanted), Ok(permit)) => (wanted, permit),
        (Err(response), _) => return response,
        (_, Err(error)) => return refuse(&error),
    };
    let (lines, told) = mpsc::channel(LINES);
    let contents = it.contents();
    tokio::spawn(async move {
        let (progress, mut steps) = mpsc::channel(LINES);
        let fetching = contents.fetch(wanted, Some(progress));
        tokio::pin!(fetching);
        let result = loop {
            tokio::select! {
                biased;
                Some(transfer) = steps.recv() => drop(lines.try_send(Fetching::Progress(Box::new(transfer)))),
                // The fetch goes on; whoever wants to stop it says so.
                () = lines.closed() => return,
                result = &mut fetching => break result,
            }
        };
        let end = match result {
            Ok(fetched) => Fetching::Done(Box::new(fetched)),
            Err(error) => Fetching::Error((&error).into()),
        };
        let _ = lines.send(end).await;
    });
    json_lines(told, permit)
}
