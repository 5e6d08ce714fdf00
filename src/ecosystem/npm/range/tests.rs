use proptest::prelude::*;

use super::*;

fn requirement(text: &str) -> Requirement {
    Requirement::parse(text).unwrap_or_else(|error| panic!("{text} {error}"))
}

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

#[test]
fn ranges_take_what_npm_takes() {
    for (range, taken, not) in [
        ("", "0.0.0 9.9.9", "1.0.0-a 0.0.0-0"),
        ("1.2.3", "1.2.3 1.2.3+b", "1.2.4 1.2.3-a"),
        ("=v1.2.3", "1.2.3", "1.2.4"),
        ("1.2", "1.2.0 1.2.9", "1.3.0 1.1.9 1.3.0-0"),
        ("1.x", "1.0.0 1.9.9", "2.0.0 0.9.9"),
        ("==1", "1.0.0", "2.0.0"),
        ("1.2.x-beta", "1.2.0", "1.2.0-beta"),
        (
            "^1.2.3-a",
            "1.2.3-a 1.2.3-b 1.2.3 1.9.9",
            "1.2.4-a 2.0.0 1.2.2",
        ),
        ("^0.2.3", "0.2.3 0.2.9", "0.3.0 0.2.2"),
        ("^0.0.3", "0.0.3", "0.0.4"),
        ("^0.0", "0.0.9", "0.1.0"),
        ("^0", "0.9.9", "1.0.0"),
        ("~1.2.3", "1.2.3 1.2.9", "1.3.0 1.2.2"),
        ("~> 1", "1.9.9", "2.0.0"),
        ("~ > 1.2", "1.2.9", "1.3.0"),
        ("~>= 1.2", "1.2.9", "1.3.0"),
        ("^= 1", "1.9.9", "2.0.0"),
        (">1", "2.0.0", "1.9.9"),
        (">1.2", "1.3.0", "1.2.9"),
        ("<=1.2", "1.2.9", "1.3.0"),
        ("<1.2", "1.1.9", "1.2.0 1.2.0-a"),
        (">= 1.2.3 < 2", "1.2.3 1.9.9", "2.0.0"),
        ("1.2 - 2.3.4", "1.2.0 2.3.4", "2.3.5 1.1.9"),
        ("1 - 2", "2.9.9", "3.0.0"),
        ("=1 - v2.0.0", "2.0.0", "2.0.1"),
        ("x - 2", "0.0.0", "3.0.0"),
        ("1.2.3 - 2.0.0-b", "2.0.0-a 2.0.0-b", "2.0.0 2.0.0-c"),
        (">2 <3", "", "0.2.3 2.1.0"),
        (">=2.0.0 <=1.3.0", "", "1.3.0 2.0.0"),
        (">*", "", "1.0.0"),
        ("~1.2.3 ||", "3.4.1", "1.2.3-a"),
        ("1 || 3", "1.0.0 3.9.9", "2.0.0"),
        ("* || 1.0.0-rc.1", "1.0.0", "1.0.0-rc.1"),
        ("1.2.3+build 1.2+a.b", "1.2.3", "1.2.4"),
        ("\u{feff}1\u{2003}||\t2", "1.0.0 2.0.0", "3.0.0"),
        ("^x.99999999999999999999", "1.0.0", ""),
        (
            "9007199254740991.9007199254740990",
            "9007199254740991.9007199254740990.1",
            "1.0.0",
        ),
    ] {
        let requirement = requirement(range);
        for text in taken.split_whitespace() {
            assert!(requirement.matches(&version(text)), "{range} {text}");
        }
        for text in not.split_whitespace() {
            assert!(!requirement.matches(&version(text)), "{range} {text}");
        }
    }
}

