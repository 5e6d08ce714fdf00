//! Heads: a publisher's signed, numbered state of one package, with older releases in pages.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use libp2p::identity::Keypair;
use serde::{Deserialize, Serialize};

use super::super::{
    hash::Hash,
    name::{Handle, PackageName, PublisherId, WrittenName},
    release::{self, ReleaseEntry},
    text::is_unsafe_char,
    time::Timestamp,
    version::VersionText,
};
use crate::ecosystem::Ecosystem;

use super::{Authorised, Ext, MAX_NUMBER, Payload, Refusal, check_time, encode};

/// Default life of a head unless renewed. Publisher nodes sign again after a third of it.
pub const DEFAULT_LIFE: Duration = Duration::from_secs(90 * 24 * 3_600);
/// Longest life a head may claim.
const MAX_LIFE: Duration = Duration::from_secs(400 * 24 * 3_600);
/// The most heads that one head may follow: a fork has as many tips as nodes that published at
/// once.
pub const MAX_PREV: usize = 8;
/// Entries in a full page. A head with less than two pages' worth of short entries stays under 14
/// KiB.
const PAGE: usize = 48;
/// Bytes that the entries of a head may take, leaving room for names, tags and the envelope, and
/// bytes of a page that is cut.
const HEAD_BYTES: usize = 11 * 1024;
const PAGE_BYTES: usize = HEAD_BYTES / 2;
/// Manifests of one version that stay in the head when the others are cut from it.
const LAST_MANIFESTS: usize = 16;
/// The most tags of a package, the longest tag in characters, and the most bytes of all tags with
/// their versions.
pub const MAX_TAGS: usize = 32;
/// Longest tag in characters.
pub const MAX_TAG: usize = 64;
const TAG_BYTES: usize = 1024;

/// The current state of a package: its newest releases, its number, its predecessors, and a link to
/// older releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The owner of the package.
    pub owner: PublisherId,
    /// The ecosystem of the package.
    #[serde(default, skip_serializing_if = "Ecosystem::is_generic")]
    pub ecosystem: Ecosystem,
    /// The name as the owner writes it.
    pub name: WrittenName,
    /// The publisher's handle: a mere claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<Handle>,
    /// The number of this state of the package, counted from 1.
    pub seq: u64,
    /// Payload hashes of the heads it follows: none for the first, several if it joins a fork.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prev: Vec<Hash>,
    /// The time of signing, by the signer's clock.
    pub signed_at: Timestamp,
    /// The end of its freshness: an expired head stays readable and is marked.
    pub expires: Timestamp,
    /// The latest additions and changes, in order, and the latest release.
    pub releases: Vec<ReleaseEntry>,
    /// Payload hash of the page with the entries before these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older: Option<Hash>,
    /// Names for versions, such as `latest` and `next`, which npm's clients follow.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, VersionText>,
    /// Fields of later versions.
    #[serde(default, skip_serializing_if = "Ext::is_empty")]
    pub ext: Ext,
}

/// Older releases of a package: immutable, linked from the head or a newer page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// The owner of the package.
    pub owner: PublisherId,
    /// The ecosystem of the package.
    #[serde(default, skip_serializing_if = "Ecosystem::is_generic")]
    pub ecosystem: Ecosystem,
    /// The name as the owner writes it.
    pub name: WrittenName,
    /// The entries.
    pub releases: Vec<ReleaseEntry>,
    /// Payload hash of the page with older entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older: Option<Hash>,
    /// Fields of later versions.
    #[serde(default, skip_serializing_if = "Ext::is_empty")]
    pub ext: Ext,
}

impl Head {
    /// Returns the release that a request without a version gets, among those that the head itself
    /// lists.
    pub fn latest(&self) -> Option<&ReleaseEntry> {
        release::resolve(&self.ecosystem, &self.releases, None)
    }

    /// Returns the manifests that this head removes: those that `before` lists, but neither this
    /// head nor the `page` cut between the two. Returns `None` if that cannot be decided, because
    /// it does not follow `before` directly or more was cut.
    pub fn removes(
        &self,
        before: &Authorised<Self>,
        page: Option<&Authorised<Page>>,
    ) -> Option<Vec<(VersionText, Hash)>> {
        let cut = match page {
            _ if self.older == before.older => &[][..],
            Some(page) if self.older == Some(page.hash()) && page.older == before.older => {
                &page.releases
            }
            _ => return None,
        };
        let later = release::gather(&self.ecosystem, [cut, &self.releases]);
        self.prev
            .contains(&before.hash())
            .then(|| release::removed(&self.ecosystem, &before.releases, &later))
    }

    /// Returns true if its freshness has ended.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires <= now
    }
}

/// Checks that every version is valid in the ecosystem and listed once.
fn check_releases(
    ecosystem: &Ecosystem,
    name: &WrittenName,
    releases: &[ReleaseEntry],
) -> Result<(), Refusal> {
    PackageName::of(ecosystem, name).map_err(|_| Refusal::BadField)?;
    if releases.len() >= 2 * PAGE || releases.iter().any(|entry| entry.check(ecosystem).is_err()) {
        return Err(Refusal::BadField);
    }
    let versions: HashSet<String> = releases
        .iter()
        .map(|entry| entry.version.key(ecosystem))
        .collect();
    // A manifest belongs to one version: if two list it, one of them is wrong.
    let mut manifests = HashSet::new();
    let once = releases
        .iter()
        .flat_map(|entry| &entry.manifests)
        .all(|manifest| manifests.insert(manifest));
    if once && versions.len() == releases.len() {
        Ok(())
    } else {
        Err(Refusal::BadField)
    }
}

