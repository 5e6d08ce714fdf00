//! The table of keys: the one place that says what can be set, its default, and why.

use std::net::SocketAddr;

use crate::{
    domain::{geo::GeoLocation, name::Handle},
    node::DhtMode,
    registry::CatalogueScope,
    telemetry::LogFormat,
};

use super::{
    At, Settings,
    value::{LayerValue, ValueError, float, quoted, quoted_list, show_duration},
};

pub use crate::net::DEFAULT_PORT;

/// One setting.
pub struct Key {
    /// As the file writes it; dots for a table's entries.
    pub name: &'static str,
    /// As the file would write it; empty where there is none.
    pub default: &'static str,
    /// Describes what it does, and gives the reason of its default.
    pub meaning: &'static str,
    /// The flag that sets it, where there is one.
    pub flag: Option<&'static str>,
    pub(super) set: fn(&mut Settings, LayerValue<'_>) -> Result<(), ValueError>,
    /// The value in force, as the file would write it; `None` when it is not set.
    pub(super) show: fn(&Settings) -> Option<String>,
}

impl Key {
    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!(
            "{}{}",
            super::PREFIX,
            self.name.replace('.', "_").to_uppercase()
        )
    }
}

/// The layer of weights: seven keys that differ in name, default and reason only.
macro_rules! weight {
    ($field:ident, $default:literal, $most:literal, $meaning:literal) => {
        Key {
            name: concat!("reputation.", stringify!($field)),
            default: $default,
            meaning: $meaning,
            flag: None,
            set: |settings, given| {
                settings.node.net.weights.$field = given.amount($most)?;
                Ok(())
            },
            show: |settings| Some(float(settings.node.net.weights.$field)),
        }
    };
}

