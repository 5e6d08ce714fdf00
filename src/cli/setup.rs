//! `setup`: configures package managers to use the running node.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{DONE, global::Global, print, session};
use crate::{
    RegistryError, Result,
    config::Settings,
    control::{Remote, Status, Watch},
    disk,
    gateway::token_path,
};

mod cargo;
mod check;
mod ini;
mod javascript;
mod npmrc;
mod pip;
mod python;
mod uv;
mod yaml;

use cargo::CargoSettings;
use python::Tool;

/// Mode of files with the publish token: only the owner may read them.
const PRIVATE: u32 = 0o600;

#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    /// Run every installed package manager against the gateway, and report which of them reach it
    #[arg(long)]
    check: bool,
    #[command(subcommand)]
    client: Option<SetupVerb>,
}

#[derive(Debug, clap::Subcommand)]
enum SetupVerb {
    /// Print the configuration for cargo, token included, or write it
    ///
    /// The registry goes into .cargo/config.toml, the token into credentials.toml in cargo's home.
    Cargo(Flags),
    /// Print the lines for .npmrc, token included, or write them; yarn 1 reads the same file
    Npm(javascript::Args),
    /// Print the lines for pnpm's .npmrc, token included, or write them
    Pnpm(javascript::Args),
    /// Print the lines for .yarnrc.yml of yarn 2 and later, token included, or write them
    Yarn(javascript::Args),
    /// Print the lines for bun's .npmrc, token included, or write them
    Bun(javascript::Args),
    /// Print the configuration for pip and for upload tools such as twine, token included, or write
    /// it
    ///
    /// The token goes into .pypirc in your home; with --mirror, the index goes into pip.conf of the
    /// active environment.
    Pip(Flags),
    /// Print the configuration for uv, token included, or write it
    ///
    /// It goes into pyproject.toml or uv.toml.
    Uv(Flags),
}

/// The address and tokens with which a client reaches the running node.
#[derive(Clone, Debug)]
struct Access {
    /// Base URL of the gateway, without a trailing slash.
    url: String,
    /// Token for publishing.
    token: String,
    /// Reading requires a token too.
    closed: bool,
}

/// Flags of every client.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Flags {
    /// Write it: the registry into this project's configuration, the token into your home
    #[arg(long)]
    write: bool,
    /// Write the registry into the configuration in your home, for all projects
    #[arg(long, requires = "write")]
    global: bool,
    /// Remove it again
    #[arg(long, conflicts_with = "write")]
    undo: bool,
    /// Replace the default registry too: everything comes from this swarm
    #[arg(long)]
    mirror: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    let Some(client) = args.client else {
        return session::running(global, async |node, settings| {
            check::run(node, &access(node, settings).await?).await
        })
        .await;
    };
    match client {
        SetupVerb::Cargo(Flags { undo: true, .. }) => undo(),
        SetupVerb::Cargo(flags) => {
            session::running(global, async |node, settings| {
                set_up(&access(node, settings).await?, flags)
            })
            .await
        }
        SetupVerb::Npm(args) => javascript::run(global, javascript::NpmClient::Npm, args).await,
        SetupVerb::Pnpm(args) => javascript::run(global, javascript::NpmClient::Pnpm, args).await,
        SetupVerb::Yarn(args) => javascript::run(global, javascript::NpmClient::Yarn, args).await,
        SetupVerb::Bun(args) => javascript::run(global, javascript::NpmClient::Bun, args).await,
        SetupVerb::Pip(Flags { undo: true, .. }) => python::undo(Tool::Pip),
        SetupVerb::Uv(Flags { undo: true, .. }) => python::undo(Tool::Uv),
        SetupVerb::Pip(flags) => python(global, Tool::Pip, flags).await,
        SetupVerb::Uv(flags) => python(global, Tool::Uv, flags).await,
    }
}

async fn python(global: &Global, tool: Tool, flags: Flags) -> Result<u8> {
    session::running(global, async |node, settings| {
        python::set_up(tool, flags, &access(node, settings).await?)
    })
    .await
}

async fn access(node: &Remote, settings: &Settings) -> Result<Access> {
    let Status {
        gateway, data_dir, ..
    } = node.status().await?;
    let Some(url) = gateway else {
        let text = "the running node has no gateway; set gateway = \"127.0.0.1:4810\" in its \
                    settings and restart it";
        return Err(RegistryError::Usage(text.to_owned()));
    };
    let path = token_path(&data_dir);
    let token = fs::read_to_string(&path).map_err(RegistryError::file(&path, "read"))?;
    let closed = settings
        .gateway_address()
        .is_some_and(|address| !address.ip().is_loopback());
    Ok(Access {
        url,
        token: token.trim().to_owned(),
        closed,
    })
}

fn set_up(access: &Access, flags: Flags) -> Result<u8> {
    let Access { url, token, closed } = access.clone();
    let wanted = CargoSettings {
        url,
        token,
        mirror: flags.mirror,
        closed,
    };
    if !flags.write {
        print::lines(wanted.text().trim_end())?;
        return Ok(DONE);
    }
    let config = if flags.global {
        cargo_home()?.join("config.toml")
    } else {
        PathBuf::from(".cargo/config.toml")
    };
    let credentials = cargo_home()?.join("credentials.toml");
    change(&config, |text| cargo::add(text, &wanted))?;
    change(&credentials, |text| cargo::add_token(text, &wanted))?;
    print::note(format!(
        "wrote {} and {}; undo with `swarmdex setup cargo --undo`",
        config.display(),
        credentials.display()
    ));
    if flags.mirror {
        print::note(
            "the default registry is now replaced by the swarm: crates that nobody here attests \
             are not found; `cargo publish`, `search` and `info` need --registry",
        );
    }
    Ok(DONE)
}

fn undo() -> Result<u8> {
    let home = cargo_home()?;
    let mut changed = false;
    for path in [
        PathBuf::from(".cargo/config.toml"),
        home.join("config.toml"),
        home.join("credentials.toml"),
    ] {
        if change(&path, cargo::remove)? {
            changed = true;
            print::note(format!(
                "removed Swarmdex's settings from {}",
                path.display()
            ));
        }
    }
    if !changed {
        print::note("there was nothing to remove");
    }
    Ok(DONE)
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME").filter(|home| !home.is_empty()) {
        return Ok(home.into());
    }
    etcetera::home_dir()
        .map(|home| home.join(".cargo"))
        .map_err(|error| {
            RegistryError::Usage(format!("no home directory found ({error}); set CARGO_HOME"))
        })
}

/// Edits a client's file; returns true if it changed. Does not create an empty file.
fn change(path: &Path, edit: impl FnOnce(&str) -> Result<String, String>) -> Result<bool> {
    let before = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(RegistryError::file(path, "read")(error)),
    };
    let after = edit(&before)
        .map_err(|why| RegistryError::Usage(format!("{} is unchanged: {why}", path.display())))?;
    if after == before {
        return Ok(false);
    }
    let unwritten = |error| RegistryError::file(path, "written")(error);
    fs::create_dir_all(disk::dir_of(path)).map_err(unwritten)?;
    match path.exists() {
        true => disk::replace(path, after.as_bytes()).map_err(unwritten)?,
        false => disk::make(path, after.as_bytes(), PRIVATE).map_err(unwritten)?,
    }
    Ok(true)
}
