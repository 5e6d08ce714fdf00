//! Flags that every verb takes: the uppermost layer of the settings.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{
    RegistryError, Result,
    config::{Layers, Paths, Settings, SettingsFile},
    control::Target,
};

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(super) struct Global {
    /// Directory for keys, database and logs
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,
    /// Settings file, instead of the platform's
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of the network; nodes of different networks never mix
    #[arg(long, global = true, value_name = "NAME")]
    network: Option<String>,
    /// Address to listen on, such as /ip4/0.0.0.0/tcp/4807; may be repeated
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Peer to join through, with /p2p/ at its end; may be repeated
    #[arg(long, global = true, value_name = "ADDRESS")]
    bootstrap: Vec<String>,
    /// Where this node is: latitude,longitude[,place]. Told to the other peers
    #[arg(long, global = true, value_name = "PLACE", allow_hyphen_values = true)]
    location: Option<String>,
    /// Database in MaxMind's format (.mmdb), in which places of peers are looked up by their
    /// address
    #[arg(long, global = true, value_name = "FILE")]
    geoip_db: Option<PathBuf>,
    /// Do not look for peers on the local network
    #[arg(long, global = true)]
    no_mdns: bool,
    /// Longest wait for each query to the network, such as 5s or 800ms
    #[arg(long, global = true, value_name = "TIME")]
    timeout: Option<String>,
    /// What you call yourself as a publisher
    #[arg(long, global = true, value_name = "NAME")]
    handle: Option<String>,
    /// Whether to hold DHT records for others: auto, server or client
    #[arg(long, global = true, value_name = "MODE")]
    dht: Option<String>,
    /// How the log is written: text, or json for a program that collects logs
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Colours of the explorer: dark, light, contrast, colour-blind, or a theme of your own
    #[arg(long, global = true, value_name = "NAME")]
    theme: Option<String>,
    /// Draw the explorer with ASCII only
    #[arg(long, global = true)]
    ascii: bool,
    /// Leave the mouse to the terminal
    #[arg(long, global = true)]
    no_mouse: bool,
    /// Use the node behind this control socket: a path, or http://HOST:PORT with --token-file
    #[arg(long, global = true, value_name = "SOCKET", help_heading = "Node")]
    attach: Option<Target>,
    /// File with the word that lets one in over http: the node's control.token
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        requires = "attach",
        help_heading = "Node"
    )]
    token_file: Option<PathBuf>,
    /// Only look: what would change the node, or publish, is refused
    #[arg(long, global = true, help_heading = "Node")]
    pub readonly: bool,
}

impl Global {
    /// The settings in force.
    pub fn settings(&self) -> Result<Settings> {
        let list = |addresses: &[String]| (!addresses.is_empty()).then(|| addresses.join(","));
        let flags = [
            ("data_dir", self.data_dir.clone()),
            ("network", self.network.clone()),
            ("listen", list(&self.listen)),
            ("bootstrap", list(&self.bootstrap)),
            ("location", self.location.clone()),
            (
                "geoip_db",
                self.geoip_db
                    .as_ref()
                    .map(|path| path.to_string_lossy().into_owned()),
            ),
            ("mdns", self.no_mdns.then(|| "false".to_owned())),
            ("query_timeout", self.timeout.clone()),
            ("handle", self.handle.clone()),
            ("dht", self.dht.clone()),
            ("log_format", self.log_format.clone()),
            ("theme", self.theme.clone()),
            ("ascii", self.ascii.then(|| "true".to_owned())),
            ("mouse", self.no_mouse.then(|| "false".to_owned())),
        ];
        let flags = flags
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        let environment = std::env::vars_os().collect();
        Settings::load(
            self.paths()?,
            Layers {
                config: self.config.clone(),
                environment,
                flags,
            },
        )
    }

    /// The settings file, whether or not it can be used.
    pub fn settings_file(&self) -> Result<SettingsFile> {
        let environment = std::env::vars_os().collect();
        Settings::file(
            &self.paths()?,
            Layers {
                config: self.config.clone(),
                environment,
                flags: Vec::new(),
            },
        )
    }

    /// The flags again, for a process that is started with them.
    pub fn words(&self) -> Vec<OsString> {
        let text = |text: &Option<String>| text.as_ref().map(OsString::from);
        let one = [
            ("--data-dir", text(&self.data_dir)),
            ("--config", self.config.as_ref().map(OsString::from)),
            ("--network", text(&self.network)),
            ("--location", text(&self.location)),
            ("--geoip-db", self.geoip_db.as_ref().map(OsString::from)),
            ("--timeout", text(&self.timeout)),
            ("--handle", text(&self.handle)),
            ("--dht", text(&self.dht)),
            ("--log-format", text(&self.log_format)),
        ];
        let one = one
            .into_iter()
            .filter_map(|(flag, value)| Some((flag, value?)));
        let many = |flag, values: &[String]| {
            values
                .iter()
                .map(|value| (flag, value.into()))
                .collect::<Vec<_>>()
        };
        let pairs = one
            .chain(many("--listen", &self.listen))
            .chain(many("--bootstrap", &self.bootstrap));
        // A value may begin with a hyphen, as a latitude in the south does.
        let joined = |(flag, value): (&str, OsString)| {
            let mut word = OsString::from(format!("{flag}="));
            word.push(value);
            word
        };
        pairs
            .map(joined)
            .chain(self.no_mdns.then(|| "--no-mdns".into()))
            .collect()
    }

    /// Returns whether this very call says how long to wait.
    pub fn has_timeout(&self) -> bool {
        self.timeout.is_some()
    }

    /// The node that is named.
    pub fn attach(&self) -> Result<Option<Target>> {
        let Some(mut target) = self.attach.clone() else {
            return Ok(None);
        };
        if let Target::Tcp { token, address } = &mut target {
            let file = self.token_file.as_ref().ok_or_else(|| {
                RegistryError::Usage(format!(
                    "the node at http://{address} wants to hear a word; copy its data directory's control.token here and \
                     name it with --token-file"
                ))
            })?;
            let text = std::fs::read_to_string(file).map_err(RegistryError::file(file, "read"))?;
            text.trim().clone_into(token);
        }
        Ok(Some(target))
    }

    /// Flags given that say how a node is started, and mean nothing to one that runs, or to a swarm
    /// that is private.
    pub fn of_a_node(&self) -> Vec<&'static str> {
        let given = [
            ("--network", self.network.is_some()),
            ("--listen", !self.listen.is_empty()),
            ("--bootstrap", !self.bootstrap.is_empty()),
            ("--location", self.location.is_some()),
            ("--geoip-db", self.geoip_db.is_some()),
            ("--handle", self.handle.is_some()),
            ("--dht", self.dht.is_some()),
        ];
        given
            .into_iter()
            .filter_map(|(flag, given)| given.then_some(flag))
            .collect()
    }

    /// The data directory of this very call; one in the settings belongs to the person's own node.
    pub fn given_data_dir(&self) -> Option<PathBuf> {
        self.data_dir.as_ref().map(PathBuf::from)
    }

    /// A service without a home directory can still say where everything is.
    fn paths(&self) -> Result<Paths> {
        match (Paths::discover(), &self.config, &self.data_dir) {
            (Err(_), Some(config), Some(data)) => {
                let here = PathBuf::new();
                let paths = Paths {
                    config: config.clone(),
                    data: here.clone(),
                    state: here.clone(),
                    runtime: here,
                };
                Ok(paths.within(Path::new(data)))
            }
            (paths, ..) => paths,
        }
    }
}
