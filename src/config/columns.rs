//! The one thing that a program writes into a person's settings: the columns of the explorer's
//! tables.

use std::{collections::BTreeMap, fs, io, path::Path};

use toml_edit::{Array, DocumentMut, Item, Table, value};

use crate::disk;

/// Sets the entries of the table `columns`, and leaves every other line, comment and space as it
/// was. One without words is taken out.
///
/// # Errors
/// When the file cannot be read as TOML, or not be written.
pub fn write_columns(path: &Path, columns: &BTreeMap<&'static str, Vec<String>>) -> io::Result<()> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    let mut document: DocumentMut = text.parse().map_err(io::Error::other)?;
    let table = document
        .entry("columns")
        .or_insert(Item::Table(Table::new()));
    let table = table
        .as_table_like_mut()
        .ok_or_else(|| io::Error::other("columns is not a table there"))?;
    for (name, words) in columns {
        if words.is_empty() {
            table.remove(name);
        } else {
            table.insert(name, value(words.iter().collect::<Array>()));
        }
    }
    disk::replace_ours(path, document.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_file_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("conf").join("swarmdex.toml");
        let columns = |words: &[&str]| {
            BTreeMap::from([(
                "peers",
                words.iter().map(|word| (*word).to_owned()).collect(),
            )])
        };
        write_columns(&path, &columns(&["peer", "-agent"])).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "[columns]\npeers = [\"peer\", \"-agent\"]\n"
        );
        let before = "# mine\nnetwork = \"lab\"   # ours\n\n[columns]\nfeed = [\"time\"]\n";
        fs::write(&path, before).unwrap();
        write_columns(&path, &columns(&["score+3"])).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{before}peers = [\"score+3\"]\n")
        );
        write_columns(&path, &columns(&[])).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
        fs::write(&path, "columns = 3").unwrap();
        assert!(write_columns(&path, &columns(&[])).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "columns = 3");
    }
}
