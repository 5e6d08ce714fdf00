//! The interface that maps bare package names to their owners.

use async_trait::async_trait;

use crate::{
    Result,
    domain::{
        name::{PackageName, PublisherId},
        names::{Block, Decided, NamePattern, NameTable},
        version::VersionText,
    },
};

/// Maps bare package names to owners on a node. `Send + Sync` and object safe, like the registry.
#[async_trait]
pub trait Names: Send + Sync {
    /// Decides which owner a name belongs to, and explains it. Asks the network if no known owner
    /// has the name.
    async fn why(&self, name: &PackageName) -> Result<Decided>;

    /// As [`Names::why`], without asking the network.
    async fn known(&self, name: &PackageName) -> Result<Decided>;

    /// As [`Names::why`], for a client that is served the package: the first owner served for a
    /// name keeps it, and a person is told of others that claim it.
    async fn serve(&self, name: &PackageName) -> Result<Decided>;

    async fn table(&self) -> Result<NameTable>;

    /// Assigns a name, or all names of a pattern, to this key. Only for an explicit action of a
    /// person.
    ///
    /// # Errors
    /// [`Usage`](crate::RegistryError::Usage) if the settings say otherwise.
    async fn set_name(&self, pattern: NamePattern, owner: PublisherId) -> Result<()>;

    /// Removes such an assignment, and forgets the owner that the name was served from. Returns
    /// false if there was none.
    async fn unset_name(&self, pattern: NamePattern) -> Result<bool>;

    /// Trusts a key for these names. Only for an explicit action of a person.
    async fn trust_for_names(&self, key: PublisherId, patterns: Vec<NamePattern>) -> Result<()>;

    /// Blocks a name, one version of it, or one file of that version.
    async fn block(
        &self,
        name: PackageName,
        version: Option<VersionText>,
        file: Option<String>,
        why: String,
    ) -> Result<()>;

    /// Removes a block, together with those of the version's files. Returns false if there was
    /// none.
    async fn unblock(&self, name: PackageName, version: Option<VersionText>) -> Result<bool>;

    /// Returns the blocks of a name.
    async fn blocks(&self, name: &PackageName) -> Result<Vec<Block>>;
}
