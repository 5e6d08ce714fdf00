//! The passphrase of a key: from a file, from the environment, or from a person.

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
            Some(text) => text.into_string().map_err(|_| {
                RegistryError::Usage(format!(
                    "{PASSPHRASE_VARIABLE} is not UTF-8; write plain text"
                ))
            })?,
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
            "there is no terminal to ask for a passphrase on; name a file that has it with --passphrase-file, or set \
             {PASSPHRASE_VARIABLE}{plain}"
        );
        return Err(RegistryError::Usage(why));
    }
    // From before the first question to after the last: nothing shows that is typed early.
    let _hidden = Hidden::terminal();
    match what_for {
        Use::Open => typed("Passphrase: ").await,
        Use::Seal => {
            print::note("Without the passphrase this copy is of no use to anybody, you included.");
            let first = typed("Passphrase for this copy of your key: ").await?;
            if first.is_empty() || typed("The same again: ").await? == first {
                return Ok(first);
            }
            Err(RegistryError::Usage(
                "these were two passphrases; nothing was written, try again".to_owned(),
            ))
        }
    }
}

/// Asks for a line, unless the person interrupts it.
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

/// Keeps the terminal from showing what is typed, and puts it back as it was, after Ctrl-C too.
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
            // A terminal that is gone shows nothing anyway.
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
