//! Searches the index.
//!
//! The number of ranked packages is bounded, however many match: those whose names begin with the
//! text, those that the index ranks best (BM25), and those with the most dependents. Among these
//! `domain::query::score` decides. If almost nothing matches, words are replaced by similar words
//! of the index.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt::Write,
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params, params_from_iter};

use super::{
    Store,
    catalogue::publisher,
    damaged,
    listing::{BETWEEN, DEPENDENT, DEPRECATED, EVERY_WORD, YANKED, YANKED_WORD, facet_word},
    look_alikes,
};
use crate::{
    Result,
    domain::{
        name::{PackageId, PublisherId},
        package::Source,
        query::{
            Facet, FacetCount, Facets, Hit, HitCandidate, IncludeHidden, Phrase, Query, Ranking,
            SearchTerms, distance, licenses, may_differ, words,
        },
        time::Timestamp,
        trust::Trust,
    },
};

/// Packages ranked: the best by BM25, the most popular, and those whose names begin with the text.
const BY_WORDS: usize = 150;
const BY_POPULARITY: usize = 80;
const BY_NAME: usize = 60;
/// BM25 reads every match; if there are more than this, only the popular ones are ranked.
const MOST_WEIGHED: u64 = 2_000;
/// With fewer hits than this, words may be misspelt.
const FEW: u64 = 3;
/// The weight of a guessed or partial match.
const GUESSED: f64 = 0.8;
const PARTLY: f64 = 0.5;
/// Characters between two words of a name.
const BETWEEN_WORDS: [&str; 4] = ["-", "", ".", "_"];
/// Most similar words tried for one word.
const ALIKE: usize = 8;
/// Words checked for similar spellings, and words of the index that each search reads for them: in
/// a catalogue of half a million packages, those with two of the first letters.
const MOST_MISSPELT: usize = 4;
const MOST_WALKED: usize = 50_000;
/// Distrusted publishers that the index leaves out; further ones are left out one by one.
const DISTRUSTED: usize = 50;
/// Matches whose labels are counted exactly; if there are more, an even sample is counted.
const COUNTED: u64 = 20_000;
/// Most values of a facet that are returned, the most frequent ones.
const VALUES: usize = 12;

/// The results of a query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Best first, from the query's offset on.
    pub hits: Vec<Hit>,
    /// Number of matching packages, shown or not.
    pub total: u64,
    /// The words that were searched instead, if almost nothing matched the given ones.
    pub instead: Option<String>,
}

impl Store {
    /// Returns the matching packages, best first; without words, newest first. Yanked packages and
    /// distrusted publishers are left out unless requested.
    pub fn search(&self, query: &Query, now: Timestamp) -> Result<Found> {
        self.read_together(|db| {
            RunningSearch::of(db, self.own_publisher(), query, now)?.run(query.offset, query.limit)
        })
    }

    /// Returns the number of a query's matches for each label.
    pub fn facets(&self, query: &Query, now: Timestamp) -> Result<Facets> {
        self.read_together(|db| RunningSearch::of(db, self.own_publisher(), query, now)?.facets())
    }

    /// Returns the words in the names and labels of own packages.
    pub fn own_words(&self) -> Result<BTreeSet<String>> {
        self.read(|db| {
            let mut own = BTreeSet::new();
            let mut statement = db.prepare_cached(
                "SELECT bare, categories, tags FROM packages WHERE publisher IN (SELECT publisher \
                 FROM heads WHERE own = 1)",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                for column in 0..3 {
                    own.extend(words(row.get_ref(column)?.as_str()?));
                }
            }
            Ok(own)
        })
    }

