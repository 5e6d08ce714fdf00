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

/// The bare names of a node, each with its publisher. `Send + Sync` and object safe, like the
/// registry.
///
/// # Errors
/// Every call fails with [`Closed`](crate::RegistryError::Closed) once the node has ended, with
/// [`Database`](crate::RegistryError::Database) if its database fails, and, over a control socket
/// that fails, with [`NoNode`](crate::RegistryError::NoNode) or
/// [`Control`](crate::RegistryError::Control).
#[async_trait]
pub trait Names: Send + Sync {
    /// Decides which publisher a name belongs to, and explains it. Asks the network if no known
    /// publisher has the name.
    ///
    /// # Errors
    /// Those of every call.
    async fn why(&self, name: &PackageName) -> Result<NameDecision>;

    /// Decides as [`Names::why`] does, without asking the network.
    ///
    /// # Errors
    /// Those of every call.
    async fn known(&self, name: &PackageName) -> Result<NameDecision>;

    /// Decides as [`Names::why`] does, for a client that is then served: the first publisher served
    /// under a name keeps it, and the person is told of others that claim it.
    ///
    /// # Errors
    /// Those of every call.
    async fn serve(&self, name: &PackageName) -> Result<NameDecision>;

    /// Returns the table of names: set, trusted, served and blocked.
    ///
    /// # Errors
    /// Those of every call.
    async fn table(&self) -> Result<NameTable>;

    /// Assigns a name, or all names of a pattern, to this key. Only for an explicit action of a
    /// person.
    ///
    /// # Errors
    /// [`Usage`](crate::RegistryError::Usage) if the settings say otherwise.
    async fn set_name(&self, pattern: NamePattern, owner: PublisherId) -> Result<()>;

    /// Reverts [`Names::set_name`], and forgets the publisher that the name was served from.
    /// Returns false if there was nothing to revert.
    ///
    /// # Errors
    /// Those of every call.
    async fn unset_name(&self, pattern: NamePattern) -> Result<bool>;

    /// Trusts a key for these names. Only for an explicit action of a person.
    ///
    /// # Errors
    /// Those of every call.
    async fn trust_for_names(&self, key: PublisherId, patterns: Vec<NamePattern>) -> Result<()>;

    /// Blocks a name, one version of it, or one file of that version.
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

    /// Removes a block, together with those of the version's files. Returns false if there was
    /// none.
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
