//! The call that also a recording answers.

use tokio::sync::{mpsc, watch};

use super::{
    super::{Link, Local, Remote, Status, Watch},
    Control, calls,
};
use crate::{Result, bus};

calls! {
    impl Watch for Remote {
        fn subscribe(&self) -> mpsc::Receiver<bus::Batch> {
            self.batches()
        }

        fn link(&self) -> watch::Receiver<Link> {
            self.link.subscribe()
        }
    }

    /// Returns the identity and state of the node: id, process, socket, data directory and counts.
    GET "/v1/status":
    GetStatus = status() -> Status
        |local| local.status().await;
}
