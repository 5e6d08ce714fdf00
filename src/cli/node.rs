//! `node`: runs a node without a screen; `node start`, `stop` and `status` control one in the
//! background.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use libp2p::PeerId;
use serde::Serialize;
use tokio::time::Instant;

use super::{
    DONE, FAILED, INTERRUPTED,
    global::Global,
    print,
    session::{self, Hosted},
    status,
    stop::Stop,
};
use crate::{
    RegistryError, Result,
    config::Settings,
    control::{Control, Remote, Status, Watch},
    disk, store,
    telemetry::{self, LogFormat, StderrUse},
};

/// Longest wait for a started node to answer.
const START_TIME: Duration = Duration::from_secs(20);
/// Longest wait for a stopped node to exit.
const STOP_TIME: Duration = Duration::from_secs(10);
/// Interval between two checks.
const LOOK: Duration = Duration::from_millis(30);

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    /// Print one JSON object once the node is listening
    #[arg(long)]
    json: bool,
    /// Leave the terminal's session; for `node start`
    #[arg(long, hide = true)]
    detached: bool,
    #[command(subcommand)]
    what: Option<NodeVerb>,
}

#[derive(Debug, clap::Subcommand)]
enum NodeVerb {
    /// Start a node in the background, and return once it answers
    Start(BackgroundArgs),
    /// Stop the running node, and return once it has exited
    Stop(BackgroundArgs),
    /// Show the status of the running node; exit code 3 if there is none
    Status(status::Args),
}

/// Flags of `node start`, its alias `start`, and `node stop`.
#[derive(Debug, clap::Args)]
pub(super) struct BackgroundArgs {
    /// Print the status as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Listening {
    peer_id: PeerId,
    network: String,
    addresses: Vec<String>,
    socket: Option<PathBuf>,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    match args.what {
        None => stay(global, &args).await,
        Some(NodeVerb::Start(one)) => start(global, one).await,
        Some(NodeVerb::Stop(one)) => stop(global, one).await,
        Some(NodeVerb::Status(args)) => {
            session::running(global, async |node, _| {
                status::show_of(node, args).await.map(|()| DONE)
            })
            .await
        }
    }
}

/// Runs the node until it is told to stop.
async fn stay(global: &Global, args: &Args) -> Result<u8> {
    if args.detached {
        let failed =
            |error: rustix::io::Errno| print::internal("leaving the terminal's session", error);
        rustix::process::setsid().map_err(failed)?;
    }
    let settings = global.settings()?;
    let logs = telemetry::start(&settings.log_options(), StderrUse::Service)?;
    let mut stop = Stop::watch()?;
    let hosted = Hosted::start(&settings, &logs).await?;
    if args.detached && !hosted.is_served() {
        // The reason has been logged. Without a socket nobody could use or stop the node.
        hosted.end().await?;
        return Ok(FAILED);
    }
    let local = hosted.local.clone();
    let result = tokio::select! {
        result = tell(&*local, args, settings.log_format) => result,
        () = stop.told() => Ok(()),
        () = local.told_to_stop() => Ok(()),
    };
    note(settings.log_format, "shutting down");
    let ended = hosted.end().await;
    result.and(ended).map(|()| DONE)
}

/// Prints where the node listens, and then waits for an error.
async fn tell(node: &dyn Control, args: &Args, format: LogFormat) -> Result<()> {
    let Status { node, socket, .. } = node.status().await?;
    let (peer_id, network, addresses) = (node.peer_id, node.network, node.addresses);
    if args.json {
        print::json(&Listening {
            peer_id,
            network,
            addresses,
            socket,
        })?;
    } else if !args.detached {
        print::lines(&format!(
            "{peer_id} listens in network {network} on\n  {}",
            addresses.join("\n  ")
        ))?;
        note(
            format,
            "others can join with --bootstrap and one of these addresses; press Ctrl-C to stop the \
             node",
        );
    }
    std::future::pending().await
}

/// Starts a node in a process of its own, and waits until it answers. If it cannot be reached, it
/// is stopped before this returns.
pub(super) async fn start(global: &Global, BackgroundArgs { json }: BackgroundArgs) -> Result<u8> {
    let settings = global.settings()?;
    let data_dir = &settings.paths.data;
    if let Some(remote) = session::reach(data_dir, false).await? {
        print::note("a node is already running on this data directory");
        return told(&remote.status().await?, json);
    }
    let said = settings.paths.state.join("node.err");
    let mut child = spawn(global, &settings, &said)?;
    let status = tokio::time::timeout(START_TIME, answering(data_dir, &mut child)).await;
    let how = match status {
        Ok(Ok(Some(status))) => return told(&status, json),
        Ok(Ok(None)) => "exited at once".to_owned(),
        Ok(Err(error)) => format!("was stopped, because it cannot be reached: {error}"),
        Err(_) => format!(
            "was stopped, because it did not answer within {} s",
            START_TIME.as_secs()
        ),
    };
    end(&mut child).await?;
    let text = fs::read_to_string(&said).unwrap_or_default();
    let why = if text.trim().is_empty() {
        "it said nothing"
    } else {
        text.trim()
    };
    print::note(format!("error: the node {how}: {why}"));
    Ok(FAILED)
}

