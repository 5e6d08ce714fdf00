//! `config edit`: opens the settings file in the user's editor.
//!
//! The editor gets a copy in the same directory, and the file is replaced atomically: a node that
//! starts meanwhile sees the old or the new file, never an invalid one.

use std::{
    fs::{self, Permissions},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use tokio::signal::unix::{SignalKind, signal};

use super::{DONE, USAGE, print, say};
use crate::{
    RegistryError, Result,
    cli::{FAILED, ask, print::internal},
    config::{Problem, SettingsFile, problems, template},
    disk,
    ui::settings_problems,
};

/// Bootstrap addresses reveal the user's other machines, so only the owner may read the file.
const PRIVATE: u32 = 0o600;

pub(super) async fn run(file: &SettingsFile) -> Result<u8> {
    let editor = Editor::of_the_person(&file.path)?;
    // Edit the target of a symbolic link and keep the link.
    let path = fs::canonicalize(&file.path).unwrap_or_else(|_| file.path.clone());
    let before = file.text.clone().unwrap_or_else(template);
    let copy = copy(&path, &before, !file.named)?;
    loop {
        let done = editor.open(&copy);
        let text = fs::read_to_string(&copy).map_err(RegistryError::file(&copy, "read"))?;
        if !matches!(done, Ok(true)) {
            leave(&path, &copy, text != before)?;
            return done.map(|_| FAILED);
        }
        let wrong = problems(&copy, &text, settings_problems)?;
        if wrong.is_empty() {
            return take(&copy, &path, file, &text);
        }
        say(&wrong);
        if !again(&wrong).await? {
            leave(&path, &copy, text != before)?;
            return Ok(USAGE);
        }
    }
}

/// Leaves the file unchanged. Keeps the copy if the user has changed it.
fn leave(path: &Path, copy: &Path, written: bool) -> Result<()> {
    if written {
        let (path, copy) = (path.display(), copy.display());
        print::note(format!(
            "{path} is unchanged; your edit is in {copy}: correct it and move it there"
        ));
    } else {
        fs::remove_file(copy).map_err(RegistryError::file(copy, "removed"))?;
        print::note(format!("{} is unchanged", path.display()));
    }
    Ok(())
}

/// A program and its arguments.
struct Editor {
    variable: &'static str,
    program: String,
    arguments: Vec<String>,
}

impl Editor {
    fn of_the_person(file: &Path) -> Result<Self> {
        for variable in ["VISUAL", "EDITOR"] {
            let text = std::env::var(variable).unwrap_or_default();
            let mut words = text.split_whitespace().map(str::to_owned);
            if let Some(program) = words.next() {
                return Ok(Self {
                    variable,
                    program,
                    arguments: words.collect(),
                });
            }
        }
        Err(RegistryError::Usage(format!(
            "neither VISUAL nor EDITOR is set; set one, as in EDITOR=nano swarmdex config edit, or \
             edit {} and run `swarmdex config validate`",
            file.display()
        )))
    }

    /// Runs the editor until it ends; returns false if it failed. Ctrl-C goes to the editor and
    /// does not end this program.
    fn open(&self, file: &Path) -> Result<bool> {
        let _not_ours =
            signal(SignalKind::interrupt()).map_err(|error| internal("watching signals", error))?;
        let Self {
            variable,
            program,
            arguments,
        } = self;
        let ended = Command::new(program)
            .args(arguments)
            .arg(file)
            .status()
            .map_err(|error| {
                RegistryError::Usage(format!(
                    "cannot run the editor {program} from {variable}: {error}; correct {variable}"
                ))
            })?;
        if !ended.success() {
            print::note(format!(
                "error: the editor {program} from {variable} failed ({ended}); edit again"
            ));
        }
        Ok(ended.success())
    }
}

/// Creates a copy beside `path` that only its owner can read. Creates the directory too if it is
/// the default one, but not if the user named the path.
fn copy(path: &Path, text: &str, ours: bool) -> Result<PathBuf> {
    let dir = disk::dir_of(path);
    if ours {
        fs::create_dir_all(dir).map_err(RegistryError::file(dir, "created"))?;
    }
    let name = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
        + ".edit-";
    let made = tempfile::Builder::new()
        .prefix(&name)
        .suffix(".toml")
        .tempfile_in(dir);
    let mut made = made.map_err(RegistryError::file(dir, "written to"))?;
    made.write_all(text.as_bytes())
        .map_err(RegistryError::file(made.path(), "written"))?;
    let kept = made.into_temp_path().keep();
    kept.map_err(|error| RegistryError::file(path, "copied")(error.error))
}

/// Replaces the file with the copy, unless someone else has changed the file meanwhile.
fn take(copy: &Path, path: &Path, file: &SettingsFile, text: &str) -> Result<u8> {
    let now = fs::read_to_string(path).ok();
    if now != file.text {
        print::note(format!(
            "error: {} was changed by another program meanwhile; compare the two files",
            path.display()
        ));
        leave(path, copy, true)?;
        return Ok(FAILED);
    }
    if now.as_deref() == Some(text) {
        leave(path, copy, false)?;
        return Ok(DONE);
    }
    let mode = fs::metadata(path).map_or(PRIVATE, |old| old.permissions().mode());
    fs::set_permissions(copy, Permissions::from_mode(mode))
        .and_then(|()| fs::File::open(copy)?.sync_all())
        .map_err(RegistryError::file(copy, "written"))?;
    fs::rename(copy, path)
        .and_then(|()| disk::sync_dir(disk::dir_of(path)))
        .map_err(RegistryError::file(path, "replaced"))?;
    print::note(format!(
        "{} is valid and saved; restart the node to apply it",
        path.display()
    ));
    Ok(DONE)
}

/// Asks whether to edit again; a script is not asked, and the answer is no.
async fn again(wrong: &[Problem]) -> Result<bool> {
    let errors = if wrong.len() == 1 {
        "this error".to_owned()
    } else {
        format!("these {} errors", wrong.len())
    };
    Ok(ask::is_terminal() && ask::yes(&format!("Edit again to correct {errors}?")).await?)
}
