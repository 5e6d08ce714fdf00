//! Changes that an owner makes to releases after they were published.

use serde::{Deserialize, Serialize};

use super::{release::check_reason, version::VersionText};

/// A change that an owner makes to releases after they were published. Only a person makes one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "what")]
pub enum Change {
    /// Asks package managers not to choose a version, or one file of it. It stays readable, and the
    /// reason may be empty.
    Yank {
        /// The version.
        version: VersionText,
        /// The only file concerned; `None` for the whole version.
        #[serde(default)]
        file: Option<String>,
        /// The reason.
        #[serde(default)]
        why: String,
    },
    /// Undoes a yank.
    Unyank {
        /// The version.
        version: VersionText,
        /// The only file concerned; `None` for the whole version.
        #[serde(default)]
        file: Option<String>,
    },
    /// Recommends a replacement or warns of a version. `None` withdraws the message.
    Deprecate {
        /// The version.
        version: VersionText,
        /// The message.
        message: Option<String>,
    },
    /// Makes a tag point to a version. `None` removes the tag.
    Tag {
        /// The tag.
        tag: String,
        /// The version that it should name.
        version: Option<VersionText>,
    },
}

impl Change {
    /// Returns the command that makes this change.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Yank { .. } => "yank",
            Self::Unyank { .. } => "unyank",
            Self::Deprecate { .. } => "deprecate",
            Self::Tag { .. } => "tag",
        }
    }

    /// Returns the version concerned, or the tag that is removed.
    pub fn about(&self) -> &str {
        match self {
            Self::Yank { version, .. }
            | Self::Unyank { version, .. }
            | Self::Deprecate { version, .. } => version.as_str(),
            Self::Tag { tag, version } => version.as_ref().map_or(tag, VersionText::as_str),
        }
    }

    /// Returns the word for the text that a person gives with the change.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Yank { .. } | Self::Unyank { .. } => "reason",
            Self::Deprecate { .. } => "message",
            Self::Tag { .. } => "tag",
        }
    }

    /// Checks the text that goes with the change.
    ///
    /// # Errors
    /// The text may not be signed. The error is the end of a sentence that begins with the text.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Yank { why: text, .. }
            | Self::Deprecate {
                message: Some(text),
                ..
            } => check_reason(text),
            Self::Unyank { .. } | Self::Deprecate { message: None, .. } | Self::Tag { .. } => {
                Ok(())
            }
        }
    }
}
