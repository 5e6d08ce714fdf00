use super::*;
use libp2p::identity::Keypair;
use proptest::prelude::*;

fn key(n: u8) -> PublisherId {
    PublisherId::of(&Keypair::ed25519_from_bytes([n; 32]).unwrap().public())
}

fn name(text: &str) -> PackageName {
    text.parse().unwrap()
}

fn trusted(publisher: PublisherId, names: &str) -> TrustedKey {
    TrustedKey {
        publisher,
        names: names.parse().unwrap(),
        since: Timestamp(0),
    }
}

fn rule(pattern: &str, owner: PublisherId) -> NameRule {
    NameRule {
        pattern: pattern.parse().unwrap(),
        owner,
        written: RuleAuthor::Command,
    }
}

#[test]
fn patterns_take_names_in_every_spelling() {
    for (pattern, taken, not) in [
        ("cargo:Serde_JSON", "cargo:serde-json", "cargo:serde"),
        ("cargo:tokio_*", "cargo:tokio-util", "cargo:tokio"),
        ("npm:@bar/*", "npm:@bar/x", "npm:@baz/x"),
        ("pypi:Zope.*", "pypi:zope-interface", "pypi:zope"),
        ("*", "npm:@a/b", ""),
        ("cargo:*", "cargo:a", "npm:a"),
        ("web", "web", "cargo:web"),
        ("cargo:a*b*c", "cargo:axxbyyc", "cargo:axxcyyb"),
        ("cargo:a*a", "cargo:aa", "cargo:a"),
    ] {
        let parsed: NamePattern = pattern.parse().unwrap();
        assert!(parsed.takes(&name(taken)), "{pattern} {taken}");
        assert!(
            not.is_empty() || !parsed.takes(&name(not)),
            "{pattern} {not}"
        );
        assert_eq!(
            parsed.to_string().parse::<NamePattern>().unwrap(),
            parsed,
            "{pattern}"
        );
    }
    for bad in ["", "cargo:", "cargo:a b", "Car go:x", "cargo:x0star0x"] {
        assert!(bad.parse::<NamePattern>().is_err(), "{bad}");
    }
}

#[test]
fn rules_go_before_own_and_own_before_trusted() {
    let (me, alice, bob) = (key(1), key(2), key(3));
    let keys = [trusted(alice, "*"), trusted(bob, "*")];
    let rules = [rule("cargo:*", alice), rule("cargo:serde", bob)];
    let claimants = [me, alice, bob];
    let all = NameFacts {
        rules: &rules,
        trusted: &keys,
        own: Some(me),
        claimants: &claimants,
        ..NameFacts::default()
    };
    assert_eq!(
        decide(&name("cargo:serde"), &all).owner(),
        Some(bob),
        "the name itself counts more than a glob"
    );
    assert_eq!(decide(&name("cargo:rand"), &all).owner(), Some(alice));
    let no_rules = NameFacts {
        rules: &[],
        ..all.clone()
    };
    let own = decide(&name("cargo:serde"), &no_rules);
    assert_eq!(own.owner(), Some(me));
    let mut others = vec![alice, bob];
    others.sort_unstable();
    assert_eq!(
        own.passed_over, others,
        "whom an own package shadows is known"
    );
}

#[test]
fn several_are_refused_until_somebody_was_first() {
    let (alice, bob, eve) = (key(2), key(3), key(4));
    let keys = [trusted(alice, "*"), trusted(bob, "cargo:clash")];
    let claimants = [alice, bob, eve];
    let known = NameFacts {
        trusted: &keys,
        claimants: &claimants,
        ..NameFacts::default()
    };
    let clash = decide(&name("cargo:clash"), &known);
    let NameMeaning::Several(several) = &clash.meaning else {
        panic!("{clash:?}")
    };
    assert!(several.len() == 2 && !several.contains(&eve));
    let said = clash.refusal().unwrap();
    let command = format!("`swarmdex names set cargo:clash {}`", several[0]);
    assert!(
        said.contains(&command) && said.contains(&several[1].fingerprint()),
        "{said}"
    );
    assert!(said.find("names set").unwrap() < said.find("swarmdex trust").unwrap());
    let known = NameFacts {
        first: Some(bob),
        ..known
    };
    assert_eq!(decide(&name("cargo:clash"), &known).owner(), Some(bob));
    assert_eq!(
        decide(&name("cargo:other"), &known).owner(),
        Some(alice),
        "bob is trusted for one name only"
    );
    let known = NameFacts {
        first: Some(eve),
        ..known
    };
    assert!(
        matches!(
            decide(&name("cargo:clash"), &known).meaning,
            NameMeaning::Several(_)
        ),
        "not one who is trusted"
    );
}

