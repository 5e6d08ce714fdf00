//! The end of an operation, which its span tells exactly once, even if nobody waits for it any
//! more.

use std::time::Instant;

use tracing::{Instrument, Span, field::display};

use crate::RegistryError;

/// Sees to it that a span ends with its `outcome` and how long it took (`ms`). Both must be fields
/// of the span.
///
/// The outcome is `dropped` unless [`ended`](Self::ended) or [`failed`](Self::failed) says another.
pub struct Ending {
    span: Span,
    began: Instant,
    outcome: &'static str,
}

impl Ending {
    pub fn of(span: Span) -> Self {
        Self {
            span,
            began: Instant::now(),
            outcome: "dropped",
        }
    }

    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Runs `what` in the span.
    pub async fn within<T>(&self, what: impl Future<Output = T>) -> T {
        what.instrument(self.span.clone()).await
    }

    /// Sets a number among the span's other fields.
    pub fn count(&self, field: &'static str, count: usize) {
        self.span.record(field, count);
    }

    pub fn ended(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }

    /// It ended with an error, which goes into the field `error` if there is one.
    pub fn failed(mut self, error: &RegistryError) {
        self.outcome = error.outcome();
        self.span.record("error", display(error));
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.span.record("outcome", self.outcome);
        self.span.record(
            "ms",
            u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
        );
    }
}
