//! The wire format of the sync protocol: CBOR frames, each preceded by its length (4 bytes,
//! big-endian).

use std::{io, time::Duration};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;
use tokio::time::timeout;

use crate::{
    domain::{
        hash::Hash,
        record::{decode, encode},
    },
    net::protocol::Item,
};

/// Longest frame, in bytes.
pub const MAX_FRAME: usize = 512 * 1_024;
/// Longest message of the comparison, in bytes.
pub const MAX_COMPARED: usize = 64 * 1_024;
/// Most heads requested in one frame.
pub const MAX_WANTED: usize = 256;

/// A message of the asking side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SyncRequest {
    /// The next message of the comparison.
    Compare(ByteBuf),
    /// A request for heads by their hashes, each with the manifest of its newest release.
    Want(Vec<Hash>),
    /// The sender has heads that the receiver lacks.
    Lacking,
}

/// An answer. Answers come in the order of the requests; [`SyncRequest::Lacking`] gets none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SyncAnswer {
    Compare(ByteBuf),
    Records {
        items: Vec<Item>,
        /// True if the next frame continues the answer.
        more: bool,
    },
    /// The peer is busy, and the stream ends.
    Busy,
}

/// Writes one frame. Returns its length in bytes.
pub async fn write<T: Serialize>(
    stream: &mut (impl AsyncWrite + Unpin),
    frame: &T,
    most: Duration,
) -> io::Result<u64> {
    let body = encode(frame)
        .map_err(|refusal| io::Error::new(io::ErrorKind::InvalidInput, refusal.to_string()))?;
    let length = u32::try_from(body.len())
        .ok()
        .filter(|length| *length as usize <= MAX_FRAME);
    let length = length.ok_or(io::ErrorKind::InvalidInput)?;
    let written = async {
        stream.write_all(&length.to_be_bytes()).await?;
        stream.write_all(&body).await?;
        stream.flush().await
    };
    timeout(most, written)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(4 + u64::from(length))
}

/// Reads one frame and its length; `None` at the end of the stream.
///
/// # Errors
/// `InvalidData` if it is too long or does not decode, `TimedOut` if it takes longer than `most`.
pub async fn read<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
    most: Duration,
) -> io::Result<Option<(T, u64)>> {
    let read = async {
        let mut length = [0; 4];
        match stream.read_exact(&mut length).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let length = u32::from_be_bytes(length);
        if length as usize > MAX_FRAME {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // Grows with the data, because the peer may not send as much as it announces.
        let mut body = Vec::new();
        stream
            .take(u64::from(length))
            .read_to_end(&mut body)
            .await?;
        if body.len() != length as usize {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let frame = decode(&body).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(Some((frame, 4 + u64::from(length))))
    };
    timeout(most, read)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
