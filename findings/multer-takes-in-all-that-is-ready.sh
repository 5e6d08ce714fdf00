#!/usr/bin/env bash
# A multipart form is read in pieces with multer so that a large file in it is never whole in memory. Before it gives its first piece
# multer takes in everything that the stream below it has ready, however much that is: `StreamBuffer::poll_stream` goes on until the
# stream says that it is pending. Of a body that comes quicker than it is used, that is all of it. A limit on the whole stream bounds it;
# a stream that is pending after each of its items avoids it.
# Guess before: a pull parser takes one item of the stream for each piece that is asked for. Seen with: multer 3.1.0, also in axum 0.8's
# extractor of forms, which is multer.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cargo init --quiet --vcs none --name form .
cat >> Cargo.toml <<'TOML'
multer = "=3.1.0"
futures-util = { version = "=0.3.34", default-features = false }
tokio = { version = "=1.54.1", features = ["rt", "macros"] }
TOML
cat > src/main.rs <<'RUST'
use std::{convert::Infallible, sync::Arc, sync::atomic::{AtomicUsize, Ordering::Relaxed}};

const PIECES: usize = 1_024;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let given = Arc::new(AtomicUsize::new(0));
    let head = b"--b\r\nContent-Disposition: form-data; name=\"content\"; filename=\"x\"\r\n\r\n".to_vec();
    let pieces = std::iter::once(head).chain((0..PIECES).map(|_| vec![7; 64 << 10])).chain(std::iter::once(b"\r\n--b--\r\n".to_vec()));
    let counted = given.clone();
    let stream = futures_util::stream::iter(pieces.map(move |piece| {
        counted.fetch_add(1, Relaxed);
        Ok::<_, Infallible>(piece)
    }));
    let mut form = multer::Multipart::new(stream, "b");
    let mut field = form.next_field().await.unwrap().unwrap();
    let first = field.chunk().await.unwrap().unwrap();
    println!("{} of {} pieces taken in before the first was given, of {} bytes", given.load(Relaxed), PIECES + 2, first.len());
}
RUST
said=$(cargo run --quiet)
echo "$said"
expected='1026 of 1026 pieces taken in before the first was given, of 67108864 bytes'
[ "$said" = "$expected" ] || { echo "this has changed"; exit 1; }