/// Checks a tag. It is one word that is not also a requirement of the ecosystem, so that the two
/// cannot be confused.
///
/// # Errors
/// The problem, as the end of a sentence that begins with the tag.
pub fn check_tag(ecosystem: &Ecosystem, tag: &str) -> Result<(), String> {
    if tag.is_empty() || tag.chars().count() > MAX_TAG {
        Err(format!("must have 1 to {MAX_TAG} characters"))
    } else if tag
        .chars()
        .any(|c| c.is_whitespace() || is_unsafe_char(c) || "/@\\".contains(c))
    {
        Err("must be one word without / or @".to_owned())
    } else if tag.starts_with(|c: char| c.is_ascii_digit())
        || *ecosystem == Ecosystem::Npm && ecosystem.requirement(tag).is_ok()
    {
        Err("looks like a version or a range; choose another word".to_owned())
    } else {
        Ok(())
    }
}

fn check_tags(ecosystem: &Ecosystem, tags: &BTreeMap<String, VersionText>) -> Result<(), Refusal> {
    let good = |(tag, version): (&String, &VersionText)| {
        check_tag(ecosystem, tag).is_ok() && version.read(ecosystem).is_ok()
    };
    let bytes: usize = tags
        .iter()
        .map(|(tag, version)| tag.len() + version.as_str().len())
        .sum();
    if tags.len() <= MAX_TAGS && bytes <= TAG_BYTES && tags.iter().all(good) {
        Ok(())
    } else {
        Err(Refusal::BadField)
    }
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
        self.ext.check()?;
        check_tags(&self.ecosystem, &self.tags)?;
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
        self.ext.check()?;
        check_releases(&self.ecosystem, &self.name, &self.releases)
    }
}

/// The content of a head before entries are cut from it and it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadState {
    /// The ecosystem of the package.
    pub ecosystem: Ecosystem,
    /// The name as the owner writes it.
    pub name: WrittenName,
    /// The publisher's handle, if it has one.
    pub handle: Option<Handle>,
    /// The number of the state.
    pub seq: u64,
    /// Payload hashes of the heads it follows.
    pub prev: Vec<Hash>,
    /// The entries that the head should list itself, in the order in which they were added or
    /// changed.
    pub releases: Vec<ReleaseEntry>,
    /// The newest existing page.
    pub older: Option<Hash>,
    /// The owner's tags.
    pub tags: BTreeMap<String, VersionText>,
}

impl HeadState {
    /// Creates a package's first state.
    pub fn first(ecosystem: Ecosystem, name: WrittenName, releases: Vec<ReleaseEntry>) -> Self {
        Self {
            ecosystem,
            name,
            handle: None,
            seq: 1,
            prev: Vec::new(),
            releases,
            older: None,
            tags: BTreeMap::new(),
        }
    }

    /// Signs the state. If its entries are too many or too long, the oldest are cut into pages
    /// between the head and the newest existing page; existing pages never change. The highest
    /// release stays in the head, because packages are listed and shown by their heads.
    ///
    /// # Errors
    /// A part breaks a rule of its kind.
    pub fn sign(
        mut self,
        key: &Keypair,
        now: Timestamp,
        life: Duration,
    ) -> Result<(Authorised<Head>, Vec<Authorised<Page>>), Refusal> {
        let owner = PublisherId::of(&key.public());
        let mut pages: Vec<Authorised<Page>> = Vec::new();
        while let Some(releases) = self.cut()? {
            let page = Page {
                owner,
                ecosystem: self.ecosystem.clone(),
                name: self.name.clone(),
                releases,
                older: self.older,
                ext: Ext::default(),
            };
            let page = Authorised::sign(key, page)?;
            self.older = Some(page.hash());
            pages.push(page);
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
            releases: self.releases,
            older: self.older,
            tags: self.tags,
            ext: Ext::default(),
        };
        Ok((Authorised::sign(key, head)?, pages))
    }

    /// Takes out a page's worth of the oldest entries if the head would be too large.
    fn cut(&mut self) -> Result<Option<Vec<ReleaseEntry>>, Refusal> {
        let sizes = self
            .releases
            .iter()
            .map(|entry| encode(entry).map(|bytes| bytes.len()));
        let sizes: Vec<usize> = sizes.collect::<Result<_, _>>()?;
        if self.releases.len() < 2 * PAGE && sizes.iter().sum::<usize>() <= HEAD_BYTES {
            return Ok(None);
        }
        let mut sized = self.releases.iter_mut().zip(&sizes);
        if let Some((long, _)) = sized
            .find(|(entry, size)| **size > PAGE_BYTES && entry.manifests.len() > LAST_MANIFESTS)
        {
            return Ok(Some(vec![long.split_off(LAST_MANIFESTS)]));
        }
        let latest = release::resolve(&self.ecosystem, &self.releases, None)
            .map(|latest| latest.version.clone());
        let last = self.releases.last().map(|last| last.version.clone());
        let stays = |entry: &ReleaseEntry| {
            [&latest, &last]
                .into_iter()
                .flatten()
                .any(|one| *one == entry.version)
        };
        let (mut page, mut rest, mut bytes, mut is_full) = (Vec::new(), Vec::new(), 0, false);
        for (entry, size) in std::mem::take(&mut self.releases).into_iter().zip(sizes) {
            is_full |= page.len() == PAGE || bytes + size > PAGE_BYTES;
            if is_full || stays(&entry) {
                rest.push(entry);
            } else {
                bytes += size;
                page.push(entry);
            }
        }
        self.releases = rest;
        if page.is_empty() {
            Err(Refusal::TooLarge)
        } else {
            Ok(Some(page))
        }
    }
}
