//! A histogram of times that costs only a few atomic additions.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric},
};

/// Upper bounds of the buckets, in seconds: from a commit on a fast disk to a slow announcement.
const BOUNDS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// A histogram of atomic counters. prometheus-client's own histogram takes a lock that a scrape
/// holds too, and the swarm task must never wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram(Arc<BucketCounts>);

#[derive(Debug, Default)]
struct BucketCounts {
    within: [AtomicU64; BOUNDS.len()],
    beyond: AtomicU64,
    nanos: AtomicU64,
}

impl Histogram {
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        self.0
            .within
            .get(bucket)
            .unwrap_or(&self.0.beyond)
            .fetch_add(1, Relaxed);
        self.0
            .nanos
            .fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        let counts = self
            .0
            .within
            .iter()
            .chain([&self.0.beyond])
            .map(|count| count.load(Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_nanos(self.0.nanos.load(Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

#[cfg(test)]
mod tests {
    use prometheus_client::{encoding::text, registry::Registry};

    use super::*;

    #[test]
    fn a_time_is_counted_in_the_first_bucket_that_holds_it_and_in_all_above() {
        let histogram = Histogram::default();
        for millis in [0, 1, 2, 90_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let mut registry = Registry::default();
        registry.register("t", "T", histogram);
        let mut told = String::new();
        text::encode(&mut told, &registry).unwrap();
        for line in [
            "t_sum 90.003",
            "t_count 4",
            "t_bucket{le=\"0.0005\"} 1",
            "t_bucket{le=\"0.001\"} 2",
            "t_bucket{le=\"0.0025\"} 3",
            "t_bucket{le=\"60.0\"} 3",
            "t_bucket{le=\"+Inf\"} 4",
        ] {
            assert!(told.lines().any(|other| other == line), "{line}: {told}");
        }
    }
}
