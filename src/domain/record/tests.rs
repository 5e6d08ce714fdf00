use std::time::Duration;

use libp2p::identity::Keypair;
use proptest::prelude::*;

use super::*;
use crate::domain::{
    manifest::{Ecosystem, File},
    name::PackageId,
    release::{HeadEntries, ReleaseEntry},
    time::Timestamp,
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn manifest(key: &Keypair, name: &str, version: &str) -> Manifest {
    Manifest {
        owner: PublisherId::of(&key.public()),
        name: name.parse().unwrap(),
        version: version.parse().unwrap(),
        title: None,
        description: "A package".to_owned(),
        categories: vec![],
        tags: vec![],
        license: None,
        authors: vec![],
        repository: None,
        homepage: None,
        dependencies: vec![],
        files: vec![File::of(&Ecosystem::Generic, "web", b"content")],
        readme: None,
        ecosystem: Ecosystem::default(),
        native: None,
        signed_at: NOW,
        ext: Default::default(),
    }
}

fn entries(count: usize) -> Vec<ReleaseEntry> {
    (0..count)
        .map(|minor| {
            ReleaseEntry::new(
                format!("1.{minor}.0").parse().unwrap(),
                Hash::of(&minor.to_be_bytes()),
            )
        })
        .collect()
}

fn page(key: &Keypair, releases: Vec<ReleaseEntry>) -> Page {
    let (owner, name) = (PublisherId::of(&key.public()), "web".parse().unwrap());
    Page {
        owner,
        ecosystem: Ecosystem::Generic,
        name,
        releases,
        older: None,
        ext: Default::default(),
    }
}

fn state(releases: Vec<ReleaseEntry>, seq: u64) -> HeadState {
    let prev = if seq == 1 {
        vec![]
    } else {
        vec![Hash::of(b"before")]
    };
    HeadState {
        handle: Some("alice".parse().unwrap()),
        seq,
        prev,
        ..HeadState::first(Ecosystem::Generic, "web".parse().unwrap(), releases)
    }
}

pub(super) fn head(key: &Keypair, seq: u64) -> Authorised<Head> {
    state(entries(1), seq)
        .sign(key, NOW, DEFAULT_LIFE)
        .unwrap()
        .0
}

/// Returns a signed head of a package of this name.
pub(crate) fn head_record(name: &str) -> Record {
    let (key, releases) = (Keypair::generate_ed25519(), entries(1));
    let state = HeadState::first(Ecosystem::Generic, name.parse().unwrap(), releases);
    let (head, _) = state.sign(&key, NOW, Duration::from_secs(60)).unwrap();
    Record::Head(head)
}

#[test]
fn what_is_signed_verifies_and_nothing_else_does() {
    let key = Keypair::generate_ed25519();
    let signed = Authorised::sign(&key, manifest(&key, "web", "1.0.0")).unwrap();
    let read = Authorised::<Manifest>::verify(signed.envelope()).unwrap();
    assert_eq!(read, signed);
    assert_eq!(read.owner(), PublisherId::of(&key.public()));

    for position in 0..signed.envelope().len() {
        let mut bytes = signed.envelope().to_vec();
        bytes[position] ^= 1;
        let flipped = Authorised::<Manifest>::verify(&bytes);
        assert!(
            flipped.is_err() || flipped.unwrap() == signed,
            "byte {position} was flipped and passed"
        );
    }
}

#[test]
fn a_manifest_that_names_a_dependency_by_handle_is_neither_signed_nor_taken() {
    use crate::domain::manifest::{Dependency, DependencyOn};
    let key = Keypair::generate_ed25519();
    let publisher = PublisherId::of(&key.public());
    let needs = |package: String| {
        let dependency: Dependency = DependencyOn::Package {
            package,
            handle: Some("bob".parse().unwrap()),
        }
        .into();
        Manifest {
            dependencies: vec![dependency],
            ..manifest(&key, "web", "1.0.0")
        }
    };
    assert!(Authorised::sign(&key, needs(format!("{publisher}/lib"))).is_ok());
    for package in [
        "bob/lib".to_owned(),
        format!("{publisher}/lib@^1"),
        format!("{publisher}/Lib"),
        "lib".to_owned(),
    ] {
        let bad = needs(package.clone());
        assert_eq!(
            Authorised::sign(&key, bad.clone()).unwrap_err(),
            Refusal::BadField,
            "{package}"
        );
        // Signed without the check, it is still refused.
        let (domain, kind) = (Manifest::DOMAIN.to_owned(), payload_type::<Manifest>());
        let envelope = SignedEnvelope::new(&key, domain, kind, encode(&bad).unwrap()).unwrap();
        let read = Authorised::<Manifest>::verify(&envelope.into_protobuf_encoding());
        assert_eq!(read.unwrap_err(), Refusal::BadField, "{package}");
    }
    assert_eq!(Refusal::BadField.class(), Class::Reject);
    let bare = Dependency::bare("lib".parse().unwrap(), "^1".parse().unwrap());
    let bare = Manifest {
        dependencies: vec![bare],
        ..manifest(&key, "web", "1.0.0")
    };
    let signed = Authorised::sign(&key, bare.clone()).unwrap();
    assert_eq!(
        **Authorised::<Manifest>::verify(signed.envelope()).unwrap(),
        bare,
        "a name says the same everywhere"
    );
}

#[test]
fn a_signature_of_one_kind_never_passes_for_another() {
    let key = Keypair::generate_ed25519();
    let envelope = head(&key, 1).envelope().clone();
    assert_eq!(
        Authorised::<Manifest>::verify(&envelope),
        Err(Refusal::Malformed)
    );
    assert_eq!(
        Authorised::<Page>::verify(&envelope),
        Err(Refusal::Malformed)
    );

    // The same payload and type, signed under another kind's domain string.
    let payload = encode(&manifest(&key, "web", "1.0.0")).unwrap();
    let forged = SignedEnvelope::new(
        &key,
        Head::DOMAIN.to_owned(),
        payload_type::<Manifest>(),
        payload,
    )
    .unwrap();
    assert_eq!(
        Authorised::<Manifest>::verify(&forged.into_protobuf_encoding()),
        Err(Refusal::BadSignature)
    );
}

#[test]
fn a_later_format_is_ignored_and_not_rejected() {
    let key = Keypair::generate_ed25519();
    let payload = b"whatever comes later".to_vec();
    let later = SignedEnvelope::new(
        &key,
        Manifest::DOMAIN.to_owned(),
        b"/swarmdex/manifest/4".to_vec(),
        payload,
    )
    .unwrap();
    let refusal = Authorised::<Manifest>::verify(&later.into_protobuf_encoding()).unwrap_err();
    assert_eq!(
        (refusal, refusal.class()),
        (Refusal::UnknownFormat, Class::Ignore)
    );
}

#[test]
fn oversized_and_broken_records_are_rejected() {
    let key = Keypair::generate_ed25519();
    let too_large = vec![0; Manifest::MAX_ENVELOPE + 1];
    assert_eq!(
        Authorised::<Manifest>::verify(&too_large),
        Err(Refusal::TooLarge)
    );
    let mut long = manifest(&key, "web", "1.0.0");
    long.description = "x".repeat(5_000);
    assert_eq!(Authorised::sign(&key, long), Err(Refusal::BadField));
    let mut unlived = head(&key, 1).into_value();
    unlived.expires = unlived.signed_at;
    assert_eq!(Authorised::sign(&key, unlived), Err(Refusal::BadField));
    let mut rootless = head(&key, 2).into_value();
    rootless.prev.clear();
    assert_eq!(Authorised::sign(&key, rootless), Err(Refusal::BadField));
}

#[test]
fn a_record_is_only_valid_under_its_own_key() {
    let (mine, other) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let record = Record::Head(head(&mine, 1));
    assert_eq!(
        Record::verify(&record.key(), record.envelope()),
        Ok(record.clone())
    );
    let squatted = DhtKey::of_head(&PackageId {
        owner: PublisherId::of(&other.public()),
        name: "web".parse().unwrap(),
    });
    assert_eq!(
        Record::verify(&squatted, record.envelope()),
        Err(Refusal::WrongKey)
    );
    for record in [
        Record::Manifest(Authorised::sign(&mine, manifest(&mine, "web", "1.0.0")).unwrap()),
        Record::Page(Authorised::sign(&mine, page(&mine, entries(3))).unwrap()),
    ] {
        assert_eq!(
            Record::verify(&record.key(), record.envelope()),
            Ok(record.clone())
        );
        assert_eq!(
            Record::verify(&DhtKey([0; 32]), record.envelope()),
            Err(Refusal::WrongKey)
        );
    }
}

#[test]
fn announcements_are_taken_in_their_time_only() {
    let key = Keypair::generate_ed25519();
    let manifest = Authorised::sign(&key, manifest(&key, "web", "1.0.0")).unwrap();
    let entry = ReleaseEntry::new(manifest.version.clone(), manifest.hash());
    let (head, _) = state(vec![entry], 1).sign(&key, NOW, DEFAULT_LIFE).unwrap();
    let announcement = Announcement::sign(&key, NOW, head, manifest.clone()).unwrap();
    let bytes = announcement.encode().unwrap();
    assert_eq!(Announcement::verify(&bytes, NOW), Ok(announcement.clone()));
    let minute = Duration::from_secs(60);
    assert_eq!(
        Announcement::verify(&bytes, NOW.after(11 * minute)),
        Err(Refusal::OutOfTime)
    );
    assert_eq!(
        Announcement::verify(&bytes, NOW.before(11 * minute)),
        Err(Refusal::OutOfTime)
    );

    let unlisted = Announcement {
        head: self::head(&key, 1),
        ..announcement.clone()
    };
    assert_eq!(
        Announcement::verify(&unlisted.encode().unwrap(), NOW),
        Err(Refusal::Mismatch)
    );
    let stranger = Keypair::generate_ed25519();
    let theirs = Manifest {
        owner: PublisherId::of(&stranger.public()),
        ..manifest.into_value()
    };
    let foreign = Announcement {
        manifest: Authorised::sign(&stranger, theirs).unwrap(),
        ..announcement
    };
    assert_eq!(
        Announcement::verify(&foreign.encode().unwrap(), NOW),
        Err(Refusal::Mismatch)
    );
}

#[test]
fn an_expired_head_is_not_announced() {
    let key = Keypair::generate_ed25519();
    let manifest = Authorised::sign(&key, manifest(&key, "web", "1.0.0")).unwrap();
    let entry = ReleaseEntry::new(manifest.version.clone(), manifest.hash());
    let (head, _) = state(vec![entry], 1)
        .sign(&key, NOW, Duration::from_secs(1))
        .unwrap();
    let later = NOW.after(Duration::from_secs(2));
    let bytes = Announcement::sign(&key, later, head, manifest)
        .unwrap()
        .encode()
        .unwrap();
    assert_eq!(Announcement::verify(&bytes, later), Err(Refusal::Expired));
}

#[test]
fn admission_follows_the_selection() {
    let key = Keypair::generate_ed25519();
    let mark = |seq, hash: u8, expires| HeadMark {
        seq,
        hash: Hash([hash; 32]),
        expires,
    };
    let fresh = NOW.after(Duration::from_secs(60));
    let held = mark(5, 5, fresh);
    assert_eq!(admit(None, &held, NOW), Admission::Newer);
    assert_eq!(
        admit(Some(&held), &mark(6, 9, fresh), NOW),
        Admission::Newer
    );
    assert_eq!(admit(Some(&held), &held, NOW), Admission::Same);
    assert_eq!(
        admit(Some(&held), &mark(5, 4, fresh), NOW),
        Admission::ForkWins
    );
    assert_eq!(
        admit(Some(&held), &mark(5, 6, fresh), NOW),
        Admission::ForkLoses
    );
    assert_eq!(
        admit(Some(&held), &mark(5, 4, NOW), NOW),
        Admission::ForkLoses,
        "expired loses to unexpired"
    );
    assert_eq!(
        admit(Some(&held), &mark(4, 0, fresh), NOW),
        Admission::Older
    );
    let (old, new) = (head(&key, 1), head(&key, 2));
    assert_eq!(select([&old, &new], 0, NOW), Some(&new));
    assert_eq!(
        select([&old], 2, NOW),
        None,
        "never below the highest seq seen"
    );
}

proptest! {
    #[test]
    fn paging_keeps_every_release_and_its_size(count in 1usize..400) {
        let key = Keypair::generate_ed25519();
        let releases = entries(count);
        let (head, pages) = state(releases.clone(), 1).sign(&key, NOW, DEFAULT_LIFE).unwrap();
        let mut read: Vec<ReleaseEntry> = pages.iter().flat_map(|page| page.releases.clone()).collect();
        read.extend(head.releases.clone());
        prop_assert_eq!(read, releases.clone());
        prop_assert_eq!(head.older, pages.last().map(Authorised::hash));

        // One more release changes no existing page.
        let (_, grown) = state(entries(count + 1), 2).sign(&key, NOW, DEFAULT_LIFE).unwrap();
        for (before, after) in pages.iter().zip(&grown) {
            prop_assert_eq!(before.hash(), after.hash());
        }
    }

    #[test]
    fn the_head_has_the_latest_release_in_whatever_order_they_were_published(
        count in 1usize..300, at in any::<prop::sample::Index>()
    ) {
        let key = Keypair::generate_ed25519();
        let mut releases = entries(count);
        let at = at.index(count);
        releases[at].version = "2.0.0".parse().unwrap();
        let mut before: Option<Vec<Authorised<Page>>> = None;
        // Published one after the other, each state based on the one before.
        let mut list: Vec<ReleaseEntry> = Vec::new();
        for (seq, release) in (1..).zip(releases) {
            list.push(release.clone());
            let (head, pages) = state(list, seq).sign(&key, NOW, DEFAULT_LIFE).unwrap();
            prop_assert_eq!(head.releases.last(), Some(&release), "what was published last stays \
                last");
            if seq as usize > at {
                prop_assert!(head.releases.iter().any(|entry| entry.version.as_str().starts_with('2')), "{}", seq);
            }
            for (before, after) in before.iter().flatten().zip(&pages) {
                prop_assert_eq!(before.hash(), after.hash(), "{}", seq);
            }
            list = pages.iter().flat_map(|page| page.releases.clone()).collect();
            list.extend(head.releases.clone());
            before = Some(pages);
        }
        prop_assert_eq!(list.len(), count);
    }

    #[test]
    fn heads_with_the_longest_versions_still_travel(count in 1usize..200) {
        let key = Keypair::generate_ed25519();
        let releases = (0..count)
            .map(|n| ReleaseEntry { yanked: Some(String::new()), ..ReleaseEntry::new(format!("1.0.0-{}{n:06}", "x".repeat(MAX_LONG)).parse().unwrap(), Hash::of(&n.to_be_bytes())) })
            .collect();
        let mut state = state(releases, 2);
        state.prev = vec![Hash([7; 32]); MAX_PREV];
        state.handle = Some("h".repeat(64).parse().unwrap());
        state.name = "n".repeat(64).parse().unwrap();
        prop_assert!(state.sign(&key, NOW, DEFAULT_LIFE).is_ok());
    }

    #[test]
    fn selection_is_the_same_in_any_order(seqs in prop::collection::vec(1u64..4, 1..6), floor in 0u64..4, seed in any::<u64>()) {
        let key = Keypair::generate_ed25519();
        let mut heads: Vec<_> = seqs.iter().enumerate().map(|(n, seq)| {
            state(entries(n + 1), *seq).sign(&key, NOW, Duration::from_secs(if n % 2 == 0 { 60 } else { 600 })).unwrap().0
        }).collect();
        let now = NOW.after(Duration::from_secs(120));
        let chosen = select(&heads, floor, now).map(Authorised::hash);
        let rotation = (seed as usize) % heads.len();
        heads.rotate_left(rotation);
        prop_assert_eq!(select(&heads, floor, now).map(Authorised::hash), chosen);
    }

    #[test]
    fn garbage_never_verifies_and_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Authorised::<Head>::verify(&bytes).is_err());
        prop_assert!(Record::verify(&DhtKey([0; 32]), &bytes).is_err());
        prop_assert!(Announcement::verify(&bytes, NOW).is_err());
        prop_assert!(Presence::verify(&bytes, NOW).is_err() || bytes.len() < 40);
    }

    #[test]
    fn forked_heads_merge_to_the_same_releases(a in 1usize..6, b in 1usize..6) {
        let (a, b) = (entries(a), entries(b));
        let joined = |a: &[ReleaseEntry], b: &[ReleaseEntry]| {
            let mut joined = HeadEntries { recent: a.to_vec(), all: a.to_vec() };
            joined.join(&Ecosystem::Cargo, b);
            joined.all
        };
        let (mut left, mut right) = (joined(&a, &b), joined(&b, &a));
        left.sort_by_key(|entry| entry.version.to_string());
        right.sort_by_key(|entry| entry.version.to_string());
        prop_assert_eq!(left, right);
    }
}

