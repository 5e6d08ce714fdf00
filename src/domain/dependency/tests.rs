use super::*;
use libp2p::identity::Keypair;
use proptest::prelude::*;

fn dependency(package: String) -> Dependency {
    Dependency {
        optional: true,
        ..Dependency::on(package, "^1".parse().unwrap())
    }
}

#[test]
fn a_handle_becomes_a_key_and_stays_as_the_label() {
    let bob = PublisherId::of(&Keypair::generate_ed25519().public());
    let typed = dependency("bob/lib".to_owned());
    assert_eq!(
        (typed.id(), typed.named_by().unwrap().as_str()),
        (None, "bob")
    );
    let signed = typed
        .by_key(&Ecosystem::Generic, |handle| {
            if handle.as_str() == "bob" {
                Ok(bob)
            } else {
                Err(())
            }
        })
        .unwrap();
    assert_eq!(signed.written(), format!("{bob}/lib"));
    assert_eq!(
        (signed.requirement.to_string().as_str(), signed.optional),
        ("^1", true)
    );
    assert_eq!(signed.called(), format!("bob/lib ({})", bob.fingerprint()));
    assert_eq!(
        signed
            .clone()
            .by_key(&Ecosystem::Generic, |_| Err("nobody is asked")),
        Ok(signed)
    );
    assert_eq!(
        dependency("bob/lib".to_owned()).by_key(&Ecosystem::Generic, |_| Err("unknown")),
        Err("unknown")
    );
    for refused in ["lib", "bob/lib@<1.5", "bob/cargo:1a"] {
        assert_eq!(
            dependency(refused.to_owned())
                .by_key(&Ecosystem::Generic, |_| Err(()))
                .unwrap()
                .written(),
            refused
        );
    }
}

#[test]
fn a_requirement_may_stand_in_the_reference_and_a_name_alone_is_one_of_the_drafts_ecosystem() {
    let bob = PublisherId::of(&Keypair::generate_ed25519().public());
    let mut typed = dependency("bob/Lib@<1.5".to_owned());
    typed.requirement = RequirementText::any();
    let signed = typed
        .by_key(&Ecosystem::Cargo, |_| Ok::<_, ()>(bob))
        .unwrap();
    assert_eq!(
        (signed.written(), signed.requirement.as_str()),
        (&*format!("{bob}/cargo:lib"), "<1.5")
    );
}

#[test]
fn a_bare_name_is_of_the_dependents_ecosystem_and_says_when_it_is_needed() {
    let read = |toml: &str| toml::from_str::<Dependency>(toml);
    let tomli = read(
        "name = \"Tomli\"\nrequirement = \">=2\"\nextras = [\"fast\"]\nkind = \
            \"build\"\nunder = \"toml\"\nmarker = \"python_version < '3.11'\"",
    )
    .unwrap();
    assert_eq!(
        tomli.describe(),
        "Tomli[fast]@>=2 (build; with toml; python_version < '3.11')"
    );
    assert_eq!(tomli.problem(&Ecosystem::Pypi), None);
    let bob = PublisherId::of(&Keypair::generate_ed25519().public());
    assert_eq!(
        tomli
            .id_for_owner(bob, &Ecosystem::Pypi)
            .unwrap()
            .to_string(),
        format!("{bob}/pypi:tomli")
    );
    assert!(tomli.is_settled() && tomli.id().is_none() && tomli.named_by().is_none());
    assert_eq!(
        tomli
            .clone()
            .by_key(&Ecosystem::Pypi, |_| Err("nobody is asked")),
        Ok(tomli.clone())
    );
    let text = serde_json::to_string(&tomli).unwrap();
    assert_eq!(serde_json::from_str::<Dependency>(&text).unwrap(), tomli);
    for (both, why) in [
        ("requirement = \"*\"", "the key package is missing"),
        (
            "name = \"a\"\npackage = \"b/a\"\nrequirement = \"*\"",
            "not both",
        ),
        (
            "name = \"a\"\nhandle = \"bob\"\nrequirement = \"*\"",
            "no handle",
        ),
        (
            "name = \"a\"\nkind = \"Dev\"\nrequirement = \"*\"",
            "the kind must be",
        ),
    ] {
        let error = read(both).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn every_field_has_a_limit_and_is_named() {
    let fine = Dependency::bare("lib".parse().unwrap(), RequirementText::any());
    let text = |length: usize| Some("x".repeat(length));
    let marker = |length: usize| Some(format!("extra == '{}'", "x".repeat(length - 11)));
    let kept: [Dependency; 5] = [
        Dependency {
            under: text(limit::EXTRA),
            ..fine.clone()
        },
        Dependency {
            extras: vec!["x".repeat(limit::EXTRA); limit::EXTRAS],
            ..fine.clone()
        },
        Dependency {
            platform: text(limit::PLATFORM),
            ..fine.clone()
        },
        Dependency {
            marker: marker(limit::MARKER),
            ..fine.clone()
        },
        Dependency {
            kind: "post-install".parse().unwrap(),
            ..fine.clone()
        },
    ];
    for dependency in kept {
        assert_eq!(dependency.problem(&Ecosystem::Pypi), None, "{dependency:?}");
    }
    let refused = [
        (
            "under",
            Dependency {
                under: text(limit::EXTRA + 1),
                ..fine.clone()
            },
        ),
        (
            "under",
            Dependency {
                under: text(0),
                ..fine.clone()
            },
        ),
        (
            "extras",
            Dependency {
                extras: vec!["x".to_owned(); limit::EXTRAS + 1],
                ..fine.clone()
            },
        ),
        (
            "extras",
            Dependency {
                extras: vec!["x\u{202e}".to_owned()],
                ..fine.clone()
            },
        ),
        (
            "platform",
            Dependency {
                platform: text(limit::PLATFORM + 1),
                ..fine.clone()
            },
        ),
        (
            "marker",
            Dependency {
                marker: marker(limit::MARKER + 1),
                ..fine.clone()
            },
        ),
        (
            "marker",
            Dependency {
                marker: Some("python < 3".to_owned()),
                ..fine.clone()
            },
        ),
        (
            "version requirement",
            Dependency {
                requirement: "not".parse().unwrap(),
                ..fine.clone()
            },
        ),
        (
            "package name",
            Dependency {
                on: DependencyOn::Bare("-lib".parse().unwrap()),
                ..fine.clone()
            },
        ),
    ];
    for (field, dependency) in refused {
        let problem = dependency.problem(&Ecosystem::Pypi).unwrap_or_default();
        assert!(problem.contains(field), "{field}: {problem}");
    }
    let elsewhere = Dependency {
        marker: Some("whatever".to_owned()),
        ..fine
    };
    assert_eq!(
        elsewhere.problem(&Ecosystem::Npm),
        None,
        "what it means is not known here"
    );
}

proptest! {
    #[test]
    fn whatever_a_reference_says_what_comes_of_it_is_by_key(
        name in "[a-z0-9][a-z0-9._-]{0,63}", handle in "[a-z0-9][a-z0-9._-]{0,63}", seed in any::<[u8; 32]>()
    ) {
        let publisher = PublisherId::of(&Keypair::ed25519_from_bytes(seed).unwrap().public());
        for owner in [handle.clone(), publisher.to_string()] {
            let signed = dependency(format!("{owner}/{name}")).by_key(&Ecosystem::Generic, |_| Ok::<_, ()>(publisher)).unwrap();
            let id = signed.id().unwrap();
            prop_assert_eq!((id.owner, id.name.as_str()), (publisher, name.as_str()));
            prop_assert_eq!(signed.named_by(), None);
        }
    }
}
