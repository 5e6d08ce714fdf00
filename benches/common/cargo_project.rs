//! Real crates of a project that depends on some three hundred: from the cargo home that built
//! this, into a node and a static registry, and back with cargo.

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
    process::Command,
};

use serde_json::json;

use crate::{
    Site,
    clients::{by_turns, client, fresh, took},
    generated,
    http_client::Link,
    rivals::Rival,
};

/// Dependencies that, with their own dependencies, are 310 crates, all of which this project has
/// too.
const NEEDED: &str = r#"
ratatui = "0.30"
rusqlite = { version = "0.41", features = ["bundled"] }
axum = { version = "0.8.9", default-features = false }
age = { version = "0.12.1", default-features = false, features = ["armor"] }
"#;

pub struct Crate {
    pub name: String,
    pub version: String,
    pub file: PathBuf,
}

fn home() -> PathBuf {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
        .expect("a cargo home")
}

/// Creates a project, and returns the crates of its lock file, which are in the cargo home.
pub fn project(dir: &Path) -> Vec<Crate> {
    let manifest = format!(
        "[package]\nname = \"project\"\nversion = \"0.1.0\"\nedition = \
         \"2024\"\n[dependencies]{NEEDED}"
    );
    generated::write(&dir.join("Cargo.toml"), manifest);
    generated::write(&dir.join("src/lib.rs"), "");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock = fs::read_to_string(here.join("Cargo.lock")).unwrap();
    generated::write(
        &dir.join("Cargo.lock"),
        lock.replace("name = \"swarmdex\"", "name = \"project\""),
    );
    let pruned = Command::new(env!("CARGO"))
        .args(["update", "--workspace", "--offline", "--quiet"])
        .current_dir(dir)
        .status();
    assert!(pruned.unwrap().success(), "cargo cannot make the lock file");
    let caches: Vec<PathBuf> = fs::read_dir(home().join("registry/cache"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|dir| dir.path())
        .collect();
    let lock: toml::Table =
        toml::from_str(&fs::read_to_string(dir.join("Cargo.lock")).unwrap()).unwrap();
    let packages = lock["package"].as_array().unwrap().iter();
    let found = packages
        .filter(|one| one.get("source").is_some())
        .map(|one| {
            let text = |field: &str| one[field].as_str().unwrap().to_owned();
            let (name, version) = (text("name"), text("version"));
            let file = caches
                .iter()
                .map(|dir| dir.join(format!("{name}-{version}.crate")))
                .find(|file| file.is_file());
            let file = file.unwrap_or_else(|| {
                panic!("{name} {version} is not in the cargo home; run cargo fetch first")
            });
            Crate {
                name,
                version,
                file,
            }
        });
    found.collect()
}

/// Publishes the crates on a node, attested by the cargo home.
pub fn import(site: &Site, crates: &[Crate]) {
    let files: Vec<&str> = crates
        .iter()
        .map(|one| one.file.to_str().unwrap())
        .collect();
    site.does(&[&["import", "--yes"], &files[..]].concat());
}

/// Returns the path of a crate's file in an index.
fn index_path(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    match name.len() {
        1 | 2 => format!("{}/{name}", name.len()),
        3 => format!("3/{}/{name}", &name[..1]),
        _ => format!("{}/{}/{name}", &name[..2], &name[2..4]),
    }
}

/// Writes the registry of a node as files, for a server at this host.
pub fn static_registry(site: &Site, www: &Path, host: &str, crates: &[Crate]) {
    let config = json!({ "dl": format!("http://{host}/crates/{{crate}}-{{version}}.crate") });
    generated::write(&www.join("config.json"), config.to_string());
    let mut link = Link::to(&site.host);
    for Crate {
        name,
        version,
        file,
    } in crates
    {
        let path = index_path(name);
        let answer = link.get(&format!("/cargo-mirror/{path}"), "");
        assert_eq!(answer.status, 200, "{name}");
        generated::write(&www.join(path), answer.body);
        let to = www.join("crates").join(format!("{name}-{version}.crate"));
        generated::write(&to, fs::read(file).unwrap());
    }
}

/// Fetches all dependencies of a project with cargo from this registry, in place of its default one
/// and into a new home. Returns seconds.
pub fn fetch(home: &Path, project: &Path, registry: &str) -> f64 {
    fresh(home);
    let config = format!(
        "[source.crates-io]\nreplace-with = \"mirror\"\n[source.mirror]\nregistry = \
         \"{registry}\"\n[net]\nretry = 0\n"
    );
    fs::write(home.join("config.toml"), config).unwrap();
    let mut cargo = client(Path::new(env!("CARGO")));
    cargo
        .args(["fetch", "--locked", "--quiet"])
        .current_dir(project)
        .env("CARGO_HOME", home);
    took(cargo)
}

/// Publishes the crates that a project depends on, and fetches them with cargo.
pub fn cargo(site: &Site, scratch: &Path) {
    let place = scratch.join("project");
    let crates = project(&place);
    import(site, &crates);
    let nginx = Rival::start("nginx", &scratch.join("nginx"), &[]);
    let mut who = vec![("swarmdex", format!("sparse+{}/cargo-mirror/", site.url()))];
    if let Some(nginx) = &nginx {
        static_registry(site, &scratch.join("nginx/www"), &nginx.host, &crates);
        who.push(("nginx", format!("sparse+http://{}/", nginx.host)));
    }
    by_turns(
        &format!("cargo fetch, {} real crates", crates.len()),
        &who,
        |registry| fetch(&scratch.join("cargo-home"), &place, registry),
    );
}

/// Installs of a project whose crates a node has.
pub struct Installs {
    home: PathBuf,
    project: PathBuf,
    registry: String,
}

impl Installs {
    /// Publishes the crates, if they are not there.
    pub fn prepare(site: &Site, scratch: &Path) -> Self {
        let place = scratch.join("project");
        import(site, &project(&place));
        Self {
            home: scratch.join("cargo-home"),
            project: place,
            registry: format!("sparse+{}/cargo-mirror/", site.url()),
        }
    }

    pub fn install(&self) {
        fetch(&self.home, &self.project, &self.registry);
    }
}
