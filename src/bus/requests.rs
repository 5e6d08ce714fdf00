//! Requests of package managers: emitted on the bus, kept for later readers, and counted.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;

use super::{Bus, BusEvent};
use crate::{
    domain::request::{ClientRequest, Runs},
    metrics::Metrics,
};

/// The most requests kept; the oldest are dropped first.
const MOST: usize = 1_000;

#[derive(Default)]
struct KeptRequests {
    last: u64,
    runs: Runs,
    requests: VecDeque<ClientRequest>,
}

/// The table of requests. Cheap to clone.
#[derive(Clone)]
pub struct RequestLog {
    kept: Arc<Mutex<KeptRequests>>,
    bus: Bus,
    metrics: Metrics,
}

impl RequestLog {
    pub fn new(bus: Bus, metrics: Metrics) -> Self {
        Self {
            kept: Arc::default(),
            bus,
            metrics,
        }
    }

    /// Adds a request whose answer begins. Returns it with its number and its run.
    pub fn begin(&self, mut request: ClientRequest) -> ClientRequest {
        let mut kept = self.kept.lock();
        kept.last += 1;
        request.id = kept.last;
        request.run = kept
            .runs
            .of(request.id, &request.client, &request.from, request.at);
        if kept.requests.len() >= MOST {
            kept.requests.pop_front();
        }
        kept.requests.push_back(request.clone());
        self.bus.emit(BusEvent::Request(Box::new(request.clone())));
        request
    }

    /// Updates a request, and counts it if its answer is complete.
    pub fn put(&self, request: ClientRequest) {
        if !request.is_open() {
            self.metrics.asked(&request);
        }
        let mut kept = self.kept.lock();
        // Numbers have no gaps, so the index follows from the first one.
        let first = kept.requests.front().map_or(request.id, |first| first.id);
        let at = request
            .id
            .checked_sub(first)
            .and_then(|at| usize::try_from(at).ok());
        if let Some(place) = at.and_then(|at| kept.requests.get_mut(at)) {
            *place = request.clone();
        }
        self.bus.emit(BusEvent::Request(Box::new(request)));
    }

    /// Emits everything again, for a new reader.
    pub fn tell_again(&self) {
        for request in &self.kept.lock().requests {
            self.bus.emit(BusEvent::Request(Box::new(request.clone())));
        }
    }
}
