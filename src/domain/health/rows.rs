//! Judges each measure against its threshold. Every threshold is here, with its reason.

use std::time::Duration;

use super::{GatewayHealth, HealthState, Measure, MeasureRow, Sample};
use crate::domain::{copies::CopyFigures, time::Ago};

/// A node that is younger is still starting.
const STARTING: Duration = Duration::from_secs(10);
/// Meshes take some heartbeats to form.
const SETTLING: Duration = Duration::from_secs(20);
/// A share of fewer than this is not judged.
const FEW: u64 = 5;
/// Gossipsub looks for more mesh peers below this number (`mesh_n_low`).
pub const MESH_LOW: usize = 6;
/// Messages of a clock further off are refused, and it refuses those of others.
const CLOCK_LIMIT_MS: i64 = 120_000;

/// Kademlia refreshes every 5 minutes here, so three refreshes have failed.
const STALE_TABLE: Duration = Duration::from_secs(900);
/// A lookup takes two or three round trips and should take under 2 s.
const SLOW_ROUND_TRIP_MS: f64 = 1_000.0;
/// It is normal for fewer peers than this to leave at once.
const SPLIT: usize = 3;
/// SQLite and one transfer need about this many bytes to continue.
const FULL_DISK: u64 = 64 << 20;
/// A large content and the database journal.
const LOW_DISK: u64 = 1 << 30;

