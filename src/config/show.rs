//! The effective settings, told to a person or a script.

use serde::Serialize;

use super::{KEYS, Settings, value::quoted};

/// One effective setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The key, as the file writes it.
    pub key: String,
    /// As the file would write it; `None` when it is not set.
    pub value: Option<String>,
    /// `default`, the file's path, the variable or the flag.
    pub from: String,
    /// Its meaning, and the reason of its default.
    pub meaning: &'static str,
}

/// A list of words as the file would write it.
fn list(words: &[String]) -> String {
    toml::Value::from(words.to_vec()).to_string()
}

impl Settings {
    /// Every setting in force, with the layer it came from.
    pub fn shown(&self) -> Vec<Shown> {
        let keys = KEYS.iter().map(|key| Shown {
            key: key.name.to_owned(),
            value: (key.show)(self),
            from: self.origin(key.name).to_string(),
            meaning: key.meaning,
        });
        let file = self.paths.config.display().to_string();
        let tables = [
            (
                "keys",
                &self.keys,
                "Keys of the explorer that are not those it comes with",
            ),
            (
                "columns",
                &self.columns,
                "Columns of the explorer's tables; - before a name hides one, +4 after it widens it",
            ),
        ];
        let lists = tables.into_iter().flat_map(|(table, lists, meaning)| {
            let file = file.clone();
            lists.iter().map(move |(name, words)| Shown {
                key: format!("{table}.{name}"),
                value: Some(list(words)),
                from: file.clone(),
                meaning,
            })
        });
        let names = self.node.registry.names.iter().map(|rule| Shown {
            key: format!("names.\"{}\"", rule.pattern),
            value: Some(quoted(&rule.owner.to_string())),
            from: self.paths.config.display().to_string(),
            meaning: "Whose package a bare name is",
        });
        keys.chain(lists).chain(names).collect()
    }

    /// The settings as a file that would give them again, each line ending with the layer it came
    /// from; with
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

/// Columns of the template's comments.
const COLUMNS: usize = 100;

/// A settings file that changes nothing: every key commented out with its default, and what it is
/// for above it.
pub fn template() -> String {
    let mut out = "# Settings of Swarmdex. What is commented out is the default; take the # away to set it.\n\
                   # The environment and flags override what is here; `swarmdex config show` says what is in force.\n"
        .to_owned();
    for key in &KEYS {
        out.push('\n');
        let mut line = "#".to_owned();
        for word in format!("{}.", key.meaning).split(' ') {
            if line.len() + 1 + word.len() > COLUMNS {
                out.push_str(&line);
                out.push('\n');
                "#".clone_into(&mut line);
            }
            line.push(' ');
            line.push_str(word);
        }
        let value = if key.default.is_empty() {
            "\"\""
        } else {
            key.default
        };
        out.push_str(&format!("{line}\n#{} = {value}\n", key.name));
    }
    out.push_str(
        "\n# The explorer's keys, by the names in its table of keys, and the columns of its tables: tables like these, at the\n\
         # end of the file.\n#[keys]\n#quit = [\"Q\"]\n#[columns]\n#peers = [\"state\", \"handle\", \"-peer\", \"rtt+4\"]\n\
         \n# Whose packages bare names are, for package managers: `swarmdex names set` says it too.\n#[names]\n#\"cargo:serde\" = \"12D3KooW…\"\n",
    );
    out
}
