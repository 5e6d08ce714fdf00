#!/usr/bin/env bash
# hyper copies whole bodies where it is told to gather the answers of a pipeline. With `pipeline_flush(true)` the head of an answer and its
# body are copied into one buffer and written from there, also over a connection that says that it takes several buffers at once, and also
# when there is only one request. Without it the body is written from where it is. Its documentation says that responses are aggregated
# to fewer flushes, and not that bodies are copied: a server that answers with megabytes from memory pays for each of them twice.
# Guess before: the option changes when a connection is flushed, and bodies are handed over as they are (`writev`), as without it.
# Seen with: hyper 1.12.0, https://docs.rs/hyper/1.12.0/hyper/server/conn/http1/struct.Builder.html#method.pipeline_flush.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/src"
cat > "$dir/Cargo.toml" << 'TOML'
[package]
name = "probe"
version = "0.0.0"
edition = "2024"

[dependencies]
bytes = "=1.12.1"
http-body-util = "=0.1.4"
hyper = { version = "=1.12.0", features = ["http1", "server"] }
tokio = { version = "=1.54.1", features = ["rt", "macros"] }
TOML
cat > "$dir/src/main.rs" << 'RUST'
use std::{
    convert::Infallible,
    io::IoSlice,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response,
    rt::{Read, ReadBufCursor, Write},
    server::conn::http1::Builder,
    service::service_fn,
};

const BODY: usize = 1 << 20;

/// Brings one request, and notes where the bytes lie that are written to it.
struct Io {
    request: &'static [u8],
    written: Arc<Mutex<Vec<(usize, usize)>>>,
}

impl Read for Io {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, mut into: ReadBufCursor<'_>) -> Poll<std::io::Result<()>> {
        if self.request.is_empty() {
            return Poll::Pending;
        }
        into.put_slice(self.request);
        self.request = b"";
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.written.lock().unwrap().push((bytes.as_ptr() as usize, bytes.len()));
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_write_vectored(self: Pin<&mut Self>, _: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<std::io::Result<usize>> {
        let mut written = self.written.lock().unwrap();
        written.extend(slices.iter().map(|one| (one.as_ptr() as usize, one.len())));
        Poll::Ready(Ok(slices.iter().map(|one| one.len()).sum()))
    }
    fn is_write_vectored(&self) -> bool {
        true
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Returns whether the body was written from where it is.
async fn is_handed_over(pipeline_flush: bool) -> bool {
    let (body, written) = (Bytes::from(vec![7; BODY]), Arc::default());
    let io = Io {
        request: b"GET / HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n",
        written: Arc::clone(&written),
    };
    let answer = body.clone();
    let service = service_fn(move |_| {
        let answer = Response::new(Full::new(answer.clone()));
        async { Ok::<_, Infallible>(answer) }
    });
    Builder::new().pipeline_flush(pipeline_flush).serve_connection(io, service).await.unwrap();
    let written = written.lock().unwrap();
    let bytes: usize = written.iter().map(|(_, length)| length).sum();
    assert!(bytes > BODY, "the answer is whole");
    written.contains(&(body.as_ptr() as usize, BODY))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for pipeline_flush in [false, true] {
        println!("pipeline_flush({pipeline_flush}): the body is written from where it is: {}", is_handed_over(pipeline_flush).await);
    }
}
RUST
out=$(cd "$dir" && cargo run --quiet)
cargo --version
echo "$out"
[ "$out" = "pipeline_flush(false): the body is written from where it is: true
pipeline_flush(true): the body is written from where it is: false" ]
