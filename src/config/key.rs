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
        meaning: "Keys and database. Setting it also moves logs and sockets there, so that a second node on one machine is wholly apart. By default the platform's data directory",
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
        meaning: "Addresses to listen on. Empty: all interfaces on port 4807, IPv4 and IPv6, tcp and quic-v1, or on any free port when that one is taken, because a second node on a machine should just work",
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
        meaning: "Peers to join through, each address with /p2p/ and the peer's id, so that nobody else can answer in its place. Empty: known peers and the local network are enough at most sites",
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
        meaning: "What you call yourself as a publisher. Without one, a short form of your publisher key is shown",
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
        meaning: "Where this node is, as latitude,longitude[,place]. Setting it tells the other peers, rounded to a tenth of a degree; not set, nothing is told",
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
        meaning: "A database in MaxMind's format (.mmdb), in which the places of peers that declare none are looked up by their address, before the embedded table of countries. It is read into memory",
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
        meaning: "Find peers on the local network by multicast. On, because a site without internet has no other meeting point",
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
        meaning: "Whether this node holds records for others: auto, server or client. Auto serves until dial-backs show that nobody can reach us, so that an isolated network works too",
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
        meaning: "Deadline of each query to the network, after which it returns what came. A lookup on a good network takes well under a second; the rest is room for slow links",
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
        meaning: "Most MiB of content that is kept in all. Beyond it goes what was used longest ago, except what is your own or pinned",
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
        meaning: "Most MiB of one content that is published or fetched, so that no manifest can fill the disk",
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
        meaning: "Offer to others what was fetched, also while it is incomplete. It is what makes a swarm faster than one node; your own packages are offered in any case",
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
        meaning: "Other nodes that are to have the bytes of each release you publish, so that your machine may leave. Two, so that one of them may leave too; 0 gives them to nobody",
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
        meaning: "Most MiB of content_mb that are kept for others who publish, and that make room for what you ask for. Publishers that were first seen less than a day ago have a quarter of it together, and a sixteenth each; 0, or provide off, keeps nothing",
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
        meaning: "A copy on a node that is gone for so long is lost, and another node is asked to keep one. A laptop comes back within a day; a link that is down for an hour should move no bytes",
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
        meaning: "How much of the network's catalogue is kept: full, so that everything is found at once and offline, or partial, only what was published, heard of or asked for here",
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
        meaning: "Most MiB of records in the catalogue, which take about twice as much disk with their index. Beyond it go first those of publishers that were first seen less than a week ago, who are left with a quarter of it together, then the oldest of whoever has most; never what is yours, of a publisher you trust, or needed by these. Enough for 400000 packages",
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
        meaning: "Most packages in the catalogue, whatever their size. Beyond it they go as beyond catalogue_mb",
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
        meaning: "The catalogue is compared with a few peers this often, a little earlier or later. Gossip brings what is new at once; this finds what it missed, and costs a KiB where nothing differs",
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
        meaning: "How long a peer that misbehaves is banned the first time; twice as long each time after that, a day at most. Long enough that trying again does not pay, short enough for who was wronged",
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
        meaning: "Connections that are kept when there are too many. Enough for a gossip mesh, the close buckets and some to explore",
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
        meaning: "Connections above which the least useful are closed, down to low_water. The gap keeps connections from being closed and opened again all the time",
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
        meaning: "Connections that one address of a private network, or of this machine, may have to this node. Containers and demos share one honestly; a public address has 8 and a public /24 or /48 16, so that no single site can fill a node",
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
        "Weight of verified answers in a peer's score. Half of it, because nothing else can be checked"
    ),
    weight!(
        response,
        "0.25",
        1.0,
        "Weight of its answers' time and its throughput against the others'"
    ),
    weight!(
        availability,
        "0.15",
        1.0,
        "Weight of the time it was there and of what it served"
    ),
    weight!(recency, "0.1", 1.0, "Weight of having been seen lately"),
    weight!(
        proximity,
        "0.1",
        1.0,
        "Most that being near adds; a bonus, because a far peer is no worse a peer"
    ),
    weight!(
        near_km,
        "0.0",
        20_000.0,
        "Distance in km up to which the bonus is whole"
    ),
    weight!(
        far_km,
        "100.0",
        20_000.0,
        "Distance in km from which there is none: about one millisecond of light in fibre"
    ),
    Key {
        name: "theme",
        default: "\"dark\"",
        meaning: "Colours of the explorer: dark, light, contrast, colour-blind, or a file NAME.toml in the folder themes beside the settings. NO_COLOR takes all of them off",
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
        meaning: "Take clicks and the wheel in the explorer. Off, the terminal selects text with the mouse by itself; most do so anyway with Shift held",
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
        meaning: "Loopback address and port, such as 127.0.0.1:4808, on which the node answers programs besides its socket; they have to say the word in control.token",
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
        meaning: "Address and port on which package managers use this node, or off. The default is for a node that stays on the usual data directory; with another one (--data-dir) it is off unless it is set. A port that is taken is not replaced by another, because lock files name it",
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
        meaning: "A word of 16 characters or more that clients have to say where the gateway listens beyond loopback, even to read. It never publishes: for that there is gateway.token in the data directory",
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
        meaning: "Longest time in which the next bytes of a file must come from the swarm before a client is told that they do not. Package managers give up after 15 to 30 s by themselves",
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
        meaning: "Most MiB of one upload through the gateway",
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
        meaning: "Peers that must have what a package manager publishes before it is told that it is published, for a minute at most; 0 does not wait. What is missing then is said, and made up for later",
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
        meaning: "What addresses in the gateway's answers begin with where it is behind a proxy, such as https://packages.example.org. Without it, they begin with the host that the client asked",
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
        meaning: "What the log file tells: off, error, warn, info, debug or trace, or targets such as swarmdex=debug,libp2p_kad=info. Libraries are kept at warn unless named",
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
        meaning: "How the log file is written, and stderr of `swarmdex node`: text for a person, json for a program that collects logs, one object a line",
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
        meaning: "Days that log files are kept, today included. A week covers the weekend between a fault and somebody looking",
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
        meaning: "Most MiB that all log files together may take, the oldest going first. At info that is weeks; what it bounds is a trace that somebody forgot",
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
