//! The search field, the results, and their order.

use std::{collections::HashSet, time::Duration};

use tui_input::Input;

use super::{facets::FacetId, feed::key, recent::RecentSearches};
use crate::{
    domain::{
        name::PackageId,
        query::{Phrase, SearchTerms, parse, runs},
        text::printable,
        time::{Ago, Timestamp},
    },
    registry::{Coverage, Facets, Hit, ReceivedAnnouncement, SearchUpdate, claimed},
    ui::{
        marks::marks,
        table::{Table, TableEntry, column::Column, filter::CellValue},
        widget::list::RowSelection,
    },
};

/// Joins alternatives in a query that was relaxed; `*` marks a prefix.
const OR: &str = "OR";
/// Sort columns: relevance and age.
const BEST: &str = "match";
const NEWEST: &str = "signed";

impl TableEntry for Hit {
    type Id = PackageId;
    const NAME: &'static str = "search";
    const COLUMNS: &'static [Column] = &[
        Column::new("package", "package", 20, 0)
            .rather(24)
            .up_to(34)
            .title_of_package(),
        Column::new("version", "version", 8, 1).up_to(10),
        Column::new("summary", "description", 20, 2).up_to(200),
        Column::new("category", "category", 12, 6),
        Column::new("used", "needed by", 9, 4)
            .right()
            .highest_first(),
        Column::new("held", "held by", 8, 6).right().highest_first(),
        Column::new("trust", "key", 14, 0),
        Column::new("from", "from", 5, 5),
        Column::new(NEWEST, "age", 6, 3).right().unit("s_ago"),
        Column::new("license", "license", 17, 7),
        Column::new("ecosystem", "ecosystem", 9, 8),
        Column::new(BEST, "match", 6, 9).right().highest_first(),
    ];
    const MOST: usize = 2_000;
    const SORT: Option<&'static str> = Some(NEWEST);
    const WAITS_ABOVE: bool = false;

    fn id(&self) -> PackageId {
        self.package.clone()
    }

    fn value(&self, column: &'static str, now: Timestamp) -> CellValue {
        match column {
            "package" => CellValue::text(claimed(&self.package, self.handle.as_ref())),
            "version" => CellValue::text(self.version.to_string()),
            "summary" => CellValue::text(summary(self)),
            "category" => CellValue::text(category(self)),
            "used" => CellValue::Number(self.dependents as f64),
            "held" => CellValue::Number(self.providers as f64),
            "trust" => CellValue::text(key(&self.package.owner, self.trust)),
            "from" => CellValue::text(self.source.label()),
            NEWEST => CellValue::Number(now.since(self.signed_at).as_secs_f64().round()),
            "license" => CellValue::text(printable(self.license.as_deref().unwrap_or_default())),
            "ecosystem" => CellValue::text(printable(&self.ecosystem)),
            BEST => CellValue::Number(self.score),
            _ => CellValue::Nothing,
        }
    }

    fn exported(&self, column: &'static str, now: Timestamp) -> CellValue {
        match column {
            "package" => CellValue::text(self.package.to_string()),
            column => self.value(column, now),
        }
    }

    fn copied(&self) -> String {
        format!("{}@{}", self.package, self.version)
    }

    fn age(&self, now: Timestamp) -> Option<String> {
        Some(Ago(now.since(self.signed_at)).to_string())
    }
}

/// Summarises a package in a line, with any warning first.
pub fn summary(hit: &Hit) -> String {
    let text = printable(&hit.summary);
    let text = match &hit.looks_like {
        Some(other) => format!(
            "looks like {}: {text}",
            claimed(&other.package, other.handle.as_ref())
        ),
        None => text,
    };
    match hit {
        Hit { yanked: true, .. } => format!("yanked: {text}"),
        Hit {
            deprecated: true, ..
        } => format!("deprecated: {text}"),
        _ => text,
    }
}

/// Returns its first category; the publisher decides their order.
pub fn category(hit: &Hit) -> String {
    printable(hit.categories.first().map_or("", String::as_str))
}

/// Returns true if the name or summary matches all of `phrases`.
fn has(hit: &Hit, phrases: &[Phrase]) -> bool {
    let text = format!("{} {}", hit.package.name, hit.summary);
    phrases
        .iter()
        .all(|phrase| !marks(std::slice::from_ref(phrase), &text).is_empty())
}

#[derive(Default)]
pub struct SearchView {
    pub input: Input,
    pub typing: bool,
    /// The time of the last change to the text.
    pub edited_at: Timestamp,
    /// The parsed text.
    pub terms: SearchTerms,
    /// Number of the current search; updates of earlier ones are ignored.
    pub generation: u64,
    pub running: bool,
    /// True once the local catalogue has answered; until then, the rows are those of the search
    /// before.
    pub answered: bool,
    pub hits: Table<Hit>,
    /// The sort column set automatically, as long as the user has not chosen another.
    order: Option<&'static str>,
    pub coverage: Coverage,
    /// Time that the local catalogue took for its last answer.
    pub local: Option<Duration>,
    /// True if there are more results than were sent.
    pub truncated: bool,
    pub total: u64,
    pub instead: Option<String>,
    /// True if some results of a relaxed query match the original one.
    some_have: bool,
    pub facets: Facets,
    /// Packages announced since the search that it may have found too.
    announced: HashSet<PackageId>,
    /// Packages that the node knew when it answered.
    known: Option<u64>,
    /// The selected facet.
    pub facet: RowSelection<FacetId>,
    pub recent: RecentSearches,
}

