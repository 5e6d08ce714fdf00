//! Waiting until others have what was published.

use std::time::Duration;

use tokio::time::Instant;

use super::{Receipt, Registry};
use crate::Result;

/// It is looked so often.
const LOOK: Duration = Duration::from_millis(200);

/// The places of a release beside its publisher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    /// Peers that took its records.
    pub records: usize,
    /// Other nodes that have its bytes.
    pub copies: usize,
    /// As many as were wanted have both.
    pub enough: bool,
}

/// Waits until as many peers as are wanted have a release, `most` long.
///
/// # Errors
/// As [`Registry::publish`](super::Registry::publish).
pub async fn replicated(
    registry: &dyn Registry,
    receipt: &Receipt,
    wanted: usize,
    most: Duration,
) -> Result<Replicas> {
    let deadline = Instant::now() + most;
    loop {
        let own = registry.own().await?.packages;
        let own = own.iter().find(|own| own.id == receipt.package);
        let (records, copies) = own.map_or((0, 0), |own| (own.replicas.unwrap_or(0), own.copies));
        // The records are put on as many as there are; the bytes are given to so many.
        let enough = records >= wanted && copies >= wanted.min(receipt.steps.copies_wanted);
        if enough || Instant::now() >= deadline {
            return Ok(Replicas {
                records,
                copies,
                enough,
            });
        }
        tokio::time::sleep(LOOK).await;
    }
}
