//! Edits cargo's own files and keeps everything else in them. Pure.

use toml_edit::{DocumentMut, Item, Table, value};

/// Names of the swarm's registry in cargo's configuration, and of the one that replaces the
/// default.
const SWARM: &str = "swarm";
const MIRROR: &str = "swarm-mirror";
/// cargo's name for its default registry.
const DEFAULT: &str = "crates-io";

/// The configuration to write.
pub struct CargoSettings {
    /// Base URL of the gateway, without a trailing slash.
    pub url: String,
    pub token: String,
    pub mirror: bool,
    /// Reading requires the token too.
    pub closed: bool,
}

impl CargoSettings {
    fn index(&self, endpoint: &str) -> String {
        format!("sparse+{}/{endpoint}/", self.url)
    }

    /// Returns everything as one text to paste.
    pub fn text(&self) -> String {
        let added = add("", self).and_then(|text| add_token(&text, self));
        added.unwrap_or_default()
    }
}

fn read(text: &str) -> Result<DocumentMut, String> {
    text.parse().map_err(|error: toml_edit::TomlError| {
        format!(
            "it is not valid TOML ({}); correct it",
            error.message().lines().next().unwrap_or_default()
        )
    })
}

/// Returns the table at a path, and creates it if necessary.
fn table<'a>(
    text: &'a mut DocumentMut,
    path: [&str; 2],
) -> Result<&'a mut dyn toml_edit::TableLike, String> {
    let [outer, inner] = path;
    let made = || {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    };
    let outer_table = text.entry(outer).or_insert_with(made).as_table_like_mut();
    let outer_table =
        outer_table.ok_or_else(|| format!("its {outer} is not a table; correct it"))?;
    let inner_table = outer_table
        .entry(inner)
        .or_insert_with(|| Item::Table(Table::new()))
        .as_table_like_mut();
    inner_table.ok_or_else(|| format!("its {outer}.{inner} is not a table; correct it"))
}

/// Sets an index, unless it is set to an address that is not a gateway's.
fn set_index(
    text: &mut DocumentMut,
    name: &str,
    wanted: &CargoSettings,
    endpoint: &str,
) -> Result<(), String> {
    let (index, closed) = (&*wanted.index(endpoint), wanted.closed);
    let registry = table(text, ["registries", name])?;
    let before = registry.get("index").and_then(Item::as_str);
    if let Some(before) = before.filter(|before| !before.ends_with(&format!("/{endpoint}/"))) {
        return Err(format!(
            "it has a registry {name} already, at {before}; rename that one"
        ));
    }
    if before != Some(index) {
        registry.insert("index", value(index));
    }
    if closed && registry.get("credential-provider").is_none() {
        registry.insert("credential-provider", value("cargo:token"));
    }
    Ok(())
}

/// Adds the swarm to the configuration. Existing settings are kept, except for earlier gateway
/// addresses.
///
/// # Errors
/// The reason, as the end of a sentence.
pub fn add(text: &str, wanted: &CargoSettings) -> Result<String, String> {
    let mut config = read(text)?;
    set_index(&mut config, SWARM, wanted, "cargo")?;
    if wanted.mirror {
        let source = table(&mut config, ["source", DEFAULT])?;
        match source.get("replace-with").and_then(Item::as_str) {
            Some(MIRROR) => {}
            Some(other) => {
                return Err(format!(
                    "the default registry is replaced by {other} already; remove that first"
                ));
            }
            None => drop(source.insert("replace-with", value(MIRROR))),
        }
        set_index(&mut config, MIRROR, wanted, "cargo-mirror")?;
    }
    Ok(config.to_string())
}

/// Adds the token to the credentials.
///
/// # Errors
/// As [`add`].
pub fn add_token(text: &str, wanted: &CargoSettings) -> Result<String, String> {
    let mut credentials = read(text)?;
    // The registry that replaces the default needs a token only if reading requires one.
    let names = if wanted.mirror && wanted.closed {
        &[SWARM, MIRROR][..]
    } else {
        &[SWARM]
    };
    for name in names {
        let registry = table(&mut credentials, ["registries", name])?;
        if registry.get("token").and_then(Item::as_str) != Some(&wanted.token) {
            registry.insert("token", value(&wanted.token));
        }
    }
    Ok(credentials.to_string())
}