#[test]
fn a_fresh_node_trusts_nobody_and_a_block_goes_before_all() {
    let (me, eve) = (key(1), key(4));
    let known = NameFacts {
        claimants: &[eve],
        ..NameFacts::default()
    };
    let nobody = decide(&name("cargo:serde"), &known);
    assert_eq!(nobody.meaning, NameMeaning::Nobody(vec![eve]));
    assert!(
        nobody
            .refusal()
            .unwrap()
            .contains(&format!("swarmdex trust {eve}"))
    );
    let block = NameBlock {
        name: name("cargo:serde"),
        version: None,
        file: None,
        why: "broken".into(),
        since: Timestamp(0),
    };
    let rules = [rule("*", me)];
    let known = NameFacts {
        rules: &rules,
        own: Some(me),
        claimants: &[me],
        block: Some(&block),
        ..NameFacts::default()
    };
    assert_eq!(decide(&name("cargo:serde"), &known).owner(), None);
}

proptest! {
    /// Nobody has a name except by a rule, as this node's own key, or as a key trusted for it.
    #[test]
    fn nobody_has_a_name_who_was_given_none(
        claimants in prop::collection::vec(1u8..6, 0..6), given in prop::collection::vec((1u8..6, 0usize..4), 0..6),
        ruled in prop::collection::vec((1u8..6, 0usize..4), 0..3), own in prop::option::of(1u8..6),
        first in prop::option::of(1u8..6), at in 0usize..3, turn in 0usize..6,
    ) {
        let patterns = ["*", "cargo:a*", "cargo:ab", "npm:ab"];
        let name = name(["cargo:ab", "cargo:ac", "npm:ab"][at]);
        let mut claimants: Vec<_> = claimants.into_iter().map(key).collect();
        let mut keys: Vec<_> = given.into_iter().map(|(n, p)| trusted(key(n), patterns[p])).collect();
        let mut rules: Vec<_> = ruled.into_iter().map(|(n, p)| rule(patterns[p], key(n))).collect();
        // One pattern has one owner, as in a stored table.
        rules.sort_by_key(|rule| rule.pattern.clone());
        rules.dedup_by_key(|rule| rule.pattern.clone());
        let own = own.map(key);
        let known = NameFacts { rules: &rules, trusted: &keys, own, claimants: &claimants, first: first.map(key), block: None };
        let decided = decide(&name, &known);
        match &decided.meaning {
            NameMeaning::Owner { owner, by } => {
                let is_trusted = keys.iter().any(|key| key.publisher == *owner && key.names.takes(&name));
                let is_right = match by {
                    By::Rule(rule) => rule.owner == *owner && rule.pattern.takes(&name),
                    By::Own => own == Some(*owner) && claimants.contains(owner),
                    By::First => is_trusted && first.map(key) == Some(*owner),
                    By::Trusted(_) => is_trusted && claimants.contains(owner),
                };
                prop_assert!(is_right, "{:?}", decided);
                prop_assert!(decided.refusal().is_none());
            }
            NameMeaning::Several(several) => prop_assert!(several.len() > 1),
            NameMeaning::Nobody(_) | NameMeaning::Blocked(_) => {}
        }
        // The order must not matter.
        if !claimants.is_empty() { let by = turn % claimants.len(); claimants.rotate_left(by); }
        if !keys.is_empty() { let by = turn % keys.len(); keys.rotate_left(by); }
        if !rules.is_empty() { let by = turn % rules.len(); rules.rotate_left(by); }
        let known = NameFacts { rules: &rules, trusted: &keys, own, claimants: &claimants, first: first.map(key), block: None };
        prop_assert_eq!(decide(&name, &known), decided);
    }

    #[test]
    fn a_pattern_is_itself_again(text in "(cargo:|npm:|pypi:|debian:|)[a-zA-Z*@/._-]{1,12}") {
        if let Ok(pattern) = text.parse::<NamePattern>() {
            prop_assert_eq!(pattern.to_string().parse::<NamePattern>(), Ok(pattern));
        }
    }

    #[test]
    fn a_name_without_a_star_takes_itself_alone(a in "[a-z][a-z0-9]{0,6}", b in "[a-z][a-z0-9]{0,6}") {
        let (one, two) = (name(&format!("cargo:{a}")), name(&format!("cargo:{b}")));
        prop_assert_eq!(NamePattern::of(&one).takes(&two), a == b);
        prop_assert_eq!(NamePattern::of(&one).exactly(), Some(one));
    }
}
