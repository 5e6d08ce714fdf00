//! Uploads: read as they arrive, and written to the disk.

use std::{io, path::Path, time::Duration};

use axum::{
    body::{Body, BodyDataStream},
    http::{HeaderMap, StatusCode, header},
};
use futures::{StreamExt, stream};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tokio_util::io::StreamReader;

use super::policy::Refused;
use crate::{RegistryError, Result};

/// A client that sends nothing for this long is considered gone.
const SILENCE: Duration = Duration::from_secs(60);
/// Longest time to read the rest of a refused upload.
const HEARD_OUT: Duration = Duration::from_secs(5);
/// Bytes written to the disk at once.
const PIECE: usize = 256 << 10;

/// Returns the bytes of a request as they arrive, unless they are known to be more than `most`.
pub fn coming(
    headers: &HeaderMap,
    body: Body,
    most: u64,
) -> Result<impl AsyncRead + Send + Unpin, Refused> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most) {
        return Err(too_large(most));
    }
    let next = async |mut body: BodyDataStream| {
        let piece = match timeout(SILENCE, body.next()).await {
            Ok(piece) => piece?.map_err(io::Error::other),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        Some((piece, body))
    };
    Ok(StreamReader::new(Box::pin(stream::unfold(
        body.into_data_stream(),
        next,
    ))))
}

/// Reads the rest of a refused request for a moment. If the connection were closed with unread
/// data, the client would see a reset instead of the reason.
pub async fn hear_out(rest: impl AsyncRead + Unpin, most: u64) {
    // If the client sends for longer, its connection is closed.
    let _ = timeout(
        HEARD_OUT,
        tokio::io::copy(&mut rest.take(most), &mut tokio::io::sink()),
    )
    .await;
}

pub fn too_large(most: u64) -> Refused {
    let text = format!(
        "the upload has more than {} MiB, which is the most here; raise gateway_upload_mb",
        most >> 20
    );
    Refused::Because(StatusCode::PAYLOAD_TOO_LARGE, text)
}

pub fn cut(error: &io::Error) -> Refused {
    Refused::wrong(format!(
        "the upload broke off or is shorter than it says ({error}); publish it again"
    ))
}

/// Writes the next `size` bytes to a file.
pub async fn write(
    bytes: &mut (impl AsyncRead + Unpin),
    path: &Path,
    size: u64,
) -> Result<(), Refused> {
    match written(bytes, path, size).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(cut(&io::ErrorKind::UnexpectedEof.into())),
        Err(error) => Err(RegistryError::file(path, "written")(error).into()),
    }
}

/// Writes the file; returns false if fewer bytes arrived.
async fn written(bytes: &mut (impl AsyncRead + Unpin), path: &Path, size: u64) -> io::Result<bool> {
    let mut file = tokio::fs::File::create(path).await?;
    let mut left = size;
    let mut buffer = vec![0; PIECE];
    while left > 0 {
        let most = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let Ok(read) = bytes.read(buffer.get_mut(..most).unwrap_or_default()).await else {
            return Ok(false);
        };
        if read == 0 {
            return Ok(false);
        }
        file.write_all(buffer.get(..read).unwrap_or_default())
            .await?;
        left -= read as u64;
    }
    file.flush().await?;
    Ok(true)
}
