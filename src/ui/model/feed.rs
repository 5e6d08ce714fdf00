//! Announcements as they arrive, newest first.

use std::collections::VecDeque;

use super::peers::Filter;
use crate::{
    domain::name::PackageId,
    registry::{Announced, title},
    ui::widget::list::Selection,
};

/// Announcements kept, and as many that wait while the feed is frozen.
pub const MAX_ROWS: usize = 1_000;

/// One state of one package: what a row is known by.
pub type RowId = (PackageId, u64);

#[derive(Default)]
pub struct Feed {
    all: VecDeque<Announced>,
    waiting: VecDeque<Announced>,
    pub frozen: bool,
    pub filter: Filter,
    /// The selection stays on its announcement once it was moved; until then it follows the newest.
    pub selection: Selection<RowId>,
    /// Announcements that came while more were waiting than are kept.
    pub lost: u64,
}

impl Feed {
    pub fn apply(&mut self, announcements: Vec<Announced>) {
        for announced in announcements {
            let into = if self.frozen { &mut self.waiting } else { &mut self.all };
            if into.len() >= MAX_ROWS {
                into.pop_back();
                self.lost += u64::from(self.frozen);
            }
            into.push_front(announced);
        }
    }

    pub fn toggle_frozen(&mut self) {
        self.frozen = !self.frozen;
        if !self.frozen {
            let waiting = std::mem::take(&mut self.waiting);
            self.apply(waiting.into_iter().rev().collect());
        }
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn rows(&self) -> impl Iterator<Item = &Announced> {
        self.all.iter().filter(|announced| {
            let title = title(&announced.package, announced.handle.as_ref());
            self.filter.matches([title.as_str(), announced.summary.as_str()].into_iter())
        })
    }

    pub fn ids(&self) -> Vec<RowId> {
        self.rows().map(id).collect()
    }

    pub fn get(&self, wanted: &RowId) -> Option<&Announced> {
        self.all.iter().find(|announced| id(announced) == *wanted)
    }
}

pub fn id(announced: &Announced) -> RowId {
    (announced.package.clone(), announced.seq)
}
