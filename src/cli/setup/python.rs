//! `setup pip` and `setup uv`: chooses the files, and tells the user about them.

use std::path::PathBuf;

use super::{Access, Flags, change, pip, uv};
use crate::{
    RegistryError, Result,
    cli::{DONE, print},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Pip,
    Uv,
}

const NOTHING_ELSE: &str =
    "all packages now come from the swarm: others are not found, including build dependencies";

/// Prints the configuration, or writes it.
pub(super) fn set_up(tool: Tool, flags: Flags, access: &Access) -> Result<u8> {
    let Flags {
        write,
        global,
        mirror,
        ..
    } = flags;
    if !write {
        let text = match tool {
            Tool::Pip => pip::text(access, mirror),
            Tool::Uv => uv::text(access, mirror),
        };
        print::lines(text.trim_end())?;
        return Ok(DONE);
    }
    let written = match tool {
        Tool::Pip => write_pip(global, mirror, access)?,
        Tool::Uv => vec![write_uv(global, mirror, access)?],
    };
    let names: Vec<String> = written
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let tool = if tool == Tool::Pip { "pip" } else { "uv" };
    print::note(format!(
        "wrote {}; undo with `swarmdex setup {tool} --undo`",
        names.join(" and ")
    ));
    if mirror {
        print::note(NOTHING_ELSE);
    }
    Ok(DONE)
}

fn write_pip(global: bool, mirror: bool, access: &Access) -> Result<Vec<PathBuf>> {
    let uploads = home()?.join(".pypirc");
    let mut written = vec![uploads.clone()];
    if mirror {
        let conf = if global {
            own_pip_conf()?
        } else {
            environments_pip_conf()?
        };
        change(&conf, |text| pip::add(text, access))?;
        written.push(conf);
    } else {
        print::note(format!(
            "install with: pip install --index-url {} PACKAGE",
            pip::index(access)
        ));
    }
    change(&uploads, |text| pip::add_uploads(text, access))?;
    Ok(written)
}

fn write_uv(global: bool, mirror: bool, access: &Access) -> Result<PathBuf> {
    let (path, place) = if global {
        (own_uv_toml()?, uv::UvFile::Own)
    } else {
        uv_settings_here()
    };
    change(&path, |text| uv::add(text, place, access, mirror))?;
    print::note(
        "publish with: uv publish --index swarm --token TOKEN; the token is in gateway.token in \
         the node's data directory",
    );
    Ok(path)
}

/// Removes our settings from all files that may have them.
pub(super) fn undo(tool: Tool) -> Result<u8> {
    let mut changed = Vec::new();
    let mut take_out = |path: PathBuf, edit: &dyn Fn(&str) -> Result<String, String>| {
        let is_changed = change(&path, edit)?;
        changed.extend(is_changed.then_some(path));
        Ok::<(), RegistryError>(())
    };
    match tool {
        Tool::Pip => {
            for conf in [environments_pip_conf().ok(), Some(own_pip_conf()?)]
                .into_iter()
                .flatten()
            {
                take_out(conf, &|text| Ok(pip::remove(text)))?;
            }
            take_out(home()?.join(".pypirc"), &|text| {
                Ok(pip::remove_uploads(text))
            })?;
        }
        Tool::Uv => {
            take_out(PathBuf::from(PYPROJECT), &|text| {
                uv::remove(text, uv::UvFile::Project)
            })?;
            for own in [PathBuf::from(UV_TOML), own_uv_toml()?] {
                take_out(own, &|text| uv::remove(text, uv::UvFile::Own))?;
            }
        }
    }
    for path in &changed {
        print::note(format!(
            "removed Swarmdex's settings from {}",
            path.display()
        ));
    }
    if changed.is_empty() {
        print::note("there was nothing to remove");
    }
    Ok(DONE)
}

const PYPROJECT: &str = "pyproject.toml";
const UV_TOML: &str = "uv.toml";

/// Returns uv's settings file in the current directory; `uv.toml` takes precedence.
fn uv_settings_here() -> (PathBuf, uv::UvFile) {
    let own = PathBuf::from(UV_TOML);
    match own.exists() || !PathBuf::from(PYPROJECT).exists() {
        true => (own, uv::UvFile::Own),
        false => (PathBuf::from(PYPROJECT), uv::UvFile::Project),
    }
}

fn home() -> Result<PathBuf> {
    let missing =
        |error| RegistryError::Usage(format!("no home directory found ({error}); set HOME"));
    etcetera::home_dir().map_err(missing)
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn config_dir() -> Result<PathBuf> {
    Ok(match variable("XDG_CONFIG_HOME") {
        Some(dir) => dir,
        None => home()?.join(".config"),
    })
}

fn own_pip_conf() -> Result<PathBuf> {
    Ok(config_dir()?.join("pip").join("pip.conf"))
}

fn own_uv_toml() -> Result<PathBuf> {
    Ok(config_dir()?.join("uv").join(UV_TOML))
}

fn environments_pip_conf() -> Result<PathBuf> {
    let text = "pip has no settings for a directory: activate a virtual environment, or write for \
                all projects with --global";
    variable("VIRTUAL_ENV")
        .map(|dir| dir.join("pip.conf"))
        .ok_or_else(|| RegistryError::Usage(text.to_owned()))
}
