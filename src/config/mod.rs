//! Settings: defaults, then the file, then the environment, then flags; each layer overrides the one before.
//!
//! A key that nobody knows is an error and not a shrug: a typing mistake that is silently ignored looks exactly like
//! a setting that does not work.

mod key;
mod paths;
mod show;
#[cfg(test)]
mod tests;
mod value;

pub use key::{DEFAULT_PORT, KEYS, Key, keys_markdown};
pub use paths::Paths;
pub use show::Shown;
pub use value::{parse_duration, show_duration};

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    io::ErrorKind::{NotADirectory, NotFound},
    path::{Path, PathBuf},
    time::Duration,
};

use libp2p::Multiaddr;

use crate::{
    RegistryError, Result,
    domain::{
        geo::GeoLocation,
        name::{Handle, NetworkName},
        reputation::Weights,
        text::{fit, printable},
    },
    node::{DIAL_BACK_EVERY, DhtMode, NodeOptions},
};
use value::{Given, Wrong};

/// What every environment variable of ours starts with.
pub const PREFIX: &str = "SWARMDEX_";
/// The variable that names the settings file; the only one that is no key.
const CONFIG_VARIABLE: &str = "SWARMDEX_CONFIG";

/// Which layer a value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    #[default]
    Default,
    File(PathBuf),
    Environment(String),
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
    pub paths: Paths,
    pub network: NetworkName,
    pub listen: Vec<Multiaddr>,
    pub bootstrap: Vec<Multiaddr>,
    pub handle: Option<Handle>,
    pub location: Option<GeoLocation>,
    pub mdns: bool,
    pub dht: DhtMode,
    pub query_timeout: Duration,
    pub low_water: usize,
    pub high_water: usize,
    pub weights: Weights,
    pub log_level: String,
    /// Daily log files kept.
    pub log_days: usize,
    origins: BTreeMap<&'static str, Origin>,
}

/// Where settings are read from besides the defaults.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The settings file asked for; it must then exist.
    pub config: Option<PathBuf>,
    /// Environment variables; those without our prefix are passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// Key, and the text given to its flag.
    pub flags: Vec<(&'static str, String)>,
}

impl Settings {
    /// The defaults, with files where `paths` says.
    pub fn defaults(paths: Paths) -> Result<Self> {
        Ok(Self {
            paths,
            network: "main".parse()?,
            listen: Vec::new(),
            bootstrap: Vec::new(),
            handle: None,
            location: None,
            mdns: true,
            dht: DhtMode::Auto,
            query_timeout: Duration::from_secs(5),
            low_water: 48,
            high_water: 64,
            weights: Weights::default(),
            log_level: "info".to_owned(),
            log_days: 7,
            origins: BTreeMap::new(),
        })
    }

    /// Reads every layer. The error is one sentence that names the file, variable or flag, what it says, and what to
    /// write instead.
    pub fn load(paths: Paths, layers: Layers) -> Result<Self> {
        let environment = our_variables(layers.environment)?;
        let named = environment.iter().find(|(name, _)| name == CONFIG_VARIABLE).map(|(_, path)| path.into());
        let (config, must_exist) = match layers.config.or(named) {
            Some(path) => (path, true),
            None => (paths.config.clone(), false),
        };
        let mut settings = Self::defaults(Paths { config: config.clone(), ..paths })?;
        settings.read_file(&config, must_exist)?;
        for (variable, text) in &environment {
            if variable == CONFIG_VARIABLE {
                continue;
            }
            let key = KEYS.iter().find(|key| key.variable() == *variable).ok_or_else(|| {
                let known: Vec<_> = KEYS.iter().map(Key::variable).collect();
                unknown("environment variable", variable, "", known.iter().map(String::as_str))
            })?;
            settings.set(key, Given::Text(text), Origin::Environment(variable.clone()))?;
        }
        for (name, text) in &layers.flags {
            let Some(key) = key::find(name) else { continue };
            settings.set(key, Given::Text(text), Origin::Flag(key.flag.unwrap_or(key.name)))?;
        }
        settings.check()?;
        Ok(settings)
    }

