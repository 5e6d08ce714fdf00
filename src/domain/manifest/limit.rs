//! Limits on a manifest's fields, in characters unless stated otherwise, or in entries. Together
//! they stay well under the 8 KiB allowed for a manifest, which a DHT record can carry with room
//! for the envelope.

/// Longest title.
pub const TITLE: usize = 120;
/// Longest description.
pub const DESCRIPTION: usize = 1_000;
/// Longest license expression.
pub const LICENSE: usize = 120;
/// Longest link.
pub const LINK: usize = 200;
/// Longest category or tag.
pub const LABEL: usize = 40;
/// The most categories.
pub const CATEGORIES: usize = 8;
/// The most tags.
pub const TAGS: usize = 16;
/// The most authors.
pub const AUTHORS: usize = 8;
/// Longest author.
pub const AUTHOR: usize = 100;
/// The most dependencies.
pub const DEPENDENCIES: usize = 256;
/// Longest reference to a dependency in bytes, with its owner's id.
pub const PACKAGE: usize = 300;
/// Most extras or features of one dependency, and the longest one in bytes.
pub const EXTRAS: usize = 128;
/// Longest extra in bytes.
pub const EXTRA: usize = 64;
/// Longest condition and longest platform of a dependency, in bytes.
pub const MARKER: usize = 1_024;
/// Longest platform in bytes.
pub const PLATFORM: usize = 1_024;
/// Longest file name in bytes.
pub const FILE: usize = 160;
/// Files of one manifest; a release with more files has several manifests.
pub const FILES: usize = 32;
/// Largest readme, and largest native data of an ecosystem, in bytes.
pub const BESIDE: u64 = 1 << 20;
