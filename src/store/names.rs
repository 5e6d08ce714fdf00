//! The facts about bare names: a person's rules, the owners served, and the blocks.

use rusqlite::{Connection, OptionalExtension, params};

use super::{Store, catalogue::publisher, damaged};
use crate::{
    Result,
    domain::{
        name::{PackageName, PublisherId},
        names::{NameBlock, NamePattern, NameRule, RuleAuthor, ServedName, TrustedKey},
        time::Timestamp,
        version::VersionText,
    },
};

/// Most owners of a package of one name that are considered.
const MOST: i64 = 256;

impl Store {
    /// Returns the publishers with a package of this name that are not distrusted.
    pub fn publishers_of(&self, name: &PackageName) -> Result<Vec<PublisherId>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT publisher FROM packages WHERE bare = ?1 AND name = ?2
                 AND publisher NOT IN (SELECT publisher FROM distrusted) LIMIT ?3",
            )?
            .query_map(params![name.bare(), name.as_str(), MOST], |row| {
                publisher(row, 0)
            })?
            .collect()
        })
    }

    pub fn is_distrusted(&self, key: &PublisherId) -> Result<bool> {
        self.read(|db| {
            db.prepare_cached("SELECT 1 FROM distrusted WHERE publisher = ?")?
                .exists([key.to_bytes()])
        })
    }

    /// Returns the rules set by `names set`, by pattern.
    pub fn name_rules(&self) -> Result<Vec<NameRule>> {
        self.read(|db| {
            db.prepare_cached("SELECT pattern, publisher FROM names ORDER BY pattern")?
                .query_map([], |row| {
                    let pattern = row
                        .get::<_, String>(0)?
                        .parse()
                        .map_err(|_| damaged(0, "pattern"))?;
                    Ok(NameRule {
                        pattern,
                        owner: publisher(row, 1)?,
                        written: RuleAuthor::Command,
                    })
                })?
                .collect()
        })
    }

    pub async fn set_name(
        &self,
        pattern: NamePattern,
        owner: PublisherId,
        now: Timestamp,
    ) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached(
                "INSERT OR REPLACE INTO names (pattern, publisher, since) VALUES (?, ?, ?)",
            )?
            .execute(params![pattern.to_string(), owner.to_bytes(), now.0])
            .map(drop)
        })
        .await
    }

    /// Removes a rule, and for a rule of a single name also forgets the owner served. Returns false
    /// if there was neither.
    pub async fn unset_name(&self, pattern: NamePattern) -> Result<bool> {
        self.write(move |db| {
            let ruled = db
                .prepare_cached("DELETE FROM names WHERE pattern = ?")?
                .execute([pattern.to_string()])?;
            let name = pattern.exactly().map(String::from);
            let served = db
                .prepare_cached("DELETE FROM served WHERE name = ?")?
                .execute([name])?;
            Ok(ruled + served > 0)
        })
        .await
    }

    /// Returns the keys that a person trusts for names, in the order in which they were added.
    pub fn trusted_keys(&self) -> Result<Vec<TrustedKey>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT publisher, pattern, since FROM trusted ORDER BY since, publisher, pattern",
            )?
            .query_map([], |row| {
                let names = row
                    .get::<_, String>(1)?
                    .parse()
                    .map_err(|_| damaged(1, "pattern"))?;
                Ok(TrustedKey {
                    publisher: publisher(row, 0)?,
                    names,
                    since: Timestamp(row.get(2)?),
                })
            })?
            .collect()
        })
    }

    pub async fn trust_for_names(
        &self,
        key: PublisherId,
        patterns: Vec<NamePattern>,
        now: Timestamp,
    ) -> Result<()> {
        self.write(move |db| {
            // Trust for certain names replaces trust for all.
            if !patterns.contains(&NamePattern::all()) {
                db.prepare_cached("DELETE FROM trusted WHERE publisher = ? AND pattern = ?")?
                    .execute(params![key.to_bytes(), NamePattern::all().to_string()])?;
            }
            for pattern in &patterns {
                db.prepare_cached(
                    "INSERT OR IGNORE INTO trusted (publisher, pattern, since) VALUES (?, ?, ?)",
                )?
                .execute(params![key.to_bytes(), pattern.to_string(), now.0])?;
            }
            Ok(())
        })
        .await
    }

    /// Returns the owner that a name was first served from.
    pub fn first_served(&self, name: &PackageName) -> Result<Option<PublisherId>> {
        self.read(|db| {
            db.prepare_cached("SELECT publisher FROM served WHERE name = ?")?
                .query_row([name.as_str()], |row| publisher(row, 0))
                .optional()
        })
    }

    /// Notes that a name is served from this owner, unless it was served before. After a power cut,
    /// the last names may be decided again.
    pub async fn note_served(
        &self,
        name: PackageName,
        owner: PublisherId,
        now: Timestamp,
    ) -> Result<()> {
        self.write_unsynced(move |db| {
            db.prepare_cached(
                "INSERT OR IGNORE INTO served (name, publisher, since) VALUES (?, ?, ?)",
            )?
            .execute(params![name.as_str(), owner.to_bytes(), now.0])
            .map(drop)
        })
        .await
    }

    /// Returns every name that was served, with its first owner.
    pub fn all_served(&self) -> Result<Vec<ServedName>> {
        self.read(|db| {
            db.prepare_cached("SELECT name, publisher, since FROM served ORDER BY name")?
                .query_map([], |row| {
                    let name = row
                        .get::<_, String>(0)?
                        .parse()
                        .map_err(|_| damaged(0, "name"))?;
                    Ok(ServedName {
                        name,
                        owner: publisher(row, 1)?,
                        since: Timestamp(row.get(2)?),
                    })
                })?
                .collect()
        })
    }

    pub async fn block(&self, block: NameBlock) -> Result<()> {
        self.write(move |db| {
            let version = block.version.as_ref().map_or("", VersionText::as_str);
            let file = block.file.as_deref().unwrap_or_default();
            db.prepare_cached(
                "INSERT OR REPLACE INTO blocked (name, version, file, why, since) VALUES (?, ?, \
                 ?, ?, ?)",
            )?
            .execute(params![
                block.name.as_str(),
                version,
                file,
                block.why,
                block.since.0
            ])
            .map(drop)
        })
        .await
    }

    /// Removes a block, together with those of the version's files. Returns false if there was
    /// none.
    pub async fn unblock(&self, name: PackageName, version: Option<VersionText>) -> Result<bool> {
        self.write(move |db| {
            let version = version.as_ref().map_or("", VersionText::as_str);
            db.prepare_cached("DELETE FROM blocked WHERE name = ? AND version = ?")?
                .execute(params![name.as_str(), version])
                .map(|gone| gone > 0)
        })
        .await
    }

    /// Returns the blocks of one name, or all.
    pub fn blocks(&self, name: Option<&PackageName>) -> Result<Vec<NameBlock>> {
        let name = name.map(PackageName::as_str);
        self.read(|db| blocks(db, name))
    }
}

fn blocks(db: &Connection, name: Option<&str>) -> rusqlite::Result<Vec<NameBlock>> {
    db.prepare_cached(
        "SELECT name, version, file, why, since FROM blocked WHERE ?1 IS NULL OR name = ?1 ORDER \
         BY name, version, file",
    )?
    .query_map([name], |row| {
        let name = row
            .get::<_, String>(0)?
            .parse()
            .map_err(|_| damaged(0, "name"))?;
        let version: String = row.get(1)?;
        let version = match version.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| damaged(1, "version"))?),
        };
        let file = Some(row.get::<_, String>(2)?).filter(|file| !file.is_empty());
        Ok(NameBlock {
            name,
            version,
            file,
            why: row.get(3)?,
            since: Timestamp(row.get(4)?),
        })
    })?
    .collect()
}
