//! The search field and what was found.

use std::time::Duration;

use tui_input::Input;

use crate::{
    domain::name::PackageId,
    registry::{Coverage, Hit, SearchUpdate, Source},
    ui::widget::list::Selection,
};

#[derive(Default)]
pub struct SearchView {
    pub input: Input,
    pub typing: bool,
    /// The search whose updates count.
    pub generation: u64,
    pub running: bool,
    pub hits: Vec<Hit>,
    pub coverage: Coverage,
    /// Time to the local catalogue's answer.
    pub local: Option<Duration>,
    /// Time to the end.
    pub elapsed: Option<Duration>,
    pub truncated: bool,
    pub selection: Selection<PackageId>,
}

impl SearchView {
    pub fn started(&mut self, generation: u64) {
        self.generation = generation;
        self.running = true;
        (self.local, self.elapsed, self.truncated) = (None, None, false);
        self.coverage = Coverage::default();
        // What was found stays until the first answer, so that the list does not blink at every key.
    }

    pub fn update(&mut self, update: SearchUpdate, after: Duration) {
        match update {
            SearchUpdate::Hits { hits, coverage } => {
                if self.local.is_none() {
                    self.local = Some(after);
                    self.hits.clear();
                }
                self.coverage = coverage;
                for hit in hits {
                    match self.hits.iter_mut().find(|held| held.package == hit.package) {
                        Some(held) => *held = hit,
                        None => self.hits.push(hit),
                    }
                }
            }
            SearchUpdate::Done { coverage, elapsed, truncated } => {
                if self.local.is_none() {
                    self.hits.clear();
                }
                (self.coverage, self.elapsed, self.truncated) = (coverage, Some(elapsed), truncated);
                self.running = false;
            }
        }
    }

    pub fn ids(&self) -> Vec<PackageId> {
        self.hits.iter().map(|hit| hit.package.clone()).collect()
    }

    /// Hits that other peers had.
    pub fn of_others(&self) -> usize {
        self.hits.iter().filter(|hit| !matches!(hit.source, Source::Local | Source::Cache)).count()
    }
}