impl SearchView {
    pub fn started(&mut self, generation: u64) {
        self.generation = generation;
        (self.running, self.answered, self.truncated) = (true, false, false);
        self.terms = parse(self.input.value());
        (self.instead, self.some_have) = (None, false);
        self.coverage = Coverage::default();
        self.announced.clear();
        self.known = None;
        self.hits.selection.selected = None;
        self.follow_text();
        // Keep the old results until the first answer, so that the list does not flicker.
    }

    /// Sorts by relevance if there are words, else by age, unless the user has chosen another
    /// order.
    fn follow_text(&mut self) {
        let wanted = if self.terms.wanted.is_empty() {
            NEWEST
        } else {
            BEST
        };
        let theirs = self.hits.reversed
            || self
                .order
                .is_some_and(|order| self.hits.sort != Some(order));
        if !theirs {
            self.hits.sort = Some(wanted);
        }
        self.order = Some(wanted);
    }

    pub fn update(&mut self, update: SearchUpdate, after: Duration, now: Timestamp) {
        match update {
            SearchUpdate::Facets { facets } => self.facets = facets,
            SearchUpdate::Hits {
                hits,
                coverage,
                total,
                instead,
            } => {
                self.first_answer();
                self.local.get_or_insert(after);
                (self.total, self.instead, self.coverage) = (total, instead, coverage);
                self.some_have |= hits.iter().any(|hit| has(hit, &self.terms.wanted));
                self.hits.put(hits, now);
            }
            SearchUpdate::Done {
                coverage,
                truncated,
                ..
            } => {
                self.first_answer();
                (self.coverage, self.truncated) = (coverage, truncated);
                self.running = false;
            }
        }
    }

    /// Notes an announcement that the results lack. Returns true if it is one more.
    pub fn announced(&mut self, one: &ReceivedAnnouncement) -> bool {
        const MOST: usize = 100_000;
        if !self.answered || self.announced.len() >= MOST {
            return false;
        }
        let shown = self.hits.get(&one.package);
        let text = format!("{} {}", one.package.name, one.summary);
        let wanted = self.terms.wanted.iter();
        let matches = wanted
            .map(|phrase| marks(std::slice::from_ref(phrase), &text))
            .all(|found| !found.is_empty());
        matches
            && shown.is_none_or(|hit| hit.version != one.version || hit.yanked != one.yanked)
            && self.announced.insert(one.package.clone())
    }

    /// Returns how many packages are newer than the results, at most: a search with filters may
    /// not find all of them. `known` is how many packages the node knows now.
    pub fn newer(&self, known: u64) -> u64 {
        let announced = self.announced.len() as u64;
        match self.known {
            // A catalogue also grows without announcements.
            Some(then) if self.is_blank() => announced.max(known.saturating_sub(then)),
            _ => announced,
        }
    }

    /// Notes how many packages the node knew when it answered.
    pub fn answered_with(&mut self, known: u64) {
        self.known.get_or_insert(known);
    }

    /// Clears the results of the search before.
    fn first_answer(&mut self) {
        if !self.answered {
            (self.answered, self.local, self.total) = (true, None, 0);
            self.hits.clear();
        }
    }

    /// Returns true if the field has neither a query nor a mistake.
    pub fn is_blank(&self) -> bool {
        self.input.value().trim().is_empty()
    }

    /// Returns the phrases to mark in results: those of the query and those searched for instead.
    pub fn phrases(&self) -> Vec<Phrase> {
        let mut phrases = self.terms.wanted.clone();
        for word in self
            .instead
            .iter()
            .flat_map(|instead| instead.split_whitespace())
            .filter(|word| *word != OR)
        {
            let open = word.ends_with('*');
            phrases.extend(runs(word).into_iter().map(|words| Phrase { words, open }));
        }
        phrases
    }

    /// Returns the message that something else was searched for.
    pub fn message_instead(&self) -> Option<String> {
        let instead = printable(self.instead.as_deref()?).replace(&format!(" {OR} "), "\" or \"");
        let asked = self
            .terms
            .wanted
            .iter()
            .map(Phrase::text)
            .collect::<Vec<_>>()
            .join(" ");
        Some(if self.some_have {
            format!("few results for \"{asked}\"; also showing \"{instead}\"")
        } else {
            format!("no results for \"{asked}\"; showing \"{instead}\"")
        })
    }
}
