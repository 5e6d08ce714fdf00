//! Which announcements are news: of each package the newest time that its publisher signed one for.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use crate::domain::{name::PackageId, record::Announcement, time::Timestamp};

/// Packages of which it is remembered; all are forgotten together when there are more. A replay is
/// then passed on once more, within the ten minutes in which it is valid at all.
const REMEMBERED: usize = 65_536;

#[derive(Default)]
pub struct Notices(Mutex<HashMap<PackageId, Timestamp>>);

impl Notices {
    /// Whether the publisher said this later than anything that was heard of the package.
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

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<PackageId, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn id(announcement: &Announcement) -> PackageId {
    announcement.head.package().clone()
}
