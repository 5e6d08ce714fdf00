//! The calls about content, without its bytes.

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::mpsc;

use super::{
    super::{Local, Remote, wire::Done},
    Control, calls,
};
use crate::{
    Result,
    domain::{
        hash::ContentRoot,
        held::{Freed, Held, Lost, StorageUsage},
        manifest::Content,
        transfer::{Transfer, TransferId},
    },
    registry::{Contents, Fetched, Incoming, Order, Wanted},
};

calls! {
    impl Contents for Remote {
        async fn put(&self, bytes: Incoming) -> Result<Content> {
            self.put_bytes(bytes).await
        }

        async fn fetch(
            &self,
            wanted: Wanted,
            progress: Option<mpsc::Sender<Transfer>>,
        ) -> Result<Fetched> {
            self.fetch_steps(wanted, progress).await
        }

        async fn read(&self, root: ContentRoot) -> Result<mpsc::Receiver<Result<Bytes>>> {
            self.read_bytes(root).await
        }

        async fn stream(&self, wanted: Wanted, from: u64) -> Result<mpsc::Receiver<Result<Bytes>>> {
            self.stream_bytes(wanted, from).await
        }
    }

    /// Starts a fetch, and returns at once. Optional fields are `package` and `beside`.
    POST "/v1/fetch/start"
        r#"{"content": {"root": "bafk…", "size": 7}, "what": "alice/web 1.2.0"}"#,
        changes "fetching":
    #[serde(transparent)]
    StartFetch = start_fetch(wanted: Wanted) -> ()
        |local| local.contents().start_fetch(wanted).await;

    /// Returns current and recent transfers.
    GET "/v1/transfers":
    Transfers = transfers() -> Vec<Transfer>
        |local| local.contents().transfers().await;

    /// Pauses a fetch; false if there is no such fetch. `order` is `pause`, `resume` or `cancel`.
    POST "/v1/transfers/direct"
        r#"{"id": {"direction": "fetch", "root": "bafk…"}, "order": "pause"}"#,
        changes "changing a transfer":
    Direct = direct(id: TransferId, order: Order) -> bool as Done
        |local| local.contents().direct(id, order).await;

    /// Returns a list of the content on the node.
    GET "/v1/contents":
    List = list() -> Vec<Held>
        |local| local.contents().list().await;

    /// Returns damaged content that has not been fetched again.
    GET "/v1/contents/lost":
    ListLost = lost() -> Vec<Lost>
        |local| local.contents().lost().await;

    /// Returns the bytes of content by kind, and the quota.
    GET "/v1/contents/usage":
    Usage = usage() -> StorageUsage
        |local| local.contents().usage().await;

    /// Returns the part of a content that this node has, or `null`.
    POST "/v1/contents/held" r#"{"root": "bafk…"}"#:
    HeldOf = held(root: ContentRoot) -> Option<Held>
        |local| local.contents().held(root).await;

    /// Verifies a content; false if it is damaged.
    POST "/v1/contents/check" r#"{"root": "bafk…"}"#:
    Check = check(root: ContentRoot) -> bool as Done
        |local| local.contents().check(root).await;

    /// Returns the nodes that have a content, as far as this node and the DHT know.
    POST "/v1/contents/holders" r#"{"root": "bafk…"}"#:
    Holders = holders(root: ContentRoot) -> Vec<PeerId>
        |local| local.contents().holders(root).await;

    /// Announces all content to the DHT again; always true.
    POST "/v1/contents/offer", changes "offering content":
    Offer = offer_again() -> () as Done
        |local| local.contents().offer_again().await;

    /// Pins a content for a release, or unpins it; false if it is not on this node. Pins of
    /// different releases, and a pin without a release, are independent.
    POST "/v1/contents/keep"
        r#"{"root": "bafk…", "release": "12D3KooW…/web@1.2.0", "pinned": true}"#,
        changes "keeping content":
    Keep = keep(
        root: ContentRoot,
        #[serde(default)] release: String,
        pinned: bool,
    ) -> bool as Done
        |local| local.contents().keep(root, release, pinned).await;

    /// Evicts content over the quota that is neither own nor pinned; with `all`, everything that is
    /// neither own nor pinned. Returns `contents`, their number, and the `bytes` freed.
    POST "/v1/contents/clean-up" r#"{"all": false}"#, changes "cleaning up":
    CleanUp = clean_up(#[serde(default)] all: bool) -> Freed
        |local| local.contents().clean_up(all).await;
}
