//! Directories, for the file picker and the completion of paths.

use std::path::Path;

/// Most entries shown of one directory.
pub const MAX_ENTRIES: usize = 5_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PickerEntry {
    pub name: String,
    pub is_dir: bool,
    pub size: u64,
}

/// Lists a directory: directories first, then by name. Names that are not UTF-8 are left out
/// because the form cannot hold them.
pub fn list(dir: &Path) -> Result<Vec<PickerEntry>, String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", dir.display());
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)?.take(MAX_ENTRIES) {
        let Ok(entry) = entry else { continue };
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let Ok(meta) = std::fs::metadata(entry.path()) else {
            continue;
        };
        entries.push(PickerEntry {
            name,
            is_dir: meta.is_dir(),
            size: meta.len(),
        });
    }
    entries.sort_by(|a, b| b.is_dir.cmp(&a.is_dir).then_with(|| a.name.cmp(&b.name)));
    Ok(entries)
}

/// Returns the completions of a path: the entries of its directory that begin with its last part.
pub fn complete(typed: &str) -> Vec<String> {
    const MOST: usize = 20;
    let (dir, start) = match typed.rfind('/') {
        Some(at) => typed.split_at(at + 1),
        None => ("", typed),
    };
    let place = if dir.is_empty() {
        Path::new(".")
    } else {
        Path::new(dir)
    };
    let Ok(entries) = list(place) else {
        return Vec::new();
    };
    entries
        .into_iter()
        .filter(|entry| {
            entry.name.starts_with(start)
                && (!entry.name.starts_with('.') || start.starts_with('.'))
        })
        .take(MOST)
        .map(|entry| format!("{dir}{}{}", entry.name, if entry.is_dir { "/" } else { "" }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_completed_and_listed() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["web-1.tar", "web-2.tar", ".hidden"] {
            std::fs::write(dir.path().join(name), b"12345").unwrap();
        }
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        let at = |rest: &str| format!("{}/{rest}", dir.path().display());
        assert_eq!(complete(&at("we")), [at("web-1.tar"), at("web-2.tar")]);
        assert_eq!(
            complete(&at("")),
            [at("sub/"), at("web-1.tar"), at("web-2.tar")]
        );
        assert_eq!(complete(&at(".h")), [at(".hidden")]);
        assert_eq!(complete(&at("none/x")), Vec::<String>::new());

        let entries = list(dir.path()).unwrap();
        assert!(entries[0].is_dir && entries[0].name == "sub");
        assert!(
            list(Path::new("/no/such"))
                .unwrap_err()
                .contains("cannot read /no/such")
        );
    }
}
