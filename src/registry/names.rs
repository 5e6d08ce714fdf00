//! Bare names and the publishers to whom they belong.

use async_trait::async_trait;

use crate::{
    Result,
    domain::{
        name::{PackageName, PublisherId},
        names::{NameBlock, NameDecision, NamePattern, NameTable},
        version::VersionText,
    },
};

/// The bare names of a node, each with its publisher. `Send + Sync` and object safe, like the registry.
///
/// # Errors
/// Every call fails with [`Closed`](crate::RegistryError::Closed) once the node has ended, with
/// [`Database`](crate::RegistryError::Database) where its database fails, and over a control socket
/// with [`NoNode`](crate::RegistryError::NoNode) or [`Control`](crate::RegistryError::Control) where
/// that fails.
#[async_trait]
pub trait Names: Send + Sync {
    /// Decides to whom a name belongs, and says why. Asks the network if nobody here is known to
    /// have it.
    ///
    /// # Errors
    /// Those of every call.
    async fn why(&self, name: &PackageName) -> Result<NameDecision>;

    /// Decides as [`Names::why`] does, by what is known here; asks nobody.
    ///
    /// # Errors
    /// Those of every call.
    async fn known(&self, name: &PackageName) -> Result<NameDecision>;

    /// Decides as [`Names::why`] does, for a client that is then served: the first publisher served
    /// under a name keeps it, and the person is told of others who claim it.
    ///
    /// # Errors
    /// Those of every call.
    async fn serve(&self, name: &PackageName) -> Result<NameDecision>;

    /// Returns the table of names: set, trusted, served and blocked.
    ///
    /// # Errors
    /// Those of every call.
    async fn table(&self) -> Result<NameTable>;

    /// Gives a name, or all names of a pattern, to this key from now on. Only a person's act may call
    /// this.
    ///
    /// # Errors
    /// [`Usage`](crate::RegistryError::Usage) if the settings say otherwise.
    async fn set_name(&self, pattern: NamePattern, owner: PublisherId) -> Result<()>;

    /// Takes [`Names::set_name`] back, and forgets from whom the name was served; false when there
    /// was nothing to take back.
    ///
    /// # Errors
    /// Those of every call.
    async fn unset_name(&self, pattern: NamePattern) -> Result<bool>;

    /// Trusts a key for these names. Only a person's act may call this.
    ///
    /// # Errors
    /// Those of every call.
    async fn trust_for_names(&self, key: PublisherId, patterns: Vec<NamePattern>) -> Result<()>;

    /// Stops serving a name, one version of it, or one file of that.
    ///
    /// # Errors
    /// Those of every call.
    async fn block(
        &self,
        name: PackageName,
        version: Option<VersionText>,
        file: Option<String>,
        why: String,
    ) -> Result<()>;

    /// Takes a block back, and those of the version's files; false when there was none.
    ///
    /// # Errors
    /// Those of every call.
    async fn unblock(&self, name: PackageName, version: Option<VersionText>) -> Result<bool>;

    /// Returns the blocks of a name.
    ///
    /// # Errors
    /// Those of every call.
    async fn blocks(&self, name: &PackageName) -> Result<Vec<NameBlock>>;
}
