use super::*;
use proptest::prelude::*;

fn phrase(text: &str, open: bool) -> Phrase {
    Phrase {
        words: words(text).collect(),
        open,
    }
}

#[test]
fn words_phrases_and_filters_are_told_apart() {
    let terms = parse(
        "fast \"web server\" -java category:Web tag:cli license:MIT eco:cargo publisher:alice \
        nginx",
    );
    assert_eq!(
        terms.wanted,
        [
            phrase("fast", false),
            phrase("web server", false),
            phrase("nginx", true)
        ]
    );
    assert_eq!(terms.unwanted, [phrase("java", false)]);
    let filters: Vec<_> = terms
        .filters
        .iter()
        .map(|filter| filter.facet.filter(&filter.value))
        .collect();
    assert_eq!(
        filters,
        [
            "category:web",
            "tag:cli",
            "license:mit",
            "eco:cargo",
            "publisher:alice"
        ]
    );
    assert!(terms.mistakes.is_empty(), "{:?}", terms.mistakes);

    let typed = parse("cargo:serde-json");
    assert_eq!(typed.wanted, [phrase("serde", false), phrase("json", true)]);
    assert_eq!(
        typed.filters,
        [SearchFilter {
            facet: Facet::Ecosystem,
            value: "cargo".to_owned(),
            not: false
        }]
    );
    assert_eq!(
        parse("npm:@scope/name").words().collect::<Vec<_>>(),
        ["scope", "name"]
    );
    assert_eq!(parse("-cargo:serde").unwanted, [phrase("serde", false)]);

    assert_eq!(
        parse("serde-json").wanted,
        [phrase("serde", false), phrase("json", true)]
    );
    assert_eq!(parse("-web-server").unwanted, [phrase("web server", false)]);
    let odd = parse("std::vector http://example.org -category:games category:\"web servers\"");
    assert!(odd.mistakes.is_empty(), "{:?}", odd.mistakes);
    assert_eq!(
        odd.filters[0],
        SearchFilter {
            facet: Facet::Category,
            value: "games".to_owned(),
            not: true
        }
    );
    assert_eq!(odd.filters[1].value, "web servers");
}

#[test]
fn what_is_not_understood_is_no_search_for_everything() {
    for nothing in [
        "%",
        "(",
        "🦀",
        "-java",
        "is:nonsense",
        "\"",
        "-\"web server\"",
        "category:",
        "colour:red -web",
        "\"\"",
    ] {
        let terms = parse(nothing);
        assert!(
            terms.asks_nothing() && !terms.is_everything() && !terms.mistakes.is_empty(),
            "{nothing}: {terms:?}"
        );
    }
    for something in [
        "c++",
        "C#",
        "本語",
        "-java web",
        "-java category:text",
        "is:yanked",
        "-category:games",
        "updated:<1d",
        "% web",
    ] {
        assert!(!parse(something).asks_nothing(), "{something}");
    }
    for everything in ["", "  ", "-"] {
        assert!(parse(everything).is_everything(), "{everything:?}");
    }
    assert_eq!(
        parse("50 % off").mistakes.len(),
        1,
        "and what is understood searches"
    );
}

#[test]
fn what_stands_together_is_searched_for_together() {
    assert_eq!(parse("本語").wanted, [phrase("本語", true)]);
    assert_eq!(
        parse("日本語 c++ web").wanted,
        [
            phrase("日本語", false),
            phrase("c++", false),
            phrase("web", true)
        ]
    );
    assert_eq!(parse("日本語tool").wanted[0].text(), "日本語tool");
    assert_eq!(parse("-日本").unwanted, [phrase("日本", false)]);
}

#[test]
fn ages_have_units() {
    const DAY: u64 = 24 * 3_600;
    assert_eq!(
        parse("updated:<30d").within,
        Some(Duration::from_secs(30 * DAY))
    );
    assert_eq!(
        parse("updated:12h").within,
        Some(Duration::from_secs(DAY / 2))
    );
    assert_eq!(
        parse("updated:>1y").before,
        Some(Duration::from_secs(365 * DAY))
    );
    for bad in [
        "updated:",
        "updated:soon",
        "updated:<30",
        "updated:<99999999999999999999d",
        "-updated:<1d",
    ] {
        assert_eq!(parse(bad).mistakes.len(), 1, "{bad}");
    }
}

#[test]
fn a_mistake_has_its_place_and_the_rest_searches() {
    let text = "web colour:red category: \"open";
    let terms = parse(text);
    assert_eq!(terms.wanted, [phrase("web", false), phrase("open", false)]);
    let places: Vec<_> = terms
        .mistakes
        .iter()
        .map(|mistake| &text[mistake.at.clone()])
        .collect();
    assert_eq!(places, ["colour:red", "category:", "\"open"]);
}

#[test]
fn licenses_are_taken_apart() {
    let of = |text| licenses(text).collect::<Vec<_>>();
    assert_eq!(
        of("(MIT OR Apache-2.0) AND Unicode-3.0"),
        ["MIT", "Apache-2.0", "Unicode-3.0"]
    );
    assert_eq!(
        of("GPL-2.0-only WITH Classpath-exception-2.0")[0],
        "GPL-2.0-only"
    );
}

proptest! {
    #[test]
    fn any_text_is_understood_somehow(text in "\\PC{0,300}") {
        let terms = parse(&text);
        for mistake in &terms.mistakes {
            prop_assert!(text.get(mistake.at.clone()).is_some());
        }
        for phrase in terms.wanted.iter().chain(&terms.unwanted) {
            prop_assert!(!phrase.words.is_empty());
            prop_assert!(phrase.words.iter().all(|word| word.chars().all(|c| c.is_alphanumeric() || matches!(c, '+' | '#')) || !word.is_ascii()));
        }
        prop_assert!(terms.wanted.len() <= MOST && terms.unwanted.len() <= MOST && terms.filters.len() <= MOST);
    }
}
