//! Flags that every verb takes: the uppermost layer of the settings.

use std::path::PathBuf;

use clap::Args;

use crate::{
    Result,
    config::{Layers, Paths, Settings},
};

#[derive(Debug, Default, Args)]
pub(super) struct Global {
    /// Directory for keys, database and logs
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Settings file, instead of the platform's
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
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
}

impl Global {
    /// The settings in force.
    pub fn settings(&self) -> Result<Settings> {
        let mut flags: Vec<(&'static str, String)> = Vec::new();
        let mut flag = |key, value: Option<String>| flags.extend(value.map(|value| (key, value)));
        flag("data_dir", self.data_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned()));
        flag("network", self.network.clone());
        flag("listen", (!self.listen.is_empty()).then(|| self.listen.join(",")));
        flag("bootstrap", (!self.bootstrap.is_empty()).then(|| self.bootstrap.join(",")));
        flag("location", self.location.clone());
        flag("mdns", self.no_mdns.then(|| "false".to_owned()));
        flag("query_timeout", self.timeout.clone());
        flag("handle", self.handle.clone());
        flag("dht", self.dht.clone());
        let environment = std::env::vars_os().collect();
        Settings::load(Paths::discover()?, Layers { config: self.config.clone(), environment, flags })
    }
}
