//! Evidence proves what it says to anybody, and nothing else, however it is damaged.

use crate::ecosystem::Ecosystem;
use std::time::Duration;

use libp2p::identity::Keypair;
use proptest::prelude::*;

use super::*;
use crate::domain::{
    manifest::{Draft, File, Manifest},
    record::{Authorised, Head, HeadState, Page, Payload, Refusal},
    release::ReleaseEntry,
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn key(n: u8) -> Keypair {
    Keypair::ed25519_from_bytes([n; 32]).unwrap()
}

fn publisher(n: u8) -> PublisherId {
    PublisherId::of(&key(n).public())
}

fn manifest(n: u8, version: &str, bytes: &[u8]) -> Authorised<Manifest> {
    let draft = format!(
        "ecosystem = \"cargo\"\nname = \"web\"\nversion = \"{version}\"\ndescription = \"A server\""
    );
    let draft: Draft = toml::from_str(&draft).unwrap();
    let content = File::of(&Ecosystem::Generic, "web.bin", bytes);
    Authorised::sign(
        &key(n),
        draft
            .into_manifest(PublisherId::of(&key(n).public()), content, NOW)
            .unwrap(),
    )
    .unwrap()
}

fn entries(manifests: &[&Authorised<Manifest>]) -> Vec<ReleaseEntry> {
    let entry = |one: &&Authorised<Manifest>| ReleaseEntry::new(one.version.clone(), one.hash());
    manifests.iter().map(entry).collect()
}

fn head(n: u8, seq: u64, manifests: &[&Authorised<Manifest>]) -> Authorised<Head> {
    let prev = if seq > 1 {
        vec![Hash::of(b"before")]
    } else {
        vec![]
    };
    let state = HeadState {
        handle: Some("alice".parse().unwrap()),
        seq,
        prev,
        ..HeadState::first(Ecosystem::Cargo, "web".parse().unwrap(), entries(manifests))
    };
    state
        .sign(&key(n), NOW.after(Duration::from_secs(seq)), DAY)
        .unwrap()
        .0
}

fn said(head: &Authorised<Head>) -> Statement {
    Statement::Head(evidence::SignedBytes(head.envelope().to_vec()))
}

fn version_claim(n: u8, version: &str) -> Proven {
    Proven::Version {
        publisher: publisher(n),
        package: "cargo:web".parse().unwrap(),
        version: version.parse().unwrap(),
    }
}

fn version_id(n: u8, version: &str, hashes: [Hash; 2]) -> ConflictId {
    ConflictId::of_version(
        &publisher(n),
        &"cargo:web".parse().unwrap(),
        &version.parse().unwrap(),
        hashes,
    )
}

/// Two heads that change two versions at once, so that damage could turn one claim into the other.
fn changed() -> Evidence {
    let before = [manifest(1, "1.0.0", b"one"), manifest(1, "2.0.0", b"two")];
    let after = [
        manifest(1, "1.0.0", b"evil"),
        manifest(1, "2.0.0", b"worse"),
    ];
    let statements = vec![
        said(&head(1, 1, &[&before[0], &before[1]])),
        said(&head(1, 2, &[&after[0], &after[1]])),
    ];
    let id = version_id(1, "1.0.0", [before[0].hash(), after[0].hash()]);
    let manifests = [before[0].envelope().to_vec(), after[0].envelope().to_vec()];
    Evidence::of(id, version_claim(1, "1.0.0"), statements, manifests)
}

fn forked() -> Evidence {
    let (one, two) = (manifest(1, "1.0.0", b"one"), manifest(1, "1.1.0", b"two"));
    let (left, right) = (head(1, 4, &[&one]), head(1, 4, &[&one, &two]));
    let package: PackageName = "cargo:web".parse().unwrap();
    let id = ConflictId::of_fork(&publisher(1), &package, 4, [left.hash(), right.hash()]);
    let claim = Proven::Fork {
        publisher: publisher(1),
        package,
        seq: 4,
    };
    Evidence::of(id, claim, vec![said(&left), said(&right)], [])
}

fn claimed() -> Evidence {
    let handle: Handle = "alice".parse().unwrap();
    let heads = [1, 2, 3].map(|n| said(&head(n, 1, &[&manifest(n, "1.0.0", b"one")])));
    Evidence::of(
        ConflictId::of_handle(&handle),
        Proven::Handle { handle },
        heads.into(),
        [],
    )
}

fn verify(text: &str) -> Result<VerifiedEvidence, Flaw> {
    Evidence::read(text.as_bytes())?.verify()
}

#[test]
fn whoever_has_the_file_sees_for_themselves() {
    let proof = verify(&changed().to_text()).unwrap();
    assert_eq!(proof.proven, version_claim(1, "1.0.0"));
    assert_eq!((proof.statements.len(), proof.manifests.len()), (2, 2));
    let text = proof.sentences(|at| at.0.to_string()).join("\n");
    let (one, evil) = (
        manifest(1, "1.0.0", b"one").hash(),
        manifest(1, "1.0.0", b"evil").hash(),
    );
    for part in [
        "two different manifests for cargo:web 1.0.0",
        &publisher(1).to_string(),
        &publisher(1).fingerprint(),
        &one.to_string(),
        &evil.to_string(),
        "signed at 1700000001000",
        "signed at 1700000002000",
    ] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    let fork = verify(&forked().to_text())
        .unwrap()
        .sentences(|at| at.0.to_string())
        .join("\n");
    assert!(
        fork.contains("two different states 4 of cargo:web") && fork.contains("not misconduct"),
        "{fork}"
    );
    let handle = verify(&claimed().to_text())
        .unwrap()
        .sentences(|at| at.0.to_string())
        .join("\n");
    assert!(
        handle.contains("3 different keys call themselves alice")
            && handle.contains("not misconduct"),
        "{handle}"
    );
}

#[test]
fn a_page_of_older_releases_is_a_statement_too() {
    let (one, evil) = (manifest(1, "1.0.0", b"one"), manifest(1, "1.0.0", b"evil"));
    let page = Page {
        owner: one.owner(),
        ecosystem: Ecosystem::Cargo,
        name: "web".parse().unwrap(),
        releases: entries(&[&one]),
        older: None,
        ext: Default::default(),
    };
    let page = Authorised::sign(&key(1), page).unwrap();
    let statements = vec![
        Statement::Page(evidence::SignedBytes(page.envelope().to_vec())),
        said(&head(1, 2, &[&evil])),
    ];
    let id = version_id(1, "1.0.0", [one.hash(), evil.hash()]);
    let proof =
        verify(&Evidence::of(id, version_claim(1, "1.0.0"), statements, []).to_text()).unwrap();
    assert_eq!(
        (proof.statements[0].seq, proof.statements[1].seq),
        (None, Some(2))
    );
}

#[test]
fn what_does_not_hold_is_said_exactly() {
    let (one, evil) = (manifest(1, "1.0.0", b"one"), manifest(1, "1.0.0", b"evil"));
    let (first, second) = (head(1, 1, &[&one]), head(1, 2, &[&evil]));
    let id = version_id(1, "1.0.0", [one.hash(), evil.hash()]);
    let flaw = |claim: Proven, statements: Vec<Statement>, manifests: Vec<Vec<u8>>| {
        verify(&Evidence::of(id, claim, statements, manifests).to_text()).unwrap_err()
    };
    let claim = || version_claim(1, "1.0.0");
    let mut forged = second.envelope().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let forged = Statement::Head(evidence::SignedBytes(forged));
    let refused = Flaw::Refused {
        number: 2,
        refusal: Refusal::BadSignature,
    };
    assert_eq!(flaw(claim(), vec![said(&first), forged], vec![]), refused);
    let stranger = head(2, 2, &[&manifest(2, "1.0.0", b"evil")]);
    let other = Flaw::OtherKey {
        number: 2,
        by: publisher(2).into(),
        claimed: publisher(1).into(),
    };
    assert_eq!(
        flaw(claim(), vec![said(&first), said(&stranger)], vec![]),
        other
    );
    let same = Flaw::SameHash {
        version: "1.0.0".parse().unwrap(),
        hash: one.hash(),
    };
    assert_eq!(
        flaw(
            claim(),
            vec![said(&first), said(&head(1, 3, &[&one]))],
            vec![]
        ),
        same
    );
    let lacks = Flaw::OtherVersion {
        number: 1,
        version: "3.0.0".parse().unwrap(),
    };
    assert_eq!(
        flaw(
            version_claim(1, "3.0.0"),
            vec![said(&first), said(&second)],
            vec![]
        ),
        lacks
    );
    let elsewhere = Proven::Version {
        publisher: publisher(1),
        package: "cargo:db".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
    };
    let flawed = flaw(elsewhere, vec![said(&first), said(&second)], vec![]);
    assert!(
        matches!(flawed, Flaw::OtherPackage { number: 1, .. }),
        "{flawed}"
    );
    assert_eq!(
        flaw(claim(), vec![said(&first)], vec![]),
        Flaw::Statements {
            found: 1,
            wanted: "two"
        }
    );
    let stray = manifest(1, "1.0.0", b"neither").envelope().to_vec();
    let strange = flaw(claim(), vec![said(&first), said(&second)], vec![stray]);
    assert_eq!(strange, Flaw::StrangeManifest { number: 1 });
    let other_seq = Proven::Fork {
        publisher: publisher(1),
        package: "cargo:web".parse().unwrap(),
        seq: 1,
    };
    let flawed = flaw(other_seq, vec![said(&first), said(&second)], vec![]);
    assert_eq!(
        flawed,
        Flaw::OtherSeq {
            number: 2,
            found: 2,
            claimed: 1
        }
    );
    let alice = || Proven::Handle {
        handle: "alice".parse().unwrap(),
    };
    assert_eq!(
        flaw(alice(), vec![said(&first), said(&second)], vec![]),
        Flaw::SameKey(publisher(1))
    );
    let bob = Proven::Handle {
        handle: "bob".parse().unwrap(),
    };
    let flawed = flaw(bob, vec![said(&first), said(&stranger)], vec![]);
    assert_eq!(
        flawed,
        Flaw::OtherHandle {
            number: 1,
            claimed: "bob".parse().unwrap()
        }
    );
    let strange_id = Evidence::of(
        ConflictId([7; 16]),
        claim(),
        vec![said(&first), said(&second)],
        [],
    );
    assert!(matches!(strange_id.verify(), Err(Flaw::OtherId { .. })));

    assert!(matches!(verify("{}"), Err(Flaw::Damaged(_))));
    assert!(
        matches!(verify(&"[".repeat(10_000)), Err(Flaw::Damaged(_))),
        "no depth takes the stack"
    );
    let newer = changed()
        .to_text()
        .replacen("\"version\": 1", "\"version\": 2", 1);
    assert_eq!(verify(&newer), Err(Flaw::UnknownVersion(2)));
    assert_eq!(
        verify(&" ".repeat(MAX_EVIDENCE + 1)),
        Err(Flaw::TooLarge(MAX_EVIDENCE + 1))
    );
    let spaced = changed()
        .to_text()
        .replace("\"statements\"", "\"remark\": \"x\", \"statements\"");
    assert!(
        matches!(verify(&spaced), Err(Flaw::Damaged(_))),
        "nothing unsigned travels along"
    );
}

#[test]
fn the_largest_evidence_fits() {
    let full = Head::MAX_ENVELOPE;
    let statements = (0..MAX_SIDES)
        .map(|_| Statement::Head(evidence::SignedBytes(vec![7; full])))
        .collect();
    let manifests = [
        vec![7; Manifest::MAX_ENVELOPE],
        vec![7; Manifest::MAX_ENVELOPE],
    ];
    let evidence = Evidence::of(
        ConflictId([1; 16]),
        version_claim(1, "1.0.0"),
        statements,
        manifests,
    );
    assert!(evidence.to_text().len() <= MAX_EVIDENCE);
}

#[test]
fn which_was_first_makes_no_other_case_of_it() {
    let (a, b) = (Hash([1; 32]), Hash([2; 32]));
    assert_eq!(
        version_id(1, "1.0.0", [a, b]),
        version_id(1, "1.0.0", [b, a])
    );
    assert_ne!(
        version_id(1, "1.0.0", [a, b]),
        version_id(2, "1.0.0", [a, b])
    );
    let id = version_id(1, "1.0.0", [a, b]);
    assert_eq!(id.to_string().parse(), Ok(id));
    assert!("0".parse::<ConflictId>().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_changed_byte_never_proves_something_else(which in 0usize..3, at in any::<prop::sample::Index>(), by in 1u8..) {
        let evidence = [changed, forked, claimed][which]();
        let mut bytes = evidence.to_text().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        // Damage may only have changed white space.
        if let Ok(proof) = Evidence::read(&bytes).and_then(|read| read.verify()) {
            prop_assert_eq!(proof, evidence.verify().unwrap());
        }
    }

    #[test]
    fn what_is_cut_or_noise_is_damaged(which in 0usize..3, at in any::<prop::sample::Index>(), noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = [changed, forked, claimed][which]().to_text();
        let whole = text.trim_end().len();
        let cut = &text.as_bytes()[..at.index(whole)];
        prop_assert!(Evidence::read(cut).and_then(|read| read.verify()).is_err());
        prop_assert!(Evidence::read(&noise).is_err());
    }
}
