use std::os::unix::fs::symlink;

use super::*;
use crate::domain::{manifest::Ecosystem, name::Handle};

const HEAD: &str = "name = \"web\"\nversion = \"1.2.0\"\n";

fn project(dir: &Path, text: &str) -> Result<ProjectFile, ProjectError> {
    fs::write(dir.join(FILE), text).unwrap();
    read(dir)
}

#[test]
fn a_file_says_what_is_released_and_how() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("about.md"), "# Web").unwrap();
    let text = format!(
        "{HEAD}exclude = [\"*.log\", \"/tmp\"]\ninclude = [\".env.example\"]\nreadme = \
        \"./about.md\"\ntags = [\"http\"]\ndependencies = \
        [{{ package = \"alice/json\", requirement = \"^1\" }}]\n"
    );
    let project = project(dir.path(), &text).unwrap();
    assert_eq!(
        (project.draft.name.as_str(), project.draft.tags.len()),
        ("web", 1)
    );
    assert_eq!(project.draft.dependencies[0].written(), "alice/json");
    assert_eq!(project.pack.exclude, ["*.log", "/tmp"]);
    assert_eq!(project.pack.include, [".env.example"]);
    assert_eq!(
        project.pack.readme,
        Some(ProjectReadme {
            path: "about.md".to_owned(),
            text: "# Web".to_owned()
        })
    );
}

#[test]
fn the_keys_are_those_of_a_draft_and_three_more() {
    let draft = Draft {
        handle: Some("ann".parse::<Handle>().unwrap()),
        title: Some(String::new()),
        license: Some(String::new()),
        repository: Some(String::new()),
        homepage: Some(String::new()),
        ecosystem: Ecosystem::Cargo,
        ..toml::from_str(HEAD).unwrap()
    };
    let mut keys: Vec<_> = toml::Table::try_from(draft)
        .unwrap()
        .keys()
        .cloned()
        .collect();
    keys.extend(["exclude", "include", "readme"].map(str::to_owned));
    let mut known = KEYS.to_vec();
    known.sort_unstable();
    keys.sort_unstable();
    assert_eq!(keys, known);
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    for (wrong, part) in [
        (
            "exlude = []",
            "line 3: unknown key \"exlude\"; the known keys are handle",
        ),
        ("title = 5", "line 3: found the number 5, expected a text"),
        ("exclude = \"x\"", "line 3: "),
        ("exclude = [5]", "line 3: "),
        ("include = true", "line 3: "),
        ("readme = true", "line 3: "),
        ("readme = [\n]", "line 3: "),
        (
            "\n\ntags = [\n\"a\",\n7]",
            "line 7: found the number 7, expected a text",
        ),
        (
            "dependencies = [{ package = \"a/b\", requirement = \"^1\", wild = 1 }]",
            "line 3: unknown key wild; the known keys are package",
        ),
        (
            "dependencies = [{ name = \"lib\", requirement = \"==1\" }]",
            "line 3: ",
        ),
        (
            "dependencies = [{ name = \"lib\", package = \"a/b\", requirement = \"1\" }]",
            "a package or a name, not both",
        ),
        (
            "dependencies = [{ name = \"lib\", requirement = \"1\", kind = \"Dev\" }]",
            "line 3: ",
        ),
        ("name = \"again\"", "line 3: duplicate key"),
        ("[", "line 3: "),
    ] {
        let error = project(dir.path(), &format!("{HEAD}{wrong}\n")).unwrap_err();
        assert!(error.to_string().contains(part), "{wrong}: {error}");
        assert!(error.to_string().contains(FILE), "{error}");
    }
    let error = project(dir.path(), "name = \"web\"\nversion = \"one\"").unwrap_err();
    let ProjectError::Toml { text, error, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(&text[error.span().unwrap()], "\"one\"");
    assert!(
        project(dir.path(), "version = \"1.0.0\"")
            .unwrap_err()
            .to_string()
            .contains("the key name is missing")
    );
}

#[test]
fn what_is_no_such_file_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let missing = read(dir.path()).unwrap_err();
    assert!(
        matches!(missing, ProjectError::Missing(_))
            && missing.to_string().contains("there is no swarmdex.toml")
    );
    assert!(matches!(
        project(dir.path(), &"#".repeat((64 << 10) + 1)),
        Err(ProjectError::TooLarge(_))
    ));
    fs::write(dir.path().join(FILE), b"name = \"\xff\"").unwrap();
    assert!(matches!(read(dir.path()), Err(ProjectError::NotText(_))));
    fs::remove_file(dir.path().join(FILE)).unwrap();
    fs::create_dir(dir.path().join(FILE)).unwrap();
    assert!(matches!(read(dir.path()), Err(ProjectError::File { .. })));
}

