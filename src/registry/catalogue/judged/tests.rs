//! An honest node is never at fault for what it serves: other honest nodes accept every record of a
//! stranger that it accepts.

use crate::ecosystem::Ecosystem;
use std::collections::BTreeSet;

use libp2p::{core::SignedEnvelope, identity::Keypair};
use proptest::prelude::*;
use serde::Serialize;

use super::*;
use crate::{
    domain::{
        manifest::{Draft, File},
        name::{PackageId, PublisherId},
        query::{Query, parse, words},
        record::{
            Announcement, Authorised, DEFAULT_LIFE, DhtKey, HeadState, MAX_ANNOUNCEMENT, Page,
            Payload,
        },
        release::ReleaseEntry,
        time::Timestamp,
    },
    metrics::Metrics,
    net::protocol::{Request, Response},
    registry::catalogue::{answer::answer, intake::judge_put},
    store::Store,
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const NAMES: [&str; 2] = ["web", "lib"];
const VERSIONS: [&str; 3] = ["1.0.0", "2.0.0", "3.0.0"];
/// Words that an index and a judge may split differently: with marks inside, letters of other
/// widths, scripts and cases, ligatures, and characters that are letters to only one of them.
const WORDS: [&str; 15] = [
    "seri\u{301}alize",
    "ｗｅｂ",
    "pars\u{308}er",
    "straße",
    "ﬁle",
    "Ὀδυσσεύς",
    "क्षि",
    "ᲐᲑᲒ",
    "a·b",
    "x²y",
    "c++17",
    "C#",
    "日本語tool",
    "می\u{200c}خواهم",
    "ภาษาไทย",
];

/// The same words as people type them.
const PLAIN: [&str; 14] = [
    "serialize",
    "parser",
    "strasse",
    "file",
    "odysseus",
    "alize",
    "2y",
    "STRASSE",
    "c++",
    "c",
    "本語",
    "語tool",
    "میخواهم",
    "ไทย",
];

/// A record that a stranger signs. Records refer to each other by number, so that a failure
/// shrinks.
#[derive(Clone, Debug)]
enum Step {
    /// A manifest of a name and version, with words.
    Manifest {
        name: usize,
        version: usize,
        words: Vec<usize>,
    },
    /// The next head of a package, or another one with the same number.
    Head {
        entries: Entries,
        again: bool,
        with: Option<usize>,
        older: bool,
        by_dht: bool,
    },
    Page(Entries),
    /// Bytes that decode both as a manifest and as a page, signed as either.
    Both {
        name: usize,
        version: usize,
    },
    /// The manifest with a number is fetched because a head lists it.
    Fetch(usize),
}

/// The entries of a head or page: manifests, each under its own version or another one, for the
/// package of the first or another.
#[derive(Clone, Debug)]
struct Entries {
    of: Vec<(usize, Option<usize>)>,
    other_name: bool,
}

/// This many manifests are signed first; most later steps refer to one of them.
const MANIFESTS: usize = 4;

fn manifest() -> impl Strategy<Value = Step> {
    // Texts of one word show differences between index and judge; in longer ones another word may
    // match.
    let words = prop_oneof![3 => (0..WORDS.len()).prop_map(|word| vec![word]), 1 => prop::collection::vec(0..WORDS.len(), 0..4)];
    (0..NAMES.len(), 0..VERSIONS.len(), words).prop_map(|(name, version, words)| Step::Manifest {
        name,
        version,
        words,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let lie = prop::option::weighted(0.25, 0..VERSIONS.len());
    let entries = (
        prop::collection::vec((0..MANIFESTS, lie), 1..4),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(of, other_name)| Entries { of, other_name });
    let head = (
        entries.clone(),
        prop::bool::weighted(0.1),
        prop::option::of(0..MANIFESTS),
        any::<bool>(),
        any::<bool>(),
    );
    prop_oneof![
        8 => head.prop_map(|(entries, again, with, older, by_dht)| Step::Head { entries, again, with, older, by_dht }),
        2 => (0..MANIFESTS).prop_map(Step::Fetch),
        1 => entries.prop_map(Step::Page),
        1 => (0..NAMES.len(), 0..VERSIONS.len()).prop_map(|(name, version)| Step::Both { name, version }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    (
        prop::collection::vec(manifest(), MANIFESTS),
        prop::collection::vec(step(), 1..12),
    )
        .prop_map(|(manifests, others)| [manifests, others].concat())
}

/// A publisher that signs anything, and a node that accepts it.
struct Stranger {
    key: Keypair,
    store: Store,
    manifests: Vec<Authorised<Manifest>>,
    pages: Vec<Authorised<Page>>,
    /// Hashes that heads and pages refer to.
    hashes: BTreeSet<Hash>,
}

impl Stranger {
    fn id(&self, name: &str) -> PackageId {
        PackageId {
            owner: PublisherId::of(&self.key.public()),
            name: name.parse().unwrap(),
        }
    }

    /// Returns the package and the releases that a head or page lists, as far as a head can list
    /// them.
    fn entries(&self, entries: &Entries) -> (PackageId, Vec<ReleaseEntry>) {
        let mut listed: Vec<ReleaseEntry> = Vec::new();
        let mut name = NAMES[0];
        for (number, (manifest, lie)) in entries.of.iter().enumerate() {
            let Some(manifest) = self.manifests.get(*manifest) else {
                continue;
            };
            if number == 0 {
                let at = NAMES
                    .iter()
                    .position(|name| manifest.name.as_str() == *name)
                    .unwrap();
                name = NAMES[if entries.other_name {
                    (at + 1) % NAMES.len()
                } else {
                    at
                }];
            }
            let version = lie.map_or(manifest.version.clone(), |lie| {
                VERSIONS[lie].parse().unwrap()
            });
            if listed
                .iter()
                .all(|entry| entry.version != version && !entry.lists(&manifest.hash()))
            {
                listed.push(ReleaseEntry::new(version, manifest.hash()));
            }
        }
        (self.id(name), listed)
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Manifest {
                name,
                version,
                words,
            } => {
                let text: Vec<&str> = words.iter().map(|word| WORDS[*word]).collect();
                let draft: Draft = toml::from_str(&format!(
                    "name = \"{}\"\nversion = \"{}\"\ndescription = \"{}\"",
                    NAMES[*name],
                    VERSIONS[*version],
                    text.join(" ")
                ))
                .unwrap();
                let file = File::of(&Ecosystem::Generic, "x", text.join(" ").as_bytes());
                let manifest = draft
                    .into_manifest(PublisherId::of(&self.key.public()), file, NOW)
                    .unwrap();
                self.manifests
                    .push(Authorised::sign(&self.key, manifest).unwrap());
            }
            Step::Head {
                entries,
                again,
                with,
                older,
                by_dht,
            } => {
                let (id, releases) = self.entries(entries);
                if releases.is_empty() {
                    return;
                }
                let seq =
                    self.store.mark(&id).unwrap().map_or(0, |mark| mark.seq) + u64::from(!*again);
                let prev = if seq <= 1 {
                    vec![]
                } else {
                    vec![Hash::of(b"before")]
                };
                let state = HeadState {
                    seq: seq.max(1),
                    prev,
                    ..HeadState::first(
                        Ecosystem::Generic,
                        id.name.bare().parse().unwrap(),
                        releases,
                    )
                };
                let (head, _) = state.sign(&self.key, NOW, DEFAULT_LIFE).unwrap();
                let head = match self.pages.last().filter(|_| *older) {
                    None => head,
                    Some(page) => Authorised::sign(
                        &self.key,
                        Head {
                            older: Some(page.hash()),
                            ..head.into_value()
                        },
                    )
                    .unwrap(),
                };
                self.hashes.extend(
                    head.releases
                        .iter()
                        .flat_map(|entry| entry.manifests.clone())
                        .chain(head.older),
                );
                let with = with.and_then(|with| self.manifests.get(with).cloned());
                self.give(head, with, *by_dht).await;
            }
            Step::Page(entries) => {
                let (id, releases) = self.entries(entries);
                if let Ok(page) = Authorised::sign(
                    &self.key,
                    Page {
                        owner: id.owner,
                        ecosystem: Ecosystem::Generic,
                        name: id.name.bare().parse().unwrap(),
                        releases,
                        older: None,
                        ext: Default::default(),
                    },
                ) {
                    self.hashes.extend(
                        page.releases
                            .iter()
                            .flat_map(|entry| entry.manifests.clone()),
                    );
                    self.store.take_page(page.clone(), NOW).await.unwrap();
                    self.pages.push(page);
                }
            }
            Step::Both { name, version } => self.take_both(NAMES[*name], VERSIONS[*version]).await,
            Step::Fetch(number) => {
                if let Some(manifest) = self.manifests.get(*number) {
                    self.store
                        .take_manifest(manifest.clone(), NOW)
                        .await
                        .unwrap();
                }
            }
        }
    }

    async fn give(&self, head: Authorised<Head>, with: Option<Authorised<Manifest>>, by_dht: bool) {
        let horizon = Horizon::of(NOW, None, None);
        match with {
            Some(manifest) if !by_dht => {
                let said = Announcement::sign(&self.key, NOW, head, manifest)
                    .and_then(|said| said.encode());
                let Ok(said) = said.map(|said| said.slice(..said.len().min(MAX_ANNOUNCEMENT)))
                else {
                    return;
                };
                let Ok(Announcement { head, manifest, .. }) = Announcement::verify(&said, NOW)
                else {
                    return;
                };
                self.store
                    .take_head(head, vec![], vec![manifest], false, NOW)
                    .await
                    .unwrap();
            }
            _ => {
                let key = DhtKey::of_head(head.package());
                if judge_put(&self.store, &key.0, head.envelope(), horizon, NOW).is_ok() {
                    self.store
                        .take_head(head, vec![], vec![], false, NOW)
                        .await
                        .unwrap();
                }
            }
        }
    }

    /// Accepts a payload that has the fields of both kinds.
    async fn take_both(&mut self, name: &str, version: &str) {
        #[derive(Serialize)]
        struct Both {
            owner: PublisherId,
            name: String,
            version: String,
            description: String,
            files: Vec<File>,
            signed_at: Timestamp,
            releases: Vec<ReleaseEntry>,
        }
        let entry = ReleaseEntry::new(version.parse().unwrap(), Hash::of(b"one"));
        let payload = crate::domain::record::encode(&Both {
            owner: PublisherId::of(&self.key.public()),
            name: name.to_owned(),
            version: version.to_owned(),
            description: String::new(),
            files: vec![File::of(&Ecosystem::Generic, "x", b"x")],
            signed_at: NOW,
            releases: vec![entry],
        })
        .unwrap();
        let sign = |domain: &str, kind: &str, format: u32| {
            let kind = format!("{kind}/{format}").into_bytes();
            let envelope =
                SignedEnvelope::new(&self.key, domain.to_owned(), kind, payload.clone()).unwrap();
            envelope.into_protobuf_encoding()
        };
        let page = Authorised::<Page>::verify(&sign(Page::DOMAIN, Page::TYPE, Page::FORMAT));
        let manifest = Authorised::<Manifest>::verify(&sign(
            Manifest::DOMAIN,
            Manifest::TYPE,
            Manifest::FORMAT,
        ));
        if let Ok(page) = page {
            self.store.take_page(page.clone(), NOW).await.unwrap();
            self.pages.push(page);
        }
        if let Ok(manifest) = manifest {
            self.store
                .take_manifest(manifest.clone(), NOW)
                .await
                .unwrap();
            self.manifests.push(manifest);
        }
    }

    /// Sends every kind of request as an honest node does. Panics if an answer counts against the
    /// node that sent it.
    fn ask_everything(&self) {
        let horizon = Horizon::of(NOW, None, None);
        let texts: BTreeSet<String> = WORDS
            .iter()
            .flat_map(|word| {
                [(*word).to_owned(), word.chars().take(2).collect()]
                    .into_iter()
                    .chain(words(word))
            })
            .chain(NAMES.iter().chain(&PLAIN).map(|word| (*word).to_owned()))
            .collect();
        for text in texts {
            let query = Query {
                limit: 50,
                ..Query::text(text.clone())
            };
            let Response::Packages { items, .. } =
                answer(&self.store, Request::Search(query), NOW).unwrap()
            else {
                panic!()
            };
            let judged = hits(items, 50, &parse(&text), horizon);
            assert!(
                is_good(judged.outcome()) && judged.refused.is_empty(),
                "search {text:?}: {judged:?}"
            );
        }
        let all: Vec<Hash> = self
            .store
            .head_hashes()
            .unwrap()
            .into_iter()
            .map(|(hash, _)| hash)
            .collect();
        let raw = self.store.raw_heads(&all).unwrap().into_iter();
        let items: Vec<Item> = raw
            .map(|(head, manifest)| Item {
                head: head.into(),
                manifest: manifest.map(Into::into),
            })
            .collect();
        let judged = records(
            &items,
            &all.iter().copied().collect(),
            horizon,
            &Keys::default(),
        );
        assert!(
            is_good(judged.outcome()) && judged.refused.is_empty(),
            "sync: {judged:?}"
        );
        for name in NAMES {
            let id = self.id(name);
            let Response::Packages { items, .. } =
                answer(&self.store, Request::Head(id.clone()), NOW).unwrap()
            else {
                panic!()
            };
            for item in items {
                let judged = envelopes::<Head>(std::iter::once(item.head.as_slice()), |head| {
                    *head.package() == id
                });
                assert!(is_good(judged.outcome()), "get: {judged:?}");
                if let Some(manifest) = item.manifest {
                    let manifest = Authorised::<Manifest>::verify(&manifest).unwrap();
                    assert_eq!(consistent(&judged.right[0], &manifest), Ok(()), "get");
                }
            }
        }
        // A page or a manifest is requested by its hash, as the kind that it is referred to as.
        let asked: Vec<(Hash, bool)> = self
            .hashes
            .iter()
            .copied()
            .chain(self.manifests.iter().map(Authorised::hash))
            .map(|hash| (hash, false))
            .chain(self.pages.iter().map(|page| (page.hash(), true)))
            .collect();
        for (hash, is_page) in asked {
            let Response::Objects(objects) =
                answer(&self.store, Request::Objects(vec![hash]), NOW).unwrap()
            else {
                panic!()
            };
            let objects = objects.iter().map(|object| object.as_slice());
            let outcome = match (is_page, self.pages.iter().any(|page| page.hash() == hash)) {
                (true, _) | (_, true) => {
                    envelopes::<Page>(objects, |page| page.hash() == hash).outcome()
                }
                _ => envelopes::<Manifest>(objects, |manifest| manifest.hash() == hash).outcome(),
            };
            assert!(is_good(outcome), "objects");
        }
    }
}

fn is_good(outcome: Option<Outcome>) -> bool {
    matches!(outcome, None | Some(Outcome::AnswerRight))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whoever_serves_what_it_was_right_to_take_is_never_at_fault(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Metrics::default()).unwrap();
        let mut stranger = Stranger {
            key: Keypair::generate_ed25519(),
            store,
            manifests: vec![],
            pages: vec![],
            hashes: BTreeSet::new(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for step in &steps {
                stranger.take(step).await;
            }
        });
        stranger.ask_everything();
    }
}

#[test]
fn one_item_in_three_costs_the_item_and_two_cost_the_peer() {
    let judged = |wrong: &[Refusal], right: usize| Judged {
        right: vec![(); right],
        refused: wrong.to_vec(),
    };
    assert_eq!(
        judged(&[Refusal::Mismatch], 2).outcome(),
        Some(Outcome::AnswerRight)
    );
    assert_eq!(
        judged(&[Refusal::Mismatch, Refusal::Irrelevant], 1).outcome(),
        Some(Outcome::AnswerWrong)
    );
    assert_eq!(
        judged(&[Refusal::Ahead], 0).outcome(),
        None,
        "by another clock"
    );
    assert_eq!(
        judged(&[Refusal::BadSignature], 9).outcome(),
        Some(Outcome::RecordInvalid),
        "bytes that it altered"
    );
}
