//! `setup --check`: every package manager that is installed is run against the gateway, which says what it was asked.

use std::{
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use tokio::{io::AsyncWriteExt, process::Command, sync::mpsc, time::timeout};

use super::Access;
use crate::{
    RegistryError, Result,
    bus::Batch,
    cli::{DONE, FAILED, print},
    control::{Control, Remote},
    domain::request::ClientRequest,
    gateway,
};

/// Longest time for one of them; they start slowly on a cold disk.
const MOST: Duration = Duration::from_secs(20);
/// After a client has ended, what it asked is told within this time.
const TOLD: Duration = Duration::from_secs(1);

/// A package manager, and how it is made to ask for a package that nobody has.
struct Client {
    name: &'static str,
    arguments: fn(url: &str, package: &str) -> Vec<String>,
    /// It reads what it is asked for.
    reads: bool,
}

/// Words with what stands for the gateway's address and the package put in.
fn words(text: &str, url: &str, package: &str) -> Vec<String> {
    text.split(' ').map(|word| word.replace("URL", url).replace("PACKAGE", package)).collect()
}

const CLIENTS: [Client; 7] = [
    Client {
        name: "cargo",
        arguments: |url, package| {
            words(r#"info PACKAGE --registry swarm --config registries.swarm.index="sparse+URL/cargo/""#, url, package)
        },
        reads: false,
    },
    Client {
        name: "pip",
        arguments: |url, package| {
            let text = "download --no-deps --no-input --retries 0 --disable-pip-version-check --index-url URL/pypi/simple/ PACKAGE";
            words(text, url, package)
        },
        reads: false,
    },
    Client {
        name: "uv",
        arguments: |url, package| words("pip compile - --no-cache --index-url URL/pypi/simple/", url, package),
        reads: true,
    },
    Client {
        name: "npm",
        arguments: |url, package| words("view PACKAGE --registry URL/npm/", url, package),
        reads: false,
    },
    Client {
        name: "pnpm",
        arguments: |url, package| words("view PACKAGE --registry URL/npm/", url, package),
        reads: false,
    },
    Client {
        name: "yarn",
        arguments: |url, package| words("info PACKAGE --registry URL/npm/", url, package),
        reads: false,
    },
    Client {
        name: "bun",
        arguments: |url, package| words("info PACKAGE --registry=URL/npm/", url, package),
        reads: false,
    },
];

/// What became of one client.
enum Came {
    NotInstalled,
    /// It asked this node; that is what it calls itself.
    Asked(String),
    Silent(String),
}

/// Says which node answers at the gateway, and which clients reach it.
pub(super) async fn run(node: &Remote, access: &Access) -> Result<u8> {
    let status = node.status().await?;
    let answers = gateway::check(&access.url, &status.node.peer_id).await;
    let mut rows = vec![match &answers {
        Ok(()) => vec!["gateway".to_owned(), format!("{} is this node's", access.url)],
        Err(why) => vec!["gateway".to_owned(), format!("{}: {why}", access.url)],
    }];
    let dir = tempfile::tempdir().map_err(RegistryError::file(std::env::temp_dir(), "written to"))?;
    let mut is_good = answers.is_ok();
    for client in &CLIENTS {
        let spinner = print::spinner(&format!("asking with {}", client.name));
        let came = ask(node, client, &access.url, dir.path()).await?;
        spinner.finish_and_clear();
        let text = match came {
            Came::NotInstalled => "is not installed here".to_owned(),
            Came::Asked(called) => format!("reaches this node, as {called}"),
            Came::Silent(why) => {
                is_good = false;
                format!("does not reach this node: {why}")
            }
        };
        rows.push(vec![client.name.to_owned(), text]);
    }
    print::table(&["WHAT", "HOW IT IS"], rows)?;
    Ok(if is_good { DONE } else { FAILED })
}

async fn ask(node: &Remote, client: &Client, url: &str, dir: &Path) -> Result<Came> {
    let package = format!("swarmdex-check-{:016x}", rand::random::<u64>());
    let mut batches = node.subscribe();
    let Some(ended) = end(client, url, &package, dir).await else { return Ok(Came::NotInstalled) };
    match asked(&mut batches, &package).await {
        Some(request) => Ok(Came::Asked(request.client)),
        None => Ok(Came::Silent(ended)),
    }
}

/// Runs a client to its end; what it says last, or `None` where it is not installed.
async fn end(client: &Client, url: &str, package: &str, dir: &Path) -> Option<String> {
    let mut command = Command::new(client.name);
    command.args((client.arguments)(url, package)).current_dir(dir).kill_on_drop(true);
    // Nothing of a check stays in what they keep, and no credentials are sent.
    command.env("CARGO_HOME", dir).env("npm_config_cache", dir).env("PIP_NO_CACHE_DIR", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => return Some(error.to_string()),
    };
    if let Some(mut input) = child.stdin.take().filter(|_| client.reads) {
        // Where it has ended already, it says why.
        let _ = input.write_all(package.as_bytes()).await;
    }
    Some(match timeout(MOST, child.wait_with_output()).await {
        Ok(Ok(Output { stderr, stdout, .. })) => {
            let said = if stderr.is_empty() { stdout } else { stderr };
            let said = String::from_utf8_lossy(&said).into_owned();
            said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it had not ended after {} s", MOST.as_secs()),
    })
}

/// The request for the package, as the node tells it.
async fn asked(batches: &mut mpsc::Receiver<Batch>, package: &str) -> Option<ClientRequest> {
    let request = async {
        while let Some(batch) = batches.recv().await {
            let found = batch.requests.into_iter().find(|request| request.path.contains(package));
            if found.is_some() {
                return found;
            }
        }
        None
    };
    timeout(TOLD, request).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_is_told_where_and_what_to_ask() {
        for client in &CLIENTS {
            let words = (client.arguments)("http://127.0.0.1:4810", "nothing-at-all");
            assert!(words.iter().any(|word| word.contains("http://127.0.0.1:4810/")), "{}", client.name);
            assert!(client.reads || words.iter().any(|word| word == "nothing-at-all"), "{}", client.name);
        }
    }
}
