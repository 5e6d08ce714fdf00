//! `peers` and `peer ID`.

use std::cmp::Ordering;

use clap::ValueEnum;
use libp2p::PeerId;
use serde::Serialize;

use super::{DONE, FAILED, global::Global, judge, print, search::score, session};
use crate::{
    RegistryError, Result,
    bus::{Direction, PeerSnapshot},
    clock,
    control::Control,
    domain::{
        name::short_id,
        reputation::Outcome,
        text::printable,
        time::{Ago, Timestamp},
    },
};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<judge::PeersVerb>,
    /// Show only peers with at least this score, from 0 to 1
    #[arg(long, default_value_t = 0.0, value_name = "SCORE", value_parser = score)]
    min_reputation: f64,
    /// Show only connected peers
    #[arg(long)]
    connected: bool,
    /// Show only banned peers
    #[arg(long, conflicts_with = "connected")]
    banned: bool,
    /// Column to sort by: highest score or count first, shortest time or distance first, or in
    /// alphabetical order
    #[arg(long, value_enum, default_value_t = Sort::Score, value_name = "COLUMN")]
    sort: Sort,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    format: Format,
    /// Same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sort {
    Score,
    Rtt,
    Seen,
    Distance,
    Packages,
    Handle,
    Peer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Yaml,
    Csv,
}

/// A peer in one line.
#[derive(Debug, Serialize)]
struct PeerRow {
    peer: PeerId,
    handle: Option<String>,
    /// Fingerprint of the key that claims the handle.
    fingerprint: Option<String>,
    /// `mesh`, `connected`, `known` or `banned`.
    state: &'static str,
    score: f64,
    /// Penalty points; a peer with 100 is banned.
    fault_points: f64,
    /// Seconds until the ban ends; also `None` if it does not end by itself.
    ban_s_left: Option<u64>,
    protected: bool,
    rtt_ms: Option<f64>,
    place: Option<String>,
    distance_km: Option<f64>,
    /// Source of the location, and its date.
    place_from: String,
    /// The location for the table, marked `~` if approximate, and with a word if implausible.
    #[serde(skip)]
    marked: String,
    packages: Option<u64>,
    seen_s_ago: u64,
    agent: Option<String>,
    address: Option<String>,
}

impl PeerRow {
    fn of(peer: PeerSnapshot, now: Timestamp) -> Self {
        let connected = peer.connection.is_some();
        let ban = peer.ban(now);
        let state = match (connected, peer.in_mesh) {
            _ if ban.is_some() => "banned",
            (true, true) => "mesh",
            (true, false) => "connected",
            (false, _) => "known",
        };
        let from = peer.provenance();
        Self {
            peer: peer.id,
            handle: peer.owner.as_ref().map(|owner| owner.handle.to_string()),
            fingerprint: peer
                .owner
                .as_ref()
                .map(|owner| owner.publisher.fingerprint()),
            state,
            score: (peer.score.total * 1_000.0).round() / 1_000.0,
            fault_points: peer
                .sheet
                .as_ref()
                .map_or(0.0, |sheet| sheet.points(now).round()),
            ban_s_left: ban
                .and_then(|ban| ban.until)
                .map(|until| until.since(now).as_secs()),
            protected: peer.sheet.as_ref().is_some_and(|sheet| sheet.protected),
            rtt_ms: peer
                .rtts_ms
                .last()
                .filter(|_| connected)
                .map(|ms| (f64::from(*ms) * 10.0).round() / 10.0),
            place: peer.location.as_ref().map(ToString::to_string),
            place_from: from.brief(),
            marked: match &peer.location {
                Some(place) if from.is_implausible() => {
                    format!("{} (implausible)", from.mark(place))
                }
                Some(place) => from.mark(place),
                None => String::new(),
            },
            distance_km: peer.distance_km.map(f64::round),
            packages: peer.packages,
            seen_s_ago: if connected {
                0
            } else {
                now.since(peer.last_seen).as_secs()
            },
            agent: peer.agent.map(|agent| printable(&agent)),
            address: peer
                .connection
                .map(|connection| connection.address)
                .or(peer.addresses.into_iter().next()),
        }
    }

