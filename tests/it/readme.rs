//! Checks the documents' tables of keys and settings against the program.

/// Compares a section with the program's own table; `UPDATE_README=1 cargo test --test it readme`
/// updates it instead.
fn same(name: &str, generated: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = readme
        .split_once(&begin)
        .unwrap_or_else(|| panic!("no {begin}"));
    let (section, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no {end}"));
    let generated = generated.trim();
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(path, format!("{before}{begin}{generated}\n{end}{after}")).unwrap();
    } else {
        assert_eq!(
            section.trim(),
            generated,
            "the README's {name} are not the program's"
        );
    }
}

#[test]
fn keys_and_settings_are_the_programs() {
    same("keys", &swarmdex::ui::keys_markdown());
    same("settings", &swarmdex::config::keys_markdown());
}