/// Waits until the process answers on the data directory's socket; returns `None` if it exits
/// first.
async fn answering(data_dir: &Path, child: &mut Child) -> Result<Option<Status>> {
    loop {
        if let Some(remote) = Remote::on(data_dir, false).await? {
            let status = remote.status().await?;
            if status.pid == child.id() {
                return Ok(Some(status));
            }
        }
        if child.try_wait().map_err(watching)?.is_some() {
            return Ok(None);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn watching(error: std::io::Error) -> RegistryError {
    print::internal("watching the node", error)
}

/// Stops a child process, at first with SIGTERM, and waits for its exit.
async fn end(child: &mut Child) -> Result<()> {
    let deadline = Instant::now() + STOP_TIME;
    // The child has not been reaped, so its process id cannot be reused.
    if let Some(pid) = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        // A process that has exited needs no signal.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    while child.try_wait().map_err(watching)?.is_none() {
        if Instant::now() >= deadline {
            child.kill().map_err(watching)?;
            child.wait().map_err(watching)?;
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn spawn(global: &Global, settings: &Settings, said: &Path) -> Result<Child> {
    let state = &settings.paths.state;
    // If one directory holds everything, create it as a private one.
    if state.starts_with(&settings.paths.data) {
        disk::private_dir(&settings.paths.data)
            .map_err(RegistryError::file(&settings.paths.data, "created"))?;
    }
    disk::private_dir(state).map_err(RegistryError::file(state, "created"))?;
    let stderr = File::create(said).map_err(RegistryError::file(said, "written"))?;
    let program =
        std::env::current_exe().map_err(|error| print::internal("finding this program", error))?;
    let mut node = Command::new(program);
    node.args(global.words()).args(["node", "--detached"]);
    node.stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr);
    node.spawn()
        .map_err(|error| print::internal("starting the node", error))
}

fn told(status: &Status, json: bool) -> Result<u8> {
    if json {
        print::json(status)?;
    } else {
        let (node, pid) = (&status.node, status.pid);
        print::lines(&format!(
            "{} is running in network {}, process {pid}",
            node.peer_id, node.network
        ))?;
        print::note("open the explorer with `swarmdex`, stop the node with `swarmdex node stop`");
    }
    Ok(DONE)
}

#[derive(Serialize)]
struct StoppedOutput {
    pid: u32,
    data_dir: PathBuf,
}

/// Asks the node to stop over its socket. A node on this machine that does not answer gets SIGTERM.
async fn stop(global: &Global, BackgroundArgs { json }: BackgroundArgs) -> Result<u8> {
    let settings = global.settings()?;
    let mut stop = Stop::watch()?;
    let asking = async {
        let node = session::find(global, &settings)
            .await?
            .ok_or_else(|| session::nobody(&settings))?;
        let status = node.status().await?;
        node.shut_down().await?;
        Ok((node, status))
    };
    let asked: Result<(Remote, Status)> = tokio::select! {
        asked = tokio::time::timeout(STOP_TIME, asking) => match asked {
            Ok(asked) => asked,
            Err(_) => Err(session::nobody(&settings)),
        },
        () = stop.told() => return Ok(INTERRUPTED),
    };
    let data_dir = &settings.paths.data;
    match asked {
        Ok((node, status)) => {
            // A node on another machine has its data directory there too.
            let here = status.data_dir == *data_dir;
            let there = async || {
                if here {
                    store::is_in_use(data_dir)
                } else {
                    node.status().await.is_ok()
                }
            };
            if !ends(there).await {
                return Ok(goes_on(status.pid));
            }
            print::note(format!("stopped node {}", status.node.peer_id));
            if json {
                print::json(&status)?
            }
        }
        Err(error) => {
            let named = global.attach()?.is_some() || global.readonly || error.is_usage();
            let holder = store::holder(data_dir).filter(|holder| holder.stays && !named);
            let Some((holder, pid)) = holder.and_then(|holder| Some((holder.clone(), holder.pid?)))
            else {
                return Err(error);
            };
            if !holder.terminate(data_dir) {
                return Err(error);
            }
            print::note(format!(
                "the node does not answer on its socket; sending SIGTERM to process {pid}"
            ));
            if !ends(async || store::is_in_use(data_dir)).await {
                return Ok(goes_on(pid));
            }
            print::note("stopped the node");
            if json {
                print::json(&StoppedOutput {
                    pid,
                    data_dir: data_dir.clone(),
                })?
            }
        }
    }
    Ok(DONE)
}

/// Waits until `there` is false; returns false on timeout.
async fn ends(there: impl AsyncFn() -> bool) -> bool {
    let deadline = Instant::now() + STOP_TIME;
    while there().await {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
    true
}

fn goes_on(pid: u32) -> u8 {
    print::note(format!(
        "error: the node, process {pid}, was told to stop but is still running"
    ));
    FAILED
}

/// Prints a note to stderr for a user, or logs it if a program reads stderr.
fn note(format: LogFormat, text: &str) {
    match format {
        LogFormat::Text => print::note(text),
        LogFormat::Json => tracing::info!("{text}"),
    }
}
