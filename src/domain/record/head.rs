//! Heads: a publisher's signed, numbered state of one package, with older releases in pages.

use std::time::Duration;

use libp2p::identity::Keypair;
use serde::{Deserialize, Serialize};

use super::super::{
    hash::Hash,
    name::{Handle, PackageName, PublisherId, WrittenName},
    release::{self, ReleaseEntry},
    time::Timestamp,
};
use crate::ecosystem::Ecosystem;

use super::{Authorised, MAX_NUMBER, Payload, Refusal, check_time};

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
    /// Whose package it is.
    pub owner: PublisherId,
    #[serde(default, skip_serializing_if = "Ecosystem::is_generic")]
    pub ecosystem: Ecosystem,
    /// As the owner writes it.
    pub name: WrittenName,
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
    /// Whose package it is.
    pub owner: PublisherId,
    #[serde(default, skip_serializing_if = "Ecosystem::is_generic")]
    pub ecosystem: Ecosystem,
    /// As the owner writes it.
    pub name: WrittenName,
    pub releases: Vec<ReleaseEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older: Option<Hash>,
}

impl Head {
    /// The release that a request without a version gets, of those that the head itself lists.
    pub fn latest(&self) -> Option<&ReleaseEntry> {
        release::resolve(&self.ecosystem, &self.releases, None)
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires <= now
    }
}

/// Every version is one of the ecosystem's, and listed once.
fn check_releases(ecosystem: &Ecosystem, name: &WrittenName, releases: &[ReleaseEntry]) -> Result<(), Refusal> {
    PackageName::of(ecosystem, name).map_err(|_| Refusal::BadField)?;
    let read = release::read(ecosystem, releases);
    let mut versions: Vec<_> = read.iter().map(|(version, _)| version).collect();
    versions.sort_unstable();
    let unique = read.len() == releases.len() && versions.windows(2).all(|pair| pair.first() != pair.last());
    // A manifest is of one version: listed under two, one of them is wrong for whoever holds it.
    let mut manifests: Vec<_> = releases.iter().map(|release| release.manifest).collect();
    manifests.sort_unstable();
    let unique = unique && manifests.windows(2).all(|pair| pair.first() != pair.last());
    if unique && releases.len() < 2 * PAGE { Ok(()) } else { Err(Refusal::BadField) }
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
        check_releases(&self.ecosystem, &self.name, &self.releases)
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
        check_releases(&self.ecosystem, &self.name, &self.releases)
    }
}

/// Everything a head says, before it is cut into pages and signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadState {
    pub ecosystem: Ecosystem,
    pub name: WrittenName,
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
    ) -> Result<(Authorised<Head>, Vec<Authorised<Page>>), Refusal> {
        let paged = self.releases.len().checked_div(PAGE).unwrap_or(0).saturating_sub(1) * PAGE;
        let owner = PublisherId::of(&key.public());
        let latest = release::resolve(&self.ecosystem, &self.releases, None).map(|latest| latest.version.clone());
        let latest = self.releases.iter().position(|entry| Some(&entry.version) == latest.as_ref());
        if let Some(latest) = latest.filter(|latest| *latest < paged) {
            let latest = self.releases.remove(latest);
            self.releases.insert(paged, latest);
        }
        let (old, recent) = self.releases.split_at_checked(paged).ok_or(Refusal::BadField)?;
        let mut pages: Vec<Authorised<Page>> = Vec::new();
        for releases in old.chunks(PAGE) {
            let page = Page {
                owner,
                ecosystem: self.ecosystem.clone(),
                name: self.name.clone(),
                releases: releases.to_vec(),
                older: pages.last().map(Authorised::hash),
            };
            pages.push(Authorised::sign(key, page)?);
        }
        let head = Head {
            owner,
            ecosystem: self.ecosystem,
            name: self.name,
            handle: self.handle,
            seq: self.seq,
            prev: self.prev,
            signed_at: now,
            expires: now.after(life),
            releases: recent.to_vec(),
            older: pages.last().map(Authorised::hash),
        };
        Ok((Authorised::sign(key, head)?, pages))
    }
}
