//! Whose package a bare name is, as users of a node ask it.

use async_trait::async_trait;

use crate::{
    Result,
    domain::{
        name::{PackageName, PublisherId},
        names::{NameBlock, NameDecision, NamePattern, NameTable},
        version::VersionText,
    },
};

/// Whose package a bare name is on a node. `Send + Sync` and object safe, like the registry.
#[async_trait]
pub trait Names: Send + Sync {
    /// Decides whose package a name is, and says why. Asks the network where nobody here is known
    /// to have it.
    async fn why(&self, name: &PackageName) -> Result<NameDecision>;

    /// As [`Names::why`], by what is known here: nobody is asked.
    async fn known(&self, name: &PackageName) -> Result<NameDecision>;

    /// As [`Names::why`], for somebody who is served by it: who is first to be served for a name
    /// keeps it, and a person is told of those who would have it too.
    async fn serve(&self, name: &PackageName) -> Result<NameDecision>;

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
    async fn blocks(&self, name: &PackageName) -> Result<Vec<NameBlock>>;
}
