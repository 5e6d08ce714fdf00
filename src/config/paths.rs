//! Directories of files: those of the XDG base directory specification, or one directory
//! for everything.

use std::path::{Path, PathBuf};

use etcetera::{BaseStrategy, choose_base_strategy, home_dir};

use crate::{RegistryError, Result};

const NAME: &str = "swarmdex";

/// The files and directories of one node.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Paths {
    /// The settings file, which need not exist.
    pub config: PathBuf,
    /// Keys and the database.
    pub data: PathBuf,
    /// Log files.
    pub state: PathBuf,
    /// Sockets and locks that end with the session.
    pub runtime: PathBuf,
}

impl Paths {
    /// The directories of the platform's convention. Fails only where no home directory can be
    /// found.
    ///
    /// # Errors
    /// [`RegistryError::Usage`](crate::RegistryError::Usage) for a user without a home directory.
    pub fn discover() -> Result<Self> {
        let base = choose_base_strategy().map_err(|error| {
            RegistryError::Usage(format!(
                "no home directory was found ({error}); set HOME, or give --data-dir and --config"
            ))
        })?;
        let data = base.data_dir().join(NAME);
        let state = base
            .state_dir()
            .map_or_else(|| data.clone(), |dir| dir.join(NAME));
        Ok(Self {
            config: base.config_dir().join(NAME).join("config.toml"),
            runtime: base
                .runtime_dir()
                .map_or_else(|| state.clone(), |dir| dir.join(NAME)),
            data,
            state,
        })
    }

    /// The same with everything but the settings file under `dir`: a second node on one machine, or
    /// one on a memory stick, then leaves nothing anywhere else.
    pub fn within(self, dir: &Path) -> Self {
        Self {
            config: self.config,
            data: dir.to_owned(),
            state: dir.join("state"),
            runtime: dir.join("run"),
        }
    }

    /// The directories of this node, and of the one that a person has without saying where: what is
    /// in them is nobody else's.
    pub fn of_the_node(&self) -> Vec<PathBuf> {
        let usual = Self::discover().ok();
        let of = |paths: &Self| {
            [
                paths.data.clone(),
                paths.state.clone(),
                paths.runtime.clone(),
            ]
        };
        let mut dirs: Vec<_> = std::iter::once(self).chain(&usual).flat_map(of).collect();
        dirs.sort();
        dirs.dedup();
        dirs
    }

    /// The directory of a person's own themes, beside the settings file.
    pub fn themes(&self) -> Option<PathBuf> {
        self.config.parent().map(|dir| dir.join("themes"))
    }

    /// The directory of the log files.
    pub fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }
}

/// A path as a settings file means it: `~/` is the home directory, and a relative one starts at the
/// file's directory.
pub(super) fn written_in(file: &Path, path: &str) -> PathBuf {
    match path
        .strip_prefix("~/")
        .and_then(|rest| home_dir().ok().map(|home| home.join(rest)))
    {
        Some(path) => path,
        None => file.parent().unwrap_or(Path::new("")).join(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_directory_holds_everything_when_asked_for() {
        let paths = Paths {
            config: "/etc/swarmdex.toml".into(),
            data: "/a".into(),
            state: "/b".into(),
            runtime: "/c".into(),
        }
        .within(Path::new("/srv/node"));
        assert_eq!(paths.config, Path::new("/etc/swarmdex.toml"));
        assert!(
            [&paths.data, &paths.state, &paths.runtime]
                .iter()
                .all(|path| path.starts_with("/srv/node"))
        );
        assert_eq!(paths.logs(), Path::new("/srv/node/state/logs"));
    }

    #[test]
    fn paths_in_a_file_start_at_the_file() {
        assert_eq!(
            written_in(Path::new("/etc/s/config.toml"), "data"),
            Path::new("/etc/s/data")
        );
        assert_eq!(
            written_in(Path::new("/etc/s/config.toml"), "/srv"),
            Path::new("/srv")
        );
        assert!(!written_in(Path::new("/etc/s/config.toml"), "~/d").starts_with("/etc"));
    }
}