#[test]
fn a_readme_is_found_named_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let readme = |key: &str| {
        project(dir.path(), &format!("{HEAD}{key}"))
            .unwrap()
            .pack
            .readme
            .map(|readme| readme.text)
    };
    assert_eq!(readme(""), None);
    fs::write(dir.path().join("readme.md"), "small").unwrap();
    assert_eq!(readme("").as_deref(), Some("small"));
    fs::write(dir.path().join("README"), "plain").unwrap();
    assert_eq!(readme("").as_deref(), Some("plain"));
    fs::create_dir(dir.path().join("docs")).unwrap();
    fs::write(dir.path().join("docs/a.md"), "named").unwrap();
    symlink("docs/a.md", dir.path().join("README.md")).unwrap();
    assert_eq!(
        readme("").as_deref(),
        Some("named"),
        "a link inside the directory"
    );
    assert_eq!(readme("readme = \"docs/a.md\"").as_deref(), Some("named"));
    assert_eq!(readme("readme = false"), None);
}

#[test]
fn a_readme_that_leaves_the_directory_or_is_no_text_is_refused() {
    let around = tempfile::tempdir().unwrap();
    let dir = around.path().join("web");
    fs::create_dir(&dir).unwrap();
    fs::write(around.path().join("secret"), "secret").unwrap();
    fs::write(dir.join("bytes"), b"\xff").unwrap();
    fs::write(dir.join("full"), vec![b'x'; 1 << 20]).unwrap();
    fs::write(dir.join("big"), vec![b'x'; (1 << 20) + 1]).unwrap();
    symlink("../secret", dir.join("out")).unwrap();
    symlink("..", dir.join("up")).unwrap();
    let absolute = around.path().join("secret");
    for (name, why) in [
        ("../secret", "not a path inside"),
        (absolute.to_str().unwrap(), "not a path inside"),
        ("", "not a path inside"),
        ("x/../bytes", "not a path inside"),
        ("out", "outside the directory"),
        ("up/secret", "outside the directory"),
        ("bytes", "not UTF-8"),
        ("big", "more than 1048576 bytes"),
        (".", "not a file"),
        ("absent", "No such file"),
    ] {
        let error = project(&dir, &format!("{HEAD}readme = {name:?}")).unwrap_err();
        assert!(
            matches!(error, ProjectError::Readme { .. }) && error.to_string().contains(why),
            "{name}: {error}"
        );
    }
    assert_eq!(
        project(&dir, &format!("{HEAD}readme = \"full\""))
            .unwrap()
            .pack
            .readme
            .unwrap()
            .text
            .len(),
        1 << 20
    );
    symlink("../secret", dir.join("README.md")).unwrap();
    let error = project(&dir, HEAD).unwrap_err().to_string();
    assert!(
        error.contains("README.md") && error.contains("readme = false"),
        "{error}"
    );
}

#[test]
fn the_example_of_the_documentation_is_right() {
    let page = include_str!("../../../docs/packing.md");
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let parsed = parse(Path::new(FILE), example).unwrap();
    assert_eq!(parsed.draft.dependencies.len(), 2);
    for key in KEYS.iter().filter(|key| **key != "ecosystem") {
        assert!(
            example
                .lines()
                .any(|line| line.starts_with(&format!("{key} = "))),
            "{key}"
        );
    }
}
