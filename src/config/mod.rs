//! Settings: defaults, then the file, then the environment, then flags; each layer overrides the
//! one before.
//!
//! A key that nobody knows is an error and not a shrug: a typing mistake that is silently ignored
//! looks exactly like a setting that does not work.

mod columns;
mod file;
mod key;
mod paths;
mod show;
#[cfg(test)]
mod tests;
mod value;

pub use columns::write_columns;
pub use file::{Problem, problems};
pub use key::{DEFAULT_PORT, KEYS, Key, keys_markdown};
pub use paths::Paths;
pub use show::{Shown, template};
pub use value::{parse_duration, show_duration};

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    io::ErrorKind::{NotADirectory, NotFound},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    RegistryError, Result,
    domain::{
        name::NameError,
        names::{NameRule, RuleAuthor},
        text::{fit, printable},
    },
    gateway, geoip,
    node::NodeOptions,
    telemetry::{LogFormat, LogOptions},
};
use file::Entry;
use value::{LayerValue, ValueError};

/// The prefix of every environment variable of ours.
pub const PREFIX: &str = "SWARMDEX_";
/// The prefix of the entries of the table of names.
const NAMES: &str = "names.";
/// The variable that names the settings file.
const CONFIG_VARIABLE: &str = "SWARMDEX_CONFIG";
/// The variable that has the passphrase of a key that is exported or imported. Neither is a
/// setting.
pub const PASSPHRASE_VARIABLE: &str = "SWARMDEX_PASSPHRASE";

/// The layer that a value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    #[default]
    /// The default.
    Default,
    /// A settings file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => path.display().fmt(f),
            Self::Environment(variable) => f.write_str(variable),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// The effective settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Directories and files.
    pub paths: Paths,
    /// The node's own, filled in place.
    pub node: NodeOptions,
    /// Name of the explorer's theme.
    pub theme: String,
    /// The explorer draws with ASCII only.
    pub ascii: bool,
    /// The explorer takes clicks and the wheel.
    pub mouse: bool,
    /// A person's own keys, by the name of the action.
    pub keys: Lists,
    /// A person's own columns, by the name of the table.
    pub columns: Lists,
    /// Loopback address on which the node answers programs besides its socket.
    pub control_tcp: Option<SocketAddr>,
    /// The gateway as it was set; `None` where nothing was said.
    pub gateway: Option<At>,
    /// The word without which an address beyond loopback gives nothing.
    pub gateway_token: Option<String>,
    /// Clients may publish through the gateway.
    pub gateway_publish: bool,
    /// Longest wait of a client for the network.
    pub gateway_wait: Duration,
    /// Most bytes of one upload.
    pub gateway_upload: u64,
    /// Other nodes that must have a publish through the gateway before it is acknowledged.
    pub gateway_replicas: usize,
    /// The beginning of addresses in its answers, behind a proxy.
    pub gateway_url: Option<String>,
    /// The filter of the log.
    pub log_level: String,
    /// The format of log files.
    pub log_format: LogFormat,
    /// Days that log files are kept.
    pub log_days: usize,
    /// MiB that all log files together may take.
    pub log_mb: usize,
    origins: BTreeMap<&'static str, Origin>,
}

/// Lists of words by name: tables that the explorer understands.
pub type Lists = BTreeMap<String, Vec<String>>;

/// The setting of the gateway's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// There is none.
    Off,
    /// It listens here.
    Address(SocketAddr),
}

/// Sources of settings besides the defaults.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The settings file asked for; it must then exist.
    pub config: Option<PathBuf>,
    /// Environment variables; those without our prefix are passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// Key, and the text given to its flag.
    pub flags: Vec<(&'static str, String)>,
}

/// The settings file before it is understood.
#[derive(Clone, Debug)]
pub struct SettingsFile {
    /// Its path.
    pub path: PathBuf,
    /// By a flag or the environment; else it is where the platform wants it.
    pub named: bool,
    /// `None` when it does not exist.
    pub text: Option<String>,
}

