//! Recognises repeated announcements by the newest signing time of each package.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::domain::{name::PackageId, record::Announcement, time::Timestamp};

/// Most packages remembered. Beyond that all are forgotten, and a replay is passed on once more
/// within its validity of ten minutes.
const REMEMBERED: usize = 65_536;

#[derive(Default)]
pub struct Notices(Mutex<HashMap<PackageId, Timestamp>>);

impl Notices {
    /// Returns true if the announcement was signed later than any other of its package.
    pub fn is_news(&self, announcement: &Announcement) -> bool {
        self.held()
            .get(&id(announcement))
            .is_none_or(|at| announcement.announced_at() > *at)
    }

    pub fn note(&self, announcement: &Announcement) {
        let (id, at) = (id(announcement), announcement.announced_at());
        let mut held = self.held();
        if held.len() >= REMEMBERED && !held.contains_key(&id) {
            held.clear();
        }
        let newest = held.entry(id).or_insert(at);
        *newest = at.max(*newest);
    }

    fn held(&self) -> parking_lot::MutexGuard<'_, HashMap<PackageId, Timestamp>> {
        self.0.lock()
    }
}

fn id(announcement: &Announcement) -> PackageId {
    announcement.head.package().clone()
}