#[test]
fn what_npm_refuses_is_refused() {
    for bad in [
        ">=2, <3",
        "latest",
        "npm:a@1",
        "1.2.3.4",
        "01.2.3",
        ">=1.2.3-",
        "=>1",
        "> = 1",
        "==1.2.3",
        "=1.2.3 - 2",
        "1 -2",
        "1 - 2 - 3",
        "- 2",
        "1.x.3",
        "*.1",
        "~",
        "^",
        ">",
        "1.2-a",
        "v 1",
        "vv1.2.3",
        "~ =>2.1",
        "1 +b - 2",
        "1+",
        "9007199254740992",
        ">9007199254740991",
        "^9007199254740991.0.0",
        "^0.0.9007199254740991",
        "1 | 2",
        "1 && 2",
        "~~1",
        "^~1",
        ">~1",
        "1..2",
        "1.",
        ".1",
        "\u{85}1",
        "1.2.3-01",
    ] {
        assert!(Requirement::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn stars_and_builds_that_belong_to_nothing_are_refused() {
    // npm removes them, and parses the rest as a range.
    for odd in [
        "1.2.3*", "*1.2.3", "1.2.*3", "*>=1.2.3", "+b", "1 +b", "1 ||+b",
    ] {
        assert!(Requirement::parse(odd).is_err(), "{odd}");
    }
}

#[test]
fn pre_releases_are_included_as_npm_includes_them() {
    for (range, text, within) in [
        ("*", "0.0.0-0", true),
        ("<2", "2.0.0-rc", false),
        (">=1.0.0 <2.0.0", "2.0.0-rc", true),
        ("^1", "1.0.0-rc", true),
        ("^1", "2.0.0-rc", false),
        ("^1.0.0", "1.0.0-rc", false),
        ("~1.2", "1.2.0-0", true),
        ("1.2", "1.2.0-0", true),
        (">1", "2.0.0-0", true),
        (">=1", "1.0.0-0", true),
        ("1.0.0 - 2.0.0", "1.0.0-a", true),
        ("1.0.0 - 2.0.0", "2.0.1-a", false),
        ("1.0.0 - 2.0.0", "2.0.1-0", false),
        ("1.0.0 - 2.0.0-b", "2.0.0-c", false),
        ("1 - 2.0.9007199254740991", "2.0.9007199254740991", true),
        (">*", "1.0.0-a", false),
        (">=0.0.0", "0.0.0-a", false),
        (">=0", "0.0.0-0", true),
    ] {
        assert_eq!(
            requirement(range).includes(&version(text)),
            within,
            "{range} {text}"
        );
    }
}

#[test]
fn one_version_is_named_exactly() {
    for (range, exactly) in [
        ("1.2.3", true),
        ("=v1.2.3+b", true),
        ("1.2.3 || =1.2.3", true),
        ("1.2.3 *", true),
        ("1.2", false),
    ] {
        assert_eq!(
            requirement(range).is_exactly(&version("1.2.3")),
            exactly,
            "{range}"
        );
    }
    for range in [
        "",
        "1.2.4",
        ">=1.2.3 <=1.2.3",
        "1.2.3 || 1.2.4",
        "1.2.3-a",
        "1.2.3 ||",
    ] {
        assert!(!requirement(range).is_exactly(&version("1.2.3")), "{range}");
    }
    for range in [
        "", "*", "x", "X.x", ">=0", ">= 0.0.0", "1 || ", "^x", "0 - x",
    ] {
        assert!(requirement(range).is_any(), "{range}");
    }
    for range in ["1", ">*", ">=0.0.0-0", "0.0.0"] {
        assert!(!requirement(range).is_any(), "{range}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_range_or_refused(text in "\\PC{0,60}|[v0-2x*.+ <>=~^|a-]{0,30}") {
        let _ = Requirement::parse(&text);
    }

    /// Every match is included.
    #[test]
    fn the_wide_reading_is_wider(
        range in "([~^]|[<>]?=?) ?[01x](\\.[01x](\\.[01x](-[0a])?)?)?( - \
            [0-2](\\.[01](\\.[01](-[0a])?)?)?)?( \\|\\| [01])?",
        text in "[01]\\.[01]\\.[01](-[0ab])?",
    ) {
        if let Ok(requirement) = Requirement::parse(&range) {
            let version = version(&text);
            prop_assert!(!requirement.matches(&version) || requirement.includes(&version));
            prop_assert!(!requirement.is_any() || version.is_pre_release() || requirement.matches(&version));
            prop_assert!(!requirement.is_exactly(&version) || requirement.matches(&version));
        }
    }
}