    fn compare(&self, other: &Self, by: Sort) -> Ordering {
        // Unknown values come last.
        let least = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        let count = |packages: Option<u64>| packages.map(|count| -(count as f64));
        match by {
            Sort::Score => other.score.total_cmp(&self.score),
            Sort::Rtt => least(self.rtt_ms, other.rtt_ms),
            Sort::Seen => self.seen_s_ago.cmp(&other.seen_s_ago),
            Sort::Distance => least(self.distance_km, other.distance_km),
            Sort::Packages => least(count(self.packages), count(other.packages)),
            Sort::Handle => {
                (self.handle.is_none(), &self.handle).cmp(&(other.handle.is_none(), &other.handle))
            }
            Sort::Peer => self.peer.cmp(&other.peer),
        }
    }
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    if let Some(action) = args.action {
        return judge::run(global, action).await;
    }
    session::with(global, async |node, _| {
        let now = clock::now();
        let peers = node.peers().await?.into_iter();
        let mut rows: Vec<PeerRow> = peers.map(|peer| PeerRow::of(peer, now)).collect();
        rows.retain(|row| {
            row.score >= args.min_reputation
                && (!args.connected || !matches!(row.state, "known" | "banned"))
        });
        rows.retain(|row| !args.banned || row.state == "banned");
        rows.sort_by(|a, b| a.compare(b, args.sort).then(a.peer.cmp(&b.peer)));
        let format = if args.json { Format::Json } else { args.format };
        show(&rows, format)?;
        Ok(if rows.is_empty() { FAILED } else { DONE })
    })
    .await
}

