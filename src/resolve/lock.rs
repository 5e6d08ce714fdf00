//! The lock file.
