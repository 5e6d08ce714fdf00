//! Nodes whose gateways share an address, each in a network namespace of its own if possible. A
//! lock file of one is valid on the other byte for byte, even after the publisher has left. Also
//! tests chains of dependencies.

use std::{path::Path, process::Stdio};

use serde_json::{Value, json};

use crate::cli::{
    distributions::{BOUNDARY, form, krate, wheel_of},
    gateway::Site,
    gateway_npm::{has_npm, tarball},
    gateway_pypi::python,
    namespaces::Space,
    program::{Home, Running, ran},
};

const ADDRESS: &str = "127.0.0.1:4810";
/// Uploads a file from within the site's network.
const UPLOADS: &str = "import sys, urllib.request
url, token, kind, path = sys.argv[1:]
fields = {'Authorization': 'Bearer ' + token, 'Content-Type': kind}
print(urllib.request.urlopen(urllib.request.Request(url, open(path, 'rb').read(), fields)).status)";

/// Starts a node that publishes, with a namespace beside its own if the system allows that.
fn first() -> (Site, Option<Space>) {
    let (Some(left), Some(right)) = (Space::new("g"), Space::new("h")) else {
        println!("the gateways have the same address one after the other");
        return (Site::start(&["--handle", "alice"]), None);
    };
    left.cable(&right);
    for (space, address) in [(&left, "10.8.0.1/24"), (&right, "10.8.0.2/24")] {
        space.ip("link set lo up");
        space.ip(&format!("addr add {address} dev cable"));
    }
    (
        inside(
            left,
            &["--listen", "/ip4/10.8.0.1/tcp/0", "--handle", "alice"],
        ),
        Some(right),
    )
}

/// Starts a node in a namespace, with the gateway address that all nodes share.
fn inside(space: Space, flags: &[&str]) -> Site {
    let home = Home::new();
    let mut command = space.command(
        &home,
        &[&["--no-mdns"], flags, &["node", "--json"]].concat(),
    );
    command.env("SWARMDEX_GATEWAY", ADDRESS);
    let node = Running::of(command);
    Site {
        home,
        node,
        gateway: format!("http://{ADDRESS}"),
        space: Some(space),
    }
}

/// Starts a second node that knows the first, with a gateway at the same address. Without a
/// namespace, the first continues without a gateway.
fn and_second(alice: Site, space: Option<Space>) -> (Site, Site) {
    let Some(space) = space else {
        let Site {
            home,
            node,
            gateway,
            ..
        } = alice;
        node.stop("TERM");
        let node = Running::start(&home, &[]);
        let alice = Site {
            home,
            node,
            gateway,
            space: None,
        };
        let home = Home::new();
        let flags = ["--bootstrap", &*alice.node.address];
        let node = Running::start_with(&home, &flags, &[("SWARMDEX_GATEWAY", alice.host())]);
        let gateway = alice.gateway.clone();
        return (
            alice,
            Site {
                home,
                node,
                gateway,
                space: None,
            },
        );
    };
    let bob = inside(
        space,
        &[
            "--listen",
            "/ip4/10.8.0.2/tcp/0",
            "--bootstrap",
            &alice.node.address,
        ],
    );
    (alice, bob)
}