fn show(rows: &[PeerRow], format: Format) -> Result<()> {
    match format {
        Format::Json => print::json(&rows),
        Format::Yaml => print::lines(
            &serde_saphyr::to_string(&rows)
                .map_err(|error| print::internal("writing YAML", error))?,
        ),
        Format::Csv => {
            let mut writer = csv::Writer::from_writer(Vec::new());
            let written = rows.iter().try_for_each(|row| writer.serialize(row));
            written.map_err(|error| print::internal("writing CSV", error))?;
            let bytes = writer
                .into_inner()
                .map_err(|error| print::internal("writing CSV", error))?;
            print::lines(&String::from_utf8_lossy(&bytes))
        }
        Format::Table if rows.is_empty() => {
            print::note("no matching peers");
            Ok(())
        }
        Format::Table => {
            let or_none = |text: Option<String>| text.unwrap_or_default();
            let row = |row: &PeerRow| {
                vec![
                    short_id(&row.peer),
                    or_none(
                        row.handle
                            .as_ref()
                            .zip(row.fingerprint.as_ref())
                            .map(|(who, key)| format!("{who} ({key})")),
                    ),
                    row.state.to_owned(),
                    format!("{:.2}", row.score),
                    or_none(row.rtt_ms.map(|ms| format!("{ms:.1} ms"))),
                    row.marked.clone(),
                    or_none(row.distance_km.map(|km| format!("{km:.0} km"))),
                    or_none(row.packages.map(|count| count.to_string())),
                    or_none(row.address.clone()),
                ]
            };
            let head = [
                "PEER", "HANDLE", "STATE", "SCORE", "RTT", "PLACE", "DISTANCE", "PACKAGES",
                "ADDRESS",
            ];
            print::table(&head, rows.iter().map(row).collect())
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct PeerArgs {
    /// The peer's id, or any part of its beginning or end that is unique
    peer: String,
    /// Show all addresses and protocols, and the evidence behind the score
    #[arg(long)]
    full: bool,
    /// Print everything as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn one(global: &Global, args: PeerArgs) -> Result<u8> {
    session::with(global, async |node, _| {
        let peer = find(node, &args.peer).await?;
        if args.json {
            print::json(&peer)?;
        } else {
            describe(&peer, args.full)?;
        }
        Ok(DONE)
    })
    .await
}

/// Returns the only peer that matches.
pub(super) async fn find(node: &dyn Control, named: &str) -> Result<PeerSnapshot> {
    let peers = node.peers().await?;
    let is_meant = |peer: &&PeerSnapshot| {
        let id = peer.id.to_string();
        id.starts_with(named) || id.ends_with(named)
    };
    let mut meant = peers.iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(peer), None) => Ok(peer.clone()),
        (None, _) => Err(RegistryError::NoPeer(printable(named))),
        (Some(a), Some(b)) => Err(RegistryError::Usage(format!(
            "\"{}\" matches several peers, such as {} and {}; give more of the id",
            printable(named),
            a.id,
            b.id
        ))),
    }
}

fn describe(peer: &PeerSnapshot, full: bool) -> Result<()> {
    let now = clock::now();
    let ago = |at| format!("{} ago", Ago(now.since(at)));
    let connection = match &peer.connection {
        Some(connection) => {
            let from = match connection.direction {
                Direction::Inbound => "inbound",
                Direction::Outbound => "outbound",
            };
            format!("{} ({from}, {})", connection.address, ago(connection.since))
        }
        None => format!("none; last seen {}", ago(peer.last_seen)),
    };
    let answers = |right: bool| {
        let counted = peer.evidence.iter().filter(|one| match one.outcome {
            Outcome::AnswerRight | Outcome::ContentRight => true,
            Outcome::AnswerWrong | Outcome::AnswerLate | Outcome::AnswerMissing => !right,
            Outcome::ContentWrong | Outcome::ContentLate => !right,
            _ => false,
        });
        counted.map(|one| u64::from(one.count)).sum::<u64>()
    };
    let success = match answers(false) {
        0 => "not asked yet".to_owned(),
        all => format!("{} of the last {all} answers", answers(true)),
    };
    let count = peer.rtts_ms.len();
    let average = match count {
        0 => "not measured".to_owned(),
        count => format!(
            "{:.1} ms over {count}",
            f64::from(peer.rtts_ms.iter().sum::<f32>()) / count as f64
        ),
    };
    let from = peer.provenance();
    let about = if from.approximate { "about " } else { "" };
    let place = match (&peer.location, peer.distance_km) {
        (Some(place), Some(km)) => format!("{place}, {about}{km:.0} km away ({})", from.full()),
        (Some(place), None) => format!("{place} ({})", from.full()),
        (None, _) => format!("not told ({})", from.full()),
    };
    let score = peer.score;
    let mut fields = vec![
        ("peer", peer.id.to_string()),
        (
            "handle",
            peer.owner
                .as_ref()
                .map_or("none".to_owned(), ToString::to_string),
        ),
        (
            "agent",
            peer.agent.clone().unwrap_or_else(|| "not told".to_owned()),
        ),
        ("connection", connection),
        (
            "gossip mesh",
            if peer.in_mesh { "yes" } else { "no" }.to_owned(),
        ),
        ("success", success),
        ("round trip", average),
        ("location", place),
        (
            "packages",
            peer.packages.map_or("not told".to_owned(), |count| {
                format!("{count} (self-reported)")
            }),
        ),
        ("known", format!("since {}", ago(peer.first_seen))),
        ("score", format!("{:.3}", score.total)),
    ];
    fields.extend(
        score
            .parts()
            .map(|(name, value)| (name, format!("{value:.3}: {}", peer.basis.describe(name)))),
    );
    if let Some(sheet) = &peer.sheet {
        fields.push(("faults", sheet.describe(now)));
        if full {
            fields.extend(
                sheet
                    .log
                    .iter()
                    .rev()
                    .map(|one| ("fault", format!("{}: {}", ago(one.at), one.fault.hint()))),
            );
        }
    }
    if full {
        fields.extend(
            peer.addresses
                .iter()
                .map(|address| ("address", address.clone())),
        );
        fields.extend(
            peer.protocols
                .iter()
                .map(|protocol| ("protocol", protocol.clone())),
        );
        let history = peer.evidence.iter().rev();
        fields
            .extend(history.map(|one| ("history", format!("{}: {}", ago(one.at), one.describe()))));
    }
    print::fields(&fields)
}