/// Pads a version to 64 characters, the longest allowed.
const MAX_LONG: usize = 64 - "1.0.0-".len() - 6;

#[test]
fn a_copy_signed_by_somebody_else_is_signed_and_not_authorised() {
    let (key, copier) = (Keypair::generate_ed25519(), Keypair::generate_ed25519());
    let own = Signed::sign(&key, manifest(&key, "web", "1.0.0")).unwrap();
    let copy = Signed::sign(&copier, manifest(&key, "web", "1.0.0")).unwrap();
    assert_eq!(*own, *copy);
    assert_ne!(
        own.hash(),
        copy.hash(),
        "nobody can occupy the key of another's manifest"
    );
    assert_eq!(copy.signer(), PublisherId::of(&copier.public()));
    assert!(Signed::<Manifest>::verify(copy.envelope()).is_ok());
    assert_eq!(
        Authorised::<Manifest>::verify(copy.envelope()),
        Err(Refusal::Unauthorised)
    );
    assert_eq!(Refusal::Unauthorised.class(), Class::Reject);
    assert_eq!(
        Authorised::by(own, Vec::new()).unwrap().owner(),
        PublisherId::of(&key.public())
    );
}

#[test]
fn the_ecosystem_is_a_part_of_what_a_record_is_about() {
    let key = Keypair::generate_ed25519();
    let of = |ecosystem: Ecosystem, name: &str| {
        let manifest = Manifest {
            ecosystem,
            name: name.parse().unwrap(),
            ..manifest(&key, "x", "1.0.0")
        };
        Authorised::sign(&key, manifest).map(|manifest| manifest.package().clone())
    };
    let [generic, cargo] =
        [Ecosystem::Generic, Ecosystem::Cargo].map(|ecosystem| of(ecosystem, "serde").unwrap());
    assert_ne!(DhtKey::of_head(&generic), DhtKey::of_head(&cargo));
    assert_eq!(
        of(Ecosystem::Cargo, "Serde_json").unwrap(),
        of(Ecosystem::Cargo, "serde-json").unwrap()
    );
    assert_eq!(of(Ecosystem::Cargo, "1a").unwrap_err(), Refusal::BadField);
    let other: Ecosystem = "conda".parse().unwrap();
    assert_eq!(
        of(other, "Any+name").unwrap().name.as_str(),
        "conda:Any+name",
        "what is not known is carried"
    );
}