    /// Returns the words that at most `most` packages have.
    pub fn rare_words(&self, most: u64) -> Result<Vec<String>> {
        /// Shorter words are abbreviations and parts of versions.
        const SHORT: usize = 4;
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT term FROM vocabulary WHERE doc <= ? AND length(term) >= ?",
            )?;
            let rows =
                statement.query_map(params![most, SHORT as i64], |row| row.get::<_, String>(0))?;
            let is_word = |word: &String| word.chars().next().is_some_and(char::is_alphabetic);
            rows.filter(|word| word.as_ref().map_or(true, is_word))
                .collect()
        })
    }

    /// As [`Self::search`], for a peer: without private results, and within the limit for peers.
    pub fn search_for_others(&self, query: &Query, now: Timestamp) -> Result<Found> {
        self.read_together(|db| {
            let mut search = RunningSearch::of(db, self.own_publisher(), query, now)?;
            search.public = true;
            search.terms.asked = IncludeHidden {
                yanked: search.terms.asked.yanked,
                ..IncludeHidden::default()
            };
            search.run(query.offset, query.limit)
        })
    }
}

/// A running search.
struct RunningSearch<'a> {
    db: &'a Connection,
    terms: SearchTerms,
    /// Similar words, by the position of the phrase that they replace.
    alike: BTreeMap<usize, Vec<String>>,
    /// Matching rows in ascending order, as [`Self::total`] found them last.
    matched: Vec<i64>,
    /// True if words are treated as prefixes although they were not meant as such.
    lengthened: bool,
    /// True if packages with only some of the words count.
    any: bool,
    distrusted: Vec<PublisherId>,
    own: Option<PublisherId>,
    now: Timestamp,
    public: bool,
}

impl<'a> RunningSearch<'a> {
    fn of(
        db: &'a Connection,
        own: Option<PublisherId>,
        query: &Query,
        now: Timestamp,
    ) -> rusqlite::Result<Self> {
        let distrusted = db
            .prepare_cached("SELECT publisher FROM distrusted")?
            .query_map([], |row| publisher(row, 0))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(Self {
            db,
            terms: query.terms(),
            alike: BTreeMap::new(),
            matched: Vec::new(),
            lengthened: false,
            any: false,
            distrusted,
            own,
            now,
            public: false,
        })
    }

    fn run(mut self, offset: usize, limit: usize) -> rusqlite::Result<Found> {
        if self.terms.asks_nothing() {
            return Ok(Found::default());
        }
        if self.terms.wanted.is_empty() {
            let total = self.total()?;
            return Ok(Found {
                hits: self.newest(offset, limit)?,
                total,
                instead: None,
            });
        }
        let (mut total, mut instead) = self.widen()?;
        if total > 0 && total < FEW && self.is_named()? {
            let hits = self.page(self.ranked(total, offset + limit)?, offset, limit)?;
            return Ok(Found {
                hits,
                total,
                instead,
            });
        }
        let mut ranked = self.ranked(total, offset + limit)?;
        // Peers get only packages with all of the words.
        if total < FEW && self.terms.wanted.len() > 1 && !self.public {
            self.any = true;
            let found = self.total()?;
            if found > total {
                (total, instead) = (found, self.instead(" OR "));
                let held: HashSet<i64> = ranked.iter().map(|(_, row)| *row).collect();
                let some = self
                    .ranked(total, offset + limit)?
                    .into_iter()
                    .filter(|(_, row)| !held.contains(row));
                ranked.extend(some.map(|(score, row)| (score * PARTLY, row)));
            }
        }
        Ok(Found {
            hits: self.page(ranked, offset, limit)?,
            total,
            instead,
        })
    }

    /// If almost nothing matches, treats words as prefixes, and then tries similar words. Returns
    /// the number of matches, and the words searched instead.
    fn widen(&mut self) -> rusqlite::Result<(u64, Option<String>)> {
        let (mut total, mut instead) = (self.total()?, None);
        if total >= FEW || self.terms.wanted.is_empty() || (total > 0 && self.is_named()?) {
            return Ok((total, instead));
        }
        if self.may_be_longer() {
            let asked = self.terms.wanted.clone();
            self.lengthen();
            let found = self.total()?;
            if found > total {
                (total, instead) = (found, self.instead(" "));
            } else {
                (self.terms.wanted, self.lengthened) = (asked, false);
            }
        }
        if total < FEW {
            self.misspelt()?;
            let found = if self.alike.is_empty() {
                0
            } else {
                self.total()?
            };
            if found > total {
                (total, instead) = (found, self.instead(" "));
            } else {
                self.alike.clear();
            }
        }
        Ok((total, instead))
    }

