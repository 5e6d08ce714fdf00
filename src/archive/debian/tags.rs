//! Turns debtags (`use::editing, implemented-in::c`) into ordinary tags.

use std::iter;

use crate::{archive::sanitise::labels, domain::manifest::limit};

/// The facets whose values are meaningful words, the most telling first, because a release has room
/// for a few tags: purpose, subject, interface, implementation. Values of others, such as `scope`,
/// say little on their own.
const FACETS: [&str; 29] = [
    "use",
    "works-with",
    "works-with-format",
    "protocol",
    "network",
    "web",
    "mail",
    "security",
    "admin",
    "game",
    "sound",
    "field",
    "science",
    "biology",
    "office",
    "hardware",
    "accessibility",
    "role",
    "interface",
    "devel",
    "implemented-in",
    "uitoolkit",
    "x11",
    "suite",
    "system",
    "made-of",
    "culture",
    "junior",
    "privacy",
];

/// Common synonyms.
const ALSO: [(&str, &str); 3] = [
    ("commandline", "cli"),
    ("graphical", "gui"),
    ("text-mode", "tui"),
];

pub(super) fn tags(debtags: &str) -> Vec<String> {
    let tag = |tag: &str| {
        let (facet, value) = tag.trim().split_once("::")?;
        let rank = FACETS.iter().position(|known| *known == facet)?;
        // In `lang:c++` the word is `c++`. `TODO` is a placeholder.
        let word = value.rsplit(':').next().filter(|word| *word != "TODO")?;
        Some((rank, word.to_owned()))
    };
    let mut ranked: Vec<_> = debtags.split(',').filter_map(tag).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    let words = ranked.into_iter().flat_map(|(_, word)| {
        let also = ALSO
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, also)| (*also).to_owned());
        iter::once(word).chain(also)
    });
    labels(words.collect(), limit::TAGS, limit::LABEL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_words_the_most_telling_first() {
        let vim = "devel::editor, implemented-in::c, interface::commandline,\n \
            interface::text-mode, role::program, scope::application,\n uitoolkit::ncurses, \
            use::editing, works-with::text, works-with::unicode";
        assert_eq!(
            tags(vim),
            [
                "editing",
                "text",
                "unicode",
                "program",
                "commandline",
                "cli",
                "text-mode",
                "tui",
                "editor",
                "c",
                "ncurses"
            ]
        );
        assert_eq!(
            tags("devel::lang:c, devel::lang:c++, implemented-in::c, works-with::TODO"),
            ["c", "c++"]
        );
        assert!(tags("role::, ::x, special::unknown, role, , use::\u{202e}").is_empty());
    }

    #[test]
    fn there_is_an_end_to_them() {
        let many = (0..100)
            .map(|n| format!("use::{n}{}", "x".repeat(50)))
            .collect::<Vec<_>>()
            .join(",");
        assert_eq!(tags(&many).len(), limit::TAGS);
    }
}
