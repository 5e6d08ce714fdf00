//! Finds the index line of the registry that a crate came from: a cargo home keeps it near the
//! archive.

use std::{fs::File, io::Read, path::Path};

use serde_json::{Map, Value};

use crate::ecosystem::cargo::index_path;

/// Largest file of index lines in bytes; the largest real ones have about 20 MiB.
const MAX_FILE: u64 = 64 << 20;
/// The version of this file format:
/// <https://docs.rs/cargo/latest/src/cargo/sources/registry/index/cache.rs.html>.
const FORM: u8 = 3;
/// Bytes before the state of the index: the format version, and the version of the lines.
const BEFORE: usize = 5;

/// The field added to a line to name its registry: the hash at the end of the registry's directory
/// name in a cargo home.
const UPSTREAM: &str = "upstream";

/// Returns the index line with this name, version and digest from the cargo home that the archive
/// is in, with its registry added. Returns `None` if the archive is in no cargo home, or the
/// registry's line differs.
pub(super) fn line(archive: &Path, name: &str, version: &str, digest: &str) -> Option<String> {
    let registry = archive.parent()?;
    let cache = registry
        .parent()
        .filter(|dir| dir.file_name().is_some_and(|name| name == "cache"))?;
    let of = registry.file_name()?;
    let (_, upstream) = of.to_str()?.rsplit_once('-')?;
    let file = cache
        .with_file_name("index")
        .join(of)
        .join(".cache")
        .join(index_path(&name.to_ascii_lowercase())?);
    let mut bytes = Vec::new();
    File::open(file)
        .ok()?
        .take(MAX_FILE)
        .read_to_end(&mut bytes)
        .ok()?;
    let mut fields: Map<String, Value> = serde_json::from_slice(find(&bytes, version)?).ok()?;
    let says = |key: &str| fields.get(key).and_then(Value::as_str);
    let is_it = says("name") == Some(name)
        && says("vers") == Some(version)
        && says("cksum") == Some(digest);
    is_it.then_some(())?;
    fields.insert(UPSTREAM.to_owned(), upstream.into());
    Some(Value::Object(fields).to_string())
}

/// Finds the line of a version. The file has the state of the index, then a version and its line in
/// turn, each terminated by a zero byte.
fn find<'a>(bytes: &'a [u8], version: &str) -> Option<&'a [u8]> {
    let (form, _) = bytes.split_first()?;
    let mut texts = bytes.get(BEFORE..)?.split(|byte| *byte == 0);
    texts.next().filter(|_| *form == FORM)?;
    while let Some(of) = texts.next() {
        let line = texts.next()?;
        if of == version.as_bytes() {
            return Some(line);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cached(lines: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = b"\x03\x02\0\0\0etag: \"x\"\0".to_vec();
        for text in lines.iter().flat_map(|(version, line)| [version, line]) {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
        }
        bytes
    }

    #[test]
    fn a_line_is_taken_from_the_home_that_the_archive_is_in() {
        let home = tempfile::tempdir().unwrap();
        let registry = home.path().join("registry");
        let cache = registry.join("cache/default-0123456789abcdef");
        let index = registry.join("index/default-0123456789abcdef/.cache/in/fl");
        std::fs::create_dir_all(&index).unwrap();
        let of = |version: &str| {
            format!(
                "{{\"name\":\"Inflector\",\"vers\":\"{version}\",\"cksum\":\"ab\",\"deps\":[]}}"
            )
        };
        let (one, two) = (of("0.1.0"), of("0.2.0"));
        std::fs::write(
            index.join("inflector"),
            cached(&[("0.1.0", &one), ("0.2.0", &two)]),
        )
        .unwrap();
        let archive = cache.join("Inflector-0.2.0.crate");
        let found: Value =
            serde_json::from_str(&line(&archive, "Inflector", "0.2.0", "ab").unwrap()).unwrap();
        assert_eq!(
            (&found["vers"], &found["upstream"]),
            (&"0.2.0".into(), &"0123456789abcdef".into())
        );
        assert_eq!(
            line(&archive, "Inflector", "0.2.0", "cd"),
            None,
            "another checksum"
        );
        assert_eq!(line(&archive, "Inflector", "0.3.0", "ab"), None);
        assert_eq!(
            line(
                &home.path().join("Inflector-0.2.0.crate"),
                "Inflector",
                "0.2.0",
                "ab"
            ),
            None,
            "in no home"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_line_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200), version in "[0-9.]{0,5}") {
            let _ = find(&bytes, &version);
        }
    }
}
