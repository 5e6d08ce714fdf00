//! Room in a record for what later versions say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::Refusal;

/// Most bytes of all names and values together.
pub const MAX_EXT: usize = 512;

/// Names and values that this version does not know: hashed, kept and passed on as they are.
/// Whoever reads them must be right to leave them out: what changes the meaning of the rest is
/// another format.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ext(pub BTreeMap<String, ByteBuf>);

impl Ext {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

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
