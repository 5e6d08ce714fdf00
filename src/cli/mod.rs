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

/// Name of the program.
const NAME: &str = "swarmdex";
/// Success.
const DONE: u8 = 0;
/// The verb failed, or found nothing.
const FAILED: u8 = 1;
/// The command line makes no sense.
const USAGE: u8 = 2;
/// No node is running, or it cannot be reached.
const NO_NODE: u8 = 3;
/// The node is running but unhealthy.
const UNHEALTHY: u8 = 4;
/// Ctrl-C or SIGTERM ended it.
const INTERRUPTED: u8 = 130;

/// All exit codes, for the manual page and the long help.
const EXIT_CODES: [(u8, &str); 6] = [
    (DONE, "Success."),
    (FAILED, "It failed, or nothing was found."),
    (
        USAGE,
        "Usage error: an argument, setting or file is invalid.",
    ),
    (NO_NODE, "No node is running, or it cannot be reached."),
    (UNHEALTHY, "The node is running but unhealthy."),
    (
        INTERRUPTED,
        "Interrupted by Ctrl-C or SIGTERM; acknowledged changes are kept.",
    ),
];

/// A package registry without a server, and a terminal explorer that shows it live.
///
/// Without a command, opens the explorer on your own node.
#[derive(Debug, Parser)]
#[command(name = NAME, version, disable_help_subcommand = true, subcommand_value_name = "COMMAND", max_term_width = 100, color = ColorChoice::Never)]
struct CommandLine {
    #[command(flatten)]
    global: Global,
    /// Print one sentence a line for each change instead of drawing, for screen readers and pipes
    #[arg(long)]
    plain: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a node until SIGTERM or Ctrl-C, or start, stop or show one in the background
    Node(node::Args),
    /// Start a node in the background: same as `node start`
    Start(node::BackgroundArgs),
    /// Publish a directory or a file as a signed release
    Publish(publish::Args),
    /// Publish crates, wheels, npm tarballs and .deb files as your own releases
    Import(import::Args),
    /// Search for packages
    Search(search::Args),
    /// Download and verify a release
    Get(get::Args),
    /// Show the metadata of a release
    Show(show::Args),
    /// List downloads and uploads, or pause, resume or cancel a download
    Transfers(transfers::Args),
    /// List the content on this node
    Contents(store::ContentsArgs),
    /// Keep a release's content regardless of the quota
    Pin(store::ReleaseArgs),
    /// Allow eviction of a pinned release's content
    Unpin(store::ReleaseArgs),
    /// Evict content that is over the quota; own and pinned content stays
    Gc(store::Gc),
    /// Verify all content on this node; exit code 1 if any was damaged
    Verify(store::Verify),
    /// List the releases of a package
    Versions(versions::Args),
    /// Yank a release of yours, so that it is no longer resolved: handle/name@version
    Yank(yank::Yank),
    /// Undo a yank: handle/name@version
    Unyank(yank::Unyank),
    /// Deprecate a release of yours, with advice on what to use instead: handle/name@version
    Deprecate(yank::Deprecate),
    /// Tag a release of yours, for example as latest or next: handle/name@version
    Tag(yank::Tag),
    /// Show this node's identity, addresses and counters
    Status(status::Args),
    /// Check the running node; exit code 4 if it is unhealthy, 3 if there is none
    Health(health::Args),
    /// List peers, or ban or protect one
    #[command(alias = "peer-list")]
    Peers(peers::Args),
    /// Show everything about one peer
    #[command(alias = "peer-info")]
    Peer(peers::PeerArgs),
    /// Look up a package's head, the providers of a content, or the peers closest to a key in the
    /// DHT; exit code 1 if nothing was found
    Lookup(lookup::Args),
    /// Join the network through these addresses
    Bootstrap(links::Bootstrap),
    /// Connect the running node to a peer
    Connect(links::Connect),
    /// Disconnect the running node from a peer
    Disconnect(links::Disconnect),
    /// Trust a key: pin a handle to it, trust it for package names, or undo a distrust
    ///
    /// A publisher's id without --for is trusted for all names: package managers may then install
    /// any bare name from that key. A handle is only pinned. With --for, trust for
    /// these names replaces trust for all; `distrust` removes it.
    Trust(trust::TrustArgs),
    /// Hide a publisher's packages on this node, and stop trusting it for package names
    Distrust(trust::Distrust),
    /// Print or write the configuration that lets a package manager use the running node
    Setup(setup::Args),
    /// Manage which publisher's packages bare names mean, for package managers
    Names(policy::Args),
    /// Explain whose package a bare name such as cargo:serde is on this node; exit code 1 if
    /// nobody's
    Why(policy::WhyArgs),
    /// Stop serving a name, or one version of it, to package managers: cargo:serde@1.0.0
    Block(policy::BlockArgs),
    /// Undo a block
    Unblock(policy::UnblockArgs),
    /// List conflicts: handles claimed by several keys, changed versions, and forked packages
    Conflicts(conflicts::ConflictsArgs),
    /// Show a conflict, export its evidence, or verify exported evidence
    Conflict(conflicts::Args),
    /// Show, export or import your publisher key
    Key(key::Args),
    /// Back up this node's database, keys and content into a new directory, while it runs or not
    Backup(backup::Args),
    /// Restore a backup while no node is running; existing files are kept unless you pass --replace
    Restore(backup::Restore),
    /// Print the running node's log, or change its filter
    Logs(logs::Args),
    /// Print the running node's events as JSON lines, or record them
    Events(events::Args),
    /// Open the explorer on a recording
    Replay(replay::Args),
    /// Show, edit or validate the settings, or print paths
    Config(config::Args),
    /// Open the explorer on a private swarm of real nodes with real packages
    Demo(demo::Args),
    /// Simulate a swarm on virtual time, and print a report; exit code 1 if an announcement was
    /// missed or an honest node was banned
    Sim(sim::Args),
    /// Print a shell completion script
    Completions(completions::Args),
    /// Print the manual page as roff
    Man(man::Args),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => {
            // Help and version are not errors, and a closed pipe is not ours to report.
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
    // Everything that still runs has been told to stop, and nothing of it needs to finish.
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

async fn run(line: CommandLine) -> Result<u8> {
    let CommandLine {
        global,
        plain,
        verb,
    } = line;
    // A dumb terminal cannot show the explorer, but it can show sentences.
    let explorer = match &verb {
        None => true,
        Some(Verb::Demo(args)) => !args.headless && !args.plain,
        Some(_) => false,
    };
    let dumb = explorer && !plain && ui::is_dumb() && std::io::stdout().is_terminal();
    if dumb {
        print::note(
            "this terminal cannot move its cursor (TERM=dumb), so the explorer prints sentences \
             (--plain)",
        );
    }
    match verb {
        Some(Verb::Demo(mut args)) => {
            args.plain |= plain || dumb;
            demo::run(&global, args).await
        }
        Some(_) if plain => Err(RegistryError::Usage(
            "--plain only applies to the explorer; leave it out, or leave out the verb".to_owned(),
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
        Some(Verb::Completions(args)) => completions::run(&args, CommandLine::command()),
        Some(Verb::Man(_)) => man::run(CommandLine::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KEYS;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_flag_of_the_settings_table_is_there() {
        let line = CommandLine::command();
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
        let parse =
            |words: &[&str]| CommandLine::try_parse_from([&["swarmdex"], words].concat()).unwrap();
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
