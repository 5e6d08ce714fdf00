//! The command line: one file per verb. Data goes to stdout, everything else to stderr.

mod ask;
mod backup;
mod completions;
mod config;
mod conflicts;
mod demo;
mod events;
mod explorer;
mod get;
mod global;
mod health;
mod id;
mod import;
mod judge;
mod key;
mod links;
mod logs;
mod lookup;
mod man;
mod names;
mod node;
mod peers;
mod plain;
mod policy;
mod print;
mod publish;
mod release;
mod replay;
mod search;
mod session;
mod setup;
mod show;
mod sim;
mod status;
mod stop;
mod store;
mod transfers;
mod trust;
mod versions;
mod yank;

use std::{io::IsTerminal, process::ExitCode, time::Duration};

use clap::{ColorChoice, CommandFactory, Parser, Subcommand};

use crate::{RegistryError, Result, ui};
use global::Global;

/// What the program is called on a command line.
const NAME: &str = "swarmdex";
/// A verb did what it was asked.
const DONE: u8 = 0;
/// It failed or found nothing.
const FAILED: u8 = 1;
/// What was asked makes no sense as it was written.
const USAGE: u8 = 2;
/// No node runs, or none that can be spoken to.
const NO_NODE: u8 = 3;
/// The node runs, and is not well.
const UNHEALTHY: u8 = 4;
/// Ctrl-C or SIGTERM ended it.
const INTERRUPTED: u8 = 130;

/// Every exit code, for the manual page and the long help.
const EXIT_CODES: [(u8, &str); 6] = [
    (DONE, "It was done."),
    (FAILED, "It failed, or nothing was found."),
    (USAGE, "What was asked makes no sense as it was written."),
    (NO_NODE, "No node runs, or none that can be spoken to."),
    (UNHEALTHY, "The node runs, and is not well."),
    (
        INTERRUPTED,
        "Ctrl-C or SIGTERM ended it; what was acknowledged is kept.",
    ),
];

