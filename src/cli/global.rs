//! Flags that every verb accepts: the topmost layer of settings.

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
    /// Settings file [default: the platform's]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of the network; nodes of different networks never mix
    #[arg(long, global = true, value_name = "NAME")]
    network: Option<String>,
    /// Address to listen on, such as /ip4/0.0.0.0/tcp/4807; may be repeated
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Address of a peer to join through, ending in /p2p/ID; may be repeated
    #[arg(long, global = true, value_name = "ADDRESS")]
    bootstrap: Vec<String>,
    /// Location of this node, which other peers can see: latitude,longitude[,place]
    #[arg(long, global = true, value_name = "PLACE", allow_hyphen_values = true)]
    location: Option<String>,
    /// MaxMind database (.mmdb) for looking up the location of peers by their address
    #[arg(long, global = true, value_name = "FILE")]
    geoip_db: Option<PathBuf>,
    /// Do not look for peers on the local network
    #[arg(long, global = true)]
    no_mdns: bool,
    /// Longest wait for each query to the network, such as 5s or 800ms
    #[arg(long, global = true, value_name = "TIME")]
    timeout: Option<String>,
    /// Handle that you publish under
    #[arg(long, global = true, value_name = "NAME")]
    handle: Option<String>,
    /// Role in the DHT: server (hold records for others), client, or auto
    #[arg(long, global = true, value_name = "MODE")]
    dht: Option<String>,
    /// Format of the log: text, or json for log collectors
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Theme of the explorer: dark, light, contrast, colour-blind, or a theme of your own
    #[arg(long, global = true, value_name = "NAME")]
    theme: Option<String>,
    /// Draw the explorer with ASCII characters only
    #[arg(long, global = true)]
    ascii: bool,
    /// Do not use the mouse
    #[arg(long, global = true)]
    no_mouse: bool,
    /// Use the node behind this control socket: a path, or http://HOST:PORT with --token-file
    #[arg(long, global = true, value_name = "SOCKET", help_heading = "Node")]
    attach: Option<Target>,
    /// File with the token for --attach over http: the node's control.token
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        requires = "attach",
        help_heading = "Node"
    )]
    token_file: Option<PathBuf>,
    /// Refuse everything that would change the node or publish
    #[arg(long, global = true, help_heading = "Node")]
    pub readonly: bool,
}

impl Global {
    /// Returns the settings in force.
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

    /// Returns the settings file, valid or not.
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

    /// Returns these flags as arguments for a child process.
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
        // Join with `=`: a value may begin with a hyphen, like a southern latitude.
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

    /// Returns true if the timeout is set by a flag of this call.
    pub fn has_timeout(&self) -> bool {
        self.timeout.is_some()
    }

    /// Returns the node that `--attach` names.
    pub fn attach(&self) -> Result<Option<Target>> {
        let Some(mut target) = self.attach.clone() else {
            return Ok(None);
        };
        if let Target::Tcp { token, address } = &mut target {
            let file = self.token_file.as_ref().ok_or_else(|| {
                RegistryError::Usage(format!(
                    "the node at http://{address} requires a token; copy control.token from its \
                     data directory and pass it with --token-file"
                ))
            })?;
            let text = std::fs::read_to_string(file).map_err(RegistryError::file(file, "read"))?;
            text.trim().clone_into(token);
        }
        Ok(Some(target))
    }

    /// Returns the given flags that configure the start of a node and have no effect on a running
    /// node or on a private swarm.
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

    /// Returns the data directory if a flag of this call sets it; one in the settings belongs to
    /// the user's own node.
    pub fn given_data_dir(&self) -> Option<PathBuf> {
        self.data_dir.as_ref().map(PathBuf::from)
    }

    /// Returns the default paths, also for a service without a home directory.
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
