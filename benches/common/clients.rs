//! Installs by the real clients, each with a new home and cache, alternating between the gateway
//! and its rivals.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::{
    Site, generated,
    http_client::Link,
    median,
    rivals::{Rival, folder},
    runs,
};

/// Packages that npm installs, and incompressible bytes in each.
const MODULES: usize = 200;
const MODULE: usize = 30 << 10;
/// Wheels that pip downloads, and incompressible bytes in each.
const WHEELS: usize = 60;
const WHEEL: usize = 200 << 10;

/// Returns a command without the environment's settings of registries and proxies.
pub fn client(program: &Path) -> Command {
    let mut client = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let lower = name.to_string_lossy().to_lowercase();
        if ["npm_", "pip_", "cargo", "rustup_toolchain"]
            .iter()
            .any(|start| lower.starts_with(start))
            || lower.contains("_proxy")
        {
            client.env_remove(name);
        }
    }
    // The bench must not reach any other host.
    client
        .env("https_proxy", "http://127.0.0.1:1")
        .env("no_proxy", "127.0.0.1")
        .stdin(Stdio::null());
    client
}

/// Runs the command to its end. Returns seconds.
pub fn took(mut client: Command) -> f64 {
    let begun = Instant::now();
    let ran = client.output().unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    let said = [ran.stdout, ran.stderr]
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat();
    assert!(ran.status.success(), "{client:?}: {said}");
    seconds
}

/// Runs each in turn and prints the medians; the first one is ours.
pub fn by_turns(what: &str, who: &[(&str, String)], mut run: impl FnMut(&str) -> f64) {
    let mut taken: Vec<Vec<f64>> = vec![Vec::new(); who.len()];
    for round in 0..runs() {
        for at in 0..who.len() {
            let at = (at + round) % who.len();
            taken[at].push(run(&who[at].1));
        }
    }
    println!("\n{what}, with a cache that is new each time");
    let medians: Vec<f64> = taken.iter_mut().map(|times| median(times)).collect();
    for ((name, _), seconds) in who.iter().zip(&medians) {
        let beside = medians[0] / seconds;
        println!("  {name:<11} {seconds:6.2} s; swarmdex takes {beside:.2} x as long");
    }
}

pub fn fresh(dir: &Path) {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).unwrap();
}

/// Starts Verdaccio with these packages in its storage.
pub fn verdaccio(scratch: &Path, documents: &[Value]) -> Option<Rival> {
    let dir = scratch.join("verdaccio");
    let names: Vec<&str> = documents
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    let list = json!({ "list": names, "secret": "0123456789abcdef0123456789abcdef" });
    generated::write(&dir.join("storage/.verdaccio-db.json"), list.to_string());
    for (document, name) in documents.iter().zip(&names) {
        let mut document = document.clone();
        for (key, value) in [
            ("_uplinks", json!({})),
            ("_distfiles", json!({})),
            ("_rev", json!("1-0")),
        ] {
            document[key] = value;
        }
        let mut attachments = serde_json::Map::new();
        for (version, one) in document["versions"].as_object().unwrap() {
            attachments.insert(
                format!("{name}-{version}.tgz"),
                json!({ "shasum": one["dist"]["shasum"] }),
            );
        }
        document["_attachments"] = attachments.into();
        generated::write(
            &dir.join("storage").join(name).join("package.json"),
            document.to_string(),
        );
    }
    Rival::start("verdaccio", &dir, &[])
}

