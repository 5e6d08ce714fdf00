//! `setup --check`: runs every installed package manager against the gateway, which reports the
//! requests it received.

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
    control::{Remote, Watch},
    domain::request::ClientRequest,
    gateway,
};

/// Longest run of one client; some start slowly on a cold disk.
const MOST: Duration = Duration::from_secs(20);
/// Time after the end of a client within which the gateway reports its requests.
const TOLD: Duration = Duration::from_secs(1);

/// A package manager, and the command that makes it ask for a package that nobody has.
struct CheckedClient {
    name: &'static str,
    /// Its arguments, with placeholders URL and PACKAGE; one form per group of versions.
    forms: &'static [&'static str],
    /// It reads the package name from stdin.
    reads: bool,
}

const fn client(name: &'static str, forms: &'static [&'static str]) -> CheckedClient {
    CheckedClient {
        name,
        forms,
        reads: false,
    }
}

const CLIENTS: [CheckedClient; 7] = [
    client(
        "cargo",
        &[r#"info PACKAGE --registry swarm --config registries.swarm.index="sparse+URL/cargo/""#],
    ),
    client(
        "pip",
        &[
            "download --no-deps --no-input --retries 0 --disable-pip-version-check --index-url \
             URL/pypi/simple/ PACKAGE",
        ],
    ),
    CheckedClient {
        reads: true,
        ..client(
            "uv",
            &["pip compile - --no-cache --index-url URL/pypi/simple/"],
        )
    },
    client("npm", &["view PACKAGE --registry URL/npm/"]),
    client("pnpm", &["view PACKAGE --registry URL/npm/"]),
    // The form of the first version, then that of later ones, which get the rest from their
    // environment.
    client(
        "yarn",
        &["info PACKAGE --registry URL/npm/", "npm info PACKAGE"],
    ),
    client("bun", &["info PACKAGE --registry=URL/npm/"]),
];

/// Returns the arguments of a form with its placeholders filled in.
fn words(form: &str, url: &str, package: &str) -> Vec<String> {
    form.split(' ')
        .map(|word| word.replace("URL", url).replace("PACKAGE", package))
        .collect()
}

/// The result of one client.
enum ClientResult {
    NotInstalled,
    /// It asked this node, and calls itself this.
    Asked(String),
    Silent(String),
}

/// Prints which node answers at the gateway, and which clients reach it.
pub(super) async fn run(node: &Remote, access: &Access) -> Result<u8> {
    let status = node.status().await?;
    let answers = gateway::check(&access.url, &status.node.peer_id).await;
    let mut rows = vec![match &answers {
        Ok(()) => vec![
            "gateway".to_owned(),
            format!("{} is this node's", access.url),
        ],
        Err(why) => vec!["gateway".to_owned(), format!("{}: {why}", access.url)],
    }];
    let dir = project().map_err(RegistryError::file(std::env::temp_dir(), "written to"))?;
    let mut is_good = answers.is_ok();
    for client in &CLIENTS {
        let spinner = print::spinner(&format!("asking with {}", client.name));
        let came = ask(node, client, &access.url, dir.path()).await?;
        spinner.finish_and_clear();
        let text = match came {
            ClientResult::NotInstalled => "is not installed here".to_owned(),
            ClientResult::Asked(called) => format!("reaches this node, as {called}"),
            ClientResult::Silent(why) => {
                is_good = false;
                format!("does not reach this node: {why}")
            }
        };
        rows.push(vec![client.name.to_owned(), text]);
    }
    print::table(&["WHAT", "RESULT"], rows)?;
    Ok(if is_good { DONE } else { FAILED })
}

/// Creates a directory that every client accepts as a project: yarn refuses to work outside of one.
fn project() -> std::io::Result<tempfile::TempDir> {
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("package.json"), "{}\n")?;
    std::fs::write(dir.path().join("yarn.lock"), "")?;
    Ok(dir)
}

async fn ask(node: &Remote, client: &CheckedClient, url: &str, dir: &Path) -> Result<ClientResult> {
    let package = format!("swarmdex-check-{:016x}", rand::random::<u64>());
    let mut batches = node.subscribe();
    let mut last = String::new();
    for form in client.forms {
        let Some(ended) = end(client, form, (url, &package), dir).await else {
            return Ok(ClientResult::NotInstalled);
        };
        if let Some(request) = asked(&mut batches, &package).await {
            return Ok(ClientResult::Asked(request.client));
        }
        last = ended;
    }
    Ok(ClientResult::Silent(last))
}

/// Runs a client to its end; returns its last line, or `None` if it is not installed.
async fn end(
    client: &CheckedClient,
    form: &str,
    (url, package): (&str, &str),
    dir: &Path,
) -> Option<String> {
    let mut command = Command::new(client.name);
    command
        .args(words(form, url, package))
        .current_dir(dir)
        .kill_on_drop(true);
    // The check must leave nothing in caches, and send no credentials.
    command
        .env("CARGO_HOME", dir)
        .env("npm_config_cache", dir)
        .env("PIP_NO_CACHE_DIR", "1");
    command
        .env("YARN_NPM_REGISTRY_SERVER", format!("{url}/npm"))
        .env("YARN_UNSAFE_HTTP_WHITELIST", "*");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => return Some(error.to_string()),
    };
    if let Some(mut input) = child.stdin.take().filter(|_| client.reads) {
        // A client that has already exited reports the reason itself.
        let _ = input.write_all(package.as_bytes()).await;
    }
    Some(match timeout(MOST, child.wait_with_output()).await {
        Ok(Ok(Output { stderr, stdout, .. })) => {
            let said = if stderr.is_empty() { stdout } else { stderr };
            let said = String::from_utf8_lossy(&said).into_owned();
            said.lines()
                .rev()
                .find(|line| !line.trim().is_empty())
                .unwrap_or("no output")
                .to_owned()
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("still running after {} s", MOST.as_secs()),
    })
}

/// Waits for the request for `package` in the node's events.
async fn asked(batches: &mut mpsc::Receiver<Batch>, package: &str) -> Option<ClientRequest> {
    let request = async {
        while let Some(batch) = batches.recv().await {
            let found = batch
                .requests
                .into_iter()
                .find(|request| request.path.contains(package));
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
            let first = words(client.forms[0], "http://127.0.0.1:4810", "nothing-at-all");
            assert!(
                first
                    .iter()
                    .any(|word| word.contains("http://127.0.0.1:4810/")),
                "{}",
                client.name
            );
            for form in client.forms {
                let asks = words(form, "", "nothing-at-all").contains(&"nothing-at-all".to_owned());
                assert!(client.reads || asks, "{}", client.name);
            }
        }
    }
}