    fn page(
        &self,
        ranked: Vec<(f64, i64)>,
        offset: usize,
        limit: usize,
    ) -> rusqlite::Result<Vec<Hit>> {
        let page = ranked.into_iter().skip(offset).take(limit);
        page.filter_map(|(score, row)| self.hit(row, score).transpose())
            .collect()
    }

    /// Returns true if a package has exactly this name: then nothing else was meant, however few
    /// matches there are.
    fn is_named(&self) -> rusqlite::Result<bool> {
        let words: Vec<&str> = self.terms.words().collect();
        let mut named = self
            .db
            .prepare_cached("SELECT 1 FROM package_rows WHERE bare = ?")?;
        for between in BETWEEN_WORDS {
            if named.exists([words.join(between)])? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the expression for the index.
    fn expression(&self) -> String {
        let mut all: Vec<String> = Vec::new();
        let mut and = |part: String| all.push(part);
        let phrases =
            self.terms
                .wanted
                .iter()
                .enumerate()
                .map(|(at, phrase)| match self.alike.get(&at) {
                    Some(alike) => {
                        let words: Vec<String> = alike.iter().map(|word| quoted(word)).collect();
                        format!("({} OR {})", spelt(phrase), words.join(" OR "))
                    }
                    None => spelt(phrase),
                });
        if self.any {
            and(format!("({})", phrases.collect::<Vec<_>>().join(" OR ")));
        } else {
            phrases.for_each(&mut and);
        }
        let word = |facet, value: &str| quoted(&facet_word(facet, value));
        let (unwanted, wanted): (Vec<_>, Vec<_>) =
            self.terms.filters.iter().partition(|filter| filter.not);
        wanted
            .iter()
            .for_each(|filter| and(word(filter.facet, &filter.value)));
        let IncludeHidden { yanked, distrusted } = self.terms.asked;
        if yanked {
            and(quoted(YANKED_WORD));
        }
        if all.is_empty() {
            all.push(quoted(EVERY_WORD));
        }
        let mut expression = all.join(" AND ");
        let mut not = |part: String| {
            // Writing to a string cannot fail.
            let _ = write!(expression, " NOT {part}");
        };
        self.terms
            .unwanted
            .iter()
            .for_each(|phrase| not(spelt(phrase)));
        unwanted
            .iter()
            .for_each(|filter| not(word(filter.facet, &filter.value)));
        if !yanked {
            not(quoted(YANKED_WORD));
        }
        if !distrusted {
            let publishers = self.distrusted.iter().take(DISTRUSTED);
            publishers.for_each(|publisher| not(word(Facet::Publisher, &publisher.to_string())));
        }
        expression
    }

    /// Returns SQL for the matching rows of the index, with one parameter, the
    /// [`Self::expression`].
    fn matching(&self) -> String {
        let mut sql = "FROM words WHERE words MATCH ?1".to_owned();
        let since = |age: Duration| {
            self.now
                .0
                .saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
        };
        for (age, compare) in [(self.terms.within, ">="), (self.terms.before, "<")] {
            if let Some(age) = age {
                let at = since(age);
                let _ = write!(
                    sql,
                    " AND rowid IN (SELECT id FROM package_rows WHERE signed_at {compare} {at})"
                );
            }
        }
        sql
    }

    fn rows(&self, select: &str, rest: &str) -> rusqlite::Result<Vec<i64>> {
        let sql = format!("{select} {} {rest}", self.matching());
        self.db
            .prepare_cached(&sql)?
            .query_map([self.expression()], |row| row.get(0))?
            .collect()
    }

    /// Returns the number of matches and stores them: all ranked rows are among them.
    fn total(&mut self) -> rusqlite::Result<u64> {
        self.matched = self.rows("SELECT rowid", "")?;
        // They usually come in order, but a filter by age may make SQLite read them in another.
        self.matched.sort_unstable();
        Ok(self.matched.len() as u64)
    }

    /// Returns the rows of a query that match, until there are enough.
    fn among(
        &self,
        sql: &str,
        arguments: impl rusqlite::Params,
        most: usize,
    ) -> rusqlite::Result<Vec<i64>> {
        let mut walk = self.db.prepare_cached(sql)?;
        let mut rows = walk.query(arguments)?;
        let mut found = Vec::new();
        while found.len() < most
            && let Some(row) = rows.next()?
        {
            let row = row.get(0)?;
            if self.matched.binary_search(&row).is_ok() {
                found.push(row);
            }
        }
        Ok(found)
    }

    fn newest(&self, offset: usize, limit: usize) -> rusqlite::Result<Vec<Hit>> {
        // Read the index by age until there are enough: nearly all packages match.
        let sql = if self.terms.is_everything() && self.distrusted.is_empty() {
            format!(
                "SELECT id FROM package_rows WHERE flags & {YANKED} = 0 ORDER BY signed_at DESC \
                 LIMIT ?1 OFFSET ?2"
            )
        } else {
            let matching = self.matching().replace("?1", "?3");
            format!(
                "SELECT id FROM package_rows WHERE id IN (SELECT rowid {matching}) ORDER BY \
                 signed_at DESC LIMIT ?1 OFFSET ?2"
            )
        };
        let mut statement = self.db.prepare_cached(&sql)?;
        let (limit, offset, expression) = (limit as i64, offset as i64, self.expression());
        let mut arguments: Vec<&dyn ToSql> = vec![&limit, &offset];
        if statement.parameter_count() == 3 {
            arguments.push(&expression);
        }
        let rows = statement
            .query_map(params_from_iter(arguments), |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<i64>>>()?;
        let shown = |hit: &Hit| self.terms.asked.distrusted || hit.trust != Trust::Distrusted;
        let hits = rows
            .into_iter()
            .filter_map(|row| self.hit(row, 0.0).transpose());
        hits.filter(|hit| hit.as_ref().map_or(true, shown))
            .collect()
    }

    /// Returns the best matches, at least `most` if there are as many.
    fn ranked(&self, total: u64, most: usize) -> rusqlite::Result<Vec<(f64, i64)>> {
        let mut rows: Vec<i64> = Vec::new();
        let limit = BY_WORDS.max(most);
        if total <= limit as u64 {
            // Rank all of them; the index need not choose the best.
            rows.clone_from(&self.matched);
        } else if total <= MOST_WEIGHED {
            rows.extend(self.rows(
                "SELECT rowid",
                &format!("ORDER BY bm25(words, 8, 4, 1, 3, 0) LIMIT {limit}"),
            )?);
        }
        if total > rows.len() as u64 {
            rows.extend(self.named()?);
            let popular = "SELECT id FROM package_rows INDEXED BY packages_by_popularity ORDER BY popularity DESC";
            rows.extend(self.among(popular, [], BY_POPULARITY.max(most))?);
        }
        let mut seen = HashSet::new();
        rows.retain(|row| seen.insert(*row));
        let spellings = self.spellings();
        let mut ranked = Vec::with_capacity(rows.len());
        let mut looked_at = self.db.prepare_cached(
            "SELECT bare, popularity, title, summary, categories, tags, publisher FROM packages \
             WHERE id = ?",
        )?;
        for row in rows {
            let mut found = looked_at.query([row])?;
            if let Some(package) = found.next()?
                && let Some(score) = self.score(&spellings, package)?
            {
                ranked.push((score, row));
            }
        }
        // A stable sort: equal ones keep the order of the index.
        ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        Ok(ranked)
    }

    /// Returns the matches whose names begin with the text, the most popular first. For a short
    /// text, only those with exactly this name: the most popular packages are ranked anyway.
    fn named(&self) -> rusqlite::Result<Vec<i64>> {
        const SHORT: usize = 2;
        let words: Vec<&str> = self.terms.words().collect();
        let mut named = Vec::new();
        for between in BETWEEN_WORDS.iter().take(if words.len() == 1 {
            1
        } else {
            BETWEEN_WORDS.len()
        }) {
            let from = words.join(between);
            let exact = "SELECT id FROM package_rows WHERE bare = ?";
            named.extend(self.among(exact, [&from], BY_NAME)?);
            if from.chars().count() > SHORT {
                let to = format!("{from}{}", char::MAX);
                let begins = "SELECT id FROM package_rows INDEXED BY packages_by_name WHERE bare > ? AND bare < ?
                              ORDER BY popularity DESC";
                named.extend(self.among(begins, [from, to], BY_NAME)?);
            }
        }
        Ok(named)
    }

    /// Returns true if there is a word that is not treated as a prefix but could be one: `process`
    /// of `processes`.
    fn may_be_longer(&self) -> bool {
        self.terms
            .wanted
            .iter()
            .any(|phrase| !phrase.open && is_long(phrase))
    }

    fn lengthen(&mut self) {
        self.lengthened = true;
        self.terms
            .wanted
            .iter_mut()
            .filter(|phrase| is_long(phrase))
            .for_each(|phrase| phrase.open = true);
    }

    /// Looks for words of the index with a similar spelling.
    fn misspelt(&mut self) -> rusqlite::Result<()> {
        let (mut looked_at, mut walked) = (0, 0);
        for (at, phrase) in self.terms.wanted.iter().enumerate() {
            let [word] = phrase.words.as_slice() else {
                continue;
            };
            let most = may_differ(word);
            let Some(first) = word.chars().next().filter(|_| most > 0) else {
                continue;
            };
            looked_at += 1;
            if looked_at > MOST_MISSPELT || walked >= MOST_WALKED {
                break;
            }
            // Only words with the same first letter: a person notices a wrong first letter. The
            // first two may be swapped.
            let firsts: HashSet<char> = [Some(first), word.chars().nth(1)]
                .into_iter()
                .flatten()
                .collect();
            let mut alike = Vec::new();
            for first in firsts {
                let (from, to) = (first.to_string(), format!("{first}{}", char::MAX));
                let mut statement = self.db.prepare_cached(
                    "SELECT term, doc FROM vocabulary WHERE term >= ? AND term < ?",
                )?;
                let mut terms = statement.query([from, to])?;
                while walked < MOST_WALKED
                    && let Some(row) = terms.next()?
                {
                    walked += 1;
                    let term = row.get_ref(0)?.as_str()?;
                    if term.len().abs_diff(word.len()) > most + 8 || term == word {
                        continue;
                    }
                    let whole = distance(word, term);
                    // The word may be the beginning of a longer one.
                    let begins: String = term.chars().take(word.chars().count()).collect();
                    let off = if phrase.open {
                        whole.min(distance(word, &begins) + 1)
                    } else {
                        whole
                    };
                    if off <= most {
                        alike.push((
                            off,
                            std::cmp::Reverse(row.get::<_, u64>(1)?),
                            term.to_owned(),
                        ));
                    }
                }
            }
            alike.sort();
            alike.truncate(ALIKE);
            if !alike.is_empty() {
                self.alike
                    .insert(at, alike.into_iter().map(|(.., term)| term).collect());
            }
        }
        Ok(())
    }

    /// Returns the searched words as a person would type them.
    fn instead(&self, between: &str) -> Option<String> {
        let best = |(at, phrase): (usize, &Phrase)| match self
            .alike
            .get(&at)
            .and_then(|alike| alike.first())
        {
            Some(word) => word.clone(),
            None => format!(
                "{}{}",
                phrase.text(),
                if phrase.open && self.lengthened {
                    "*"
                } else {
                    ""
                }
            ),
        };
        Some(
            self.terms
                .wanted
                .iter()
                .enumerate()
                .map(best)
                .collect::<Vec<_>>()
                .join(between),
        )
    }

    /// Returns the possible spellings with their weights.
    fn spellings(&self) -> Vec<(f64, Ranking)> {
        let mut spellings = vec![(1.0, Ranking::of(&self.terms))];
        for (at, words) in &self.alike {
            for word in words {
                let mut terms = self.terms.clone();
                if let Some(phrase) = terms.wanted.get_mut(*at) {
                    *phrase = Phrase {
                        words: vec![word.clone()],
                        open: false,
                    };
                }
                spellings.push((GUESSED, Ranking::of(&terms)));
            }
        }
        spellings
    }

    /// Returns the score of a package; `None` for one that is not shown.
    fn score(&self, spellings: &[(f64, Ranking)], row: &Row<'_>) -> rusqlite::Result<Option<f64>> {
        if !self.distrusted.is_empty()
            && !self.terms.asked.distrusted
            && self.distrusted.contains(&publisher(row, 6)?)
        {
            return Ok(None);
        }
        let popularity: i64 = row.get(1)?;
        let candidate = HitCandidate {
            name: row.get_ref(0)?.as_str()?,
            title: row.get_ref(2)?.as_str_or_null()?,
            summary: row.get_ref(3)?.as_str()?,
            categories: row.get_ref(4)?.as_str()?,
            tags: row.get_ref(5)?.as_str()?,
            dependents: u64::try_from(popularity / DEPENDENT).unwrap_or_default(),
            providers: u64::try_from(popularity % DEPENDENT).unwrap_or_default(),
        };
        let scores = spellings
            .iter()
            .map(|(counts, ranking)| counts * ranking.score(&candidate));
        Ok(Some(scores.fold(0.0, f64::max)))
    }

    fn hit(&self, row: i64, score: f64) -> rusqlite::Result<Option<Hit>> {
        let hit = self
            .db
            .prepare_cached(
                "SELECT publisher, name, popularity, signed_at, flags, ecosystem, handle, version, summary, categories,
                 tags, license, (SELECT publisher FROM pins WHERE handle = p.handle) FROM packages p WHERE id = ?",
            )?
            .query_row([row], |row| self.read_hit(row, score))
            .optional()?;
        match hit {
            Some(hit) if !self.public => {
                let looks_like = look_alikes::of(self.db, self.own, &hit.package)?;
                Ok(Some(Hit { looks_like, ..hit }))
            }
            hit => Ok(hit),
        }
    }

    fn read_hit(&self, row: &Row<'_>, score: f64) -> rusqlite::Result<Hit> {
        let of = publisher(row, 0)?;
        let name: String = row.get(1)?;
        let popularity: i64 = row.get(2)?;
        let flags: u8 = row.get(4)?;
        let handle: Option<String> = row.get(6)?;
        let version: String = row.get(7)?;
        let (categories, tags): (String, String) = (row.get(9)?, row.get(10)?);
        let split = |labels: &str| {
            labels
                .split(BETWEEN)
                .filter(|label| !label.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let pinned = row
            .get::<_, Option<Vec<u8>>>(12)?
            .and_then(|bytes| PublisherId::from_bytes(&bytes));
        let trust = match pinned {
            _ if self.distrusted.contains(&of) => Trust::Distrusted,
            _ if self.own == Some(of) => Trust::Own,
            Some(pinned) if pinned == of => Trust::Pinned,
            _ => Trust::Unknown,
        };
        Ok(Hit {
            handle: handle
                .map(|handle| handle.parse())
                .transpose()
                .map_err(|_| damaged(6, "handle"))?,
            trust,
            version: version.parse().map_err(|_| damaged(7, "version"))?,
            summary: row.get(8)?,
            categories: split(&categories),
            tags: split(&tags),
            license: row.get(11)?,
            ecosystem: row.get(5)?,
            dependents: u64::try_from(popularity / DEPENDENT).unwrap_or_default(),
            providers: u64::try_from(popularity % DEPENDENT).unwrap_or_default(),
            yanked: flags & YANKED != 0,
            deprecated: flags & DEPRECATED != 0,
            looks_like: None,
            signed_at: Timestamp(row.get(3)?),
            source: Source::Local,
            score,
            package: PackageId {
                owner: of,
                name: name.parse().map_err(|_| damaged(1, "name"))?,
            },
        })
    }

    fn facets(mut self) -> rusqlite::Result<Facets> {
        if self.terms.asks_nothing() {
            return Ok(Facets::default());
        }
        let (total, _) = self.widen()?;
        let step = total.div_ceil(COUNTED).max(1);
        let mut counts: BTreeMap<(Facet, String), (u64, String)> = BTreeMap::new();
        let mut statement = self.db.prepare_cached(
            "SELECT publisher, handle, ecosystem, categories, tags, license,
             (SELECT publisher FROM pins WHERE handle = p.handle) FROM packages p WHERE id = ?",
        )?;
        let mut count = |facet, value: &str, shown: &str| {
            counts
                .entry((facet, value.to_lowercase()))
                .or_insert_with(|| (0, shown.to_owned()))
                .0 += 1;
        };
        for row in self
            .matched
            .iter()
            .step_by(usize::try_from(step).unwrap_or(usize::MAX))
        {
            let mut found = statement.query([row])?;
            let Some(row) = found.next()? else { continue };
            let text = |column| {
                row.get_ref(column)
                    .and_then(|value| Ok(value.as_str_or_null()?.unwrap_or_default()))
            };
            let of = publisher(row, 0)?;
            let (id, handle) = (of.to_string(), text(1)?);
            let pinned = row
                .get_ref(6)?
                .as_blob_or_null()?
                .is_some_and(|key| *key == of.to_bytes());
            match handle {
                "" => count(Facet::Publisher, &id, &id),
                handle if pinned || self.own == Some(of) => count(Facet::Publisher, &id, handle),
                handle => count(
                    Facet::Publisher,
                    &id,
                    &format!("{handle} ({})", of.fingerprint()),
                ),
            }
            count(Facet::Ecosystem, text(2)?, text(2)?);
            for (facet, column) in [(Facet::Category, 3), (Facet::Tag, 4)] {
                let labels = text(column)?
                    .split(BETWEEN)
                    .filter(|label| !label.is_empty());
                labels.for_each(|label| count(facet, label, label));
            }
            licenses(text(5)?).for_each(|license| count(Facet::License, license, license));
        }
        let mut all: Vec<FacetCount> = counts
            .into_iter()
            .map(|((facet, value), (packages, shown))| FacetCount {
                facet,
                value,
                shown,
                packages: packages * step,
            })
            .collect();
        all.sort_by(|a, b| (a.facet, b.packages, &a.value).cmp(&(b.facet, a.packages, &b.value)));
        let counts = Facet::ALL
            .into_iter()
            .flat_map(|facet| {
                all.iter()
                    .filter(move |one| one.facet == facet)
                    .take(VALUES)
                    .cloned()
            })
            .collect();
        Ok(Facets {
            total,
            counts,
            sampled: step > 1,
        })
    }
}

/// Returns true for a single word that is long enough to serve as a prefix.
fn is_long(phrase: &Phrase) -> bool {
    phrase.words.len() == 1 && phrase.words.iter().all(|word| word.chars().count() >= 4)
}

fn spelt(phrase: &Phrase) -> String {
    let open = if phrase.open { " *" } else { "" };
    format!("{}{open}", quoted(&phrase.words.join(" ")))
}

/// Quotes words, so that none is taken for an operator.
fn quoted(words: &str) -> String {
    format!("\"{}\"", words.replace('"', ""))
}

#[cfg(test)]
mod tests;
