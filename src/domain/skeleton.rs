//! Detects names that look alike.

/// Returns the visual skeleton of a name: without separators, and with look-alike letters unified.
/// Names with one skeleton are easily confused: `serde_json`, `serde-json` and `serdejson`; `l1b`
/// and `lib`; `rnodern` and `modern`.
///
/// A wide letter becomes the two that imitate it, and not the other way round: in `vvv` either pair
/// could be a `w`, and the skeleton must not depend on the choice.
pub fn skeleton(name: &str) -> String {
    let mut skeleton = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter {
            '-' | '_' | '.' => {}
            '1' | 'i' => skeleton.push('l'),
            '0' => skeleton.push('o'),
            'm' => skeleton.push_str("rn"),
            'w' => skeleton.push_str("vv"),
            letter => skeleton.push(letter),
        }
    }
    skeleton
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_look_alike_have_one_skeleton_and_others_have_not() {
        for [a, b] in [
            ["serde_json", "serde-json"],
            ["serde.json", "serdejson"],
            ["lib", "1ib"],
            ["openssl", "0penss1"],
            ["modern", "rnodern"],
            ["web", "vveb"],
            ["vw", "wv"],
            ["a", "a-"],
        ] {
            assert_eq!(skeleton(a), skeleton(b), "{a} {b}");
        }
        for [a, b] in [
            ["serde", "serge"],
            ["web", "wed"],
            ["lib", "lab"],
            ["json", "json2"],
        ] {
            assert_ne!(skeleton(a), skeleton(b), "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn it_has_no_separators_and_is_its_own_skeleton(name in "[a-z0-9][a-z0-9._-]{0,63}") {
            let once = skeleton(&name);
            prop_assert!(!once.is_empty() && !once.contains(['-', '_', '.', '1', 'i', '0', 'm', 'w']));
            prop_assert_eq!(skeleton(&once), once);
        }

        #[test]
        fn look_alikes_may_be_exchanged_anywhere(before in "[a-z0-9._-]{0,20}", after in "[a-z0-9._-]{0,20}", pair in 0..8usize) {
            let (a, b) = [("-", ""), ("_", "."), ("l", "1"), ("i", "l"), ("1", "i"), ("o", "0"), ("rn", "m"), ("vv", "w")][pair];
            let with = |part: &str| skeleton(&format!("{before}{part}{after}"));
            prop_assert_eq!(with(a), with(b));
        }

        #[test]
        fn parts_of_a_name_fold_by_themselves(a in "[a-z0-9._-]{0,20}", b in "[a-z0-9._-]{0,20}") {
            prop_assert_eq!(skeleton(&format!("{a}{b}")), skeleton(&a) + &skeleton(&b));
        }
    }
}
