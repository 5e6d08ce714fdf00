//! Heads: a publisher's signed, numbered state of one package, with older releases in pages.

use std::time::Duration;

use libp2p::identity::Keypair;
use serde::{Deserialize, Serialize};

use super::super::{
    hash::Hash,
    name::{Handle, PackageName},
    release::{self, MAX_VERSION, ReleaseEntry},
    time::Timestamp,
};
use super::{MAX_NUMBER, Payload, Refusal, Signed, check_time};

/// How long a head says it is current, unless renewed: publisher nodes re-sign at a third of it.
pub const DEFAULT_LIFE: Duration = Duration::from_secs(90 * 24 * 3_600);
/// Longest life a head may claim.
const MAX_LIFE: Duration = Duration::from_secs(400 * 24 * 3_600);
/// Most heads that one head may follow: a fork has as many tips as nodes that published at once.
pub const MAX_PREV: usize = 8;
/// Releases in a full page. A release takes at most about 115 bytes, so a head of two pages' worth stays under its
/// 14 KiB with room for the rest.
const PAGE: usize = 48;

/// The current state of a package: newest releases, sequence number, what it follows, and a link to older ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    pub name: PackageName,
    /// What the publisher calls itself: a claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<Handle>,
    /// Counts the states of the package, from 1.
    pub seq: u64,
    /// Payload hashes of the heads this one follows: none for the first, several where it joins a fork.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prev: Vec<Hash>,
    pub signed_at: Timestamp,
    /// Freshness, not life: an expired head stays readable and is marked.
    pub expires: Timestamp,
    /// The newest releases, in the order they were published.
    pub releases: Vec<ReleaseEntry>,
    /// Payload hash of the page with the releases before these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older: Option<Hash>,
}

/// Older releases of a package: immutable, linked from the head or a newer page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    pub name: PackageName,
    pub releases: Vec<ReleaseEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older: Option<Hash>,
}

impl Head {
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires <= now
    }
}

fn check_releases(releases: &[ReleaseEntry]) -> Result<(), Refusal> {
    let mut versions: Vec<_> = releases.iter().map(|release| &release.version).collect();
    versions.sort_unstable();
    let unique = versions.windows(2).all(|pair| pair.first() != pair.last());
    // A manifest is of one version: listed under two, one of them is wrong for whoever holds it.
    let mut manifests: Vec<_> = releases.iter().map(|release| release.manifest).collect();
    manifests.sort_unstable();
    let unique = unique && manifests.windows(2).all(|pair| pair.first() != pair.last());
    let short = releases.iter().all(|release| release.version.to_string().len() <= MAX_VERSION);
    if unique && short && releases.len() < 2 * PAGE { Ok(()) } else { Err(Refusal::BadField) }
}

impl Payload for Head {
    const DOMAIN: &'static str = "swarmdex-head";
    const TYPE: &'static str = "/swarmdex/head";
    const MAX_ENVELOPE: usize = 14 * 1024;

    fn check(&self) -> Result<(), Refusal> {
        check_time(self.signed_at)?;
        check_time(self.expires)?;
        let follows_something = self.seq == 1 || !self.prev.is_empty();
        let lives = self.expires > self.signed_at && self.expires <= self.signed_at.after(MAX_LIFE);
        if self.seq == 0
            || self.seq > MAX_NUMBER
            || !follows_something
            || self.prev.len() > MAX_PREV
            || !lives
            || self.releases.is_empty()
        {
            return Err(Refusal::BadField);
        }
        check_releases(&self.releases)
    }
}

impl Payload for Page {
    const DOMAIN: &'static str = "swarmdex-page";
    const TYPE: &'static str = "/swarmdex/page";
    const MAX_ENVELOPE: usize = 14 * 1024;

    fn check(&self) -> Result<(), Refusal> {
        if self.releases.is_empty() {
            return Err(Refusal::BadField);
        }
        check_releases(&self.releases)
    }
}

/// Everything a head says, before it is cut into pages and signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadState {
    pub name: PackageName,
    pub handle: Option<Handle>,
    pub seq: u64,
    pub prev: Vec<Hash>,
    /// All releases, in the order they were published.
    pub releases: Vec<ReleaseEntry>,
}

impl HeadState {
    /// Signs the state: full pages are cut from the oldest releases on, so that publishing one more release leaves
    /// every existing page, and its hash, as it was. The head keeps the newest `PAGE` to `2 * PAGE - 1`, and the latest by
    /// order among them: a package is listed, and shown, by what its head says.
    pub fn sign(
        mut self,
        key: &Keypair,
        now: Timestamp,
        life: Duration,
    ) -> Result<(Signed<Head>, Vec<Signed<Page>>), Refusal> {
        let paged = self.releases.len().checked_div(PAGE).unwrap_or(0).saturating_sub(1) * PAGE;
        let latest = release::resolve(&self.releases, None).map(|latest| latest.version.clone());
        let latest = self.releases.iter().position(|entry| Some(&entry.version) == latest.as_ref());
        if let Some(latest) = latest.filter(|latest| *latest < paged) {
            let latest = self.releases.remove(latest);
            self.releases.insert(paged, latest);
        }
        let (old, recent) = self.releases.split_at_checked(paged).ok_or(Refusal::BadField)?;
        let mut pages: Vec<Signed<Page>> = Vec::new();
        for releases in old.chunks(PAGE) {
            let older = pages.last().map(Signed::hash);
            pages.push(Signed::sign(key, Page { name: self.name.clone(), releases: releases.to_vec(), older })?);
        }
        let head = Head {
            name: self.name,
            handle: self.handle,
            seq: self.seq,
            prev: self.prev,
            signed_at: now,
            expires: now.after(life),
            releases: recent.to_vec(),
            older: pages.last().map(Signed::hash),
        };
        Ok((Signed::sign(key, head)?, pages))
    }
}
