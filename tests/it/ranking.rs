//! Typed queries and the packages they should find, among over three thousand real packages.

use std::path::Path;

use libp2p::identity::Keypair;
use swarmdex::{
    archive::debian,
    domain::{
        manifest::{File, Manifest},
        name::PublisherId,
        query::Query,
        record::{Authorised, DEFAULT_LIFE, HeadState},
        release::ReleaseEntry,
        time::Timestamp,
    },
    metrics::Metrics,
    store::{OwnRelease, Store},
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
/// The package must be among this many first results.
const TOP: usize = 5;
/// Queries that miss because their package has other words or many rivals. Remove a query from here
/// once it works.
const MISSED: [&str; 4] = [
    "version control",
    "image editor",
    "network protocol analyzer",
    "media player",
];

/// Queries and the packages they should find.
const QUERIES: [(&str, &str); 60] = [
    // Names.
    ("git", "git"),
    ("bash", "bash"),
    ("vim", "vim"),
    ("curl", "curl"),
    ("python3", "python3"),
    ("nginx", "nginx"),
    ("gcc", "gcc"),
    ("make", "make"),
    ("tar", "tar"),
    ("r", "r-base-core"),
    // Prefixes.
    ("postg", "postgresql"),
    ("firef", "firefox-esr"),
    ("imagem", "imagemagick"),
    ("ripg", "ripgrep"),
    ("openssh-s", "openssh-server"),
    ("wires", "wireshark"),
    ("libre", "libreoffice"),
    ("thund", "thunderbird"),
    ("apa", "apache2"),
    ("em", "emacs"),
    ("sq", "sqlite3"),
    ("py", "python3"),
    ("cm", "cmake"),
    // Typing errors.
    ("postgersql", "postgresql"),
    ("pyhton3", "python3"),
    ("ngnix", "nginx"),
    ("fierfox", "firefox-esr"),
    ("wireshrak", "wireshark"),
    ("imagemagik", "imagemagick"),
    ("emcas", "emacs"),
    ("thunderbrid", "thunderbird"),
    ("inksacpe", "inkscape"),
    ("chromuim", "chromium"),
    ("valgirnd", "valgrind"),
    ("libreofice", "libreoffice"),
    ("ansibel", "ansible"),
    // Several words.
    ("web server", "nginx"),
    ("version control", "git"),
    ("text editor", "vim"),
    ("image editor", "gimp"),
    ("vector graphics", "inkscape"),
    ("network protocol analyzer", "wireshark"),
    ("terminal multiplexer", "tmux"),
    ("media player", "mpv"),
    ("process viewer", "htop"),
    ("port scanner", "nmap"),
    ("json processor", "jq"),
    ("ssh server", "openssh-server"),
    ("ssh client", "openssh-client"),
    ("mail client", "thunderbird"),
    ("office suite", "libreoffice"),
    ("file copying", "rsync"),
    ("python http library", "python3-requests"),
    ("sql database", "postgresql"),
    ("c compiler", "gcc"),
    ("rust compiler", "rustc"),
    ("build system", "meson"),
    ("fuzzy finder", "fzf"),
    ("debugger", "gdb"),
    ("zip archiver", "zip"),
];

/// Signs the packages of an index, as `import debian` does.
fn releases() -> Vec<OwnRelease> {
    let key = Keypair::ed25519_from_bytes([1; 32]).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/debian-packages.xz");
    let sign = |stanza: debian::Stanza| {
        let debian::Stanza { draft, text, .. } = stanza;
        let file = File::of(&draft.ecosystem, "stanza", text.as_bytes());
        let owner = PublisherId::of(&key.public());
        let manifest = draft.into_manifest(owner, file, NOW).unwrap();
        let manifest = Authorised::<Manifest>::sign(&key, manifest).unwrap();
        let entry = ReleaseEntry::new(manifest.version.clone(), manifest.hash());
        let state = HeadState::first(
            manifest.ecosystem.clone(),
            manifest.name.clone(),
            vec![entry],
        );
        let (head, pages) = state.sign(&key, NOW, DEFAULT_LIFE).unwrap();
        OwnRelease {
            called: manifest.name.to_string(),
            head,
            pages,
            manifest,
            bytes: text.into_bytes().into(),
        }
    };
    let stanzas = debian::open(&path).unwrap();
    stanzas.map(|one| sign(one.unwrap().unwrap())).collect()
}

#[tokio::test]
async fn the_package_that_is_meant_is_among_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Metrics::default()).unwrap();
    let releases = releases();
    assert!(
        (2_900..=3_100).contains(&releases.len()),
        "{}",
        releases.len()
    );
    for batch in releases.chunks(1_000) {
        store.take_own_releases(batch.to_vec(), NOW).await.unwrap();
    }
    store.recount().await.unwrap();
    let mut missed = Vec::new();
    for (text, meant) in QUERIES {
        let found = store.search(&Query::text(text), NOW).unwrap();
        let names: Vec<&str> = found
            .hits
            .iter()
            .map(|hit| hit.package.name.bare())
            .collect();
        let is_first = names.iter().take(TOP).any(|name| *name == meant);
        if is_first == MISSED.contains(&text) {
            let at = names.iter().position(|name| *name == meant);
            missed.push(format!(
                "{text:?} means {meant} (at {at:?}), found {:?}",
                &names[..names.len().min(TOP)]
            ));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
