//! Finds the archives in a directory.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Bounds on the depth and the number of files that [`list`] looks at.
const MAX_DEPTH: usize = 8;
const MAX_LISTED: usize = 100_000;

/// The reason why the archives in a directory cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    #[error("{} cannot be listed: {source}; check that it is a directory, and \
        yours", .dir.display())]
    Unreadable { dir: PathBuf, source: io::Error },
    #[error("{} has more than {MAX_LISTED} files in it; name one of the directories in \
        it", .0.display())]
    TooMany(PathBuf),
}

/// Returns the files in `dir` and below whose names are `wanted`, sorted by file name. Links to
/// directories are not followed.
///
/// # Errors
/// A directory cannot be read, or there are too many files.
pub fn list(dir: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, ListError> {
    let mut found = Vec::new();
    let mut seen = 0;
    let mut left = vec![(dir.to_owned(), 0)];
    while let Some((below, depth)) = left.pop() {
        let unreadable = |source| ListError::Unreadable {
            dir: below.clone(),
            source,
        };
        for file in std::fs::read_dir(&below).map_err(unreadable)? {
            let file = file.map_err(unreadable)?;
            seen += 1;
            if seen > MAX_LISTED {
                return Err(ListError::TooMany(dir.to_owned()));
            }
            let path = file.path();
            if file.file_type().map_err(unreadable)?.is_dir() {
                if depth < MAX_DEPTH {
                    left.push((path, depth + 1));
                }
            } else if path
                .file_name()
                .is_some_and(|name| wanted(&name.to_string_lossy()))
            {
                found.push(path);
            }
        }
    }
    found.sort_by(|a, b| a.file_name().cmp(&b.file_name()).then_with(|| a.cmp(b)));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_directory_is_listed_by_file_name() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join(["d"; 20].join("/"));
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir_all(dir.path().join("z/dir.crate")).unwrap();
        for name in [
            "c-1.crate",
            "z/a-1.crate",
            "d/d/b-1.crate",
            "z/a-1.crate.part",
            "z/dir.crate/e-1.crate",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::write(deep.join("too-deep-1.crate"), "").unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).unwrap();
        let found = list(dir.path(), |name| name.ends_with(".crate")).unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|path| path.strip_prefix(dir.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "z/a-1.crate",
                "d/d/b-1.crate",
                "c-1.crate",
                "z/dir.crate/e-1.crate"
            ]
        );
        let absent = list(&dir.path().join("absent"), |_| true)
            .unwrap_err()
            .to_string();
        assert!(absent.contains("absent cannot be listed"), "{absent}");
    }
}
