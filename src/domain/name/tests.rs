use super::*;
use libp2p::identity::Keypair;
use proptest::prelude::*;

#[test]
fn names_follow_the_grammar() {
    for good in [
        "a",
        "0",
        "serde_json",
        "a.b-c_d",
        &"x".repeat(64),
        "cargo:serde_json",
        "generic:a",
    ] {
        assert!(good.parse::<PackageName>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "-a",
        ".a",
        "a b",
        "a/b",
        "é",
        &"x".repeat(65),
        "cargo:",
        "Cargo:a",
        ":a",
        "cargo:1a",
    ] {
        assert!(bad.parse::<PackageName>().is_err(), "{bad}");
    }
    for (written, normal) in [
        ("Web", "web"),
        ("generic:Web", "web"),
        ("cargo:Serde_json", "cargo:serde-json"),
    ] {
        assert_eq!(written.parse::<PackageName>().unwrap().as_str(), normal);
    }
    let error = "Serde".parse::<Handle>().unwrap_err().to_string();
    assert_eq!(
        error,
        "\"Serde\" is not a handle: it must start with a lower-case letter or a digit"
    );
}

#[test]
fn references_name_a_handle_or_a_key() {
    let by_handle: PackageRef = "alice/web@^1.2".parse().unwrap();
    assert_eq!(by_handle.owner, Owner::Handle("alice".parse().unwrap()));
    assert_eq!(by_handle.to_string(), "alice/web@^1.2");
    let publisher = PublisherId::of(&Keypair::generate_ed25519().public());
    let by_key: PackageRef = format!("{publisher}/web").parse().unwrap();
    assert_eq!(by_key.owner, Owner::Publisher(publisher));
    for bad in [
        "web",
        "alice/",
        "alice/generic:web@1.0rc1",
        "alice/web@not",
        "/web",
        "Alice/web",
        "alice/web@",
    ] {
        assert!(bad.parse::<PackageRef>().is_err(), "{bad}");
    }
}

#[test]
fn a_reference_says_which_ecosystem_or_leaves_it_open() {
    let publisher = PublisherId::of(&Keypair::generate_ed25519().public());
    let asked = |text: &str| text.parse::<PackageRef>().unwrap();
    let exactly = |text: &str| NameRef::Exactly(text.parse().unwrap());
    assert_eq!(
        asked("alice/cargo:Serde_json@1").name,
        exactly("cargo:serde-json")
    );
    assert_eq!(asked("alice/generic:web").name, exactly("web"));
    assert_eq!(
        asked("alice/web").name,
        NameRef::Bare("web".parse().unwrap())
    );
    assert_eq!(
        asked(&format!("{publisher}/web")).name,
        exactly("web"),
        "as an id is written"
    );
    let epoch = asked("alice/debian:tool@= 2:0.5-1");
    assert_eq!(epoch.requirement.unwrap().as_str(), "= 2:0.5-1");
    assert_eq!(
        asked("alice/tool@=2:0.5-1").name,
        NameRef::Bare("tool".parse().unwrap())
    );
    let open = format!("{publisher}/*:web");
    assert_eq!(asked(&open).name, NameRef::Bare("web".parse().unwrap()));
    for text in [
        "alice/generic:web",
        "alice/web@^1",
        "alice/cargo:serde-json",
        &open,
    ] {
        assert_eq!(asked(text).to_string(), text);
    }
    let id: PackageId = format!("{publisher}/cargo:serde").parse().unwrap();
    assert_eq!(PackageRef::of(&id).to_string(), id.to_string());
    assert!("alice/web".parse::<PackageId>().is_err());
}

proptest! {
    #[test]
    fn accepted_names_survive_json(text in "[a-z0-9][a-z0-9._-]{0,63}") {
        let name: PackageName = text.parse().unwrap();
        let json = serde_json::to_string(&name).unwrap();
        prop_assert_eq!(serde_json::from_str::<PackageName>(&json).unwrap(), name);
    }
}
