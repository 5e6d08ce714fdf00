//! Real packages: those of the Debian indexes that `apt-get update` left on this machine, or the
//! tests' fixture.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use libp2p::identity::Keypair;
use swarmdex::{
    archive::debian,
    domain::{
        manifest::{Draft, File, Manifest},
        name::{PublisherId, WrittenName},
        record::{Authorised, DEFAULT_LIFE, Head, HeadState},
        release::ReleaseEntry,
        time::Timestamp,
    },
};

pub type Record = (Authorised<Head>, Option<Authorised<Manifest>>);

fn indexes() -> Vec<PathBuf> {
    let lists = std::fs::read_dir("/var/lib/apt/lists")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut found: Vec<_> = lists
        .filter(|path| path.to_string_lossy().contains("_Packages"))
        .collect();
    // The largest first; a package in two of them counts once.
    found.sort_by_key(|path| std::cmp::Reverse(path.metadata().map_or(0, |about| about.len())));
    if found.is_empty() {
        found.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/debian-packages.xz"));
    }
    found
}

/// Returns `most` packages; if there are fewer, some are repeated under other names.
pub fn drafts(most: usize) -> Vec<(Draft, String)> {
    let mut seen = HashSet::new();
    let mut drafts: Vec<(Draft, String)> = Vec::new();
    for path in indexes() {
        for stanza in debian::open(&path).unwrap().flatten().flatten() {
            if drafts.len() < most && seen.insert(stanza.draft.name.clone()) {
                let handle = Some("debian".parse().unwrap());
                drafts.push((
                    Draft {
                        handle,
                        ..stanza.draft
                    },
                    stanza.text,
                ));
            }
        }
    }
    let real = drafts.len();
    println!("{real} real packages from {}", indexes()[0].display());
    let mut again = 2;
    while drafts.len() < most {
        for at in 0..real.min(most - drafts.len()) {
            let (mut draft, text) = drafts[at].clone();
            let name = format!("{}-{again}", draft.name);
            let Ok(name) = name.parse::<WrittenName>() else {
                continue;
            };
            draft.name = name;
            drafts.push((draft, text));
        }
        again += 1;
    }
    drafts
}

/// Signs them, each a moment after the one before.
pub fn signed(key: &Keypair, drafts: Vec<(Draft, String)>) -> Vec<Record> {
    let now = swarmdex::clock::now();
    let one = |(at, (draft, text)): (usize, (Draft, String))| {
        let signed_at = Timestamp(now.0 - at as u64);
        let (name, handle) = (draft.name.clone(), draft.handle.clone());
        let content = File::of(&draft.ecosystem, name.as_str(), text.as_bytes());
        let manifest = Authorised::sign(
            key,
            draft
                .into_manifest(PublisherId::of(&key.public()), content, signed_at)
                .unwrap(),
        )
        .unwrap();
        let entry = ReleaseEntry::new(manifest.version.clone(), manifest.hash());
        let state = HeadState {
            handle,
            ..HeadState::first(manifest.ecosystem.clone(), name, vec![entry])
        };
        (
            state.sign(key, signed_at, DEFAULT_LIFE).unwrap().0,
            Some(manifest),
        )
    };
    drafts.into_iter().enumerate().map(one).collect()
}

pub fn publisher(key: &Keypair) -> PublisherId {
    PublisherId::of(&key.public())
}

#[track_caller]
pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    assert!(
        !values.is_empty(),
        "nothing was measured, and a figure of nothing is none"
    );
    values.sort_unstable_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

/// Returns the current memory of a process in MiB: proc_pid_status(5).
pub fn resident_mib(process: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<f64>().ok())
        .expect("the process says how much memory it has")
        / 1_024.0
}