/// Returns the row of one measure.
pub fn row(measure: Measure, sample: &Sample) -> MeasureRow {
    let peers = sample.peers();
    let plain = |value: f64, shown: String| MeasureRow {
        measure,
        value: value.is_finite().then_some(value),
        shown,
        threshold: String::new(),
        state: None,
        remedy: None,
    };
    let count = |value: usize| plain(value as f64, value.to_string());
    match measure {
        Measure::Identity => {
            let row = plain(f64::NAN, "one node".to_owned()).good_when("one node per key");
            if let Some(how) = &sample.twin {
                let row = MeasureRow { shown: "two nodes".to_owned(), ..row };
                return row.is(
                    HealthState::Degraded,
                    format!("another node runs with this node's key ({how}): its data directory was copied"),
                    "stop one of the two, and start it on a data directory of its own (--data-dir); \
                     `swarmdex key export` and `import` take the publisher's key there",
                );
            }
            if let Some((address, id)) = &sample.strange {
                let row = MeasureRow { shown: "another one answers".to_owned(), ..row };
                return row.is(
                    HealthState::Degraded,
                    format!("the node at the bootstrap address {address} is another one than was named: {id}"),
                    "if it is the one you mean, end the address given with --bootstrap with its id; if not, check the \
                     address",
                );
            }
            row.good()
        }
        Measure::Listening => {
            let Some(listening) = &sample.listening else { return plain(f64::NAN, "not told".to_owned()) };
            let row = plain(listening.len() as f64, or_none(listening.join(", "), "nowhere")).good_when("an interface");
            if listening.is_empty() {
                return row.is(
                    HealthState::Degraded,
                    "no network interface is up: nobody can reach this node, and it reaches nobody".to_owned(),
                    "bring a network up; the node listens by itself as soon as there is one",
                );
            }
            row.good()
        }
        Measure::Gateway => match &sample.gateway {
            None => plain(f64::NAN, "off".to_owned()),
            Some(GatewayHealth::Open(address)) => plain(f64::NAN, address.clone()).good_when("open").good(),
            Some(GatewayHealth::Failed { address, why }) => plain(f64::NAN, "not open".to_owned()).good_when("open").is(
                HealthState::Bad,
                format!(
                    "the gateway cannot listen on {address} ({why}): package managers that are set up for it talk to \
                         somebody else there"
                ),
                "end the program that has the port and restart this node; or set gateway to another address or to \
                     \"off\", and set the package managers up again",
            ),
        },
        Measure::Peers => {
            let starting = sample.running_for < STARTING;
            let row = count(peers).good_when("at least 1");
            match peers {
                0 if starting => row,
                0 => row.is(
                    HealthState::Degraded,
                    "nobody of this network is connected: what you publish waits here".to_owned(),
                    "start another node, or join one with --bootstrap and its address; check that both are in the same \
                     network and that no firewall is between them",
                ),
                _ => row.good(),
            }
        }
        Measure::PeersIn => count(sample.peers_in),
        Measure::PeersOut => count(sample.peers_out),
        Measure::Mesh => {
            // Half of gossipsub's target is on its way to it; a mesh with less stays too small.
            let wanted = MESH_LOW.min(sample.announce_subscribers).div_ceil(2);
            let row = count(sample.announce_mesh);
            if peers == 0 || sample.running_for < SETTLING {
                return row;
            }
            let row = row.good_when(&format!("at least {}", wanted.max(1)));
            match sample.announce_mesh {
                0 => row.is(
                    HealthState::Bad,
                    format!("nobody passes announcements on to this node, although {} connected", are(peers)),
                    "wait a minute; if it stays, restart this node and look at the logs of both sides",
                ),
                mesh if mesh < wanted => row.is(
                    HealthState::Degraded,
                    format!("only {mesh} of {} subscribers pass announcements on at once", sample.announce_subscribers),
                    "announcements arrive later than they could; it usually mends itself within a minute",
                ),
                _ => row.good(),
            }
        }
        Measure::PresenceMesh => count(sample.presence_mesh),
        Measure::RoutingTable => {
            let row = count(sample.routing_table);
            if peers == 0 || sample.running_for < SETTLING {
                return row;
            }
            let row = row.good_when("at least 1");
            match sample.routing_table {
                0 => row.is(
                    HealthState::Bad,
                    "no peer can be asked in the DHT: all of them are clients, or told no address".to_owned(),
                    "run at least one node that others can reach, with --dht server",
                ),
                _ => row.good(),
            }
        }
        Measure::Lookups => {
            if sample.lookups == 0 {
                return plain(f64::NAN, "none yet".to_owned());
            }
            let good = 1.0 - share(sample.lookups_failed, sample.lookups);
            let shown = format!("{} of {}", sample.lookups.saturating_sub(sample.lookups_failed), sample.lookups);
            let row = plain(good * 100.0, shown);
            if peers == 0 || sample.lookups < FEW {
                return row;
            }
            let row = row.good_when("at least 90 %");
            let failed = format!("{} of {} lookups got no answer from anybody", sample.lookups_failed, sample.lookups);
            match good {
                good if good < 0.5 => row.is(
                    HealthState::Bad,
                    failed,
                    "peers are connected and do not answer: look at their scores and at the logs; a higher \
                     --timeout helps on a slow network",
                ),
                good if good < 0.9 => {
                    row.is(HealthState::Degraded, failed, "some peers do not answer: sort the peers by score to see which")
                }
                _ => row.good(),
            }
        }
        Measure::LookupTime => match (sample.lookup_p50_ms, sample.lookup_p95_ms) {
            (Some(p50), Some(p95)) => {
                let row = plain(p95, format!("p50 {}, p95 {}", millis(p50), millis(p95)));
                let row = row.good_when("p95 under 2 s");
                if p95 >= 2_000.0 && sample.lookups >= FEW {
                    return row.is(
                        HealthState::Degraded,
                        format!("lookups are slow: a twentieth of them takes {} or more", millis(p95)),
                        "slow or overloaded peers: sort the peers by round trip",
                    );
                }
                row.good()
            }
            _ => plain(f64::NAN, "not measured yet".to_owned()),
        },
        Measure::GossipRate => {
            plain(sample.announced_a_minute as f64, format!("{} a minute", sample.announced_a_minute))
        }
        Measure::GossipDelay => match (sample.gossip_p50_ms, sample.gossip_p95_ms) {
            (Some(p50), Some(p95)) => {
                let row = plain(p95, format!("p50 {}, p95 {}", millis(p50), millis(p95)));
                let row = row.good_when("p95 under 5 s");
                if p95 >= 5_000.0 {
                    return row.is(
                        HealthState::Degraded,
                        format!("announcements arrive late: p95 {}", millis(p95)),
                        "clocks that differ, or a mesh that is too small: look at those two rows",
                    );
                }
                row.good()
            }
            _ => plain(f64::NAN, "not measured yet".to_owned()),
        },
        Measure::Invalid => {
            if sample.messages == 0 {
                return plain(f64::NAN, "none came".to_owned());
            }
            let refused = share(sample.messages_refused, sample.messages);
            let shown = format!("{} of {}", sample.messages_refused, sample.messages);
            let row = plain(refused * 100.0, shown);
            if sample.messages < FEW {
                return row;
            }
            let row = row.good_when("under 5 %");
            match refused {
                refused if refused >= 0.5 => row.is(
                    HealthState::Bad,
                    format!("{} of {} messages were invalid in the last minute", sample.messages_refused, sample.messages),
                    "somebody sends damaged or forged messages: peers that do lose score; check this machine's \
                     clock",
                ),
                refused if refused >= 0.05 => row.is(
                    HealthState::Degraded,
                    format!("{} of {} messages were invalid in the last minute", sample.messages_refused, sample.messages),
                    "a peer sends what does not verify: sort the peers by score to see which",
                ),
                _ => row.good(),
            }
        }
        Measure::Refused => {
            let all = sample.refused.values().sum::<u64>();
            let mut row = plain(all as f64, all.to_string());
            if let Some((reason, count)) = sample.refused.iter().max_by_key(|(_, count)| **count) {
                row.shown = format!("{all}, {count} of them: {reason}");
            }
            row
        }
        Measure::Dials => {
            if sample.dials == 0 {
                return plain(f64::NAN, "none lately".to_owned());
            }
            let good = 1.0 - share(sample.dials_failed, sample.dials);
            let row = plain(
                good * 100.0,
                format!("{} of {} peers", sample.dials - sample.dials_failed.min(sample.dials), sample.dials),
            );
            if sample.dials < FEW {
                return row;
            }
            // Dials to remembered peers that are gone fail too: if others could be reached, it says
            // nothing about this node.
            let row = row.good_when("20 % or 3 peers");
            if good < 0.2 && sample.peers_out == 0 && peers < 3 {
                return row.is(
                    HealthState::Degraded,
                    format!("{} of {} peers that were dialled could not be reached", sample.dials_failed, sample.dials),
                    "peers are gone, or a firewall is in between: check the addresses given with --bootstrap",
                );
            }
            // Few answers among enough peers are neither good nor bad.
            if good < 0.2 { row } else { row.good() }
        }
        Measure::Transports => {
            let parts = [("tcp", sample.tcp), ("quic", sample.quic)];
            let parts =
                parts.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name} {count}"));
            plain(f64::NAN, or_none(parts.collect::<Vec<_>>().join(", "), "none"))
        }
        Measure::Reachability => plain(
            f64::NAN,
            match (sample.dht_server, sample.peers_in) {
                (true, 0) => "serves the DHT".to_owned(),
                (true, _) => "others connect to it".to_owned(),
                (false, _) => "client: serves nobody".to_owned(),
            },
        ),
        Measure::RoundTrips => match (sample.rtt_p50_ms, sample.rtt_p95_ms) {
            (Some(p50), Some(p95)) => {
                let row = plain(p95, format!("p50 {}, p95 {}", millis(p50), millis(p95))).good_when("p95 under 1 s");
                if p95 >= SLOW_ROUND_TRIP_MS && peers >= FEW as usize {
                    return row.is(
                        HealthState::Degraded,
                        format!("a twentieth of the peers takes {} or more to answer a ping", millis(p95)),
                        "a link that is full or far: sort the peers by round trip, and look at the bandwidth here",
                    );
                }
                row.good()
            }
            _ => plain(f64::NAN, "not measured yet".to_owned()),
        },
        Measure::Negative => {
            let row = count(sample.negative);
            if peers < FEW as usize {
                return row;
            }
            let row = row.good_when("under a third");
            if sample.negative * 3 >= peers {
                return row.is(
                    HealthState::Degraded,
                    format!("{} of {peers} peers are scored below 0 by gossip", sample.negative),
                    "they send what does not verify, or this node's clock is wrong: look at their windows (1, Enter)",
                );
            }
            row.good()
        }
        Measure::Banned if sample.doubted > 0 => {
            let text = format!("{} banned, {} doubted", sample.banned, sample.doubted);
            plain(sample.banned as f64, text).good_when("none doubted").is(
                HealthState::Bad,
                format!(
                    "{} peers seem to break a rule: more than lie, so this node may apply it wrongly",
                    sample.doubted
                ),
                "update this node, and report it with its log; those peers are asked last, not banned",
            )
        }
        Measure::Banned => count(sample.banned),
        Measure::Refresh => match sample.refreshed_ago {
            Some(ago) => {
                let row = plain(ago.as_secs_f64(), format!("{} ago", Ago(ago)));
                if peers == 0 {
                    return row;
                }
                let row = row.good_when("under 15 min");
                if ago >= STALE_TABLE {
                    return row.is(
                        HealthState::Degraded,
                        format!("the routing table was refreshed {} ago, and should be every 5 minutes", Ago(ago)),
                        "peers do not answer, or this machine slept: look at the lookups here",
                    );
                }
                row.good()
            }
            None => plain(f64::NAN, "not yet".to_owned()),
        },
        Measure::DialErrors => {
            // "refused" alone means data that failed a check.
            let word = |kind: &str| match kind {
                "refused" => "connection refused".to_owned(),
                kind => kind.to_owned(),
            };
            let parts = sample.dial_errors.iter().map(|(kind, count)| format!("{count} {}", word(kind)));
            plain(f64::NAN, or_none(parts.collect::<Vec<_>>().join(", "), "none lately"))
        }
        Measure::Provenance => {
            let [memory, disk, dht, peer] = sample.gets;
            let all = memory + disk + dht + peer;
            if all == 0 {
                return plain(f64::NAN, "nothing yet".to_owned());
            }
            let here = share(memory + disk, all) * 100.0;
            plain(here, format!("here {here:.0} %, DHT {dht}, peers {peer}"))
        }
        Measure::Duplicates => match sample.duplicates {
            Some(share) => plain(share * 100.0, format!("{:.0} %", share * 100.0)),
            None => plain(f64::NAN, "none came".to_owned()),
        },
        Measure::Churn => {
            let silent = match sample.dead {
                0 => String::new(),
                dead => format!(", {dead} without a word"),
            };
            let row = plain(sample.left as f64, format!("{} joined, {} left{silent}", sample.joined, sample.left));
            if sample.running_for < SETTLING {
                return row;
            }
            let row = row.good_when("most stay");
            // Peers that are gone now and were there a moment ago.
            if sample.lost >= SPLIT && sample.lost > peers {
                let all = sample.lost + peers;
                return row.is(
                    HealthState::Degraded,
                    format!("{} of {all} peers were lost at once: the network may be split", sample.lost),
                    "look at what is between here and them: a switch, a cable, a VPN; when it is back, catalogues are \
                     compared by themselves",
                );
            }
            row.good()
        }
        Measure::Agents => {
            let parts = sample.agents.iter().map(|(agent, count)| format!("{agent} ×{count}"));
            plain(f64::NAN, or_none(parts.collect::<Vec<_>>().join(", "), "none told"))
        }
        Measure::Endangered => {
            let Some(own) = sample.own.filter(|own| *own > 0) else {
                return plain(
                    f64::NAN,
                    if sample.own.is_some() { "nothing of yours" } else { "not looked yet" }.to_owned(),
                );
            };
            let few = sample.endangered;
            let row = plain(few as f64, format!("{few} of {own}"));
            if peers == 0 {
                // The row about peers already says that nobody is here.
                return row;
            }
            let row = row.good_when("none");
            match sample.endangered_named.first() {
                None => row.good(),
                Some(first) => {
                    let others = match few {
                        1 => String::new(),
                        few => format!(" and {} more", few - 1),
                    };
                    row.is(
                        HealthState::Degraded,
                        format!("{first}{others} would be lost with this node"),
                        "re-announce them (P on the explorer's Health screen); a node that fetches or pins them keeps them too",
                    )
                }
            }
        }
        Measure::Copies => {
            let CopyFigures { waiting, kept, room } = sample.copies;
            let shown = match room {
                0 if kept == 0 => format!("{waiting} waiting, none kept"),
                room => {
                    let (kept, room) = (size(kept as f64), size(room as f64));
                    format!("{waiting} waiting, {kept} of {room}")
                }
            };
            let row = plain(waiting as f64, shown);
            if peers == 0 {
                return row;
            }
            let row = row.good_when("none waiting");
            match waiting {
                0 => row.good(),
                waiting => row.is(
                    HealthState::Degraded,
                    match waiting {
                        1 => "a release of yours is on too few other nodes: nobody who is connected has room for it".to_owned(),
                        waiting => format!(
                            "{waiting} releases of yours are on too few other nodes: nobody who is connected has room for them"
                        ),
                    },
                    "keep this node running, connect to more, or have others keep more (their keep_for_others_mb); whoever \
                     knows your key for a day has more room for it",
                ),
            }
        }
        Measure::Disk => match sample.disk {
            Some((free, all)) => {
                let row = plain(free as f64, format!("{} of {} free", size(free as f64), size(all as f64)));
                let row = row.good_when("over 1 GiB");
                match free {
                    free if free < FULL_DISK => row.is(
                        HealthState::Bad,
                        format!("the disk is full: {} are free, and nothing can be kept", size(free as f64)),
                        "free some: `swarmdex gc --all` removes content that is neither yours nor pinned; or move the \
                         data with --data-dir",
                    ),
                    free if free < LOW_DISK => row.is(
                        HealthState::Degraded,
                        format!("the disk is nearly full: {} are free", size(free as f64)),
                        "free some, or lower content_mb: `swarmdex gc` removes what was used longest ago",
                    ),
                    _ => row.good(),
                }
            }
            None => plain(f64::NAN, "not known here".to_owned()),
        },
        Measure::BytesIn => rate(measure, sample.bytes_in),
        Measure::BytesOut => rate(measure, sample.bytes_out),
        Measure::StoreTime => match sample.store_p95_ms {
            Some(p95) => {
                let row = plain(p95, format!("p95 {}", millis(p95))).good_when("p95 under 250 ms");
                match p95 {
                    p95 if p95 >= 2_000.0 => row.is(
                        HealthState::Bad,
                        format!("the disk is very slow: a write takes {}", millis(p95)),
                        "free or repair the disk, or move the data with --data-dir",
                    ),
                    p95 if p95 >= 250.0 => row.is(
                        HealthState::Degraded,
                        format!("the disk is slow: a write takes {}", millis(p95)),
                        "something else keeps the disk busy, or it is a slow one: --data-dir moves the data",
                    ),
                    _ => row.good(),
                }
            }
            None => plain(f64::NAN, "not measured yet".to_owned()),
        },
        Measure::Memory => match sample.memory {
            Some(bytes) => plain(bytes as f64, size(bytes as f64)),
            None => plain(f64::NAN, "not known here".to_owned()),
        },
        Measure::Descriptors => match sample.descriptors {
            Some((open, most)) => {
                let row = plain(open as f64, format!("{open} of {most}")).good_when("under 80 %");
                match share(open, most) {
                    used if used >= 0.95 => row.is(
                        HealthState::Bad,
                        format!("{open} of {most} descriptors are open: new connections will fail"),
                        "raise the limit (ulimit -n 4096) and start again, or lower high_water",
                    ),
                    used if used >= 0.8 => row.is(
                        HealthState::Degraded,
                        format!("{open} of {most} descriptors are open"),
                        "raise the limit (ulimit -n 4096) before it is reached, or lower high_water",
                    ),
                    _ => row.good(),
                }
            }
            None => plain(f64::NAN, "not known here".to_owned()),
        },
        Measure::Dropped => {
            let row = plain(sample.overloaded as f64, format!("{} a minute", sample.overloaded)).good_when("none");
            match sample.overloaded {
                0 => row.good(),
                dropped => row.is(
                    HealthState::Degraded,
                    format!("{dropped} messages were dropped in the last minute: there was no room for them"),
                    "this machine is too busy, or somebody floods: look at the logs",
                ),
            }
        }
        Measure::Clock if sample.clock_behind => {
            let text =
                sample.clock_offset_ms.map_or("behind".to_owned(), |ms| format!("{:+.1} s", ms as f64 / 1_000.0));
            let seconds = sample.clock_offset_ms.map_or(f64::NAN, |ms| ms as f64 / 1_000.0);
            plain(seconds, text).good_when("within 2 minutes").is(
                HealthState::Bad,
                "this machine's clock is behind: its peers, or records that it has, are more than a day ahead"
                    .to_owned(),
                "set the clock; until then nothing is refused for being dated too late",
            )
        }
        Measure::Clock => match sample.clock_offset_ms {
            Some(offset) => {
                let seconds = offset as f64 / 1_000.0;
                let row = plain(seconds, format!("{seconds:+.1} s")).good_when("within 2 minutes");
                if offset.saturating_abs() > CLOCK_LIMIT_MS {
                    let way = if offset > 0 { "ahead of" } else { "behind" };
                    let minutes = offset.unsigned_abs() / 60_000;
                    return row.is(
                        HealthState::Bad,
                        format!("this machine's clock is {minutes} minutes {way} the peers'"),
                        "set the clock: what is signed with a wrong one is refused by others",
                    );
                }
                row.good()
            }
            None => plain(f64::NAN, "too few to compare".to_owned()),
        },
    }
}

