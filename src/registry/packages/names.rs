//! Maps bare names to owners on this node: collects the facts for the rule in the domain.

use std::collections::HashSet;

use futures::future::join_all;
use parking_lot::Mutex;

use super::{Packages, PackagesError};
use crate::{
    RegistryError, Result,
    domain::{
        name::{PackageId, PackageName, PublisherId},
        names::{
            By, NameDecision, NameFacts, NameMeaning, NamePattern, NameRule, NameTable, RuleAuthor,
            TrustedKey, decide,
        },
    },
};

/// Most trusted keys that the network is asked about for a name that no known owner has.
const ASKED: usize = 16;

impl Packages {
    fn all_rules(&self) -> Result<Vec<NameRule>> {
        let mut rules = self.core.options.names.clone();
        rules.extend(self.core.store.name_rules()?);
        Ok(rules)
    }

    async fn decided(&self, name: &PackageName, ask: bool) -> Result<NameDecision> {
        let (rules, trusted) = (self.all_rules()?, self.core.store.trusted_keys()?);
        let blocks = self.core.store.blocks(Some(name))?;
        let own = self.core.publisher_id();
        let mut claimants = self.core.store.publishers_of(name)?;
        let decide = |claimants: &[PublisherId]| {
            let known = NameFacts {
                rules: &rules,
                trusted: &trusted,
                own,
                claimants,
                first: self.core.store.first_served(name)?,
                block: blocks.iter().find(|block| block.version.is_none()),
            };
            Ok::<_, RegistryError>(decide(name, &known))
        };
        let mut decided = decide(&claimants)?;
        if let (NameMeaning::Nobody(_), true) = (&decided.meaning, ask) {
            let asked = self.find_among_trusted(name, &trusted).await?;
            if asked {
                claimants = self.core.store.publishers_of(name)?;
                decided = decide(&claimants)?;
            }
        }
        if let NameMeaning::Owner { owner, .. } = decided.meaning
            && self.core.store.is_distrusted(&owner)?
        {
            let why = format!(
                "its owner {owner} is distrusted here, which `swarmdex trust {owner}` takes back"
            );
            decided.meaning = NameMeaning::Blocked(why);
        }
        Ok(decided)
    }

    /// Looks for packages of this name under trusted keys in the network. Returns false if no peer
    /// could be asked.
    async fn find_among_trusted(&self, name: &PackageName, trusted: &[TrustedKey]) -> Result<bool> {
        if *self.core.net.joined().borrow() == 0 {
            return Ok(false);
        }
        let mut owners: Vec<_> = trusted
            .iter()
            .filter(|key| key.names.takes(name))
            .map(|key| key.publisher)
            .collect();
        owners.sort_unstable();
        owners.dedup();
        owners.truncate(ASKED);
        let packages: Vec<_> = owners
            .into_iter()
            .map(|owner| PackageId {
                owner,
                name: name.clone(),
            })
            .collect();
        let found = join_all(
            packages
                .iter()
                .map(|package| self.package_from_network(package)),
        )
        .await;
        Ok(found.iter().any(Result::is_ok))
    }

    /// Tells a person, once for each, of trusted owners that a name is not served from.
    fn tell_passed_over(&self, decided: &NameDecision) {
        let (NameMeaning::Owner { owner, by }, name) = (&decided.meaning, &decided.name) else {
            return;
        };
        for other in &decided.passed_over {
            if !self.told_names.note(name, other) {
                continue;
            }
            let how = match by {
                By::Own => "your own package is served".to_owned(),
                _ => format!("it is still served from {} ({})", owner, decided.reason()),
            };
            let (key, fingerprint) = (other, other.fingerprint());
            self.core.warn(format!(
                "{name} is published by {key} ({fingerprint}) too, whom this node trusts; {how}; \
                 `swarmdex names set {name} \
                 {key}` changes that"
            ));
        }
    }

    /// Decides which owner a name belongs to; asks the network if no known owner has it.
    pub async fn why(&self, name: &PackageName) -> Result<NameDecision> {
        self.decided(name, true).await
    }

    /// As [`Self::why`], without asking the network.
    pub async fn known(&self, name: &PackageName) -> Result<NameDecision> {
        self.decided(name, false).await
    }

    /// As [`Self::why`], for a client that is served: the first owner served keeps the name.
    pub async fn serve(&self, name: &PackageName) -> Result<NameDecision> {
        let decided = self.decided(name, true).await?;
        if let Some(owner) = decided.owner() {
            if self.core.store.first_served(name)?.is_none() {
                self.core
                    .store
                    .note_served(name.clone(), owner, self.core.now())
                    .await?;
            }
            self.tell_passed_over(&decided);
        }
        Ok(decided)
    }

    /// Returns all decisions of the person about names, and the owners served.
    pub fn name_table(&self) -> Result<NameTable> {
        Ok(NameTable {
            rules: self.all_rules()?,
            trusted: self.core.store.trusted_keys()?,
            blocks: self.core.store.blocks(None)?,
            served: self.core.store.all_served()?,
        })
    }

    /// Assigns names to this key, unless the settings say otherwise.
    ///
    /// # Errors
    /// [`PackagesError::NameInSettings`] and [`PackagesError::Distrusted`].
    pub async fn set_name(
        &self,
        pattern: NamePattern,
        owner: PublisherId,
    ) -> Result<(), PackagesError> {
        let settings = self
            .core
            .options
            .names
            .iter()
            .find(|rule| rule.pattern == pattern);
        if let Some(rule) = settings.filter(|rule| rule.owner != owner) {
            debug_assert_eq!(rule.written, RuleAuthor::Settings);
            let owner = rule.owner;
            return Err(PackagesError::NameInSettings { pattern, owner });
        }
        if self.core.store.is_distrusted(&owner)? {
            return Err(PackagesError::Distrusted(owner));
        }
        let now = self.core.now();
        Ok(self.core.store.set_name(pattern, owner, now).await?)
    }
}

/// The messages about names that a person got since the start.
#[derive(Default)]
pub struct ToldNames(Mutex<HashSet<(PackageName, PublisherId)>>);

impl ToldNames {
    /// Notes a message and returns true if it is new. All are forgotten when there are too many.
    fn note(&self, name: &PackageName, key: &PublisherId) -> bool {
        const MOST: usize = 4_096;
        let mut told = self.0.lock();
        if told.len() >= MOST {
            told.clear();
        }
        told.insert((name.clone(), *key))
    }
}
