//! The task's pending writes to the disk: run one after the other, so that an earlier state never
//! overwrites a later one, and bounded in number.

use std::collections::VecDeque;

use futures::future::BoxFuture;

/// Most pending writes. Beyond that, changes stay where they are until there is room and are then
/// written once, so a stalled disk costs no memory.
const MOST: usize = 8;

#[derive(Default)]
pub struct Writes(VecDeque<BoxFuture<'static, ()>>);

impl Writes {
    pub fn has_room(&self) -> bool {
        self.0.len() < MOST
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a write even if the queue is full: a person waits for some of them.
    pub fn push(&mut self, job: impl Future<Output = crate::Result<()>> + Send + 'static) {
        self.0.push_back(Box::pin(async move {
            if let Err(error) = job.await {
                tracing::error!(%error, "state could not be written");
            }
        }));
    }

    /// Runs the next write. If this future is dropped early, the next call continues the same
    /// write.
    pub async fn next(&mut self) {
        if let Some(write) = self.0.front_mut() {
            write.await;
            self.0.pop_front();
        }
    }

    pub async fn finish(&mut self) {
        while !self.is_empty() {
            self.next().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_disk_that_stalls_gets_no_more_than_it_can_take() {
        let mut writes = Writes::default();
        let (stalled, disk) = oneshot::channel::<()>();
        writes.push(async move {
            let _ = disk.await;
            Ok(())
        });
        let mut taken = 1;
        for _second in 0..10_000 {
            if writes.has_room() {
                writes.push(async { Ok(()) });
                taken += 1;
            }
        }
        assert_eq!(taken, MOST);
        stalled.send(()).unwrap();
        writes.finish().await;
        assert!(writes.has_room() && writes.is_empty());
    }

    #[tokio::test]
    async fn writes_are_done_in_order_and_one_that_fails_stops_none() {
        let (done, mut writes) = (Arc::new(Mutex::new(Vec::new())), Writes::default());
        for n in 0..3 {
            let done = done.clone();
            writes.push(async move {
                done.lock().unwrap().push(n);
                if n == 0 {
                    return Err(crate::RegistryError::Closed);
                }
                Ok(())
            });
        }
        writes.finish().await;
        assert_eq!(*done.lock().unwrap(), [0, 1, 2]);
    }
}
