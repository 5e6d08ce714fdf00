//! The passphrase of a key: from a file, the environment, or a prompt.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::{
    RegistryError, Result,
    cli::{ask, print, stop::Stop},
    config::PASSPHRASE_VARIABLE,
};

/// Longest passphrase file, in bytes.
const MAX_FILE: u64 = 4_096;

/// A passphrase. It has no `Debug`, so that it never gets into a log.
pub(super) struct Passphrase(pub String);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A new passphrase, typed twice.
    Seal,
    /// The passphrase of an encrypted key.
    Open,
}

/// Reads the passphrase.
///
/// # Errors
/// [`RegistryError::Usage`] if it is empty, was typed in two ways, or there is no terminal to ask
/// at.
pub(super) async fn get(file: Option<PathBuf>, what_for: Use) -> Result<Passphrase> {
    let passphrase = match file {
        Some(file) => of_file(&file)?,
        None => match std::env::var_os(PASSPHRASE_VARIABLE) {
            Some(text) => text.into_string().map_err(|_| {
                RegistryError::Usage(format!(
                    "{PASSPHRASE_VARIABLE} is not UTF-8; write plain text"
                ))
            })?,
            None => asked(what_for).await?,
        },
    };
    if passphrase.is_empty() {
        let why = "the passphrase is empty; choose one, or use `key export --plain`";
        return Err(RegistryError::Usage(why.to_owned()));
    }
    Ok(Passphrase(passphrase))
}

fn of_file(file: &std::path::Path) -> Result<String> {
    use std::io::Read;
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(RegistryError::file(file, "read"))?;
    opened
        .take(MAX_FILE)
        .read_to_string(&mut text)
        .map_err(RegistryError::file(file, "read"))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

async fn asked(what_for: Use) -> Result<String> {
    if !ask::is_terminal() {
        let plain = if what_for == Use::Seal {
            "; or export it with --plain"
        } else {
            ""
        };
        let why = format!(
            "there is no terminal to ask for a passphrase; pass a file with --passphrase-file, or \
             set {PASSPHRASE_VARIABLE}{plain}"
        );
        return Err(RegistryError::Usage(why));
    }
    // Hide input from before the first prompt until after the last, in case someone types early.
    let _hidden = Hidden::terminal();
    match what_for {
        Use::Open => typed("Passphrase: ").await,
        Use::Seal => {
            print::note("If you lose the passphrase, this copy is useless.");
            let first = typed("Passphrase for this copy of your key: ").await?;
            if first.is_empty() || typed("Repeat the passphrase: ").await? == first {
                return Ok(first);
            }
            Err(RegistryError::Usage(
                "the passphrases differ; nothing was written; try again".to_owned(),
            ))
        }
    }
}

/// Reads a line, unless the user interrupts it.
async fn typed(prompt: &'static str) -> Result<String> {
    let mut stop = Stop::watch()?;
    let typing = tokio::task::spawn_blocking(move || rpassword::prompt_password(prompt));
    let typed = tokio::select! {
        typed = typing => typed.map_err(|error| print::internal("asking for a passphrase", error))?,
        () = stop.told() => Err(io::ErrorKind::Interrupted.into()),
    };
    typed.map_err(|error| match error.kind() {
        io::ErrorKind::Interrupted => RegistryError::Interrupted,
        _ => RegistryError::file("the terminal", "read")(error),
    })
}

/// Hides typed input, and restores the terminal on drop, also after Ctrl-C.
struct Hidden(Option<Termios>);

impl Hidden {
    fn terminal() -> Self {
        let stdin = io::stdin();
        let before = stdin
            .is_terminal()
            .then(|| tcgetattr(&stdin).ok())
            .flatten();
        if let Some(mut hidden) = before.clone() {
            hidden.local_modes.remove(LocalModes::ECHO);
            // If the terminal is gone, there is nothing to hide.
            let _ = tcsetattr(&stdin, OptionalActions::Now, &hidden);
        }
        Self(before)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