impl Settings {
    /// The defaults, with files where `paths` says.
    ///
    /// # Errors
    /// None in practice: the default network has a valid name.
    pub fn defaults(paths: Paths) -> Result<Self> {
        Ok(Self {
            node: NodeOptions::of(paths.data.clone(), "main".parse()?),
            paths,
            theme: "dark".to_owned(),
            ascii: false,
            mouse: true,
            keys: BTreeMap::new(),
            columns: BTreeMap::new(),
            control_tcp: None,
            gateway: None,
            gateway_token: None,
            gateway_publish: true,
            gateway_wait: gateway::WAIT,
            gateway_upload: gateway::UPLOAD,
            gateway_replicas: 0,
            gateway_url: None,
            log_level: "info".to_owned(),
            log_format: LogFormat::Text,
            log_days: 7,
            log_mb: 64,
            origins: BTreeMap::new(),
        })
    }

    /// Reads every layer. The error is one sentence that names the file, variable or flag, what it
    /// says, and what to write instead.
    ///
    /// # Errors
    /// [`RegistryError::Usage`] or [`RegistryError::Address`] for a value that cannot be used.
    pub fn load(paths: Paths, layers: Layers) -> Result<Self> {
        let environment = our_variables(layers.environment)?;
        let (config, must_exist) = located(&paths, layers.config, &environment);
        let mut settings = Self::defaults(Paths {
            config: config.clone(),
            ..paths
        })?;
        settings.read_file(&config, must_exist)?;
        for (variable, text) in &environment {
            if variable == CONFIG_VARIABLE || variable == PASSPHRASE_VARIABLE {
                continue;
            }
            let key = KEYS
                .iter()
                .find(|key| key.variable() == *variable)
                .ok_or_else(|| {
                    let known: Vec<_> = KEYS.iter().map(Key::variable).collect();
                    unknown(
                        "environment variable",
                        variable,
                        "",
                        known.iter().map(String::as_str),
                    )
                })?;
            settings.set(
                key,
                LayerValue::Text(text),
                Origin::Environment(variable.clone()),
                None,
            )?;
        }
        for (name, text) in &layers.flags {
            let Some(key) = key::find(name) else { continue };
            settings.set(
                key,
                LayerValue::Text(text),
                Origin::Flag(key.flag.unwrap_or(key.name)),
                None,
            )?;
        }
        match settings.conflicts().into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(settings),
        }
    }

    /// Finds the settings file, or the place where it would be. It need not be valid.
    ///
    /// # Errors
    /// [`RegistryError::Usage`] for an environment variable that is not UTF-8 or a file that cannot
    /// be read.
    pub fn file(paths: &Paths, layers: Layers) -> Result<SettingsFile> {
        let environment = our_variables(layers.environment)?;
        let (path, named) = located(paths, layers.config, &environment);
        let text = read(&path, false)?;
        Ok(SettingsFile { path, named, text })
    }

    fn read_file(&mut self, path: &Path, must_exist: bool) -> Result<()> {
        let Some(text) = read(path, must_exist)? else {
            return Ok(());
        };
        let (entries, broken) = file::entries(path, &text);
        match self
            .take_entries(path, &entries, broken)
            .into_iter()
            .min_by_key(|problem| problem.line)
        {
            Some(first) => Err(first.error),
            None => Ok(()),
        }
    }

    /// Takes what can be taken; returns what is wrong with the rest, after what was `broken`
    /// already.
    fn take_entries(
        &mut self,
        path: &Path,
        entries: &[Entry],
        mut broken: Vec<Problem>,
    ) -> Vec<Problem> {
        for Entry { name, line, value } in entries {
            let taken = match key::find(name) {
                None if self.take_list(name, value) => Ok(()),
                None if name.starts_with(NAMES) => self.take_name(name, value).map_err(|wrong| {
                    complain(
                        LayerValue::Toml(value),
                        &format!("{name} in {}, line {line}", path.display()),
                        wrong,
                    )
                }),
                Some(key) => self.set(
                    key,
                    LayerValue::Toml(value),
                    Origin::File(path.to_owned()),
                    Some(*line),
                ),
                None => {
                    let place = format!(" in {}, line {line}", path.display());
                    Err(unknown(
                        "key",
                        name,
                        &place,
                        KEYS.iter().map(|key| key.name),
                    ))
                }
            };
            broken.extend(taken.err().map(|error| Problem { line: *line, error }));
        }
        broken
    }

    /// The tables `keys` and `columns` have a list of words for each of their entries, which only
    /// the explorer understands.
    fn take_list(&mut self, name: &str, value: &toml::Value) -> bool {
        let (lists, entry) = match name.split_once('.') {
            Some(("keys", entry)) => (&mut self.keys, entry),
            Some(("columns", entry)) => (&mut self.columns, entry),
            _ => return false,
        };
        let words = value
            .as_array()
            .map(|words| words.iter().map(|word| word.as_str().map(str::to_owned)));
        let Some(words) = words.and_then(|words| words.collect::<Option<Vec<String>>>()) else {
            return false;
        };
        lists.insert(entry.to_owned(), words);
        true
    }

    /// An entry of the table `names`: whose packages the names of a pattern are.
    fn take_name(&mut self, name: &str, value: &toml::Value) -> Result<(), ValueError> {
        let pattern = name
            .strip_prefix(NAMES)
            .unwrap_or(name)
            .parse()
            .map_err(|error: NameError| error.to_string())?;
        let owner = value.as_str().and_then(|text| text.parse().ok());
        let owner =
            owner.ok_or("write the id of a publisher in quotes, which looks like 12D3KooW…")?;
        self.node
            .registry
            .names
            .retain(|rule| rule.pattern != pattern);
        self.node.registry.names.push(NameRule {
            pattern,
            owner,
            written: RuleAuthor::Settings,
        });
        Ok(())
    }

    /// `line` is where a file says it.
    fn set(
        &mut self,
        key: &'static Key,
        given: LayerValue<'_>,
        origin: Origin,
        line: Option<usize>,
    ) -> Result<()> {
        let place = match (&origin, line) {
            (Origin::File(path), Some(line)) => {
                format!("{} in {}, line {line}", key.name, path.display())
            }
            (other, _) => other.to_string(),
        };
        (key.set)(self, given).map_err(|wrong| complain(given, &place, wrong))?;
        if key.name == "geoip_db" {
            let text = given.text().unwrap_or_default();
            let path = match &origin {
                Origin::File(file) => paths::written_in(file, text),
                _ => PathBuf::from(text),
            };
            geoip::probe(&path).map_err(|why| complain(given, &place, why.into()))?;
            self.node.net.geoip_db = Some(path);
        }
        if key.name == "data_dir" {
            let text = given.text().unwrap_or_default();
            if text.is_empty() {
                return Err(complain(
                    given,
                    &place,
                    "write the path of a directory".into(),
                ));
            }
            let dir = match &origin {
                Origin::File(file) => paths::written_in(file, text),
                _ => PathBuf::from(text),
            };
            self.paths = self.paths.clone().within(&dir);
            self.node.data_dir = self.paths.data.clone();
        }
        self.origins.insert(key.name, origin);
        Ok(())
    }

    /// Breaches of the rules between keys, each with the two keys.
    fn conflicts(&self) -> Vec<([&'static str; 2], RegistryError)> {
        let mut conflicts = Vec::new();
        let mut less = |keys: [&'static str; 2], values: [String; 2], remedy: &str| {
            let [a, b] = keys;
            let [from_a, from_b] = keys.map(|key| format!("{key} from {}", self.origin(key)));
            let [given_a, given_b] = values;
            let text = format!(
                "{a} is {given_a} and {b} {given_b} ({from_a}, {from_b}); {remedy} must be the smaller one"
            );
            conflicts.push((keys, RegistryError::Usage(text)));
        };
        if self.node.net.low_water >= self.node.net.high_water {
            let values = [
                self.node.net.low_water.to_string(),
                self.node.net.high_water.to_string(),
            ];
            less(["low_water", "high_water"], values, "low_water");
        }
        if self.node.net.weights.near_km > self.node.net.weights.far_km {
            let values = [
                self.node.net.weights.near_km.to_string(),
                self.node.net.weights.far_km.to_string(),
            ];
            less(["reputation.near_km", "reputation.far_km"], values, "near");
        }
        if let Some(address) = self
            .gateway_address()
            .filter(|address| !address.ip().is_loopback())
            && self.gateway_token.is_none()
        {
            let text = format!(
                "gateway is {address} (from {}), which others can reach, and gateway_token is not set; set it to a word of 16 \
                 characters or more that they have to say, or keep the gateway on 127.0.0.1",
                self.origin("gateway")
            );
            conflicts.push((["gateway", "gateway_token"], RegistryError::Usage(text)));
        }
        conflicts
    }

    /// Returns the address for the gateway to listen on, if it is on. Lock files name its port, so
    /// only a node on the default data directory takes the usual port by itself.
    pub fn gateway_address(&self) -> Option<SocketAddr> {
        match self.gateway {
            Some(At::Address(address)) => Some(address),
            Some(At::Off) => None,
            None => self.chosen_data_dir().is_none().then_some(gateway::ADDRESS),
        }
    }

    /// Returns the settings of the gateway, if it is on.
    pub fn gateway_options(&self) -> Option<gateway::Options> {
        Some(gateway::Options {
            address: self.gateway_address()?,
            token: self.gateway_token.clone(),
            publish: self.gateway_publish,
            wait: self.gateway_wait,
            upload: self.gateway_upload,
            replicas: self.gateway_replicas,
            url: self.gateway_url.clone(),
        })
    }

    /// The layer that the key's value came from.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or_default()
    }

    /// The data directory, if a person chose it.
    pub fn chosen_data_dir(&self) -> Option<PathBuf> {
        self.origins
            .contains_key("data_dir")
            .then(|| self.paths.data.clone())
    }

    /// Returns the settings of the log.
    pub fn log_options(&self) -> LogOptions {
        LogOptions {
            dir: self.paths.logs(),
            private: vec![self.paths.data.clone(), self.paths.state.clone()],
            level: self.log_level.clone(),
            format: self.log_format,
            days: self.log_days,
            bytes: self.log_mb as u64 * 1_048_576,
        }
    }
}