/// Publishes 200 packages that depend on one another, and installs them.
pub fn npm(site: &Site, scratch: &Path) {
    let found = Command::new("npm").arg("--version").output();
    let Ok(version) = found.map(|found| String::from_utf8_lossy(&found.stdout).trim().to_owned())
    else {
        panic!("there is no npm; install it, or name other rows");
    };
    let (files, www) = (scratch.join("imported"), scratch.join("nginx/www"));
    let name = |at: usize| format!("module-{at:03}");
    for at in 0..MODULES {
        let needs: Vec<String> = [2 * at + 1, 2 * at + 2, at + 7]
            .into_iter()
            .filter(|at| *at < MODULES)
            .map(name)
            .collect();
        let bytes = generated::tarball(&name(at), "1.0.0", &needs, MODULE);
        let file = format!("{}-1.0.0.tgz", name(at));
        generated::write(&files.join(&file), &bytes);
        generated::write(&www.join("tarballs").join(&file), &bytes);
        generated::write(
            &scratch.join("verdaccio/storage").join(name(at)).join(&file),
            &bytes,
        );
    }
    site.does(&["import", "--yes", files.to_str().unwrap()]);
    let document = |at: usize, fields: &str| {
        let answer = Link::to(&site.host).get(&format!("/npm/{}", name(at)), fields);
        assert_eq!(answer.status, 200, "{}", name(at));
        serde_json::from_slice::<Value>(&answer.body).unwrap()
    };
    let full: Vec<Value> = (0..MODULES)
        .map(|at| document(at, "Accept: application/json\r\n"))
        .collect();
    let mut who = vec![("swarmdex", format!("{}/npm/", site.url()))];
    let nginx = Rival::start("nginx", &scratch.join("nginx"), &[]);
    if let Some(nginx) = &nginx {
        for at in 0..MODULES {
            let mut short = document(at, "Accept: application/vnd.npm.install-v1+json\r\n");
            let tarball = format!("http://{}/tarballs/{}-1.0.0.tgz", nginx.host, name(at));
            short["versions"]["1.0.0"]["dist"]["tarball"] = tarball.into();
            generated::write(&www.join(name(at)), short.to_string());
        }
        who.push(("nginx", format!("http://{}/", nginx.host)));
    }
    let verdaccio = verdaccio(scratch, &full);
    who.extend(
        verdaccio
            .as_ref()
            .map(|one| ("verdaccio", format!("http://{}/", one.host))),
    );

    let project = scratch.join("project");
    let needs: serde_json::Map<String, Value> =
        (0..MODULES).map(|at| (name(at), json!("^1.0.0"))).collect();
    let package =
        json!({ "name": "project", "version": "1.0.0", "private": true, "dependencies": needs });
    generated::write(&project.join("package.json"), package.to_string());
    let npm = |words: &[&str], registry: &str| {
        let mut npm = client(Path::new("npm"));
        npm.args(words).args([
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
            "--registry",
            registry,
        ]);
        npm.current_dir(&project)
            .env("HOME", scratch.join("home"))
            .arg("--cache")
            .arg(scratch.join("cache"));
        took(npm)
    };
    npm(
        &[
            "install",
            "--package-lock-only",
            "--omit-lockfile-registry-resolved",
        ],
        &who[0].1,
    );
    by_turns(
        &format!("npm {version} ci, {MODULES} packages"),
        &who,
        |registry| {
            fresh(&scratch.join("cache"));
            fresh(&project.join("node_modules"));
            let seconds = npm(&["ci", "--ignore-scripts"], registry);
            let there = fs::read_dir(project.join("node_modules")).unwrap().count();
            assert!(there >= MODULES, "{there} packages came");
            seconds
        },
    );
}

/// Starts devpi with an index. Returns it, and the header field with the password for uploads.
pub fn devpi(dir: &Path) -> Option<(Rival, String)> {
    let devpi = Rival::start("devpi", dir, &[])?;
    let mut link = Link::to(&devpi.host);
    let json = "Content-Type: application/json\r\nAccept: application/json\r\n";
    let mut asks = |method: &str, path: &str, fields: &str, body: Value| {
        let answer = link.ask(
            method,
            path,
            &format!("{json}{fields}"),
            body.to_string().as_bytes(),
        );
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(answer.status < 300, "{path}: {} {said}", answer.status);
        serde_json::from_str::<Value>(&said).unwrap()
    };
    asks("PUT", "/bench", "", json!({ "password": "bench-word" }));
    let login = asks(
        "POST",
        "/+login",
        "",
        json!({ "user": "bench", "password": "bench-word" }),
    );
    let word = login["result"]["password"].as_str().unwrap();
    let word = format!(
        "X-Devpi-Auth: {}\r\n",
        BASE64.encode(format!("bench:{word}").as_bytes())
    );
    asks("PUT", "/bench/dev", &word, json!({ "bases": [] }));
    Some((devpi, word))
}