#[test]
fn one_payload_of_two_kinds_is_two_records() {
    let (publisher, payload) = (
        PublisherId::of(&Keypair::generate_ed25519().public()),
        b"the same bytes",
    );
    let hashes = [
        identity::<Head>(&publisher, payload),
        identity::<Page>(&publisher, payload),
        identity::<Manifest>(&publisher, payload),
    ];
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2]);
}

#[test]
fn fields_that_are_not_known_are_refused() {
    #[derive(Serialize, serde::Deserialize)]
    struct Both {
        owner: PublisherId,
        name: String,
        releases: Vec<ReleaseEntry>,
        more: u8,
    }
    let key = Keypair::generate_ed25519();
    let page = page(&key, entries(1));
    assert_eq!(decode::<Page>(&encode(&page).unwrap()), Ok(page.clone()));
    let both = Both {
        owner: page.owner,
        name: "web".to_owned(),
        releases: entries(1),
        more: 1,
    };
    assert_eq!(
        decode::<Page>(&encode(&both).unwrap()),
        Err(Refusal::Malformed)
    );
}

#[test]
fn numbers_that_no_database_holds_break_a_rule() {
    let key = Keypair::generate_ed25519();
    assert!(
        state(entries(1), MAX_NUMBER)
            .sign(&key, NOW, DEFAULT_LIFE)
            .is_ok()
    );
    assert_eq!(
        state(entries(1), MAX_NUMBER + 1)
            .sign(&key, NOW, DEFAULT_LIFE)
            .err(),
        Some(Refusal::BadField)
    );
    let late = Timestamp(MAX_NUMBER);
    assert_eq!(
        state(entries(1), 1).sign(&key, late, DEFAULT_LIFE).err(),
        Some(Refusal::BadField),
        "it would expire later"
    );
    assert_eq!(
        Authorised::sign(
            &key,
            Manifest {
                signed_at: Timestamp(u64::MAX),
                ..manifest(&key, "web", "1.0.0")
            }
        )
        .err(),
        Some(Refusal::BadField)
    );
}