/// Returns the path of the settings file, and true if somebody named it, so that it must exist.
fn located(
    paths: &Paths,
    asked: Option<PathBuf>,
    environment: &[(String, String)],
) -> (PathBuf, bool) {
    let named = environment
        .iter()
        .find(|(name, _)| name == CONFIG_VARIABLE)
        .map(|(_, path)| path.into());
    match asked.or(named) {
        Some(path) => (path, true),
        None => (paths.config.clone(), false),
    }
}

/// The text of the settings file; `None` when there is none and need not be.
fn read(path: &Path, must_exist: bool) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if !must_exist && matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
        Err(error) => Err(RegistryError::Usage(format!(
            "the settings file {} cannot be read: {error}; check --config and SWARMDEX_CONFIG",
            path.display()
        ))),
    }
}

fn our_variables(environment: Vec<(OsString, OsString)>) -> Result<Vec<(String, String)>> {
    let mut ours = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
            continue;
        };
        let value = value.into_string().map_err(|value| {
            RegistryError::Usage(format!(
                "{name} says {value:?}, which is not UTF-8; write plain text"
            ))
        })?;
        ours.push((name.to_owned(), value));
    }
    // The order of the environment is nobody's choice; the first complaint should not depend on it.
    ours.sort();
    Ok(ours)
}

fn unknown<'a>(
    what: &str,
    given: &str,
    place: &str,
    known: impl Iterator<Item = &'a str>,
) -> RegistryError {
    let nearest = known
        .map(|name| (strsim::normalized_damerau_levenshtein(given, name), name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or("", |(_, name)| name);
    let given = fit(&printable(given), 60);
    RegistryError::Usage(format!(
        "there is no {what} \"{given}\"{place}; the nearest is \"{nearest}\", and `config show` lists all"
    ))
}

fn complain(given: LayerValue<'_>, place: &str, wrong: ValueError) -> RegistryError {
    match wrong {
        ValueError::Address { given, why } => RegistryError::Address {
            given,
            why: format!("{why} (from {place})"),
        },
        ValueError::Value(remedy) => {
            let value = match given {
                LayerValue::Text(text) => value::quoted(text),
                LayerValue::Toml(value) => value.to_string(),
            };
            RegistryError::Usage(format!(
                "{place} says {}: {remedy}",
                fit(&printable(&value), 80)
            ))
        }
    }
}