/// Uploads a wheel with the form that twine sends.
pub fn upload(
    link: &mut Link,
    path: &str,
    said: &str,
    (name, version): (&str, &str),
    size: usize,
) -> f64 {
    let (file, bytes) = generated::wheel(name, version, size);
    let (kind, body) = generated::form(name, version, &file, &bytes);
    let begun = Instant::now();
    let answer = link.ask(
        "POST",
        path,
        &format!("Content-Type: {kind}\r\n{said}"),
        &body,
    );
    let millis = begun.elapsed().as_secs_f64() * 1_000.0;
    assert!(
        answer.status == 200,
        "{} {}",
        answer.status,
        String::from_utf8_lossy(&answer.body)
    );
    millis
}

/// Returns the pip of the rivals' folder, or the installed one.
fn pip_program() -> PathBuf {
    let pip = folder()
        .map(|folder| folder.join("py/bin/pip"))
        .filter(|pip| pip.is_file());
    pip.unwrap_or_else(|| PathBuf::from("pip"))
}

fn wheel_name(at: usize) -> String {
    format!("wheel{at:02}")
}

/// Downloads the wheels from an index with pip. Returns seconds.
fn download(scratch: &Path, index: &str) -> f64 {
    let to = scratch.join("downloaded");
    fresh(&to);
    let mut pip = client(&pip_program());
    pip.args([
        "download",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--no-deps",
        "--quiet",
        "--index-url",
        index,
    ]);
    pip.arg("--dest")
        .arg(&to)
        .arg("--requirement")
        .arg(scratch.join("wanted.txt"))
        .env("HOME", scratch.join("home"));
    let seconds = took(pip);
    assert_eq!(fs::read_dir(&to).unwrap().count(), WHEELS);
    seconds
}

/// Downloads of wheels that a node has.
pub struct Wheels {
    scratch: PathBuf,
    index: String,
}

impl Wheels {
    /// Uploads the wheels, if they are not there.
    pub fn prepare(site: &Site, scratch: &Path) -> Self {
        let wanted: String = (0..WHEELS)
            .map(|at| format!("{}==1.0\n", wheel_name(at)))
            .collect();
        generated::write(&scratch.join("wanted.txt"), wanted);
        let mut ours = Link::to(&site.host);
        for name in (0..WHEELS).map(wheel_name) {
            let page = format!("/pypi/simple/{name}/");
            if ours.get(&page, "").status != 200 {
                upload(
                    &mut ours,
                    "/pypi/legacy/",
                    &site.said(),
                    (&name, "1.0"),
                    WHEEL,
                );
            }
        }
        Self {
            scratch: scratch.to_owned(),
            index: format!("{}/pypi/simple/", site.url()),
        }
    }

    pub fn install(&self) {
        download(&self.scratch, &self.index);
    }
}

/// Uploads 60 wheels, and downloads them with pip.
pub fn pip(site: &Site, scratch: &Path) {
    let version = Command::new(pip_program())
        .arg("--version")
        .output()
        .expect("there is no pip; install it, or name other rows");
    let version = String::from_utf8_lossy(&version.stdout)
        .split(' ')
        .nth(1)
        .unwrap_or("?")
        .to_owned();
    let ours = Wheels::prepare(site, scratch);
    let devpi = devpi(&scratch.join("devpi"));
    let nginx = Rival::start("nginx", &scratch.join("nginx"), &[]);
    let www = scratch.join("nginx/www");
    for name in (0..WHEELS).map(wheel_name) {
        if let Some((devpi, word)) = &devpi {
            let mut link = Link::to(&devpi.host);
            upload(&mut link, "/bench/dev/", word, (&name, "1.0"), WHEEL);
        }
        let (file, bytes) = generated::wheel(&name, "1.0", WHEEL);
        let link = format!(
            "<a href=\"/files/{file}#sha256={}\">{file}</a>",
            generated::sha256(&bytes)
        );
        generated::write(&www.join("simple").join(&name).join("index.html"), link);
        generated::write(&www.join("files").join(&file), bytes);
    }
    let mut who = vec![("swarmdex", ours.index)];
    who.extend(
        nginx
            .as_ref()
            .map(|one| ("nginx", format!("http://{}/simple/", one.host))),
    );
    who.extend(
        devpi
            .as_ref()
            .map(|(one, _)| ("devpi", format!("http://{}/bench/dev/+simple/", one.host))),
    );
    by_turns(
        &format!("pip {version} download, {WHEELS} wheels"),
        &who,
        |index| download(scratch, index),
    );
}
