//! Whose package a bare name is on this node: what is known is gathered here, and the rule is in
//! the domain.

use async_trait::async_trait;
use futures::future::join_all;

use super::P2pRegistry;
use crate::{
    RegistryError, Result,
    domain::{
        name::{PackageId, PackageName, PublisherId},
        names::{
            Block, By, Decided, Known, Meaning, NamePattern, NameRule, Served, TrustedKey, Written,
            decide,
        },
        version::VersionText,
    },
};

/// Trusted keys that the network is asked about for a name that nobody here is known to have.
const ASKED: usize = 16;

/// All that a person said of names, and what was served.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct NameTable {
    /// Those of the settings first.
    pub rules: Vec<NameRule>,
    pub trusted: Vec<TrustedKey>,
    pub blocks: Vec<Block>,
    pub served: Vec<Served>,
}

/// Whose package a bare name is on a node. `Send + Sync` and object safe, like the registry.
#[async_trait]
pub trait Names: Send + Sync {
    /// Decides whose package a name is, and says why. Asks the network where nobody here is known
    /// to have it.
    async fn why(&self, name: &PackageName) -> Result<Decided>;

    /// As [`Names::why`], by what is known here: nobody is asked.
    async fn known(&self, name: &PackageName) -> Result<Decided>;

    /// As [`Names::why`], for somebody who is served by it: who is first to be served for a name
    /// keeps it, and a person is told of those who would have it too.
    async fn serve(&self, name: &PackageName) -> Result<Decided>;

    async fn table(&self) -> Result<NameTable>;

    /// Has a name, or all of a pattern, be this key's from now on. Only a person's act may call
    /// this.
    ///
    /// # Errors
    /// [`Usage`](crate::RegistryError::Usage) where the settings say otherwise.
    async fn set_name(&self, pattern: NamePattern, owner: PublisherId) -> Result<()>;

    /// Takes that back, and forgets from whom the name was served; false when there was nothing to
    /// take back.
    async fn unset_name(&self, pattern: NamePattern) -> Result<bool>;

    /// Trusts a key for these names. Only a person's act may call this.
    async fn trust_for_names(&self, key: PublisherId, patterns: Vec<NamePattern>) -> Result<()>;

    /// Stops serving a name, one version of it, or one file of that.
    async fn block(
        &self,
        name: PackageName,
        version: Option<VersionText>,
        file: Option<String>,
        why: String,
    ) -> Result<()>;

    /// Takes a block back, and those of the version's files; false when there was none.
    async fn unblock(&self, name: PackageName, version: Option<VersionText>) -> Result<bool>;

    /// What is blocked of a name.
    async fn blocks(&self, name: &PackageName) -> Result<Vec<Block>>;
}

impl P2pRegistry {
    fn all_rules(&self) -> Result<Vec<NameRule>> {
        let mut rules = self.core.options.names.clone();
        rules.extend(self.core.store.name_rules()?);
        Ok(rules)
    }

    async fn decided(&self, name: &PackageName, ask: bool) -> Result<Decided> {
        let (rules, trusted) = (self.all_rules()?, self.core.store.trusted_keys()?);
        let blocks = self.core.store.blocks(Some(name))?;
        let own = self.core.publisher_id();
        let mut claimants = self.core.store.publishers_of(name)?;
        let decide = |claimants: &[PublisherId]| {
            let known = Known {
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
        if let (Meaning::Nobody(_), true) = (&decided.meaning, ask) {
            let asked = self.find_among_trusted(name, &trusted).await?;
            if asked {
                claimants = self.core.store.publishers_of(name)?;
                decided = decide(&claimants)?;
            }
        }
        if let Meaning::Owner { owner, .. } = decided.meaning
            && self.core.store.is_distrusted(&owner)?
        {
            let why = format!(
                "its owner {owner} is distrusted here, which `swarmdex trust {owner}` takes back"
            );
            decided.meaning = Meaning::Blocked(why);
        }
        Ok(decided)
    }

    /// Looks in the network for packages of this name that trusted keys have; false when nobody
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

    /// Tells a person, once for each, whom a name is not served from although they trust them.
    fn tell_passed_over(&self, decided: &Decided) {
        let (Meaning::Owner { owner, by }, name) = (&decided.meaning, &decided.name) else {
            return;
        };
        for other in &decided.passed_over {
            if !self.state.told_names.note(name, other) {
                continue;
            }
            let how = match by {
                By::Own => "your own package is served".to_owned(),
                _ => format!(
                    "it goes on being served from {} ({})",
                    owner,
                    decided.reason()
                ),
            };
            let (key, fingerprint) = (other, other.fingerprint());
            self.core.warn(format!(
                "{name} is published by {key} ({fingerprint}) too, whom this node trusts; {how}; `swarmdex names set {name} \
                 {key}` changes that"
            ));
        }
    }
}

/// What a person was told of names since the start.
#[derive(Default)]
pub(super) struct ToldNames(
    std::sync::Mutex<std::collections::HashSet<(PackageName, PublisherId)>>,
);

impl ToldNames {
    /// Returns whether it is news; all is forgotten when there is very much.
    fn note(&self, name: &PackageName, key: &PublisherId) -> bool {
        const MOST: usize = 4_096;
        let mut told = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if told.len() >= MOST {
            told.clear();
        }
        told.insert((name.clone(), *key))
    }
}

#[async_trait]
impl Names for P2pRegistry {
    async fn why(&self, name: &PackageName) -> Result<Decided> {
        self.decided(name, true).await
    }

    async fn known(&self, name: &PackageName) -> Result<Decided> {
        self.decided(name, false).await
    }

    async fn serve(&self, name: &PackageName) -> Result<Decided> {
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

    async fn table(&self) -> Result<NameTable> {
        Ok(NameTable {
            rules: self.all_rules()?,
            trusted: self.core.store.trusted_keys()?,
            blocks: self.core.store.blocks(None)?,
            served: self.core.store.all_served()?,
        })
    }

    async fn set_name(&self, pattern: NamePattern, owner: PublisherId) -> Result<()> {
        let settings = self
            .core
            .options
            .names
            .iter()
            .find(|rule| rule.pattern == pattern);
        if let Some(rule) = settings.filter(|rule| rule.owner != owner) {
            debug_assert_eq!(rule.written, Written::Settings);
            return Err(RegistryError::Usage(format!(
                "the settings say that {pattern} is {}; change it there, under [names], and restart the node",
                rule.owner
            )));
        }
        if self.core.store.is_distrusted(&owner)? {
            return Err(RegistryError::Usage(format!(
                "{owner} is distrusted here; `swarmdex trust {owner}` takes that back"
            )));
        }
        self.core
            .store
            .set_name(pattern, owner, self.core.now())
            .await
    }

    async fn unset_name(&self, pattern: NamePattern) -> Result<bool> {
        self.core.store.unset_name(pattern).await
    }

    async fn trust_for_names(&self, key: PublisherId, patterns: Vec<NamePattern>) -> Result<()> {
        self.core
            .store
            .trust_for_names(key, patterns, self.core.now())
            .await
    }

    async fn block(
        &self,
        name: PackageName,
        version: Option<VersionText>,
        file: Option<String>,
        why: String,
    ) -> Result<()> {
        self.core
            .store
            .block(Block {
                name,
                version,
                file,
                why,
                since: self.core.now(),
            })
            .await
    }

    async fn unblock(&self, name: PackageName, version: Option<VersionText>) -> Result<bool> {
        self.core.store.unblock(name, version).await
    }

    async fn blocks(&self, name: &PackageName) -> Result<Vec<Block>> {
        self.core.store.blocks(Some(name))
    }
}
