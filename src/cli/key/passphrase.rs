//! The passphrase of a key: from a file, from the environment, or from a person.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::{
    RegistryError, Result,
    cli::{print, stop::Stop},
    config::PASSPHRASE_VARIABLE,
};

/// Longest file with a passphrase, in bytes.
const MAX_FILE: u64 = 4_096;

/// Not shown, and never written down.
pub(super) struct Passphrase(pub String);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A new one, typed twice.
    Seal,
    /// The one that a key was sealed with.
    Open,
}

/// # Errors
/// [`RegistryError::Usage`] when it is empty, typed in two ways, or there is nobody to ask.
pub(super) async fn get(file: Option<PathBuf>, what_for: Use) -> Result<Passphrase> {
    let passphrase = match file {
        Some(file) => of_file(&file)?,
        None => match std::env::var_os(PASSPHRASE_VARIABLE) {
            Some(text) => text
                .into_string()
                .map_err(|_| RegistryError::Usage(format!("{PASSPHRASE_VARIABLE} is not UTF-8; write plain text")))?,
            None => asked(what_for).await?,
        },
    };
    if passphrase.is_empty() {
        let why = "an empty passphrase protects nothing; choose one, or `key export --plain`";
        return Err(RegistryError::Usage(why.to_owned()));
    }
    Ok(Passphrase(passphrase))
}

fn of_file(file: &std::path::Path) -> Result<String> {
    use std::io::Read;
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(RegistryError::file(file, "read"))?;
    opened.take(MAX_FILE).read_to_string(&mut text).map_err(RegistryError::file(file, "read"))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

async fn asked(what_for: Use) -> Result<String> {
    if !print::can_ask() {
        let plain = if what_for == Use::Seal { "; or export it with --plain" } else { "" };
        let why = format!(
            "there is no terminal to ask for a passphrase on; name a file that has it with --passphrase-file, or set \
             {PASSPHRASE_VARIABLE}{plain}"
        );
        return Err(RegistryError::Usage(why));
    }
    match what_for {
        Use::Open => typed("Passphrase: ").await,
        Use::Seal => {
            print::note("Without the passphrase this copy is of no use to anybody, you included.");
            let first = typed("Passphrase for this copy of your key: ").await?;
            if first.is_empty() || typed("The same again: ").await? == first {
                return Ok(first);
            }
            Err(RegistryError::Usage("these were two passphrases; nothing was written, try again".to_owned()))
        }
    }
}

/// Asks without showing what is typed. The terminal shows again what is typed whatever comes, Ctrl-C included.
async fn typed(prompt: &'static str) -> Result<String> {
    let shown = Shown::of_terminal();
    let mut stop = Stop::watch()?;
    let typing = tokio::task::spawn_blocking(move || rpassword::prompt_password(prompt));
    let typed = tokio::select! {
        typed = typing => typed.map_err(|error| print::internal("asking for a passphrase", error))?,
        () = stop.told() => Err(io::ErrorKind::Interrupted.into()),
    };
    drop(shown);
    typed.map_err(|error| match error.kind() {
        io::ErrorKind::Interrupted => RegistryError::Interrupted,
        _ => RegistryError::file("the terminal", "read")(error),
    })
}

/// The settings of the terminal, to be put back.
struct Shown(Option<Termios>);

impl Shown {
    fn of_terminal() -> Self {
        let stdin = io::stdin();
        Self(stdin.is_terminal().then(|| tcgetattr(&stdin).ok()).flatten())
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // A terminal that is gone shows nothing anyway.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
