//! `man`: prints the manual page. One page covers the whole program: one file is easy to install,
//! and readers know the program's name.

use std::io::{self, Write};

use clap::Command;
use clap_mangen::Man;

use super::{DONE, print, print::internal};
use crate::{Result, config::KEYS};

/// Tells where to install the page, for the long help.
const WHERE: &str = "\
To read it now:
  swarmdex man | man -l -

To install it for `man swarmdex`:
  mkdir -p ~/.local/share/man/man1 && swarmdex man > ~/.local/share/man/man1/swarmdex.1

This command starts no node and reads no settings.";

#[derive(Debug, clap::Args)]
#[command(after_long_help = WHERE)]
pub(super) struct Args {}

pub(super) fn run(program: Command) -> Result<u8> {
    let mut page = Vec::new();
    write(&mut page, program).map_err(|error| internal("writing the manual page", error))?;
    print::lines(&String::from_utf8_lossy(&page))?;
    Ok(DONE)
}

fn write(page: &mut Vec<u8>, mut program: Command) -> io::Result<()> {
    program.build();
    let whole =
        Man::new(program.clone()).source(format!("{} {}", super::NAME, env!("CARGO_PKG_VERSION")));
    whole.render_title(page)?;
    whole.render_name_section(page)?;
    whole.render_synopsis_section(page)?;
    whole.render_description_section(page)?;
    writeln!(page, ".SH COMMANDS")?;
    for verb in program.get_subcommands() {
        write_verb(page, verb)?;
    }
    whole.render_options_section(page)?;
    write_rest(page)
}

/// Writes a verb and its subcommands. Global flags are documented once, for the whole program.
fn write_verb(page: &mut Vec<u8>, verb: &Command) -> io::Result<()> {
    let name = verb.get_bin_name().unwrap_or(verb.get_name());
    writeln!(
        page,
        ".SS \"{}\"",
        escaped(name.strip_prefix(super::NAME).unwrap_or(name).trim_start())
    )?;
    let own = verb.clone().mut_args(|flag| {
        let everywhere = flag.is_global_set() || flag.get_id() == "help";
        flag.hide(everywhere)
    });
    let own = Man::new(own);
    let mut part = Vec::new();
    own.render_synopsis_section(&mut part)?;
    page.write_all(without_heading(&part))?;
    writeln!(page, ".PP")?;
    part.clear();
    own.render_description_section(&mut part)?;
    page.write_all(without_heading(&part))?;
    part.clear();
    own.render_options_section(&mut part)?;
    page.write_all(without_heading(&part))?;
    if let Some(more) = verb.get_after_long_help() {
        writeln!(page, ".PP\n.nf")?;
        for line in more.to_string().lines() {
            writeln!(page, "{}", escaped(line))?;
        }
        writeln!(page, ".fi")?;
    }
    verb.get_subcommands()
        .try_for_each(|inner| write_verb(page, inner))
}

/// Removes the first heading of a section: verbs have their own.
fn without_heading(section: &[u8]) -> &[u8] {
    let heading = section
        .split_inclusive(|byte| *byte == b'\n')
        .position(|line| line.starts_with(b".SH"));
    let skipped = heading.map_or(0, |last| {
        section
            .split_inclusive(|byte| *byte == b'\n')
            .take(last + 1)
            .map(<[u8]>::len)
            .sum()
    });
    section.get(skipped..).unwrap_or_default()
}

fn write_rest(page: &mut Vec<u8>) -> io::Result<()> {
    writeln!(page, ".SH \"SETTINGS FILE AND ENVIRONMENT\"")?;
    let intro = "The settings file overrides defaults, environment variables override the file, \
                 and flags override both. `swarmdex config path` prints the path of the file; \
                 SWARMDEX_CONFIG sets another one. Keys of the file and their variables:";
    writeln!(page, "{}", escaped(intro))?;
    for key in &KEYS {
        let default = if key.default.is_empty() {
            String::new()
        } else {
            format!(" [default: {}]", key.default)
        };
        writeln!(
            page,
            ".TP\n\\fB{}\\fR, \\fB{}\\fR{}",
            escaped(key.name),
            key.variable(),
            escaped(&default)
        )?;
        writeln!(page, "{}.", escaped(key.meaning))?;
    }
    writeln!(
        page,
        ".TP\n\\fBNO_COLOR\\fR\nTurns off colours in the explorer if set and not empty."
    )?;
    let session = "Directory for the control sockets of nodes, if it is set and yours.";
    writeln!(page, ".TP\n\\fBXDG_RUNTIME_DIR\\fR\n{}", escaped(session))?;
    let editor =
        "The editor for `config edit`, with arguments if it needs any; VISUAL takes precedence.";
    writeln!(
        page,
        ".TP\n\\fBVISUAL\\fR, \\fBEDITOR\\fR\n{}",
        escaped(editor)
    )?;
    writeln!(page, ".SH \"EXIT STATUS\"")?;
    for (code, meaning) in super::EXIT_CODES {
        writeln!(page, ".TP\n\\fB{code}\\fR\n{meaning}")?;
    }
    writeln!(page, ".SH \"SEE ALSO\"")?;
    writeln!(
        page,
        "{}",
        escaped("`swarmdex VERB --help` shows the help of one verb.")
    )
}

/// Escapes text for roff: backslashes, requests at the start of a line, and hyphens that are minus
/// signs.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('-', "\\-");
    let request = text.starts_with('.') || text.starts_with('\'');
    if request { format!("\\&{text}") } else { text }
}
