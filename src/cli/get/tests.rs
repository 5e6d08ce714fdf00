use std::path::Component;

use libp2p::identity::Keypair;
use proptest::prelude::*;

use super::*;
use crate::domain::name::{PackageName, PublisherId, WrittenName};

fn place(ecosystem: &str, name: &str, version: &str) -> Option<PathBuf> {
    let owner = PublisherId::of(&Keypair::ed25519_from_bytes([1; 32]).unwrap().public());
    let name = PackageName::of(
        &ecosystem.parse().unwrap(),
        &name.parse::<WrittenName>().ok()?,
    )
    .ok()?;
    Some(place_of(&PackageId { owner, name }, &version.parse().ok()?))
}

#[test]
fn releases_are_put_where_their_ecosystem_says() {
    for (ecosystem, name, version, expected) in [
        ("generic", "web", "1.0.0", "web-1.0.0"),
        ("cargo", "Serde_json", "1.0.0+b", "cargo/serde-json-1.0.0+b"),
        ("npm", "@scope/name", "1.0.0", "npm/@scope%2Fname-1.0.0"),
        ("debian", "g++", "4:12.2.0-3", "debian/g++-4%3A12.2.0-3"),
        ("conda", "../../x", "/etc", "conda/..%2F..%2Fx-%2Fetc"),
    ] {
        assert_eq!(
            place(ecosystem, name, version).unwrap(),
            Path::new(expected)
        );
    }
}

proptest! {
    #[test]
    fn no_name_leads_out_of_its_directory(name in "[!-~]{1,20}", version in "[!-~]{1,20}") {
        let place = place("conda", &name, &version).unwrap();
        let parts: Vec<_> = place.components().collect();
        prop_assert_eq!(parts.len(), 2, "{:?}", place);
        prop_assert!(parts.iter().all(|part| matches!(part, Component::Normal(_))));
    }
}