fn many(count: usize) -> Vec<File> {
    (0..count)
        .map(|n| {
            File::of(
                &Ecosystem::Pypi,
                format!("web-1.0-cp3{n:02}-manylinux_2_28_x86_64.whl"),
                b"",
            )
        })
        .collect()
}

#[test]
fn a_manifest_has_one_to_thirty_two_files_and_each_of_them_is_checked() {
    let key = Keypair::generate_ed25519();
    let of = |files: Vec<File>| {
        let manifest = Manifest {
            files,
            version: "1.0".parse().unwrap(),
            ..manifest(&key, "web", "1.0.0")
        };
        Authorised::sign(
            &key,
            Manifest {
                ecosystem: Ecosystem::Pypi,
                ..manifest
            },
        )
        .map(drop)
    };
    let with = |change: &dyn Fn(&mut File)| {
        let mut files = many(2);
        change(&mut files[1]);
        of(files)
    };
    assert_eq!(of(vec![]), Err(Refusal::BadField));
    assert_eq!(of(many(32)), Ok(()));
    assert_eq!(of(many(33)), Err(Refusal::BadField));
    assert_eq!(
        with(&|file| file.name = "web-1.0-cp300-manylinux_2_28_x86_64.whl".to_owned()),
        Err(Refusal::BadField)
    );
    assert_eq!(with(&|file| file.name = "x".repeat(160)), Ok(()));
    assert_eq!(
        with(&|file| file.name = "x".repeat(161)),
        Err(Refusal::BadField)
    );
    assert_eq!(with(&|file| file.size = MAX_NUMBER), Ok(()));
    assert_eq!(
        with(&|file| file.size = MAX_NUMBER + 1),
        Err(Refusal::BadField)
    );
    assert_eq!(with(&|file| file.published_at = Some(NOW)), Ok(()));
    assert_eq!(
        with(&|file| file.published_at = Some(Timestamp(NOW.0 + 1))),
        Err(Refusal::BadField)
    );
    let native = |size| crate::domain::manifest::Content {
        root: crate::domain::hash::ContentRoot::of(b"x"),
        size,
    };
    assert_eq!(with(&|file| file.native = Some(native(1 << 20))), Ok(()));
    assert_eq!(
        with(&|file| file.native = Some(native((1 << 20) + 1))),
        Err(Refusal::BadField)
    );
    // An overlong head is reported as too large, not as wrong.
    let mut full = many(32);
    full.iter_mut().for_each(|file| {
        (file.name, file.native) = (format!("{}{}", file.name, "x".repeat(100)), Some(native(1)))
    });
    assert_eq!(of(full), Err(Refusal::TooLarge));
}

