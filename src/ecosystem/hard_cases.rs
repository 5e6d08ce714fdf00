//! Cases in which an ecosystem's libraries disagree, or nearly everybody who knows its tools is
//! wrong, with the results of the tools themselves: packaging 26.4, npm's semver 7.8.6, cargo 1.95
//! and dpkg 1.21.22.

use super::{Ecosystem, Requirement};

enum HardCase {
    /// The order of two versions.
    Order(&'static str, char, &'static str),
    /// A requirement and a version that matches or not.
    Matches(&'static str, &'static str, bool),
    /// Like `Matches`, with pre-releases.
    Includes(&'static str, &'static str, bool),
    Version(&'static str, bool),
    Requirement(&'static str, bool),
    /// The normalised name; `None` for an invalid one.
    Name(&'static str, Option<&'static str>),
}

use HardCase::{Includes, Matches, Name, Order, Version};

const PYPI: [HardCase; 13] = [
    Order("1.0.dev1", '<', "1.0a1.dev2"),
    Order("1.0+ubuntu-1", '=', "1.0+ubuntu.1"),
    Order("1.0+2", '<', "1.0+18446744073709551616"),
    Order("1.0+1", '>', "1.0+a"),
    Order("1.0.post1.dev3", '>', "1.0+local"),
    Matches("==3.11.*", "3", false),
    Matches(">1.0rc1", "1.0.post1", true),
    Matches("<1.0.post1", "1.0a1", true),
    Matches("<1.0", "1.0rc1", false),
    Matches("===1", "1.0", false),
    Matches(">=1.0", "2.0a1", true),
    HardCase::Requirement(">=1,", true),
    Name("A-_.b", Some("a-b")),
];

const NPM: [HardCase; 13] = [
    Matches("*", "1.0.0-rc.1", false),
    Matches("", "1.0.0", true),
    Matches("~1.2.3 ||", "3.4.1", true),
    Matches(">2 <3", "0.2.3", false),
    Matches(">=2.0.0 <=1.3.0", "1.3.0", false),
    Matches(">*", "1.0.0", false),
    Includes("<2", "2.0.0-rc", false),
    Includes(">=1.0.0 <2.0.0", "2.0.0-rc", true),
    Includes("^1", "1.0.0-rc", true),
    HardCase::Requirement(">=2, <3", false),
    Version("01.2.3", false),
    Order("1.0.0+9", '=', "1.0.0+10"),
    Name("@a/_b", Some("@a/_b")),
];

const CARGO: [HardCase; 7] = [
    Order("1.0.0+9", '<', "1.0.0+10"),
    Matches("1.2", "1.9.0", true),
    HardCase::Requirement(">=1 <2", false),
    Matches("^0.0.3", "0.0.4", false),
    Matches("^1.0.0-alpha", "1.0.1-beta", false),
    Version("18446744073709551615.0.0", true),
    Name("1a", None),
];

const DEBIAN: [HardCase; 7] = [
    Order("1.0", '=', "1.0-0"),
    Order("1.0~", '=', "1.0~0"),
    Order("1.0", '>', "1.0-~"),
    Order("1.0a", '<', "1.0+"),
    Order("1.0-1~bpo12+1", '<', "1.0-1"),
    Version("2147483648:1", false),
    // The file of version 1:1.0-1 is ab_1.0-1_all.deb.
    Name("Ab", Some("ab")),
];

fn check(ecosystem: &Ecosystem, cases: &[HardCase]) {
    let version = |text| {
        ecosystem
            .version(text)
            .unwrap_or_else(|error| panic!("{ecosystem} {text}: {error}"))
    };
    let requirement = |text| {
        ecosystem
            .requirement(text)
            .unwrap_or_else(|error| panic!("{ecosystem} {text}: {error}"))
    };
    let asked = |text, of, is: fn(&Requirement, &super::Version) -> bool| {
        is(&requirement(text), &version(of))
    };
    for case in cases {
        match *case {
            Order(a, sign, b) => {
                let (a, b) = (version(a), version(b));
                let order = match sign {
                    '<' => a < b,
                    '>' => a > b,
                    _ => a == b,
                };
                assert!(
                    order && (a.key() == b.key()) == (sign == '='),
                    "{ecosystem} {a} {sign} {b}"
                );
            }
            Matches(text, of, answer) => {
                assert_eq!(
                    asked(text, of, Requirement::matches),
                    answer,
                    "{ecosystem} {of} in {text}"
                );
            }
            Includes(text, of, answer) => {
                assert_eq!(
                    asked(text, of, Requirement::includes),
                    answer,
                    "{ecosystem} {of} in {text}, with pre-releases"
                );
            }
            Version(text, answer) => assert_eq!(
                ecosystem.version(text).is_ok(),
                answer,
                "{ecosystem} {text}"
            ),
            HardCase::Requirement(text, answer) => {
                assert_eq!(
                    ecosystem.requirement(text).is_ok(),
                    answer,
                    "{ecosystem} {text}"
                );
            }
            Name(text, answer) => {
                assert_eq!(
                    ecosystem.normalise(text).ok().as_deref(),
                    answer,
                    "{ecosystem} {text}"
                );
            }
        }
    }
}

#[test]
fn hard_cases_of_cargo_debian_and_npm() {
    check(&Ecosystem::Cargo, &CARGO);
    check(&Ecosystem::Debian, &DEBIAN);
    check(&Ecosystem::Npm, &NPM);
    // A case about which cargo contradicts itself.
    let [a, b] = ["1.0.0+9", "1.0.0+10"].map(|text| Ecosystem::Cargo.version(text).unwrap());
    assert!(a.is_build_of(&b));
}

#[test]
fn hard_cases_of_pypi() {
    check(&Ecosystem::Pypi, &PYPI);
}