impl Site {
    fn sends_wheel(&self, name: &str, version: &str, more: &str) {
        let (file, bytes) = wheel_of(name, name, version, more);
        let body = form(
            &[
                (":action", "file_upload"),
                ("name", name),
                ("version", version),
            ],
            &file,
            &bytes,
        );
        std::fs::write(self.home.path("body"), body).unwrap();
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let mut upload = self.program("python3");
        upload
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        upload.args([
            "-c",
            UPLOADS,
            &format!("{}/pypi/legacy/", self.gateway),
            &self.token(),
            &kind,
        ]);
        upload
            .arg(self.home.path("body"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let ran = ran(upload);
        assert_eq!(
            (ran.code, ran.stdout.trim()),
            (Some(0), "200"),
            "{}",
            ran.stderr
        );
    }
}

/// A client, with packages whose names and versions cover all spellings of its kind.
struct Client {
    packages: &'static [&'static str],
    publishes: fn(&Site),
    /// Creates a new lock file.
    locks: fn(&Site, &Path) -> String,
    /// Installs from the lock file alone, with empty caches.
    installs: fn(&Site, &Path),
}

const CARGO: Client = Client {
    packages: &[
        "cargo:under-score@=0.1.0",
        "cargo:upper-case@=1.0.0+build.7",
        "cargo:early@=2.0.0-rc.1",
    ],
    publishes: |site| {
        site.package("under_score", "0.1.0", "", "pub const U: u32 = 1;");
        let renamed =
            "u = { package = \"under_score\", version = \"0.1\", registry = \"swarm\" }\n";
        site.package("Upper-Case", "1.0.0+build.7", renamed, "pub use u::U;");
        site.package("early", "2.0.0-rc.1", "", "");
        for name in ["under_score", "Upper-Case", "early"] {
            site.publishes(name);
        }
    },
    locks: |site, _| {
        let needs = "Upper-Case = { version = \"1\", registry = \"swarm\" }\n\
                     early = { version = \"=2.0.0-rc.1\", registry = \"swarm\" }\n";
        site.package("user", "0.1.0", needs, "");
        let locked = site.cargo("user", &["generate-lockfile"]);
        assert_eq!(locked.code, Some(0), "{}", locked.stderr);
        std::fs::read_to_string(site.home.path("user/Cargo.lock")).unwrap()
    },
    installs: |site, _| {
        std::fs::remove_dir_all(site.home.path("cargo-home")).unwrap();
        let built = site.cargo("user", &["build", "--locked"]);
        assert_eq!(built.code, Some(0), "{}", built.stderr);
    },
};

const NPM: Client = Client {
    packages: &[
        "npm:base_x@=1.0.0",
        "npm:@Team/Upper_x@=0.2.0",
        "npm:@team/early@=2.0.0-rc.1",
    ],
    publishes: |site| {
        site.npm_publishes("base", "base_x", "1.0.0", json!({}));
        site.npm_publishes(
            "upper",
            "@Team/Upper_x",
            "0.2.0",
            json!({ "dependencies": { "base_x": "1" } }),
        );
        site.module("early-js", "@team/early", "2.0.0-rc.1", json!({}));
        site.npm_does(
            "early-js",
            &["publish", "--access", "public", "--tag", "next"],
        );
    },
    locks: |site, _| {
        let needs =
            json!({ "dependencies": { "@Team/Upper_x": "*", "@team/early": "2.0.0-rc.1" } });
        site.module("app", "app", "1.0.0", needs);
        site.npm_does("app", &["install"]);
        std::fs::read_to_string(site.home.path("app/package-lock.json")).unwrap()
    },
    installs: |site, _| {
        let lock = std::fs::read(site.home.path("app/package-lock.json")).unwrap();
        std::fs::remove_dir_all(site.home.path("npm-cache")).unwrap();
        std::fs::remove_dir_all(site.home.path("app/node_modules")).unwrap();
        site.npm_does("app", &["ci"]);
        assert!(
            site.home
                .path("app/node_modules/@Team/Upper_x/index.js")
                .exists()
        );
        assert_eq!(
            std::fs::read(site.home.path("app/package-lock.json")).unwrap(),
            lock
        );
    },
};

const PIP: Client = Client {
    packages: &[
        "pypi:dotted-name@1!2.0rc1",
        "pypi:local@1.0+x.1",
        "pypi:top@1.0",
    ],
    publishes: |site| {
        site.sends_wheel("Dotted.Name", "1!2.0rc1", "");
        site.sends_wheel("local", "1.0+x.1", "");
        site.sends_wheel("top", "1.0", "Requires-Dist: dotted_name >=1!2.0rc1\n");
    },
    locks: |site, python| {
        let index = site.index();
        let words = [
            "install",
            "--dry-run",
            "--ignore-installed",
            "--quiet",
            "--report",
            "-",
            "--index-url",
            &index,
        ];
        let report = site
            .pip(python, &[&words[..], &["Top", "LOCAL"]].concat())
            .json();
        let mut pinned = String::new();
        for one in report["install"].as_array().unwrap() {
            let (said, got) = (&one["metadata"], &one["download_info"]);
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let (name, version, url) = (
                text(&said["name"]),
                text(&said["version"]),
                text(&got["url"]),
            );
            let digest = text(&got["archive_info"]["hashes"]["sha256"]);
            pinned.push_str(&format!(
                "# {url}\n{name}=={version} --hash=sha256:{digest}\n"
            ));
        }
        site.home.file("pinned.txt", &pinned);
        pinned
    },
    installs: |site, python| {
        let index = site.index();
        let words = [
            "install",
            "--target",
            "got",
            "--require-hashes",
            "-r",
            "pinned.txt",
            "--index-url",
            &index,
        ];
        let installed = site.pip(python, &words);
        assert_eq!(installed.code, Some(0), "{}", installed.stderr);
        assert!(
            site.home.path("got/dotted_name/__init__.py").exists(),
            "{}",
            installed.stdout
        );
    },
};

#[test]
fn a_lock_file_of_one_node_holds_on_another_to_the_byte_when_the_publisher_is_gone() {
    let (alice, space) = first();
    let python = python(&alice);
    let mut clients = vec![CARGO];
    clients.extend(has_npm().then_some(NPM));
    clients.extend(python.is_some().then_some(PIP));
    let python = python.unwrap_or_default();
    clients.iter().for_each(|client| (client.publishes)(&alice));
    let locked = |site: &Site| {
        clients
            .iter()
            .map(|client| (client.locks)(site, &python))
            .collect::<Vec<_>>()
    };
    let before = locked(&alice);
    let (alice, bob) = and_second(alice, space);
    let publisher = alice.publisher();
    assert_eq!(bob.home.alone(&["trust", &publisher]).code, Some(0));
    for package in clients.iter().flat_map(|client| client.packages) {
        bob.waits_for(&format!("{publisher}/{package}"));
    }
    assert_eq!(locked(&bob), before);
    // Bob's node has the bytes once a client of his has requested them.
    clients
        .iter()
        .for_each(|client| (client.installs)(&bob, &python));
    let Site {
        node, home: _home, ..
    } = alice;
    node.stop("TERM");
    for dir in ["got", "built"] {
        let _ = std::fs::remove_dir_all(bob.home.path(dir));
    }
    clients
        .iter()
        .for_each(|client| (client.installs)(&bob, &python));
    assert_eq!(locked(&bob), before);
}

/// Packages in a chain, each of which needs the next.
const CHAIN: usize = 40;

#[test]
fn a_chain_of_forty_dependencies_is_had_by_each_client_and_a_version_is_added_at_its_end() {
    let alice = Site::start(&["--handle", "alice"]);
    let dirs = ["links", "added"].map(|dir| alice.home.path(dir));
    dirs.iter()
        .for_each(|dir| std::fs::create_dir(dir).unwrap());
    let [dir, added] = &dirs;
    for at in 0..CHAIN {
        let (name, next) = (format!("link-{at}"), format!("link-{}", at + 1));
        let is_last = at + 1 == CHAIN;
        let needs = if is_last {
            String::new()
        } else {
            format!("[dependencies]\n{next} = \"1\"\n")
        };
        std::fs::write(
            dir.join(format!("{name}-1.0.0.crate")),
            krate(&name, "1.0.0", &needs),
        )
        .unwrap();
        let needs = if is_last {
            json!({})
        } else {
            json!({ next.clone(): "^1.0.0" })
        };
        let package = json!({ "name": name, "version": "1.0.0", "dependencies": needs });
        std::fs::write(dir.join(format!("{name}-1.0.0.tgz")), tarball(&package)).unwrap();
        let needs = if is_last {
            String::new()
        } else {
            format!("Requires-Dist: {next} >=1\n")
        };
        let (file, bytes) = wheel_of(&name, &name, "1.0.0", &needs);
        std::fs::write(dir.join(file), bytes).unwrap();
    }
    let imports = |dir: &Path| {
        let imported = alice.home.alone(&["import", dir.to_str().unwrap()]);
        assert_eq!(
            imported.code,
            Some(0),
            "{} {}",
            imported.stdout,
            imported.stderr
        );
    };
    imports(dir);
    let publisher = alice.publisher();
    let bob = Site::start(&["--bootstrap", &alice.node.address]);
    assert_eq!(bob.home.alone(&["trust", &publisher]).code, Some(0));
    // The packages in between are known by then, or are requested.
    for (ecosystem, at) in [
        ("cargo", 0),
        ("cargo", CHAIN - 1),
        ("npm", CHAIN - 1),
        ("pypi", CHAIN - 1),
    ] {
        bob.waits_for(&format!("{publisher}/{ecosystem}:link-{at}"));
    }
    bob.package(
        "user",
        "0.1.0",
        "link-0 = { version = \"1\", registry = \"swarm\" }\n",
        "",
    );
    let fetched = bob.cargo("user", &["fetch"]);
    assert_eq!(fetched.code, Some(0), "{}", fetched.stderr);
    let lock = || std::fs::read_to_string(bob.home.path("user/Cargo.lock")).unwrap();
    assert_eq!(lock().matches("name = \"link-").count(), CHAIN);
    if has_npm() {
        bob.module(
            "app",
            "app",
            "1.0.0",
            json!({ "dependencies": { "link-0": "1" } }),
        );
        bob.npm_does("app", &["install"]);
        let installed = std::fs::read_dir(bob.home.path("app/node_modules")).unwrap();
        let names = installed.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(
            names.filter(|name| name.starts_with("link-")).count(),
            CHAIN
        );
    }
    if let Some(python) = python(&bob) {
        let installed = bob.pip(&python, &["install", "--index-url", &bob.index(), "link-0"]);
        assert_eq!(installed.code, Some(0), "{}", installed.stderr);
        assert_eq!(
            installed
                .stdout
                .split("Successfully installed")
                .nth(1)
                .unwrap()
                .matches("link-")
                .count(),
            CHAIN
        );
    }

    let last = format!("link-{}", CHAIN - 1);
    std::fs::write(
        added.join(format!("{last}-1.1.0.crate")),
        krate(&last, "1.1.0", ""),
    )
    .unwrap();
    imports(added);
    bob.waits_for(&format!("{publisher}/cargo:{last}@=1.1.0"));
    let updated = bob.cargo("user", &["update"]);
    assert_eq!(updated.code, Some(0), "{}", updated.stderr);
    assert!(
        lock().contains(&format!("name = \"{last}\"\nversion = \"1.1.0\"")),
        "{}",
        lock()
    );
}