/// A package registry with no server, and a terminal explorer that shows it live.
///
/// Without a verb, the explorer opens on your own node.
#[derive(Debug, Parser)]
#[command(name = NAME, version, disable_help_subcommand = true, subcommand_value_name = "COMMAND", max_term_width = 100, color = ColorChoice::Never)]
struct Line {
    #[command(flatten)]
    global: Global,
    /// No screen: one sentence a line for whatever changes, for screen readers and pipes
    #[arg(long)]
    plain: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a node without a screen, until SIGTERM or Ctrl-C; or start, stop and show one that stays
    Node(node::Args),
    /// Start a node that stays: `node start`
    Start(node::One),
    /// Pack a directory, or take a file, and publish it as a signed release
    Publish(publish::Args),
    /// Publish crates, wheels, npm tarballs and .deb files as releases of your own
    Import(import::Args),
    /// Search packages by words
    Search(search::Args),
    /// Fetch a release, verify it and write it: handle/name or publisher-id/name, and @requirement
    Get(get::Args),
    /// Show what a release says of itself: handle/name or publisher-id/name, and @requirement
    Show(show::Args),
    /// List what is fetched and served
    Transfers(transfers::Args),
    /// List the content that is here
    Contents(store::List),
    /// Keep a release's content whatever the quota says
    Pin(store::One),
    /// Let a release's content go when room is needed
    Unpin(store::One),
    /// Remove content that is neither your own nor pinned, as far as the quota wants
    Gc(store::Gc),
    /// Read all content that is here and verify it; exit code 1 when some was damaged
    Verify(store::Verify),
    /// List every release of a package
    Versions(versions::Args),
    /// Mark a release of yours as not to be chosen any more: handle/name@version
    Yank(yank::Yank),
    /// Take a yank back: handle/name@version
    Unyank(yank::Unyank),
    /// Say of a release of yours what to use instead, or why not to use it: handle/name@version
    Deprecate(yank::Deprecate),
    /// Name a release of yours, such as latest or next: handle/name@version
    Tag(yank::Tag),
    /// Show this node's identity, addresses and counts
    Status(status::Args),
    /// Say whether the node that runs is well; exit code 4 when it is not, 3 when there is none
    Health(health::Args),
    /// List the peers that are known, or ban or protect one
    #[command(alias = "peer-list")]
    Peers(peers::Args),
    /// Show everything about one peer
    #[command(alias = "peer-info")]
    Peer(peers::One),
    /// Look something up in the DHT: a package's head, who has a content, or the peers closest to
    /// one; exit code 1 when nothing was found
    Lookup(lookup::Args),
    /// Join the network through these addresses
    Bootstrap(links::Bootstrap),
    /// Connect the node that runs to a peer
    Connect(links::Connect),
    /// End the connection of the node that runs with a peer
    Disconnect(links::Disconnect),
    /// Trust a key for names, say which key a handle means, or take a distrust back
    Trust(trust::Trust),
    /// Hide a publisher's packages on this node
    Distrust(trust::Distrust),
    /// Print or write the configuration by which a package manager uses the node that runs
    Setup(setup::Args),
    /// Say whose packages bare names are, for package managers
    Names(policy::Args),
    /// Say whose package a bare name is on this node, and why: cargo:serde; exit code 1 when it is
    /// nobody's
    Why(policy::Why),
    /// Stop serving a name to package managers, or one version of it: cargo:serde@1.0.0
    Block(policy::BlockArgs),
    /// Take a block back
    Unblock(policy::UnblockArgs),
    /// List what does not go together: handles that several keys claim, versions that were changed,
    /// states of one number
    Conflicts(conflicts::List),
    /// Show one of them, export its evidence, or verify what somebody else exported
    Conflict(conflicts::Args),
    /// Show, export or import your publisher key
    Key(key::Args),
    /// Back up this node into a new directory, while it runs or not: database, keys and content
    Backup(backup::Args),
    /// Bring a backup back, where no node runs; what is there stays unless you say so
    Restore(backup::Restore),
    /// Print what the node that runs writes down, or change what that is
    Logs(logs::Args),
    /// Print what happens on the node that runs, as JSON lines, or record it
    Events(events::Args),
    /// Open the explorer on a recording
    Replay(replay::Args),
    /// Show, edit or validate the settings, or say where files are
    Config(config::Args),
    /// Open the explorer on a private swarm of real nodes, with real packages
    Demo(demo::Args),
    /// Simulate a swarm of many nodes on virtual time, and report; exit code 1 when an announcement
    /// was missed or an honest node was banned
    Sim(sim::Args),
    /// Print a script that completes this program's words in a shell
    Completions(completions::Args),
    /// Print the manual page, with every verb, as roff
    Man(man::Args),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(error) => {
            // Help and version are no errors, and a pipe that was closed is nobody's.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { DONE });
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            print::note(format!(
                "error: the runtime cannot start: {error}; check the limit on threads (ulimit -u)"
            ));
            return ExitCode::from(FAILED);
        }
    };
    let outcome = runtime.block_on(run(line));
    // Whatever still runs has been told to stop, and nothing of it is worth waiting for.
    runtime.shutdown_timeout(Duration::from_millis(200));
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            print::note(format!("error: {error}"));
            ExitCode::from(match error.code() {
                "no_node" | "no_socket" | "control" => NO_NODE,
                "interrupted" => INTERRUPTED,
                _ if error.is_usage() => USAGE,
                _ => FAILED,
            })
        }
    }
}

