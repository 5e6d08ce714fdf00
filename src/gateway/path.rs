//! Paths of requests, split and decoded once.

/// Returns the parts between slashes with percent escapes decoded; `None` if an escape is invalid
/// or the result is not UTF-8. A `+` is kept.
pub fn parts(path: &str) -> Option<Vec<String>> {
    path.strip_prefix('/')
        .unwrap_or(path)
        .split('/')
        .map(decoded)
        .collect()
}

fn decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_are_decoded_once_and_make_no_new_parts() {
        let of = |path| parts(path).unwrap();
        assert_eq!(of("/a/1.0.0+b/download"), ["a", "1.0.0+b", "download"]);
        assert_eq!(of("/@s%2fname/x%2Fy"), ["@s/name", "x/y"]);
        assert_eq!(of("/a%252f"), ["a%2f"]);
        for bad in ["/%", "/%2", "/%zz", "/%ff"] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_escaped_comes_back(name in "[a-zA-Z0-9@/+._ ü-]{1,20}", upper in any::<bool>()) {
            let escape = |byte: u8| if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
            let path: String = name.bytes().map(escape).collect();
            prop_assert_eq!(parts(&path), Some(vec![name]));
        }

        #[test]
        fn any_text_is_parts_or_none(path in ".*") {
            let _ = parts(&path);
        }
    }
}
