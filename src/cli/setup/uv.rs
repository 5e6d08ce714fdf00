//! Edits uv's settings in `uv.toml` or `pyproject.toml`, and keeps everything else in them. Pure.

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, TableLike, value};

use super::{Access, pip};

/// Name of the swarm in uv.
const SWARM: &str = "swarm";
/// End of the gateway's addresses, by which our settings are recognised.
const INDEX: &str = "/pypi/simple/";

/// The kind of file that holds uv's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UvFile {
    /// `uv.toml`.
    Own,
    /// `pyproject.toml`.
    Project,
}

/// Returns everything as one text to paste.
pub fn text(access: &Access, mirror: bool) -> String {
    let said = match mirror {
        true => {
            "# Every name is looked for in the swarm alone then: packages that nobody has there \
             are not found, and neither are\n\
             # what builds of source distributions need.\n"
        }
        false => {
            "# Only packages that name it come from the swarm: `uv add PACKAGE --index swarm`.\n"
        }
    };
    let settings = add("", UvFile::Project, access, mirror).unwrap_or_default();
    format!(
        "{said}# In pyproject.toml; in uv.toml it is [[index]].\n{settings}\n# To publish: `uv \
         publish --index {SWARM}` with\n\
         # UV_PUBLISH_TOKEN={}\n",
        access.token
    )
}

fn read(text: &str) -> Result<DocumentMut, String> {
    text.parse().map_err(|error: toml_edit::TomlError| {
        format!(
            "it is not valid TOML ({}); correct it",
            error.message().lines().next().unwrap_or_default()
        )
    })
}

/// Returns the table of uv's settings, and creates it if necessary.
fn settings(text: &mut DocumentMut, place: UvFile) -> Result<&mut dyn TableLike, String> {
    let mut table: &mut dyn TableLike = text.as_table_mut();
    for key in if place == UvFile::Project {
        &["tool", "uv"][..]
    } else {
        &[]
    } {
        let made = || {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        };
        table = table
            .entry(key)
            .or_insert_with(made)
            .as_table_like_mut()
            .ok_or(format!("its {key} is not a table; correct it"))?;
    }
    Ok(table)
}

fn text_of<'a>(index: &'a Table, key: &str) -> &'a str {
    index.get(key).and_then(Item::as_str).unwrap_or_default()
}

/// Adds the swarm to the indexes. Existing settings are kept, except for earlier gateway addresses.
///
/// # Errors
/// The reason, as the end of a sentence.
pub fn add(text: &str, place: UvFile, access: &Access, mirror: bool) -> Result<String, String> {
    let mut document = read(text)?;
    let settings = settings(&mut document, place)?;
    if mirror && let Some(other) = settings.get("index-url").and_then(Item::as_str) {
        return Err(format!(
            "it has an index-url already, {other}; remove that first"
        ));
    }
    let indexes = settings
        .entry("index")
        .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let indexes = indexes
        .as_array_of_tables_mut()
        .ok_or("its index is not an [[index]]; write it as one")?;
    let is_swarm = |index: &&mut Table| text_of(index, "name") == SWARM;
    let is_default = |index: &Table| index.get("default").and_then(Item::as_bool) == Some(true);
    if let Some(other) = indexes
        .iter()
        .find(|index| mirror && is_default(index) && text_of(index, "name") != SWARM)
    {
        return Err(format!(
            "the default index is {} already; remove that first",
            text_of(other, "url")
        ));
    }
    if indexes.iter_mut().find(is_swarm).is_none() {
        let mut index = Table::new();
        index.insert("name", value(SWARM));
        indexes.push(index);
    }
    if let Some(index) = indexes.iter_mut().find(is_swarm) {
        let before = text_of(index, "url");
        if !before.is_empty() && !before.ends_with(INDEX) {
            return Err(format!(
                "it has an index {SWARM} already, at {before}; rename that one"
            ));
        }
        let (is, is_not) = if mirror {
            ("default", "explicit")
        } else {
            ("explicit", "default")
        };
        index.remove(is_not);
        set(index, "url", &pip::index(access));
        set(index, "publish-url", &pip::uploads(access));
        if index.get(is).and_then(Item::as_bool) != Some(true) {
            index.insert(is, value(true));
        }
    }
    Ok(document.to_string())
}

fn set(index: &mut Table, key: &str, text: &str) {
    if text_of(index, key) != text {
        index.insert(key, value(text));
    }
}

