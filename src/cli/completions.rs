//! `completions`: prints shell completions.

use clap::Command;
use clap_complete::Shell;

use super::{DONE, print, print::internal};
use crate::Result;

/// Where each shell looks for the script, for the long help.
const WHERE: &str = "\
Where to install the script:
  bash        swarmdex completions bash > ~/.local/share/bash-completion/completions/swarmdex
  zsh         swarmdex completions zsh > ~/.zfunc/_swarmdex
              with fpath+=(~/.zfunc) before compinit in ~/.zshrc
  fish        swarmdex completions fish > ~/.config/fish/completions/swarmdex.fish
  elvish      swarmdex completions elvish >> ~/.config/elvish/rc.elv
  powershell  swarmdex completions powershell >> $PROFILE

Restart your shell afterwards. This command starts no node and reads no settings.";

#[derive(Debug, clap::Args)]
#[command(after_long_help = WHERE)]
pub(super) struct Args {
    /// Shell to print the script for
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(super) fn run(args: &Args, mut program: Command) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, super::NAME, &mut script);
    let script =
        String::from_utf8(script).map_err(|error| internal("writing the completions", error))?;
    print::lines(&script)?;
    Ok(DONE)
}
