//! The wall clock, read in one place. Rules get the time as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::time::Timestamp;

pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}