impl MeasureRow {
    fn good_when(mut self, threshold: &str) -> Self {
        threshold.clone_into(&mut self.threshold);
        self
    }

    fn good(self) -> Self {
        Self {
            state: Some(HealthState::Good),
            ..self
        }
    }

    fn is(self, state: HealthState, cause: String, remedy: &'static str) -> Self {
        Self {
            state: Some(state),
            remedy: Some((cause, remedy)),
            ..self
        }
    }

    /// Returns the cause and the remedy if it is not good.
    pub fn complaint(&self) -> Option<(&str, &str)> {
        self.remedy
            .as_ref()
            .map(|(cause, remedy)| (cause.as_str(), *remedy))
    }
}

fn are(peers: usize) -> String {
    if peers == 1 {
        "1 peer is".to_owned()
    } else {
        format!("{peers} peers are")
    }
}

fn share(part: u64, whole: u64) -> f64 {
    part.min(whole) as f64 / whole.max(1) as f64
}

fn millis(ms: f64) -> String {
    match ms {
        ms if ms >= 1_000.0 => format!("{:.1} s", ms / 1_000.0),
        ms if ms >= 10.0 => format!("{ms:.0} ms"),
        ms => format!("{ms:.1} ms"),
    }
}

/// Formats bytes in the unit that leaves few digits: powers of 1,024.
fn size(bytes: f64) -> String {
    match bytes {
        bytes if bytes >= 1_073_741_824.0 => format!("{:.1} GiB", bytes / 1_073_741_824.0),
        bytes if bytes >= 1_048_576.0 => format!("{:.0} MiB", bytes / 1_048_576.0),
        bytes if bytes >= 1_024.0 => format!("{:.0} KiB", bytes / 1_024.0),
        bytes => format!("{bytes:.0} B"),
    }
}

fn rate(measure: Measure, bytes: Option<f64>) -> MeasureRow {
    let shown = bytes.map_or("not measured".to_owned(), |bytes| {
        format!("{}/s", size(bytes))
    });
    let value = bytes.filter(|bytes| bytes.is_finite());
    MeasureRow {
        measure,
        value,
        shown,
        threshold: String::new(),
        state: None,
        remedy: None,
    }
}

fn or_none(text: String, none: &str) -> String {
    if text.is_empty() {
        none.to_owned()
    } else {
        text
    }
}
