//! Reads a content from its beginning while it arrives.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    super::{super::core::blocking, Fetcher, error::FetcherError},
    ended,
};
use crate::{
    RegistryError, Result,
    domain::{
        content::{GROUP, groups},
        transfer::Wanted,
    },
    store::content::PIECE_GROUPS,
};

/// Pieces of up to 1 MiB that are read ahead of a reader.
const PIECES: usize = 2;
/// Interval at which new bytes are sought, because nothing signals them.
const LOOK: Duration = Duration::from_millis(20);

impl Fetcher {
    /// Returns the verified bytes of a content from offset `from` on, in order, as they arrive. The
    /// fetch continues if the reader goes away.
    pub async fn stream_content(
        self: &Arc<Self>,
        wanted: Wanted,
        from: u64,
    ) -> Result<mpsc::Receiver<Result<Bytes>>, FetcherError> {
        let content = wanted.content;
        let mut shown = match self.contents.get(&content.root)? {
            Some(_) => None,
            None => Some(self.begin_fetch_for(wanted, true)?),
        };
        let (sender, receiver) = mpsc::channel(PIECES);
        let contents = self.contents.clone();
        tokio::spawn(async move {
            let (mut at, mut skip) = (from / GROUP, (from % GROUP) as usize);
            // Read the state before looking for bytes, so that it holds for what is found.
            while from < content.size && at < groups(content.size) {
                let state = shown
                    .as_mut()
                    .map(|shown| shown.borrow_and_update().clone());
                let (store, root) = (contents.clone(), content.root);
                let read = blocking("reading content", move || {
                    store.read_on(&root, at, PIECE_GROUPS)
                })
                .await;
                let piece = match read {
                    Ok(Some(bytes)) => {
                        at += groups(bytes.len() as u64);
                        let bytes = Bytes::from(bytes);
                        Ok(bytes.slice(std::mem::take(&mut skip).min(bytes.len())..))
                    }
                    Ok(None) => match state {
                        None => Err(FetcherError::Damaged(content.root)),
                        Some(transfer) => match ended(&transfer) {
                            None => {
                                let Some(shown) = shown.as_mut() else { return };
                                tokio::select! {
                                    _ = shown.changed() => {}
                                    () = tokio::time::sleep(LOOK) => {}
                                    () = sender.closed() => return,
                                }
                                continue;
                            }
                            Some(Ok(())) => Err(FetcherError::Damaged(content.root)),
                            Some(Err(error)) => Err(error),
                        },
                    },
                    Err(error) => Err(error.into()),
                };
                let piece = piece.map_err(RegistryError::from);
                let failed = piece.is_err();
                if sender.send(piece).await.is_err() || failed {
                    return;
                }
            }
        });
        Ok(receiver)
    }
}
