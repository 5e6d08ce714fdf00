//! The effective settings, told to a person or a script.

use serde::Serialize;

use super::{KEYS, Settings};

/// One effective setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    pub key: &'static str,
    /// As the file would write it; `None` when it is not set.
    pub value: Option<String>,
    /// `default`, the file's path, the variable or the flag.
    pub from: String,
    pub meaning: &'static str,
}

impl Settings {
    /// Every setting in force, with the layer it came from.
    pub fn shown(&self) -> Vec<Shown> {
        KEYS.iter()
            .map(|key| Shown {
                key: key.name,
                value: (key.show)(self),
                from: self.origin(key.name).to_string(),
                meaning: key.meaning,
            })
            .collect()
    }

    /// The settings as a file that would give them again, each line ending with the layer it came from; with
    /// `explain`, each key's meaning above it.
    pub fn to_toml(&self, explain: bool) -> String {
        let mut out = String::new();
        for shown in self.shown() {
            if explain {
                out.push_str(&format!("# {}.\n", shown.meaning));
            }
            let line = match &shown.value {
                Some(value) => format!("{} = {value}", shown.key),
                None => format!("# {} is not set", shown.key),
            };
            out.push_str(&format!("{line:<32}  # {}\n", shown.from));
            if explain {
                out.push('\n');
            }
        }
        out
    }
}