#[test]
fn what_later_versions_say_is_hashed_kept_and_bounded() {
    let key = Keypair::generate_ed25519();
    let with = |bytes: usize| {
        let ext = Ext([("x-later".to_owned(), vec![7; bytes].into())].into());
        Authorised::sign(
            &key,
            Manifest {
                ext,
                ..manifest(&key, "web", "1.0.0")
            },
        )
    };
    let most = MAX_EXT - "x-later".len();
    let (said, other) = (with(most).unwrap(), with(most - 1).unwrap());
    assert_ne!(said.hash(), other.hash());
    assert_eq!(
        Authorised::<Manifest>::verify(said.envelope()).unwrap().ext,
        said.ext
    );
    assert_eq!(with(most + 1).unwrap_err(), Refusal::BadField);
}

#[test]
fn tags_are_words_and_bounded() {
    let key = Keypair::generate_ed25519();
    let with = |tags: Vec<String>| {
        let mut state = state(entries(2), 1);
        state.tags = tags
            .into_iter()
            .map(|tag| (tag, "1.0.0".parse().unwrap()))
            .collect();
        state.sign(&key, NOW, DEFAULT_LIFE).map(drop)
    };
    let named = |count: usize| (0..count).map(|n| format!("tag-{n}")).collect::<Vec<_>>();
    assert_eq!(with(named(MAX_TAGS)), Ok(()));
    assert_eq!(with(named(MAX_TAGS + 1)), Err(Refusal::BadField));
    assert_eq!(with(vec!["x".repeat(MAX_TAG)]), Ok(()));
    for bad in [
        "",
        "1.0",
        "two words",
        "a/b",
        "a@b",
        "bell\u{7}",
        &"x".repeat(MAX_TAG + 1),
    ] {
        assert_eq!(with(vec![bad.to_owned()]), Err(Refusal::BadField), "{bad}");
    }
    let long: Vec<String> = (0..17)
        .map(|n| format!("{n:x}{}", "x".repeat(60)))
        .filter(|tag| !tag.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    assert_eq!(with(long), Ok(()));
    let longest: Vec<String> = (0..20).map(|n| format!("t{n}{}", "x".repeat(60))).collect();
    assert_eq!(
        with(longest),
        Err(Refusal::BadField),
        "all together are too many bytes"
    );
    assert!(
        check_tag(&Ecosystem::Npm, "latest").is_ok()
            && check_tag(&Ecosystem::Npm, "v1").is_err()
            && check_tag(&Ecosystem::Npm, "x").is_err()
    );
}

/// Bytes and records that one more state of a package takes.
struct Moved {
    records: usize,
    bytes: usize,
}

/// A publisher's package: a series of states, each based on the one before.
struct Package {
    key: Keypair,
    ecosystem: Ecosystem,
    head: Option<Authorised<Head>>,
    pages: Vec<Authorised<Page>>,
}

impl Package {
    fn new(ecosystem: Ecosystem) -> Self {
        Self {
            key: Keypair::generate_ed25519(),
            ecosystem,
            head: None,
            pages: Vec::new(),
        }
    }

    fn entries(&self) -> HeadEntries {
        let recent = self
            .head
            .as_ref()
            .map_or(Vec::new(), |head| head.releases.clone());
        let pages = self.pages.iter().map(|page| page.releases.as_slice());
        HeadEntries {
            all: crate::domain::release::gather(&self.ecosystem, pages.chain([recent.as_slice()])),
            recent,
        }
    }

    fn next(&mut self, change: impl FnOnce(&mut HeadEntries)) -> Moved {
        let mut entries = self.entries();
        change(&mut entries);
        entries.keep_latest(&self.ecosystem);
        let before = self.head.take();
        let state = HeadState {
            prev: before.iter().map(Authorised::hash).collect(),
            seq: before.as_ref().map_or(1, |before| before.seq + 1),
            older: before.as_ref().and_then(|before| before.older),
            ..HeadState::first(
                self.ecosystem.clone(),
                "web".parse().unwrap(),
                entries.recent,
            )
        };
        let (head, pages) = state.sign(&self.key, NOW, DEFAULT_LIFE).unwrap();
        if let Some(before) = &before {
            assert_eq!(
                head.removes(before, pages.last()),
                Some(Vec::new()).filter(|_| pages.len() < 2)
            );
        }
        let bytes = pages
            .iter()
            .map(|page| page.envelope().len())
            .sum::<usize>()
            + head.envelope().len();
        let moved = Moved {
            records: 1 + pages.len(),
            bytes,
        };
        self.pages.extend(pages);
        self.head = Some(head);
        moved
    }

    fn add(&mut self, version: &str, manifest: Hash) -> Moved {
        let (ecosystem, version) = (self.ecosystem.clone(), version.parse().unwrap());
        self.next(|entries| entries.add(&ecosystem, &version, manifest))
    }
}

#[test]
fn the_sixty_first_wheel_and_a_yank_of_an_old_version_move_as_much_as_the_first() {
    let mut wheels = Package::new(Ecosystem::Pypi);
    let first = wheels.add("1.0", Hash::of(&[0]));
    let mut moved = Vec::new();
    for n in 1..=200_u8 {
        moved.push(wheels.add("1.0", Hash::of(&[n])));
    }
    let all = wheels.entries().all;
    assert_eq!(
        (all.len(), all[0].manifests.len(), all[0].older),
        (1, 201, false)
    );
    let wheel = &moved[59];
    println!(
        "wheel 1: {} records, {} bytes; wheel 61: {} records, {} bytes; most of 200: {} records, \
        {} bytes",
        first.records,
        first.bytes,
        wheel.records,
        wheel.bytes,
        moved.iter().map(|one| one.records).max().unwrap(),
        moved.iter().map(|one| one.bytes).max().unwrap()
    );
    assert!(
        moved
            .iter()
            .all(|one| one.records <= 2 && one.bytes < 2 * Head::MAX_ENVELOPE)
    );
    assert_eq!(wheel.records, 1);

    let mut versions = Package::new(Ecosystem::Cargo);
    let mut most = 0;
    for n in 0..2_000_usize {
        most = most.max(
            versions
                .add(&format!("1.{n}.0"), Hash::of(&n.to_be_bytes()))
                .records,
        );
    }
    assert_eq!((versions.entries().all.len(), most), (2_000, 2));
    let pages = versions.pages.len();
    let (ecosystem, third) = (Ecosystem::Cargo, "1.3.0".parse().unwrap());
    let moved = versions.next(|entries| {
        assert!(entries.change(&ecosystem, &third, |entry| entry.yanked =
            Some("it leaks".to_owned())));
    });
    println!(
        "yank of version 3 of 2,000: {} records, {} bytes; {pages} pages there were",
        moved.records, moved.bytes
    );
    assert!(moved.records <= 2 && versions.pages.len() <= pages + 1);
    let all = versions.entries().all;
    let yanked: Vec<_> = all.iter().filter(|entry| entry.is_yanked()).collect();
    assert_eq!((all.len(), yanked.len()), (2_000, 1));
    assert_eq!(
        (yanked[0].version.as_str(), yanked[0].manifests.len()),
        ("1.3.0", 1)
    );
}

#[test]
fn when_the_latest_is_yanked_the_head_lists_the_one_before_it_from_an_old_page() {
    let mut package = Package::new(Ecosystem::Cargo);
    package.add("5.0.0", Hash::of(b"five"));
    package.add("6.0.0", Hash::of(b"six"));
    for n in 0..200_u32 {
        package.add(&format!("1.{n}.0"), Hash::of(&n.to_be_bytes()));
    }
    assert_eq!(
        package
            .head
            .as_ref()
            .unwrap()
            .latest()
            .unwrap()
            .version
            .as_str(),
        "6.0.0"
    );
    let (ecosystem, six) = (Ecosystem::Cargo, "6.0.0".parse().unwrap());
    package.next(|entries| {
        assert!(entries.change(&ecosystem, &six, |entry| entry.yanked = Some(String::new())));
    });
    let head = package.head.as_ref().unwrap();
    let latest = head.latest().unwrap();
    assert_eq!(
        (latest.version.as_str(), latest.first()),
        ("5.0.0", Some(Hash::of(b"five")))
    );
}

#[test]
fn a_state_with_the_longest_reasons_is_cut_until_it_fits() {
    let mut package = Package::new(Ecosystem::Pypi);
    let long = "\u{10348}".repeat(crate::domain::release::MAX_REASON);
    for n in 0..40_u32 {
        let (ecosystem, version) = (Ecosystem::Pypi, format!("1.{n}"));
        package.add(&version, Hash::of(&n.to_be_bytes()));
        let version = version.parse().unwrap();
        let moved = package.next(|entries| {
            assert!(entries.change(&ecosystem, &version, |entry| {
                (entry.yanked, entry.deprecated) = (Some(long.clone()), Some(long.clone()));
            }));
        });
        assert!(moved.records <= 3, "{}", moved.records);
    }
    let all = package.entries().all;
    assert_eq!(
        all.iter()
            .filter(|entry| entry.yanked.as_ref() == Some(&long))
            .count(),
        40
    );
}

#[test]
fn what_a_state_takes_away_is_seen_by_whoever_has_the_one_before() {
    let mut package = Package::new(Ecosystem::Pypi);
    package.add("1.0", Hash::of(b"one"));
    package.add("1.0", Hash::of(b"two"));
    let before = package.head.clone().unwrap();
    let lies = |releases: Vec<ReleaseEntry>| {
        let state = HeadState {
            seq: 3,
            prev: vec![before.hash()],
            ..HeadState::first(Ecosystem::Pypi, "web".parse().unwrap(), releases)
        };
        state.sign(&package.key, NOW, DEFAULT_LIFE).unwrap().0
    };
    let version: crate::domain::version::VersionText = "1.0".parse().unwrap();
    let swapped = lies(vec![ReleaseEntry::new(version.clone(), Hash::of(b"two"))]);
    assert_eq!(
        swapped.removes(&before, None),
        Some(vec![(version.clone(), Hash::of(b"one"))])
    );
    let other = lies(vec![ReleaseEntry::new(
        "2.0".parse().unwrap(),
        Hash::of(b"three"),
    )]);
    assert_eq!(other.removes(&before, None).unwrap().len(), 2);
    let unlinked = Head {
        prev: vec![Hash::of(b"another")],
        ..swapped.into_value()
    };
    assert_eq!(
        unlinked.removes(&before, None),
        None,
        "it may follow a state that nobody here knows"
    );
}