/// Every key, in the order a person would want to read them.
pub static KEYS: [Key; 46] = [
    Key {
        name: "data_dir",
        default: "",
        meaning: "Directory of the keys and the database. By default `~/.local/share/swarmdex` on Linux. Setting it also moves logs and sockets there, so that a second node on one machine is completely separate",
        flag: Some("--data-dir"),
        // The path itself is taken in `Settings::set`, where the file it may be relative to is
        // known.
        set: |_, given| given.text().map(drop),
        show: |settings| Some(quoted(&settings.paths.data.to_string_lossy())),
    },
    Key {
        name: "network",
        default: "\"main\"",
        meaning: "Name of the network. Nodes of different networks never mix: it is part of every protocol and topic",
        flag: Some("--network"),
        set: |settings, given| {
            settings.node.net.network = given.text()?.parse().map_err(remedy)?;
            Ok(())
        },
        show: |settings| Some(quoted(settings.node.net.network.as_str())),
    },
    Key {
        name: "listen",
        default: "[]",
        meaning: "Addresses to listen on. Empty: all interfaces, IPv4 and IPv6, on port 4807 (TCP, and UDP for QUIC), or on any free port if that one is taken, so that a second node on a machine just works",
        flag: Some("--listen"),
        set: |settings, given| {
            settings.node.net.listen = given.listen()?;
            Ok(())
        },
        show: |settings| Some(quoted_list(&settings.node.net.listen)),
    },
    Key {
        name: "bootstrap",
        default: "[]",
        meaning: "Addresses of peers to join through, each with /p2p/ and the peer's id, so that no other node can impersonate it. Empty: known peers and the local network are enough at most sites",
        flag: Some("--bootstrap"),
        set: |settings, given| {
            settings.node.net.bootstrap = given.peers()?;
            Ok(())
        },
        show: |settings| Some(quoted_list(&settings.node.net.bootstrap)),
    },
    Key {
        name: "handle",
        default: "",
        meaning: "The name under which you publish: 1 to 64 lower-case letters, digits, dots, underscores and hyphens. Without one, a short form of your publisher key is shown",
        flag: Some("--handle"),
        set: |settings, given| {
            settings.node.registry.handle = Some(given.text()?.parse::<Handle>().map_err(remedy)?);
            Ok(())
        },
        show: |settings| {
            settings
                .node
                .registry
                .handle
                .as_ref()
                .map(|handle| quoted(handle.as_str()))
        },
    },
    Key {
        name: "location",
        default: "",
        meaning: "Location of this node, as latitude,longitude[,place]. If set, it is sent to other peers, rounded to a tenth of a degree; if not, nothing is sent",
        flag: Some("--location"),
        set: |settings, given| {
            settings.node.net.location = Some(given.text()?.parse::<GeoLocation>()?);
            Ok(())
        },
        show: |settings| {
            settings.node.net.location.as_ref().map(|at| {
                let place = at
                    .place
                    .as_ref()
                    .map_or(String::new(), |place| format!(",{place}"));
                quoted(&format!("{:.1},{:.1}{place}", at.latitude, at.longitude))
            })
        },
    },
    Key {
        name: "geoip_db",
        default: "",
        meaning: "A database in MaxMind's format (.mmdb) that gives locations of peers that declare none, by their address. It comes before the embedded table of countries, and is read into memory",
        flag: Some("--geoip-db"),
        // The path itself is taken in `Settings::set`, where the file it may be relative to is
        // known.
        set: |_, given| given.text().map(drop),
        show: |settings| {
            settings
                .node
                .net
                .geoip_db
                .as_ref()
                .map(|path| quoted(&path.to_string_lossy()))
        },
    },
    Key {
        name: "mdns",
        default: "true",
        meaning: "Find peers on the local network by multicast. On by default, because a site without internet has no other way to find them",
        flag: Some("--no-mdns"),
        set: |settings, given| {
            settings.node.net.mdns = given.boolean()?;
            Ok(())
        },
        show: |settings| Some(settings.node.net.mdns.to_string()),
    },
    Key {
        name: "dht",
        default: "\"auto\"",
        meaning: "Whether this node stores DHT records for others: auto, server or client. With auto, it does so until other peers report that they cannot connect to it, so that an isolated network works too",
        flag: Some("--dht"),
        set: |settings, given| {
            settings.node.net.dht = match given.text()? {
                "auto" => DhtMode::Auto,
                "server" => DhtMode::Server,
                "client" => DhtMode::Client,
                _ => return Err("write auto, server or client".into()),
            };
            Ok(())
        },
        show: |settings| {
            Some(quoted(match settings.node.net.dht {
                DhtMode::Auto => "auto",
                DhtMode::Server => "server",
                DhtMode::Client => "client",
            }))
        },
    },
    Key {
        name: "query_timeout",
        default: "\"5s\"",
        meaning: "Deadline of each query to the network, after which partial results are returned. A lookup on a good network takes well under a second; the rest is a margin for slow links",
        flag: Some("--timeout"),
        set: |settings, given| {
            settings.node.net.query_timeout = given.timeout()?;
            Ok(())
        },
        show: |settings| Some(quoted(&show_duration(settings.node.net.query_timeout))),
    },
    Key {
        name: "content_mb",
        default: "10240",
        meaning: "Maximum size of all content, in MiB. The least recently used is evicted first; your own and pinned content is never evicted",
        flag: None,
        set: |settings, given| {
            settings.node.content.quota = mebibytes(given)?;
            Ok(())
        },
        show: |settings| Some((settings.node.content.quota >> 20).to_string()),
    },
    Key {
        name: "max_content_mb",
        default: "4096",
        meaning: "Maximum size of one file that is published or downloaded, in MiB, so that no manifest can fill the disk",
        flag: None,
        set: |settings, given| {
            settings.node.content.max = mebibytes(given)?;
            Ok(())
        },
        show: |settings| Some((settings.node.content.max >> 20).to_string()),
    },
    Key {
        name: "provide",
        default: "true",
        meaning: "Serve downloaded content to other nodes, even while it is incomplete. This makes a swarm faster than one node; your own packages are always served",
        flag: None,
        set: |settings, given| {
            settings.node.content.provide = given.boolean()?;
            Ok(())
        },
        show: |settings| Some(settings.node.content.provide.to_string()),
    },
    Key {
        name: "copies",
        default: "2",
        meaning: "Number of other nodes that keep a copy of each release you publish, so that your machine may be offline. Two, so that one of them may be offline too; 0 disables copies",
        flag: None,
        set: |settings, given| {
            settings.node.registry.copies = given.whole(0, 16)?;
            Ok(())
        },
        show: |settings| Some(settings.node.registry.copies.to_string()),
    },
    Key {
        name: "keep_for_others_mb",
        default: "1024",
        meaning: "Maximum MiB, out of content_mb, kept for other publishers. It is evicted first when you need space. Publishers that were first seen less than a day ago share a quarter of it, with at most a sixteenth each. 0, or provide off, keeps nothing",
        flag: None,
        set: |settings, given| {
            settings.node.registry.keep_for_others = (given.whole(0, 1_048_576 * 64)? as u64) << 20;
            Ok(())
        },
        show: |settings| Some((settings.node.registry.keep_for_others >> 20).to_string()),
    },
    Key {
        name: "copy_lost_after",
        default: "\"24h\"",
        meaning: "Time after which a copy on an unreachable node counts as lost, and another node is asked to keep one. A laptop returns within a day, and a link that is down for an hour should cause no transfers",
        flag: None,
        set: |settings, given| {
            settings.node.registry.copy_lost_after = given.age()?;
            Ok(())
        },
        show: |settings| {
            Some(quoted(&show_duration(
                settings.node.registry.copy_lost_after,
            )))
        },
    },
    Key {
        name: "catalogue",
        default: "\"full\"",
        meaning: "How much of the network's catalogue is kept: full, so that everything is found at once and offline, or partial, only packages that were published, announced or requested here",
        flag: None,
        set: |settings, given| {
            settings.node.registry.catalogue = match given.text()? {
                "full" => CatalogueScope::Full,
                "partial" => CatalogueScope::Partial,
                _ => return Err("write full or partial".into()),
            };
            Ok(())
        },
        show: |settings| {
            Some(quoted(match settings.node.registry.catalogue {
                CatalogueScope::Full => "full",
                CatalogueScope::Partial => "partial",
            }))
        },
    },
    Key {
        name: "catalogue_mb",
        default: "1024",
        meaning: "Maximum size of the records in the catalogue, in MiB; with their index they take about twice as much disk. When it is full, packages of new publishers (first seen less than a week ago) are evicted first, at least down to a quarter of it in total; if none are left, the oldest packages of the largest publisher. Your own packages, those of publishers you pinned, and their dependencies are never evicted. The default has space for catalogue_max packages like Debian's",
        flag: None,
        set: |settings, given| {
            settings.node.registry.catalogue_bytes = mebibytes(given)?;
            Ok(())
        },
        show: |settings| Some((settings.node.registry.catalogue_bytes >> 20).to_string()),
    },
    Key {
        name: "catalogue_max",
        default: "500000",
        meaning: "Maximum number of packages in the catalogue, whatever their size. They are evicted as for catalogue_mb",
        flag: None,
        set: |settings, given| {
            settings.node.registry.catalogue_max = given.count(10_000_000)? as u64;
            Ok(())
        },
        show: |settings| Some(settings.node.registry.catalogue_max.to_string()),
    },
    Key {
        name: "sync_every",
        default: "\"5m\"",
        meaning: "Interval at which the catalogue is compared with a few peers, with some jitter. Gossip delivers new releases at once; this finds those it missed, and costs a KiB if nothing differs",
        flag: None,
        set: |settings, given| {
            settings.node.registry.sync_every = given.timeout()?;
            Ok(())
        },
        show: |settings| Some(quoted(&show_duration(settings.node.registry.sync_every))),
    },
    Key {
        name: "ban_time",
        default: "\"30m\"",
        meaning: "Duration of a misbehaving peer's first ban; it doubles each time, up to a day. Long enough that trying again does not pay, short enough for a peer that was banned by mistake",
        flag: None,
        set: |settings, given| {
            settings.node.net.ban_time = given.timeout()?;
            Ok(())
        },
        show: |settings| Some(quoted(&show_duration(settings.node.net.ban_time))),
    },
    Key {
        name: "low_water",
        default: "48",
        meaning: "Number of connections that are kept when there are too many. Enough for a gossip mesh, the nearest buckets and some exploration",
        flag: None,
        set: |settings, given| {
            settings.node.net.low_water = given.count(10_000)?;
            Ok(())
        },
        show: |settings| Some(settings.node.net.low_water.to_string()),
    },
    Key {
        name: "high_water",
        default: "64",
        meaning: "Number of connections above which the least useful are closed, down to low_water. The gap avoids closing and reopening connections all the time",
        flag: None,
        set: |settings, given| {
            settings.node.net.high_water = given.count(10_000)?;
            Ok(())
        },
        show: |settings| Some(settings.node.net.high_water.to_string()),
    },
    Key {
        name: "local_connections",
        default: "64",
        meaning: "Maximum connections from one address of a private network or of this machine. Containers and demos legitimately share one. A public address may have 8 and a public /24 or /48 16, so that no single site can fill a node",
        flag: None,
        set: |settings, given| {
            settings.node.net.local_connections = given.count(10_000)?;
            Ok(())
        },
        show: |settings| Some(settings.node.net.local_connections.to_string()),
    },
    weight!(
        success,
        "0.5",
        1.0,
        "Weight of verified responses in a peer's score. It is half of the score, because nothing else can be verified"
    ),
    weight!(
        response,
        "0.25",
        1.0,
        "Weight of a peer's response time and throughput, compared with other peers"
    ),
    weight!(
        availability,
        "0.15",
        1.0,
        "Weight of a peer's uptime and of the content it served"
    ),
    weight!(
        recency,
        "0.1",
        1.0,
        "Weight of how recently a peer was seen"
    ),
    weight!(
        proximity,
        "0.1",
        1.0,
        "Maximum bonus for a nearby peer. It is a bonus, so a distant peer is not penalised"
    ),
    weight!(
        near_km,
        "0.0",
        20_000.0,
        "Distance in km up to which a peer gets the whole bonus"
    ),
    weight!(
        far_km,
        "100.0",
        20_000.0,
        "Distance in km from which a peer gets no bonus: about one millisecond round trip of light in fibre"
    ),
    Key {
        name: "theme",
        default: "\"dark\"",
        meaning: "Colours of the explorer: dark, light, contrast, colour-blind, or a file NAME.toml in the folder themes beside the settings file. NO_COLOR disables all colours",
        flag: Some("--theme"),
        set: |settings, given| {
            settings.theme = given.text()?.to_owned();
            Ok(())
        },
        show: |settings| Some(quoted(&settings.theme)),
    },
    Key {
        name: "ascii",
        default: "false",
        meaning: "Draw the explorer with ASCII only, for terminals without box drawing and blocks",
        flag: Some("--ascii"),
        set: |settings, given| {
            settings.ascii = given.boolean()?;
            Ok(())
        },
        show: |settings| Some(settings.ascii.to_string()),
    },
    Key {
        name: "mouse",
        default: "true",
        meaning: "Accept clicks and the wheel in the explorer. If off, the mouse selects text in the terminal; in most terminals it does so anyway with Shift held",
        flag: Some("--no-mouse"),
        set: |settings, given| {
            settings.mouse = given.boolean()?;
            Ok(())
        },
        show: |settings| Some(settings.mouse.to_string()),
    },
    Key {
        name: "control_tcp",
        default: "",
        meaning: "Loopback address and port, such as 127.0.0.1:4808, on which the node serves its control API besides the socket; requests must carry the token in control.token",
        flag: None,
        set: |settings, given| {
            let why = "write an address and a port, such as 127.0.0.1:4808";
            let address: SocketAddr = given.text()?.parse().map_err(|_| ValueError::from(why))?;
            if !address.ip().is_loopback() {
                return Err("the control socket listens on loopback only; write 127.0.0.1:4808, and forward it".into());
            }
            settings.control_tcp = Some(address);
            Ok(())
        },
        show: |settings| settings.control_tcp.map(|address| format!("\"{address}\"")),
    },
    Key {
        name: "gateway",
        default: "\"127.0.0.1:4810\"",
        meaning: "Address and port of the registry for package managers, or off. The default applies to a running node on the default data directory; with another one (--data-dir) it is off unless set. If the port is taken, the node uses no other, because lock files contain it",
        flag: None,
        set: |settings, given| {
            settings.gateway = Some(match given.text()? {
                "off" => At::Off,
                text => At::Address(text.parse().map_err(|_| {
                    ValueError::from("write an address and a port, such as 127.0.0.1:4810, or off")
                })?),
            });
            Ok(())
        },
        show: |settings| {
            Some(quoted(
                &settings
                    .gateway_address()
                    .map_or("off".to_owned(), |address| address.to_string()),
            ))
        },
    },
    Key {
        name: "gateway_token",
        default: "",
        meaning: "A token of at least 16 characters that clients must send, even to read, if the gateway address is not a loopback address. It does not allow publishing: that needs the token in gateway.token in the data directory",
        flag: None,
        set: |settings, given| {
            let text = given.text()?;
            if text.len() < 16 || !text.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
                return Err("write 16 visible ASCII characters or more, without a colon".into());
            }
            settings.gateway_token = Some(text.to_owned());
            Ok(())
        },
        show: |settings| settings.gateway_token.as_ref().map(|token| quoted(token)),
    },
    Key {
        name: "gateway_publish",
        default: "true",
        meaning: "Whether package managers may publish and yank through the gateway, with the token in gateway.token. Off makes it read-only",
        flag: None,
        set: |settings, given| {
            settings.gateway_publish = given.boolean()?;
            Ok(())
        },
        show: |settings| Some(settings.gateway_publish.to_string()),
    },
    Key {
        name: "gateway_wait",
        default: "\"10s\"",
        meaning: "Longest wait for the next bytes of a file from the swarm, after which the client's download is aborted. Package managers give up after 15 to 30 s by themselves",
        flag: None,
        set: |settings, given| {
            settings.gateway_wait = given.timeout()?;
            Ok(())
        },
        show: |settings| Some(quoted(&show_duration(settings.gateway_wait))),
    },
    Key {
        name: "gateway_upload_mb",
        default: "512",
        meaning: "Maximum size of one upload through the gateway, in MiB",
        flag: None,
        set: |settings, given| {
            settings.gateway_upload = mebibytes(given)?;
            Ok(())
        },
        show: |settings| Some((settings.gateway_upload >> 20).to_string()),
    },
    Key {
        name: "gateway_replicas",
        default: "0",
        meaning: "Number of peers that must hold a release before the publishing client gets its success response, at most a minute later; 0 does not wait. Missing copies are reported and made later",
        flag: None,
        set: |settings, given| {
            settings.gateway_replicas = given.whole(0, 64)?;
            Ok(())
        },
        show: |settings| Some(settings.gateway_replicas.to_string()),
    },
    Key {
        name: "gateway_url",
        default: "",
        meaning: "URL prefix of the gateway behind a reverse proxy, such as https://packages.example.org, used in its responses. Without it, they use the host of the client's request",
        flag: None,
        set: |settings, given| {
            let text = given.text()?.trim_end_matches('/');
            let why = "write http:// or https:// and a host, such as https://packages.example.org";
            let url = url::Url::parse(text).map_err(|_| ValueError::from(why))?;
            if !matches!(url.scheme(), "http" | "https")
                || url.query().is_some()
                || url.fragment().is_some()
            {
                return Err(why.into());
            }
            settings.gateway_url = Some(text.to_owned());
            Ok(())
        },
        show: |settings| settings.gateway_url.as_ref().map(|url| quoted(url)),
    },
    Key {
        name: "log_level",
        default: "\"info\"",
        meaning: "Level of the log file: off, error, warn, info, debug or trace, or directives such as swarmdex=debug,libp2p_kad=info. Libraries log at warn unless named",
        flag: None,
        set: |settings, given| {
            let text = given.text()?;
            crate::telemetry::parse_filter(text)?;
            settings.log_level = text.to_owned();
            Ok(())
        },
        show: |settings| Some(quoted(&settings.log_level)),
    },
    Key {
        name: "log_format",
        default: "\"text\"",
        meaning: "Format of the log file, and of stderr of `swarmdex node`: text, or json with one object a line for log collectors",
        flag: Some("--log-format"),
        set: |settings, given| {
            settings.log_format = match given.text()? {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return Err("write text or json".into()),
            };
            Ok(())
        },
        show: |settings| {
            Some(quoted(match settings.log_format {
                LogFormat::Text => "text",
                LogFormat::Json => "json",
            }))
        },
    },
    Key {
        name: "log_days",
        default: "7",
        meaning: "Number of days for which log files are kept, including today. A week covers a weekend between a fault and its investigation",
        flag: None,
        set: |settings, given| {
            settings.log_days = given.count(3_650)?;
            Ok(())
        },
        show: |settings| Some(settings.log_days.to_string()),
    },
    Key {
        name: "log_mb",
        default: "64",
        meaning: "Maximum size of all log files together, in MiB; the oldest are deleted first. At info this lasts for weeks; the limit is for a trace level that somebody forgot",
        flag: None,
        set: |settings, given| {
            settings.log_mb = given.count(1_048_576)?;
            Ok(())
        },
        show: |settings| Some(settings.log_mb.to_string()),
    },
];

/// A number of MiB as bytes; a million of them are a TiB.
fn mebibytes(given: LayerValue<'_>) -> Result<u64, ValueError> {
    given
        .count(1_048_576 * 64)
        .map(|count| (count as u64) << 20)
}

fn remedy(error: crate::domain::name::NameError) -> ValueError {
    ValueError::Value(error.to_string())
}

pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The table of keys for documents.
pub fn keys_markdown() -> String {
    let mut out = "| Key | Default | Flag | Meaning |\n|---|---|---|---|\n".to_owned();
    for key in &KEYS {
        let code = |text: &str| {
            if text.is_empty() {
                String::new()
            } else {
                format!("`{text}`")
            }
        };
        let flag = code(key.flag.unwrap_or_default());
        out.push_str(&format!(
            "| `{}` | {} | {flag} | {} |\n",
            key.name,
            code(key.default),
            key.meaning
        ));
    }
    out
}
