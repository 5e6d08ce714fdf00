//! Changes that an owner makes to releases after they were published.

use serde::{Deserialize, Serialize};

use super::{release::check_reason, version::VersionText};

/// A change that an owner makes to releases after they were published. A person's act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "what")]
pub enum Change {
    /// Asks not to choose a version, or one file of it; it stays readable. The reason may be empty.
    Yank {
        version: VersionText,
        #[serde(default)]
        file: Option<String>,
        #[serde(default)]
        why: String,
    },
    /// Takes a yank back.
    Unyank {
        version: VersionText,
        #[serde(default)]
        file: Option<String>,
    },
    /// Says what to use instead, or why not to use it; without a message, no longer.
    Deprecate {
        version: VersionText,
        message: Option<String>,
    },
    /// Names a version; without one, takes the name away.
    Tag {
        tag: String,
        version: Option<VersionText>,
    },
}

impl Change {
    /// The command that says it.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Yank { .. } => "yank",
            Self::Unyank { .. } => "unyank",
            Self::Deprecate { .. } => "deprecate",
            Self::Tag { .. } => "tag",
        }
    }

    /// The version, or the tag that is taken away.
    pub fn about(&self) -> &str {
        match self {
            Self::Yank { version, .. }
            | Self::Unyank { version, .. }
            | Self::Deprecate { version, .. } => version.as_str(),
            Self::Tag { tag, version } => version.as_ref().map_or(tag, VersionText::as_str),
        }
    }

    /// Returns the word for the text that a person writes with it.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Yank { .. } | Self::Unyank { .. } => "reason",
            Self::Deprecate { .. } => "message",
            Self::Tag { .. } => "tag",
        }
    }

    /// # Errors
    /// Its text may not be signed; the error ends a sentence that begins with the text.
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
