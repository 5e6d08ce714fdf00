//! The key that this node publishes with, if it has one.

use std::path::PathBuf;

use libp2p::identity::Keypair;

use super::Core;
use crate::{
    Result,
    domain::{name::PublisherId, secret::Role},
    store::{Store, keys},
};

/// Reads the publisher's key, if there is one, and tells the store its owner.
pub(super) async fn read(store: &Store, data_dir: &std::path::Path) -> Result<Option<Keypair>> {
    let key = keys::load(&keys::publisher_path(data_dir))?;
    if let Some(key) = &key {
        let id = PublisherId::of(&key.public());
        store.remember_key(Role::Publisher, &id.to_string()).await?;
        store.set_own_publisher(id);
    }
    Ok(key)
}

impl Core {
    /// Returns the path of the publisher's key file, which may not exist yet.
    pub fn publisher_path(&self) -> PathBuf {
        keys::publisher_path(&self.data_dir)
    }

    pub fn publisher_key(&self) -> Option<Keypair> {
        self.publisher.lock().clone()
    }

    /// Returns the publisher's key if it owns the packages of `owner`.
    pub fn key_of(&self, owner: &PublisherId) -> Option<Keypair> {
        self.publisher_key()
            .filter(|key| PublisherId::of(&key.public()) == *owner)
    }

    pub fn publisher_id(&self) -> Option<PublisherId> {
        self.publisher_key()
            .map(|key| PublisherId::of(&key.public()))
    }

    /// Returns the publisher's key, and the path of its file if this call created it.
    ///
    /// # Errors
    /// [`RegistryError::LostKey`](crate::RegistryError::LostKey) if there was another key whose
    /// file is gone.
    pub async fn publisher_or_new(&self) -> Result<(Keypair, Option<PathBuf>)> {
        let path = self.publisher_path();
        let key = {
            let mut publisher = self.publisher.lock();
            if let Some(key) = publisher.as_ref() {
                return Ok((key.clone(), None));
            }
            let known = self.store.known_key(Role::Publisher)?;
            let key = keys::load_or_first(Role::Publisher, &path, known)?;
            *publisher = Some(key.clone());
            key
        };
        let id = PublisherId::of(&key.public());
        self.store.set_own_publisher(id);
        // If this fails, the next start remembers the key in the file.
        self.store
            .remember_key(Role::Publisher, &id.to_string())
            .await?;
        Ok((key, Some(path)))
    }

    /// Returns the owner under which a draft is checked before a publisher's key exists.
    pub fn owner_to_be(&self) -> PublisherId {
        PublisherId::from(self.net.peer_id())
    }
}
