//! Content that is read from its beginning while it comes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    super::{super::core::blocking, Fetcher},
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
/// Between two looks whether more has come, of which nobody tells.
const LOOK: Duration = Duration::from_millis(20);

impl Fetcher {
    /// The verified bytes of a content from offset `from` on, in order, as they come. A reader that
    /// goes away does not end the fetch.
    pub async fn stream_content(
        self: &Arc<Self>,
        wanted: Wanted,
        from: u64,
    ) -> Result<mpsc::Receiver<Result<Bytes>>> {
        let content = wanted.content;
        let mut shown = match self.contents.get(&content.root)? {
            Some(_) => None,
            None => Some(self.begin_fetch_for(wanted, true)?),
        };
        let (sender, receiver) = mpsc::channel(PIECES);
        let contents = self.contents.clone();
        tokio::spawn(async move {
            let (mut at, mut skip) = (from / GROUP, (from % GROUP) as usize);
            // What a state says is so before the next look at what is there.
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
                        None => Err(RegistryError::ContentDamaged(content.root)),
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
                            Some(Ok(())) => Err(RegistryError::ContentDamaged(content.root)),
                            Some(Err(error)) => Err(error),
                        },
                    },
                    Err(error) => Err(error),
                };
                let failed = piece.is_err();
                if sender.send(piece).await.is_err() || failed {
                    return;
                }
            }
        });
        Ok(receiver)
    }
}
