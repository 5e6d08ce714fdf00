//! The catalogue's rows and its full-text index.

use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::{Store, catalogue::publisher, damaged};
use crate::{
    Result,
    domain::{
        manifest::Manifest,
        name::{PackageId, PackageName, PublisherId},
        query::Query,
        record::{Head, Signed},
        time::Timestamp,
        trust::Trust,
    },
    registry::{Hit, Source},
};

/// Rows that the index ranks before names are compared; what does not get here is not found.
const RANKED: usize = 300;

pub(super) fn list(db: &Connection, head: &Signed<Head>, manifest: &Signed<Manifest>) -> rusqlite::Result<()> {
    unlist(db, &head.publisher(), &head.name)?;
    let labels = |labels: &[String]| serde_json::to_string(labels).unwrap_or_default();
    let row = db
        .prepare_cached(
            "INSERT INTO packages (publisher, name, handle, version, summary, categories, tags, license, signed_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .insert(params![
            head.publisher().to_bytes(),
            head.name.as_str(),
            head.handle.as_ref().map(|handle| handle.as_str()),
            manifest.version.to_string(),
            manifest.summary(),
            labels(&manifest.categories),
            labels(&manifest.tags),
            manifest.license,
            head.signed_at.0,
        ])?;
    let words = [manifest.categories.join(" "), manifest.tags.join(" ")].join(" ");
    let title = manifest.title.as_deref().unwrap_or_default();
    db.prepare_cached("INSERT INTO words (rowid, name, title, description, labels) VALUES (?, ?, ?, ?, ?)")?
        .execute(params![row, head.name.as_str(), title, manifest.description, words])?;
    Ok(())
}

pub(super) fn unlist(db: &Connection, publisher: &PublisherId, name: &PackageName) -> rusqlite::Result<()> {
    let row: Option<i64> = db
        .prepare_cached("DELETE FROM packages WHERE publisher = ? AND name = ? RETURNING id")?
        .query_row(params![publisher.to_bytes(), name.as_str()], |row| row.get(0))
        .optional()?;
    if let Some(row) = row {
        db.prepare_cached("DELETE FROM words WHERE rowid = ?")?.execute([row])?;
    }
    Ok(())
}

impl Store {
    /// Packages that match, best first: exact name, then names that start with the text, then by the index's rank
    /// (BM25, a word in the name counting most). Distrusted publishers are left out.
    pub fn search(&self, query: &Query) -> Result<Vec<Hit>> {
        let mut rows = self.read(|db| {
            let select = "SELECT p.publisher, p.name, p.handle, p.version, p.summary, p.categories, p.tags, p.license,
                          p.signed_at, (SELECT publisher FROM pins WHERE handle = p.handle)
                          FROM packages p";
            let trusted = "p.publisher NOT IN (SELECT publisher FROM distrusted)";
            let labelled = std::iter::repeat_n(
                "EXISTS (SELECT 1 FROM json_each(p.categories) WHERE value = ?)",
                query.categories.len(),
            )
            .chain(std::iter::repeat_n("EXISTS (SELECT 1 FROM json_each(p.tags) WHERE value = ?)", query.tags.len()))
            .fold(trusted.to_owned(), |sql, condition| format!("{sql} AND {condition}"));
            let mut arguments: Vec<String> = query.categories.iter().chain(&query.tags).cloned().collect();
            let sql = match match_expression(query) {
                Some(expression) => {
                    arguments.insert(0, expression);
                    format!(
                        "{select} JOIN words ON words.rowid = p.id WHERE words MATCH ? AND {labelled}
                         ORDER BY bm25(words, 8.0, 4.0, 1.0, 3.0) LIMIT {RANKED}"
                    )
                }
                None if query.text.trim().is_empty() => {
                    format!("{select} WHERE {labelled} ORDER BY p.signed_at DESC LIMIT {RANKED}")
                }
                None => return Ok(Vec::new()),
            };
            db.prepare_cached(&sql)?
                .query_map(params_from_iter(arguments), hit)?
                .collect::<rusqlite::Result<Vec<Hit>>>()
        })?;
        let text = query.text.trim().to_lowercase();
        if !text.is_empty() {
            // Stable: equals keep the index's order.
            rows.sort_by_key(|hit| {
                let name = hit.package.name.as_str();
                (name != text, !name.starts_with(&text))
            });
        }
        rows.truncate(query.limit);
        Ok(rows)
    }
}

/// Every word must occur, the last one as a prefix. Quoted, so that no word is taken for an operator.
fn match_expression(query: &Query) -> Option<String> {
    let words = query.words();
    if words.is_empty() {
        return None;
    }
    Some(words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" ") + " *")
}

fn hit(row: &Row<'_>) -> rusqlite::Result<Hit> {
    let publisher = publisher(row, 0)?;
    let name: String = row.get(1)?;
    let handle: Option<String> = row.get(2)?;
    let version: String = row.get(3)?;
    let labels = |column| -> rusqlite::Result<Vec<String>> {
        serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|_| damaged(column, "labels"))
    };
    let pinned = row.get::<_, Option<Vec<u8>>>(9)?.and_then(|bytes| PublisherId::from_bytes(&bytes));
    Ok(Hit {
        package: PackageId { publisher, name: name.parse().map_err(|_| damaged(1, "name"))? },
        handle: handle.map(|handle| handle.parse()).transpose().map_err(|_| damaged(2, "handle"))?,
        trust: if pinned == Some(publisher) { Trust::Pinned } else { Trust::Unknown },
        version: version.parse().map_err(|_| damaged(3, "version"))?,
        summary: row.get(4)?,
        categories: labels(5)?,
        tags: labels(6)?,
        license: row.get(7)?,
        signed_at: Timestamp(row.get(8)?),
        source: Source::Local,
    })
}
