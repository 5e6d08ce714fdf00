use std::cmp::Ordering;

use proptest::prelude::*;

use super::{
    super::{Ecosystem, Requirement, Version},
    dependency::{PypiDependency, VersionsOrUrl},
    file::{FileName, Packing, SourceFile, Wheel},
    marker::Marker,
    normalise,
};

fn version(text: &str) -> Version {
    Ecosystem::Pypi
        .version(text)
        .unwrap_or_else(|why| panic!("{text:?} {why}"))
}

fn requirement(text: &str) -> Requirement {
    Ecosystem::Pypi
        .requirement(text)
        .unwrap_or_else(|why| panic!("{text:?} {why}"))
}

#[test]
fn names_that_normalise_alike_are_one() {
    for (name, normal) in [
        ("A-_.b", "a-b"),
        ("zope.interface", "zope-interface"),
        ("My.Pkg--Name", "my-pkg-name"),
        ("PyYAML", "pyyaml"),
        ("0", "0"),
        ("a", "a"),
        ("3to2", "3to2"),
    ] {
        assert_eq!(normalise(name).unwrap(), normal, "{name}");
    }
    for bad in [
        "",
        "-a",
        "a-",
        "_a",
        "a.",
        ".",
        "a b",
        "a\n",
        "é",
        "a/b",
        "a+b",
        "ａ",
        "@a/b",
        "ſ",
        "a\u{212a}",
    ] {
        assert!(normalise(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn versions_have_one_order() {
    // From the lowest to the highest; versions on one line are equal.
    let lines: &[&[&str]] = &[
        &["0.dev0"],
        &["0.9+z"],
        &["1.0.dev1", "1.dev1", "1.0-DEV_1"],
        &["1.0a0.dev3"],
        &["1.0a0", "1.0a", "1.0-alpha", "1.0a-", "1.0_ALPHA.0"],
        &["1.0a1.dev2"],
        &["1.0a1"],
        &["1.0a1.post2.dev3"],
        &["1.0a1.post2"],
        &["1.0b1", "1.0BETA1"],
        &["1.0rc1", "1.0c1", "1.0pre1", "1.0-preview-1"],
        &["1.0rc9"],
        &["1.0rc10"],
        &["1.0rc18446744073709551616"],
        &[
            "1.0",
            "1",
            "1.0.0",
            "v1.0",
            "V1",
            "01.00",
            "0!1",
            "1.0 ",
            "1.0\u{2003}",
            "\u{1c}1.0\u{b}",
        ],
        &["1.0+a"],
        &["1.0+ubuntu-1", "1.0+ubuntu.1", "1.0+UBUNTU_01"],
        &["1.0+1"],
        &["1.0+1.a"],
        &["1.0+1.0"],
        &["1.0+2"],
        &["1.0+18446744073709551616"],
        &["1.0.post0.dev3"],
        &["1.0.post0", "1.0-0", "1.0.post", "1.0r", "1.0.rev-0"],
        &["1.0.post1.dev3"],
        &["1.0.post1", "1.0-1", "1.0post1", "1.0.r.1"],
        &["1.0.1"],
        &["1.18446744073709551615"],
        &["1.18446744073709551616"],
        &["2024.1"],
        &["1!0.1", "01!0.1.0"],
    ];
    for (at, line) in lines.iter().enumerate() {
        for (other_at, other_line) in lines.iter().enumerate() {
            for (a, b) in line
                .iter()
                .flat_map(|a| other_line.iter().map(move |b| (a, b)))
            {
                let (a, b) = (version(a), version(b));
                assert_eq!(a.cmp(&b), at.cmp(&other_at), "{a:?} {b:?}");
                assert_eq!(a.key() == b.key(), at == other_at, "{a:?} {b:?}");
            }
        }
    }
}

#[test]
fn keys_are_versions_as_they_are_written_best() {
    for (text, key) in [
        ("v01.20.00", "1.20"),
        ("0.0", "0"),
        ("00!0", "0"),
        (
            "2!1.0-ALPHA-7.rev3_dev+Deb-1.07",
            "2!1a7.post3.dev0+deb.1.7",
        ),
        ("1.0a--1", "1a0.post1"),
        ("1.dev", "1.dev0"),
    ] {
        assert_eq!(version(text).key(), key);
        assert_eq!(version(key), version(text));
    }
}

#[test]
fn what_is_no_version_is_refused() {
    for bad in [
        "",
        " ",
        "a",
        "v",
        "1.",
        ".1",
        "1..0",
        "1.0.",
        "1.0-",
        "1.0+",
        "1.0+a+b",
        "1.0+-",
        "1.0+a-",
        "1!",
        "!1",
        "1!!1",
        "1.x",
        "1.0al",
        "1.0.post..1",
        "1.0--1",
        "1 .0",
        "v 1",
        "vv1",
        "1.0\u{200b}",
        "١.0",
        "1.０",
        "1.0a١",
        "1.0+é",
        "1.0poſt1",
        "1.0+\u{212a}",
        "1.0.dev1.post1",
        "1.0rc1a1",
        "1.0-a-b",
        "latest",
        "1.*",
    ] {
        assert!(Ecosystem::Pypi.version(bad).is_err(), "{bad:?}");
    }
    assert!(Ecosystem::Pypi.version(&"1".repeat(65)).is_err());
}

#[test]
fn pre_releases_are_those_that_pip_holds_back() {
    for (text, pre) in [
        ("1.0a1", true),
        ("1.0.dev1", true),
        ("1.0.post1.dev1", true),
        ("1.0rc1.post1", true),
        ("1.0.post1", false),
        ("1+a", false),
    ] {
        assert_eq!(version(text).is_pre_release(), pre, "{text}");
    }
}

#[test]
fn specifiers_take_what_packaging_says() {
    for (specifiers, text, taken) in [
        ("==3.11.*", "3", false),
        ("==3.0.*", "3", true),
        ("!=3.11.*", "3", true),
        ("==1.2.*", "1.2.dev1", true),
        ("==1.2.*", "1.2.9+x", true),
        ("==1.2.*", "1!1.2", false),
        ("==1!1.2.*", "1!1.2.post1", true),
        ("==1.2.*", "1.20", false),
        ("== v1.2.* ", "1.2a1", true),
        (">1.0rc1", "1.0.post1", true),
        (">1.0rc1", "1.0rc1.post1", false),
        (">1.0rc1", "1.0rc2.dev0", true),
        (">1.0", "1.0.post1", false),
        (">1.0", "1.0+x", false),
        (">1.0", "1.0.1.dev0", true),
        (">1.0.post1", "1.0.post2.dev0", true),
        (">1.0.post1", "1.0.post1+x", false),
        (">1.0.dev1", "1.0.dev1+x", false),
        (">1.0.dev1", "1.0a1", true),
        ("<1.0.post1", "1.0a1", true),
        ("<1.0.post1", "1.0", true),
        ("<1.0.post1", "1.0+x", true),
        ("<1.0.post1", "1.0.post1.dev0", false),
        ("<1.0", "1.0rc1", false),
        ("<1.0", "0.9.post1", true),
        ("<1.0rc1", "1.0b2", true),
        ("<1.0rc1", "1.0rc1.dev0", true),
        ("<0.dev0", "0.dev0", false),
        (">=1.0", "1.0+x", true),
        (">=1.0", "1.0rc1", false),
        (">=1.0", "2.0a1", true),
        ("<=1.0", "1.0+x", true),
        ("<=1.0", "1.0.post1", false),
        ("==1.0", "1.0.0+x", true),
        ("==1.0+x", "1.0", false),
        ("==1.0+X-1", "1+x.01", true),
        ("!=1.0", "1.0+x", false),
        ("!=1.0+x", "1.0", true),
        ("~=2.2", "2.9", true),
        ("~=2.2", "3.0.dev0", false),
        ("~=2.2", "2.2rc1", false),
        ("~=2.2.0", "2.2.9", true),
        ("~=2.2.0", "2.3", false),
        ("~=2.2.post3", "2.2.post2", false),
        ("~=v1.0b1", "1.1.1", true),
        ("~=1!2.2", "1!2.4", true),
        ("~=1!2.2", "2!2.4", false),
        ("===1", "1.0", false),
        ("===1.0", "1.0", true),
        ("=== V1.0RC1", "v1.0rc1", true),
        ("===1.0", "1.0 ", false),
        ("===foo", "1.0", false),
        ("===1.0,>=2", "1.0", false),
        (">=1,<2", "1.5", true),
        (">=1,,<2 , ", "2", false),
        ("", "1.0", true),
        (" , ", "1.0a1", true),
    ] {
        assert_eq!(
            requirement(specifiers).matches(&version(text)),
            taken,
            "{text} in {specifiers}"
        );
    }
}

#[test]
fn what_is_no_specifier_is_refused() {
    for bad in [
        "1.0",
        "=1.0",
        "=>1.0",
        "^1.0",
        "~1.0",
        "*",
        "==*",
        "==",
        ">=",
        "===",
        "=== ",
        "===a b",
        "===a;b",
        "===a)",
        "==1.0.*.*",
        "==1.*.0",
        "==1.0a1.*",
        "==1.0+x.*",
        ">=1.*",
        "~=1",
        "~=1.*",
        "~=1.0+x",
        ">1.0+x",
        ">=1 <2",
        ">=1;",
        "(>=1)",
        "> =1",
        "==1 .*",
        "<>1",
        ">=١",
        ">=1\u{200b}",
        "==1.0.* x",
    ] {
        assert!(Ecosystem::Pypi.requirement(bad).is_err(), "{bad:?}");
    }
    assert!(
        Ecosystem::Pypi
            .requirement(&format!(">={}", "1".repeat(199)))
            .is_err()
    );
}

#[test]
fn a_pre_release_is_asked_for_by_its_name() {
    let pre = version("2.0a1");
    for (specifiers, named) in [
        (">=1.0", false),
        (">=1.0a1", true),
        ("!=1.0a1", false),
        ("<3.dev0", true),
        (">=1,!=1.5,<3rc1", true),
        ("~=2.0a0", true),
        ("==2.0.*", false),
        ("===2.0a1", true),
        ("", false),
    ] {
        assert_eq!(requirement(specifiers).names(&pre), named, "{specifiers}");
        assert!(requirement(specifiers).includes(&pre), "{specifiers}");
    }
    assert!(requirement(">=1.0").names(&version("1.0.post1")));
    assert!(!requirement(">=3.0a1").names(&pre));
}

#[test]
fn one_version_is_named_by_equality_without_a_wildcard() {
    for (specifiers, text, exactly) in [
        ("==1.0", "1", true),
        ("==1.0", "1.0+x", false),
        ("==1.0+x", "1.0+X", true),
        ("===1.0", "1.0", true),
        ("===1.0", "1", false),
        ("==1.0,===1.0", "1.0", true),
        ("==1.0,>=1", "1.0", false),
        ("==1.*", "1", false),
        ("~=1.0", "1.0", false),
        ("", "1.0", false),
    ] {
        assert_eq!(
            requirement(specifiers).is_exactly(&version(text)),
            exactly,
            "{text} {specifiers}"
        );
    }
    let odd = version("v1.0-RC.1+Local");
    assert!(
        requirement(&format!("=={odd}")).is_exactly(&odd)
            && Requirement::only(&odd).is_exactly(&odd)
    );
    assert!(requirement("").is_any() && requirement(", ").is_any() && !requirement(">=0").is_any());
}

#[test]
fn wheels_say_what_they_are_for() {
    let wheel = Wheel::parse(
        "Zope_Interface-6.0-07b.x-cp39.CP310-abi3-manylinux_2_5_x86_64.manylinux1_x86_64.whl",
    )
    .unwrap();
    assert_eq!(
        (wheel.name.as_str(), wheel.version.as_str()),
        ("Zope_Interface", "6.0")
    );
    let build = wheel.build.unwrap();
    assert_eq!((build.number.as_str(), build.suffix.as_str()), ("7", "b.x"));
    assert_eq!(
        (wheel.pythons, wheel.abis),
        (
            vec!["cp39".to_owned(), "cp310".to_owned()],
            vec!["abi3".to_owned()]
        )
    );
    assert_eq!(
        wheel.platforms,
        ["manylinux_2_5_x86_64", "manylinux1_x86_64"]
    );
    for good in [
        "my.pkg-v1.0-py3-none-any.whl",
        "a-1.0+local_1-py2.py3-none-any.whl",
        "a-01.0-1-py3-none-any.whl",
    ] {
        assert!(
            matches!(FileName::parse(good), Ok(FileName::Wheel(_))),
            "{good}"
        );
    }
    for bad in [
        "my-pkg-1.0-py3-none-any.whl",
        "name__x-1.0-py3-none-any.whl",
        "a-1.0%2B1-py3-none-any.whl",
        "a-1.0-build1-py3-none-any.whl",
        "a-1.0-py3-none-any.WHL",
        "a-1.0-py3-none.whl",
        "a-1.0-1-2-py3-none-any.whl",
        "a-1.0-py3..py2-none-any.whl",
        "a-1.0-3py-none-any.whl",
        "a-1.0-py3-none-.whl",
        "-1.0-py3-none-any.whl",
        "_a-1.0-py3-none-any.whl",
        "né-1.0-py3-none-any.whl",
        "a-1.0 -py3-none-any.whl",
        "a-1.0-py3-none-a/b.whl",
        "../a-1.0-py3-none-any.whl",
        ".whl",
    ] {
        assert!(FileName::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn source_distributions_say_their_name_and_version() {
    for (file, name, text, packing) in [
        ("PyYAML-6.0.1.tar.gz", "PyYAML", "6.0.1", Packing::TarGz),
        (
            "zope.interface-5.0.zip",
            "zope.interface",
            "5.0",
            Packing::Zip,
        ),
        ("my-pkg-1.0rc1.tar.gz", "my-pkg", "1.0rc1", Packing::TarGz),
        // The version could not be told from 1.0-1.
        ("a-1.0-1.tar.gz", "a-1.0", "1", Packing::TarGz),
    ] {
        let source = SourceFile::parse(file).unwrap();
        assert_eq!(
            (
                source.name.as_str(),
                source.version.as_str(),
                source.packing
            ),
            (name, text, packing)
        );
        assert_eq!(FileName::parse(file).unwrap().name(), name);
    }
    for bad in [
        "a.tar.gz",
        "a-1.0.tgz",
        "a-1.0.tar.bz2",
        "a-1.0.TAR.GZ",
        "-1.0.zip",
        "a-.zip",
        "a-x.zip",
        "a--1.0.zip",
        "a-1.0.egg",
    ] {
        assert!(FileName::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn dependencies_have_a_name_and_conditions() {
    let versions = |text: &str| VersionsOrUrl::Versions(text.to_owned());
    for (text, name, extras, wanted, marker) in [
        ("requests", "requests", &[][..], versions(""), None),
        ("A.B-c_d>=1,<2", "A.B-c_d", &[], versions(">=1,<2"), None),
        ("a (>=1.0 , <2)", "a", &[], versions(">=1.0 , <2"), None),
        ("a() ", "a", &[], versions(""), None),
        (
            "a[x, y.z]~=1.0;os_name=='nt'",
            "a",
            &["x", "y.z"],
            versions("~=1.0"),
            Some("os_name=='nt'"),
        ),
        (
            " a [ ] ===odd! ; extra == 'x' ",
            "a",
            &[],
            versions("===odd!"),
            Some("extra == 'x'"),
        ),
        ("a>=1,", "a", &[], versions(">=1,"), None),
        (
            "a @ https://example.org/a;b ; os_name==''",
            "a",
            &[],
            VersionsOrUrl::Url("https://example.org/a;b".to_owned()),
            Some("os_name==''"),
        ),
        (
            "a[b]@file:///x",
            "a",
            &["b"],
            VersionsOrUrl::Url("file:///x".to_owned()),
            None,
        ),
    ] {
        let dependency = PypiDependency::parse(text).unwrap_or_else(|why| panic!("{text:?} {why}"));
        assert_eq!(
            (dependency.name.as_str(), dependency.wanted),
            (name, wanted),
            "{text}"
        );
        assert_eq!(
            (
                dependency.extras,
                dependency.marker.as_ref().map(Marker::as_str)
            ),
            (extras.iter().map(ToString::to_string).collect(), marker),
            "{text}"
        );
    }
    for bad in [
        "", " ", "-a", "a b", "a 1.0", "a>=1.*", "a>=1 <2", "a>=1,,<2", "a,", "a>=1;", "a;", "a[b",
        "a[b c]", "a[b,]", "a[,b]", "a(>=1", "a)", "a @", "a @ x y", "a_", "aé", "a==1.0é", "a[é]",
        "a>=1)", "a>=1\n",
    ] {
        let parsed = PypiDependency::parse(bad);
        assert!(parsed.is_err(), "{bad:?}: {parsed:?}");
    }
}

/// Evaluates a marker in a sample environment, with these extras requested.
fn holds(marker: &str, extras: &[&str]) -> Result<bool, super::super::InvalidText> {
    let said = [
        ("python_version", "3.11"),
        ("python_full_version", "3.11.7+"),
        ("os_name", "posix"),
        ("sys_platform", "linux"),
        ("platform_release", "6.1.0-amd64"),
        ("platform_python_implementation", "CPython"),
    ];
    let environment = said
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    Marker::parse(marker)?.holds(
        &environment,
        &extras.iter().map(ToString::to_string).collect(),
    )
}

#[test]
fn conditions_hold_where_packaging_says_so() {
    for (marker, extras, so) in [
        ("python_version < '3.9'", &[][..], false),
        ("python_version >= \"3.9\"", &[], true),
        ("'3.9' <= python_version", &[], true),
        ("python_version in '3.10 3.11'", &[], true),
        ("python_version not\tin '3.1,3.2'", &[], true),
        ("python_version == '3.11.*'", &[], true),
        ("python_full_version > '3.11.7'", &[], false),
        ("python_full_version == '3.11.7+local'", &[], true),
        ("platform_release >= '6'", &[], false),
        ("platform_release >= 'x'", &[], false),
        ("platform_release === '6.1.0-AMD64'", &[], true),
        (
            "os.name=='posix'and(sys.platform=='win32'or python_implementation=='CPython')",
            &[],
            true,
        ),
        (
            "os_name == 'nt' and os_name == 'nt' or os_name == 'posix'",
            &[],
            true,
        ),
        (
            "os_name == 'posix' or os_name == 'posix' and os_name == 'nt'",
            &[],
            true,
        ),
        (
            "(os_name == 'posix' or os_name == 'posix') and os_name == 'nt'",
            &[],
            false,
        ),
        ("os_name > 'a'", &[], false),
        ("os_name >= 'posix'", &[], true),
        ("extra == 'docs'", &[], false),
        ("extra == 'Docs_.X'", &["a", "docs-x"], true),
        ("extra != 'docs'", &["docs"], false),
        ("'docs' == extra", &["docs"], true),
        ("extra == ''", &[], true),
        ("python_version == os_name", &[], false),
    ] {
        assert_eq!(holds(marker, extras), Ok(so), "{marker}");
    }
    for undefined in [
        "os_name ~= '1.0'",
        "os_name == 'posix' or platform_machine == 'x86'",
        "'a' == 'b'",
        "'x' in extras",
        "os_name === 'posix'",
    ] {
        assert!(
            Marker::parse(undefined).is_ok() && holds(undefined, &[]).is_err(),
            "{undefined}"
        );
    }
    assert!(holds("extra in 'docs'", &["docs"]).is_err());
    assert!(
        Marker::parse("os_name=='' or 'x'!=extra")
            .unwrap()
            .asks_for_extra()
    );
    assert!(
        !Marker::parse("os_name == 'extra'")
            .unwrap()
            .asks_for_extra()
    );
    let nested = |depth: usize| format!("{}os_name==''{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Marker::parse(&nested(200)).is_ok() && Marker::parse(&nested(201)).is_err());
    for bad in [
        "",
        "()",
        "os_name",
        "os_name ==",
        "os_name == posix",
        "os_name = 'x'",
        "os_name == 'x",
        "os_name == 'x' and",
        "os_name == 'x' os_name == 'y'",
        "(os_name == 'x'",
        "os_name == 'x')",
        "xos_name == 'x'",
        "os_name2 == 'x'",
        "os_name is 'x'",
        "os_name not 'x'",
        "os_name notin 'x'",
        "os_name inin 'x'",
        "os_name == 'x'andos_name == 'y'",
        "os_name == 'x'\n",
        "os_name == '\\x'",
        "osname == 'x'",
        "os_name == 'x' AND os_name == 'y'",
    ] {
        assert!(Marker::parse(bad).is_err(), "{bad:?}");
    }
}

/// Texts that are sometimes versions, and nearly so otherwise.
fn odd_version() -> impl Strategy<Value = String> {
    "([vV \
    ]?)([0-2]!)?[0-2](\\.[01]){0,2}([._-]?(a|b|rc|ALPHA|c)[._-]?[0-2]?)?(-[01]|[._-]?(post|r)[._-]?[0-2]?)?([._-]?dev[0-1]?)?(\\+[ab01](\\.[ab01]){0,2})? ?"
}

proptest! {
    #[test]
    fn there_is_one_order(a in odd_version(), b in odd_version(), c in odd_version()) {
        let (a, b, c) = (version(&a), version(&b), version(&c));
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert_eq!(a == b, a.key() == b.key());
        prop_assert_eq!(version(&a.key()), a.clone());
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
        if a.cmp(&b) == Ordering::Equal {
            prop_assert_eq!(a.cmp(&c), b.cmp(&c));
        }
    }

    #[test]
    fn equal_versions_are_taken_alike(a in odd_version(), b in odd_version(), op in "(==|!=|<=|>=|<|>|~=)", wild in "(\\.\\*)?") {
        let (a, b) = (version(&a), version(&b));
        if let Ok(asked) = Ecosystem::Pypi.requirement(&format!("{op}{b}{wild}")) {
            prop_assert_eq!(asked.matches(&a), asked.matches(&version(&a.key())));
            if op == "==" && wild.is_empty() {
                prop_assert_eq!(asked.is_exactly(&a), a == b);
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC*", odd in "[ \
        0-9a-z.!+*=<>~,v\u{1c}\u{2003}é_-]{0,40}") {
        for text in [&text, &odd] {
            let _ = normalise(text);
            let _ = (FileName::parse(text), PypiDependency::parse(text), Marker::parse(text));
            let _ = FileName::parse(&format!("{text}.whl"));
            let _ = FileName::parse(&format!("{text}.zip"));
            if let (Ok(asked), Ok(version)) = (Ecosystem::Pypi.requirement(text), Ecosystem::Pypi.version("1.0")) {
                asked.matches(&version);
            }
            let _ = Ecosystem::Pypi.version(text);
        }
    }
}