async fn run(line: Line) -> Result<u8> {
    let Line {
        global,
        plain,
        verb,
    } = line;
    // The explorer cannot be drawn there, and its sentences can be written.
    let explorer = match &verb {
        None => true,
        Some(Verb::Demo(args)) => !args.headless && !args.plain,
        Some(_) => false,
    };
    let dumb = explorer && !plain && ui::is_dumb() && std::io::stdout().is_terminal();
    if dumb {
        print::note(
            "this terminal cannot move its cursor (TERM=dumb), so here is the explorer in sentences (--plain)",
        );
    }
    match verb {
        Some(Verb::Demo(mut args)) => {
            args.plain |= plain || dumb;
            demo::run(&global, args).await
        }
        Some(_) if plain => Err(RegistryError::Usage(
            "--plain is for the explorer, and the other verbs are plain already; leave it out, or leave out the verb"
                .to_owned(),
        )),
        None if plain || dumb => plain::run(&global).await,
        None => explorer::run(&global).await,
        Some(Verb::Node(args)) => node::run(&global, args).await,
        Some(Verb::Start(one)) => node::start(&global, one).await,
        Some(Verb::Publish(args)) => publish::run(&global, args).await,
        Some(Verb::Search(args)) => search::run(&global, args).await,
        Some(Verb::Import(args)) => import::run(&global, args).await,
        Some(Verb::Get(args)) => get::run(&global, args).await,
        Some(Verb::Show(args)) => show::run(&global, args).await,
        Some(Verb::Lookup(args)) => lookup::run(&global, args).await,
        Some(Verb::Transfers(args)) => transfers::run(&global, args).await,
        Some(Verb::Contents(args)) => store::list(&global, args).await,
        Some(Verb::Pin(args)) => store::keep(&global, args, true).await,
        Some(Verb::Unpin(args)) => store::keep(&global, args, false).await,
        Some(Verb::Gc(args)) => store::gc(&global, args).await,
        Some(Verb::Verify(args)) => store::verify(&global, args).await,
        Some(Verb::Versions(args)) => versions::run(&global, args).await,
        Some(Verb::Yank(args)) => yank::yank(&global, args).await,
        Some(Verb::Unyank(args)) => yank::unyank(&global, args).await,
        Some(Verb::Deprecate(args)) => yank::deprecate(&global, args).await,
        Some(Verb::Tag(args)) => yank::tag(&global, args).await,
        Some(Verb::Status(args)) => status::run(&global, args).await,
        Some(Verb::Health(args)) => health::run(&global, args).await,
        Some(Verb::Peers(args)) => peers::run(&global, args).await,
        Some(Verb::Peer(args)) => peers::one(&global, args).await,
        Some(Verb::Bootstrap(args)) => links::bootstrap(&global, args).await,
        Some(Verb::Connect(args)) => links::connect(&global, args).await,
        Some(Verb::Disconnect(args)) => links::disconnect(&global, args).await,
        Some(Verb::Trust(args)) => trust::trust(&global, args).await,
        Some(Verb::Distrust(args)) => trust::distrust(&global, args).await,
        Some(Verb::Setup(args)) => setup::run(&global, args).await,
        Some(Verb::Names(args)) => policy::run(&global, args).await,
        Some(Verb::Why(args)) => policy::why(&global, args).await,
        Some(Verb::Block(args)) => policy::block(&global, args).await,
        Some(Verb::Unblock(args)) => policy::unblock(&global, args).await,
        Some(Verb::Conflicts(args)) => conflicts::list(&global, args).await,
        Some(Verb::Conflict(args)) => conflicts::run(&global, args).await,
        Some(Verb::Key(args)) => key::run(&global, args).await,
        Some(Verb::Backup(args)) => backup::run(&global, args).await,
        Some(Verb::Restore(args)) => backup::restore(&global, args).await,
        Some(Verb::Logs(args)) => logs::run(&global, args).await,
        Some(Verb::Events(args)) => events::run(&global, args).await,
        Some(Verb::Replay(args)) => replay::run(&global, args).await,
        Some(Verb::Config(args)) => config::run(&global, &args).await,
        Some(Verb::Sim(args)) => sim::run(&global, args).await,
        Some(Verb::Completions(args)) => completions::run(&args, Line::command()),
        Some(Verb::Man(_)) => man::run(Line::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KEYS;

    #[test]
    fn the_command_line_is_consistent() {
        Line::command().debug_assert();
    }

    #[test]
    fn every_flag_of_the_settings_table_is_there() {
        let line = Line::command();
        let flags: Vec<String> = line
            .get_arguments()
            .filter_map(|flag| flag.get_long())
            .map(|flag| format!("--{flag}"))
            .collect();
        for flag in KEYS.iter().filter_map(|key| key.flag) {
            assert!(flags.iter().any(|known| known == flag), "{flag}");
        }
    }

    #[test]
    fn settings_are_flags_before_and_after_the_verb() {
        let parse = |words: &[&str]| Line::try_parse_from([&["swarmdex"], words].concat()).unwrap();
        for words in [
            ["--network", "lab", "status"],
            ["status", "--network", "lab"],
        ] {
            let line = parse(&words);
            assert_eq!(
                line.global.settings().unwrap().node.net.network.as_str(),
                "lab"
            );
        }
    }
}