/// Removes what [`add`] put into the settings.
///
/// # Errors
/// As [`add`].
pub fn remove(text: &str, place: UvFile) -> Result<String, String> {
    let mut document = read(text)?;
    let is_ours =
        |index: &Table| text_of(index, "name") == SWARM && text_of(index, "url").ends_with(INDEX);
    let keys: &[&str] = if place == UvFile::Project {
        &["tool", "uv"]
    } else {
        &[]
    };
    let mut table: Option<&mut dyn TableLike> = Some(document.as_table_mut());
    for key in keys {
        table = table
            .and_then(|table| table.get_mut(key))
            .and_then(Item::as_table_like_mut);
    }
    let Some(settings) = table else {
        return Ok(text.to_owned());
    };
    let Some(indexes) = settings
        .get_mut("index")
        .and_then(Item::as_array_of_tables_mut)
    else {
        return Ok(text.to_owned());
    };
    if !indexes.iter().any(is_ours) {
        return Ok(text.to_owned());
    }
    indexes.retain(|index| !is_ours(index));
    if indexes.is_empty() {
        settings.remove("index");
    }
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const THEIRS: &str = "# mine\n[project]\nname = \"a\" # a\n\n[tool.uv]\ndev-dependencies = \
                          []\n\n\
                          [[tool.uv.index]]\nname = \"work\"\nurl \
                          = \"https://work.example/simple\"\n";

    fn access(port: u16) -> Access {
        Access {
            url: format!("http://127.0.0.1:{port}"),
            token: "word".to_owned(),
            closed: false,
        }
    }

    #[test]
    fn what_is_there_stays_and_ours_goes_in_and_out() {
        for (place, theirs) in [
            (UvFile::Own, ""),
            (UvFile::Own, "offline = true # c\n"),
            (UvFile::Project, ""),
            (UvFile::Project, THEIRS),
        ] {
            let added = add(theirs, place, &access(4810), false).unwrap();
            assert!(added.starts_with(theirs), "{added}");
            let head = if place == UvFile::Own {
                "[[index]]"
            } else {
                "[[tool.uv.index]]"
            };
            let ours = format!(
                "{head}\nname = \"swarm\"\nurl = \"http://127.0.0.1:4810/pypi/simple/\"\n\
                 publish-url = \"http://127.0.0.1:4810/pypi/legacy/\"\nexplicit = true\n"
            );
            assert!(added.contains(&ours), "{added}");
            assert_eq!(
                add(&added, place, &access(4810), false).unwrap(),
                added,
                "it can be repeated"
            );
            let moved = add(&added, place, &access(4811), true).unwrap();
            assert!(
                !moved.contains("4810")
                    && moved.contains("default = true")
                    && !moved.contains("explicit"),
                "{moved}"
            );
            assert_eq!(remove(&moved, place).unwrap(), theirs);
        }
    }

    #[test]
    fn what_is_somebody_elses_is_never_replaced() {
        let add = |text: &str, mirror| add(text, UvFile::Project, &access(1), mirror);
        let default = "[[tool.uv.index]]\nurl = \"https://work.example/simple\"\ndefault = true\n";
        assert!(add(default, false).unwrap().starts_with(default));
        assert!(add(default, true).unwrap_err().contains("work.example"));
        let swarm = "[[tool.uv.index]]\nname = \"swarm\"\nurl = \"https://work.example/simple\"\n";
        assert!(add(swarm, false).unwrap_err().contains("work.example"));
        assert_eq!(remove(swarm, UvFile::Project).unwrap(), swarm);
        assert!(add("[tool", false).unwrap_err().contains("not valid TOML"));
        assert!(add("tool = 1", false).is_err());
        assert!(add("[tool.uv]\nindex = 1", false).is_err());
        assert!(add("[tool.uv]\nindex-url = \"https://work.example\"\n", true).is_err());
    }

    proptest! {
        #[test]
        fn any_file_is_changed_or_left_with_a_reason(text in "(\\[\\[tool.uv.index\\]\\]\n|\\[tool.uv\\]\n|(name|url|default) ?= ?(\"swarm\"|\"b\"|true)\n|# c\n){0,6}", mirror in any::<bool>()) {
            if let Ok(added) = add(&text, UvFile::Project, &access(1), mirror) {
                prop_assert_eq!(add(&added, UvFile::Project, &access(1), mirror), Ok(added.clone()));
                prop_assert!(!remove(&added, UvFile::Project).unwrap().contains("127.0.0.1"));
            }
        }
    }
}
