//! `node`: a node without a screen; `node start`, `node stop` and `node status` for one that stays.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use libp2p::PeerId;
use serde::Serialize;
use tokio::time::Instant;

use super::{
    DONE, FAILED,
    global::Global,
    print,
    session::{self, Hosted},
    status,
    stop::Stop,
};
use crate::{
    RegistryError, Result,
    config::Settings,
    control::{Control, Remote, Status},
    disk, store,
    telemetry::{self, LogFormat, Screen},
};

/// Longest wait for a node that is started to answer.
const START_TIME: Duration = Duration::from_secs(20);
/// Longest wait for one that is stopped to be gone.
const STOP_TIME: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(30);

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    /// Print one JSON object once the node listens
    #[arg(long)]
    json: bool,
    /// Leave the terminal's session: for `node start`
    #[arg(long, hide = true)]
    detached: bool,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Start a node that goes on when this terminal is closed; returns once it answers
    Start(One),
    /// Have the node that runs end in order; returns once it has
    Stop(One),
    /// Show the node that runs; exit code 3 when there is none
    Status(status::Args),
}

/// Of `node start`, its alias `start`, and `node stop`.
#[derive(Debug, clap::Args)]
pub(super) struct One {
    /// Print the status as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Listening {
    peer_id: PeerId,
    network: String,
    addresses: Vec<String>,
    socket: Option<std::path::PathBuf>,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    match args.what {
        None => stay(global, &args).await,
        Some(What::Start(one)) => start(global, one).await,
        Some(What::Stop(one)) => stop(global, one).await,
        Some(What::Status(args)) => {
            session::running(global, async |node, _| status::show_of(node, args).await.map(|()| DONE)).await
        }
    }
}

/// The node itself, until it is told to stop.
async fn stay(global: &Global, args: &Args) -> Result<u8> {
    if args.detached {
        let failed = |error: rustix::io::Errno| print::internal("leaving the terminal's session", error);
        rustix::process::setsid().map_err(failed)?;
    }
    let settings = global.settings()?;
    let logs = telemetry::start(&settings, Screen::Service)?;
    let mut stop = Stop::watch()?;
    let hosted = Hosted::start(&settings, &logs).await?;
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

/// Says where the node listens, and then ends only with an error.
async fn tell(node: &dyn Control, args: &Args, format: LogFormat) -> Result<()> {
    let Status { node, socket, .. } = node.status().await?;
    let (peer_id, network, addresses) = (node.peer_id, node.network, node.addresses);
    if args.json {
        print::json(&Listening { peer_id, network, addresses, socket })?;
    } else if !args.detached {
        print::lines(&format!("{peer_id} listens in network {network} on\n  {}", addresses.join("\n  ")))?;
        note(format, "others join with --bootstrap and one of these addresses; Ctrl-C ends the node");
    }
    std::future::pending().await
}

/// Starts a process of its own, and waits until it answers.
pub(super) async fn start(global: &Global, One { json }: One) -> Result<u8> {
    let settings = global.settings()?;
    let data_dir = &settings.paths.data;
    if let Some(remote) = Remote::on(data_dir, false).await? {
        print::note("a node runs on this data directory already");
        return told(&remote.status().await?, json);
    }
    let said = settings.paths.state.join("node.err");
    let mut child = spawn(global, &settings, &said)?;
    let deadline = Instant::now() + START_TIME;
    loop {
        if let Some(remote) = Remote::on(data_dir, false).await? {
            let status = remote.status().await?;
            if status.pid == child.id() {
                return told(&status, json);
            }
        }
        let ended = child.try_wait().map_err(|error| print::internal("watching the node", error))?;
        if ended.is_some() || Instant::now() >= deadline {
            let text = fs::read_to_string(&said).unwrap_or_default();
            let why = if text.trim().is_empty() { "it said nothing" } else { text.trim() };
            let how = if ended.is_some() { "ended at once" } else { "does not answer" };
            print::note(format!("error: the node {how}: {why}"));
            return Ok(FAILED);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn spawn(global: &Global, settings: &Settings, said: &Path) -> Result<std::process::Child> {
    let state = &settings.paths.state;
    // One directory may hold everything, and is private from the start then.
    if state.starts_with(&settings.paths.data) {
        disk::private_dir(&settings.paths.data).map_err(RegistryError::file(&settings.paths.data, "created"))?;
    }
    disk::private_dir(state).map_err(RegistryError::file(state, "created"))?;
    let stderr = File::create(said).map_err(RegistryError::file(said, "written"))?;
    let program = std::env::current_exe().map_err(|error| print::internal("finding this program", error))?;
    let mut node = Command::new(program);
    node.args(global.words()).args(["node", "--detached"]);
    node.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    node.spawn().map_err(|error| print::internal("starting the node", error))
}

fn told(status: &Status, json: bool) -> Result<u8> {
    if json {
        print::json(status)?;
    } else {
        let (node, pid) = (&status.node, status.pid);
        print::lines(&format!("{} runs in network {}, process {pid}", node.peer_id, node.network))?;
        print::note("`swarmdex` opens the explorer on it, `swarmdex node stop` ends it");
    }
    Ok(DONE)
}

async fn stop(global: &Global, One { json }: One) -> Result<u8> {
    session::running(global, async |node, settings| {
        let status = node.status().await?;
        node.shut_down().await?;
        let deadline = Instant::now() + STOP_TIME;
        // A node elsewhere has its data directory elsewhere too.
        let here = status.data_dir == settings.paths.data;
        loop {
            let there = if here { store::is_in_use(&status.data_dir) } else { node.status().await.is_ok() };
            if !there {
                print::note(format!("the node {} has ended", status.node.peer_id));
                return if json { print::json(&status).map(|()| DONE) } else { Ok(DONE) };
            }
            if Instant::now() >= deadline {
                print::note(format!("error: the node, process {}, has been told to end and has not yet", status.pid));
                return Ok(FAILED);
            }
            tokio::time::sleep(LOOK).await;
        }
    })
    .await
}

/// For a person on stderr; where a program reads that, into the log.
fn note(format: LogFormat, text: &str) {
    match format {
        LogFormat::Text => print::note(text),
        LogFormat::Json => tracing::info!("{text}"),
    }
}