    fn read_file(&mut self, path: &Path, must_exist: bool) -> Result<()> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if !must_exist && matches!(error.kind(), NotFound | NotADirectory) => return Ok(()),
            Err(error) => {
                return Err(RegistryError::Usage(format!(
                    "the settings file {} cannot be read: {error}; check --config and SWARMDEX_CONFIG",
                    path.display()
                )));
            }
        };
        let table: toml::Table = toml::from_str(&text).map_err(|error| toml_error(path, &text, &error))?;
        for (name, value) in flatten(&table) {
            let key = key::find(&name).ok_or_else(|| {
                unknown("key", &name, &format!(" in {}", path.display()), KEYS.iter().map(|key| key.name))
            })?;
            self.set(key, Given::Toml(value), Origin::File(path.to_owned()))?;
        }
        Ok(())
    }

    fn set(&mut self, key: &'static Key, given: Given<'_>, origin: Origin) -> Result<()> {
        (key.set)(self, given).map_err(|wrong| complain(key, given, &origin, wrong))?;
        if key.name == "data_dir" {
            let text = given.text().unwrap_or_default();
            if text.is_empty() {
                return Err(complain(key, given, &origin, "write the path of a directory".into()));
            }
            let dir = match &origin {
                Origin::File(file) => paths::written_in(file, text),
                _ => PathBuf::from(text),
            };
            self.paths = self.paths.clone().within(&dir);
        }
        self.origins.insert(key.name, origin);
        Ok(())
    }

    /// Rules between keys.
    fn check(&self) -> Result<()> {
        let blame = |a: &str, b: &str| {
            let origin = |key| format!("{key} from {}", self.origin(key));
            format!("({}, {})", origin(a), origin(b))
        };
        if self.low_water >= self.high_water {
            return Err(RegistryError::Usage(format!(
                "low_water is {} and high_water {} {}; low_water must be the smaller one",
                self.low_water,
                self.high_water,
                blame("low_water", "high_water")
            )));
        }
        if self.weights.near_km > self.weights.far_km {
            return Err(RegistryError::Usage(format!(
                "reputation.near_km is {} and reputation.far_km {} {}; near must be the smaller one",
                self.weights.near_km,
                self.weights.far_km,
                blame("reputation.near_km", "reputation.far_km")
            )));
        }
        Ok(())
    }

    /// The layer that the key's value came from.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or_default()
    }

    /// The data directory, if a person chose it.
    pub fn chosen_data_dir(&self) -> Option<PathBuf> {
        self.origins.contains_key("data_dir").then(|| self.paths.data.clone())
    }

    pub fn node_options(&self) -> NodeOptions {
        NodeOptions {
            data_dir: self.paths.data.clone(),
            network: self.network.clone(),
            listen: self.listen.clone(),
            bootstrap: self.bootstrap.clone(),
            handle: self.handle.clone(),
            location: self.location.clone(),
            mdns: self.mdns,
            dht: self.dht,
            dial_back_every: DIAL_BACK_EVERY,
            query_timeout: self.query_timeout,
            weights: self.weights,
            low_water: self.low_water,
            high_water: self.high_water,
        }
    }
}

/// One sentence about a TOML text that does not parse: where, the line itself, and why.
pub(crate) fn toml_error(path: &Path, text: &str, error: &toml::de::Error) -> RegistryError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let number = before.matches('\n').count();
    let line = fit(&printable(text.lines().nth(number).unwrap_or_default()), 60);
    let why = printable(error.message());
    let shown = if line.is_empty() { String::new() } else { format!(" ({line})") };
    RegistryError::Usage(format!("{}, line {}{shown}: {why}; correct it and try again", path.display(), number + 1))
}

fn our_variables(environment: Vec<(OsString, OsString)>) -> Result<Vec<(String, String)>> {
    let mut ours = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let value = value.into_string().map_err(|value| {
            RegistryError::Usage(format!("{name} says {value:?}, which is not UTF-8; write plain text"))
        })?;
        ours.push((name.to_owned(), value));
    }
    // The order of the environment is nobody's choice; the first complaint should not depend on it.
    ours.sort();
    Ok(ours)
}

/// The file's entries by their dotted names. A table without entries stands for itself, so that a misspelt one is
/// found out.
fn flatten(table: &toml::Table) -> Vec<(String, &toml::Value)> {
    let mut out = Vec::new();
    for (name, value) in table {
        match value {
            toml::Value::Table(inner) => {
                let prefix = format!("{name}.");
                let known = KEYS.iter().any(|key| key.name.starts_with(&prefix));
                if inner.is_empty() && !known {
                    out.push((name.clone(), value));
                }
                out.extend(flatten(inner).into_iter().map(|(rest, value)| (format!("{prefix}{rest}"), value)));
            }
            _ => out.push((name.clone(), value)),
        }
    }
    out
}

fn unknown<'a>(what: &str, given: &str, place: &str, known: impl Iterator<Item = &'a str>) -> RegistryError {
    let nearest = known
        .map(|name| (strsim::normalized_damerau_levenshtein(given, name), name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or("", |(_, name)| name);
    let given = fit(&printable(given), 60);
    RegistryError::Usage(format!(
        "there is no {what} \"{given}\"{place}; the nearest is \"{nearest}\", and `config show` lists all"
    ))
}

fn complain(key: &Key, given: Given<'_>, origin: &Origin, wrong: Wrong) -> RegistryError {
    let place = match origin {
        Origin::File(path) => format!("{} in {}", key.name, path.display()),
        other => other.to_string(),
    };
    match wrong {
        Wrong::Address { given, why } => RegistryError::Address { given, why: format!("{why} (from {place})") },
        Wrong::Value(remedy) => {
            let value = match given {
                Given::Text(text) => value::quoted(text),
                Given::Toml(value) => value.to_string(),
            };
            RegistryError::Usage(format!("{place} says {}: {remedy}", fit(&printable(&value), 80)))
        }
    }
}
