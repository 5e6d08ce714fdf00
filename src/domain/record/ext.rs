//! Extension fields of records, for later versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::Refusal;

/// The most bytes of all names and values together.
pub const MAX_EXT: usize = 512;

/// Names and values unknown to this version: hashed, kept and forwarded unchanged. Ignoring them
/// must be safe; a change to the meaning of other fields needs a new format.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ext(pub BTreeMap<String, ByteBuf>);

impl Ext {
    /// Returns true if there are no extension fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks the size.
    ///
    /// # Errors
    /// [`Refusal::BadField`] beyond [`MAX_EXT`].
    pub fn check(&self) -> Result<(), Refusal> {
        let bytes: usize = self
            .0
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if bytes <= MAX_EXT {
            Ok(())
        } else {
            Err(Refusal::BadField)
        }
    }
}
