//! The search field and what was found.

use std::time::Duration;

use tui_input::Input;

use crate::{
    domain::{name::PackageId, text::printable, time::Timestamp},
    registry::{Coverage, Facets, Hit, SearchUpdate, Source},
    ui::table::{Entry, Table, column::Column, filter::Value},
};

impl Entry for Hit {
    type Id = PackageId;
    const NAME: &'static str = "search";
    const COLUMNS: &'static [Column] = &[
        Column::new("package", "package", 20, 0).up_to(36),
        Column::new("version", "version", 8, 0).up_to(14),
        Column::new("from", "from", 5, 1),
        Column::new("trust", "trust", 10, 3),
        Column::new("signed", "signed", 6, 4).right().unit("s_ago"),
        Column::new("license", "license", 10, 5).up_to(18),
        Column::new("summary", "what it is", 16, 2).up_to(200),
    ];
    const MOST: usize = 2_000;

    fn id(&self) -> PackageId {
        self.package.clone()
    }

    fn value(&self, column: &'static str, now: Timestamp) -> Value {
        match column {
            "package" => Value::text(self.title()),
            "version" => Value::text(self.version.to_string()),
            "from" => Value::text(self.source.label()),
            "trust" => Value::text(self.trust.label()),
            "signed" => Value::Number(now.since(self.signed_at).as_secs_f64().round()),
            "license" => Value::text(printable(self.license.as_deref().unwrap_or_default())),
            "summary" => Value::text(printable(&self.summary)),
            _ => Value::Nothing,
        }
    }

    fn exported(&self, column: &'static str, now: Timestamp) -> Value {
        match column {
            "package" => Value::text(self.package.to_string()),
            column => self.value(column, now),
        }
    }

    fn copied(&self) -> String {
        format!("{}@{}", self.package, self.version)
    }
}

#[derive(Default)]
pub struct SearchView {
    pub input: Input,
    pub typing: bool,
    /// The search whose updates count.
    pub generation: u64,
    pub running: bool,
    pub hits: Table<Hit>,
    pub coverage: Coverage,
    /// Time to the local catalogue's answer.
    pub local: Option<Duration>,
    /// Time to the end.
    pub elapsed: Option<Duration>,
    pub truncated: bool,
    pub total: u64,
    pub instead: Option<String>,
    pub facets: Facets,
}

impl SearchView {
    pub fn started(&mut self, generation: u64) {
        self.generation = generation;
        self.running = true;
        (self.local, self.elapsed, self.truncated) = (None, None, false);
        self.coverage = Coverage::default();
        self.hits.selection.selected = None;
        // What was found stays until the first answer, so that the list does not blink at every key.
    }

    pub fn update(&mut self, update: SearchUpdate, after: Duration, now: Timestamp) {
        match update {
            SearchUpdate::Facets { facets } => self.facets = facets,
            SearchUpdate::Hits { hits, coverage, total, instead } => {
                (self.total, self.instead) = (total, instead);
                if self.local.is_none() {
                    self.local = Some(after);
                    self.hits.clear();
                }
                self.coverage = coverage;
                self.hits.put(hits, now);
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

    /// Hits that other peers had.
    pub fn of_others(&self) -> usize {
        self.hits.all().filter(|hit| !matches!(hit.source, Source::Local | Source::Cache)).count()
    }
}