/// Removes from either file what [`add`] and [`add_token`] put there.
///
/// # Errors
/// As [`add`].
pub fn remove(text: &str) -> Result<String, String> {
    let mut config = read(text)?;
    let is_ours = |item: &Item| {
        let index = item.get("index").and_then(Item::as_str);
        index.is_none_or(|index| index.ends_with("/cargo/") || index.ends_with("/cargo-mirror/"))
    };
    if let Some(registries) = config
        .get_mut("registries")
        .and_then(Item::as_table_like_mut)
    {
        for name in [SWARM, MIRROR] {
            if registries.get(name).is_some_and(is_ours) {
                registries.remove(name);
            }
        }
    }
    if let Some(source) = config.get_mut("source").and_then(Item::as_table_like_mut)
        && let Some(default) = source.get_mut(DEFAULT).and_then(Item::as_table_like_mut)
        && default.get("replace-with").and_then(Item::as_str) == Some(MIRROR)
    {
        default.remove("replace-with");
        if default.is_empty() {
            source.remove(DEFAULT);
        }
    }
    for outer in ["registries", "source"] {
        if config
            .get(outer)
            .and_then(Item::as_table_like)
            .is_some_and(toml_edit::TableLike::is_empty)
        {
            config.remove(outer);
        }
    }
    Ok(config.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const THEIRS: &str = "# mine\n[build]\njobs = 2 # few\n\n[registries.work]\nindex \
                          = \"sparse+https://work.example/\"\n";

    fn wanted(port: u16, mirror: bool) -> CargoSettings {
        CargoSettings {
            url: format!("http://127.0.0.1:{port}"),
            token: "word".to_owned(),
            mirror,
            closed: false,
        }
    }

    #[test]
    fn what_is_there_stays_and_ours_goes_in_and_out() {
        for theirs in ["", THEIRS] {
            let added = add(theirs, &wanted(4810, false)).unwrap();
            assert!(added.starts_with(theirs), "{added}");
            assert!(
                added.contains(
                    "[registries.swarm]\nindex = \"sparse+http://127.0.0.1:4810/cargo/\"\n"
                ),
                "{added}"
            );
            assert!(!added.contains("source"), "{added}");
            assert_eq!(
                add(&added, &wanted(4810, false)).unwrap(),
                added,
                "it can be repeated"
            );
            let moved = add(&added, &wanted(4811, true)).unwrap();
            assert!(
                moved.contains(":4811/cargo/") && !moved.contains(":4810"),
                "{moved}"
            );
            assert!(
                moved.contains("[source.crates-io]\nreplace-with = \"swarm-mirror\""),
                "{moved}"
            );
            assert_eq!(remove(&moved).unwrap(), theirs);
            let token = add_token(theirs, &wanted(4810, false)).unwrap();
            assert!(
                token.contains("[registries.swarm]\ntoken = \"word\""),
                "{token}"
            );
            assert_eq!(remove(&token).unwrap(), theirs);
            let closed = CargoSettings {
                closed: true,
                ..wanted(4810, true)
            };
            let (config, token) = (
                add(theirs, &closed).unwrap(),
                add_token(theirs, &closed).unwrap(),
            );
            assert_eq!(
                config
                    .matches("credential-provider = \"cargo:token\"")
                    .count(),
                2,
                "{config}"
            );
            assert_eq!(token.matches("token = \"word\"").count(), 2, "{token}");
            assert_eq!(
                (remove(&config).unwrap(), remove(&token).unwrap()),
                (theirs.to_owned(), theirs.to_owned())
            );
        }
    }

    #[test]
    fn what_is_somebody_elses_is_never_replaced() {
        let theirs = "[source.crates-io]\nreplace-with = \"vendored\"\n";
        assert!(add(theirs, &wanted(1, false)).unwrap().starts_with(theirs));
        assert!(
            add(theirs, &wanted(1, true))
                .unwrap_err()
                .contains("vendored")
        );
        assert_eq!(remove(theirs).unwrap(), theirs);
        let swarm = "[registries.swarm]\nindex = \"https://example.org/index\"\n";
        assert!(
            add(swarm, &wanted(1, false))
                .unwrap_err()
                .contains("example.org")
        );
        assert_eq!(remove(swarm).unwrap(), swarm);
        assert!(
            add("[registries", &wanted(1, false))
                .unwrap_err()
                .contains("not valid TOML")
        );
        assert!(add("registries = 1", &wanted(1, false)).is_err());
    }

    proptest! {
        #[test]
        fn any_file_is_changed_or_left_with_a_reason(text in "(\\[(registries|source)(\\.(swarm|crates-io|x))?\\]\n|(index|replace-with|x) ?= ?(\"a\"|1)\n|# c\n){0,6}") {
            if let Ok(added) = add(&text, &wanted(1, true)) {
                prop_assert_eq!(add(&added, &wanted(1, true)), Ok(added.clone()));
                prop_assert!(!remove(&added).unwrap().contains("127.0.0.1"));
            }
        }
    }
}
