//! Settings: precedence of the layers, and error messages.

use std::{
    fs::Permissions,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
};

use portable_pty::{CommandBuilder, NativePtySystem, PtySize, PtySystem};
use serde_json::Value;

use crate::cli::program::{Home, Ran, ran};

fn shown<'a>(all: &'a Value, key: &str) -> (&'a str, &'a str) {
    let found = all
        .as_array()
        .unwrap()
        .iter()
        .find(|shown| shown["key"] == key)
        .unwrap();
    (
        found["value"].as_str().unwrap(),
        found["from"].as_str().unwrap(),
    )
}

#[test]
fn each_layer_overrides_the_one_before() {
    let home = Home::new();
    let file = home.file(
        "own.toml",
        "network = \"file\"\nlow_water = 10\nhandle = \"alice\"",
    );
    let mut command = home.command([
        "--config",
        &file,
        "config",
        "show",
        "--json",
        "--network",
        "flag",
    ]);
    command
        .env("SWARMDEX_LOW_WATER", "11")
        .env("SWARMDEX_NETWORK", "environment");
    let all = ran(command).json();
    assert_eq!(shown(&all, "network"), ("\"flag\"", "--network"));
    assert_eq!(shown(&all, "low_water"), ("11", "SWARMDEX_LOW_WATER"));
    assert_eq!(shown(&all, "handle"), ("\"alice\"", file.as_str()));
    assert_eq!(shown(&all, "high_water"), ("64", "default"));
}

#[test]
fn what_is_shown_to_a_person_is_a_settings_file() {
    let home = Home::new();
    let text = home
        .run(["config", "show", "--explain", "--timeout", "7s"])
        .stdout;
    let file = home.file("again.toml", &text);
    let again = home
        .run(["--config", &file, "config", "show", "--json"])
        .json();
    assert_eq!(shown(&again, "query_timeout"), ("\"7s\"", file.as_str()));
}

#[test]
fn paths_follow_the_platform_until_a_directory_is_chosen() {
    let home = Home::new();
    let path = home.run(["config", "path"]);
    assert_eq!(
        path.stdout.trim(),
        home.path(".config/swarmdex/config.toml").to_str().unwrap()
    );
    let mut command = home.command(["config", "path", "--json"]);
    command
        .env("XDG_DATA_HOME", home.path("share"))
        .env("XDG_STATE_HOME", home.path("state"));
    let paths = ran(command).json();
    assert_eq!(paths["data"], home.path("share/swarmdex").to_str().unwrap());
    assert_eq!(
        paths["state"],
        home.path("state/swarmdex").to_str().unwrap()
    );
    let chosen = home
        .run(["--data-dir", "/srv/node", "config", "path", "--json"])
        .json();
    assert_eq!(
        (chosen["data"].as_str(), chosen["state"].as_str()),
        (Some("/srv/node"), Some("/srv/node/state"))
    );
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one() {
    let home = Home::new();
    let file = home.file("own.toml", "netwrok = \"lab\"");
    home.run(["--config", &file, "status"])
        .complains(2, &["\"netwrok\"", "nearest is \"network\"", "own.toml"]);
    let mut command = home.command(["config", "show"]);
    command.env("SWARMDEX_BOOTSTRAPS", "");
    ran(command).complains(
        2,
        &[
            "\"SWARMDEX_BOOTSTRAPS\"",
            "nearest is \"SWARMDEX_BOOTSTRAP\"",
        ],
    );
    home.run(["--config", "missing.toml", "status"])
        .complains(2, &["missing.toml", "cannot be read"]);
}

/// Runs `config edit` with a shell script as the editor; `$1` is the file.
fn edit(home: &Home, body: &str) -> Ran {
    let script = home.file("editor.sh", body);
    let mut command = home.command(["config", "edit"]);
    // The variable has arguments, as users' have.
    command
        .env_remove("VISUAL")
        .env("EDITOR", format!("sh -e {script}"));
    ran(command)
}

fn directory(home: &Home) -> Vec<String> {
    let files = std::fs::read_dir(home.path(".config/swarmdex")).unwrap();
    let mut names: Vec<_> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_settings_file_is_made_and_edited_in_the_persons_editor() {
    let home = Home::new();
    let file = home.path(".config/swarmdex/config.toml");
    let made = edit(
        &home,
        "grep -q '^#query_timeout = \"5s\"$' \"$1\"; echo 'handle = \"alice\"' >> \"$1\"",
    );
    assert!(
        made.code == Some(0) && made.stderr.contains("valid and saved"),
        "{}",
        made.stderr
    );
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let all = home.run(["config", "show", "--json"]).json();
    assert_eq!(shown(&all, "handle"), ("\"alice\"", file.to_str().unwrap()));

    std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    let script = home.file("visual.sh", "echo 'handle = \"bob\"' > \"$1\"");
    let mut command = home.command(["config", "edit"]);
    command
        .env("VISUAL", format!("sh {script}"))
        .env("EDITOR", "false");
    assert_eq!(ran(command).code, Some(0), "VISUAL goes before EDITOR");
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "handle = \"bob\"\n"
    );
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o640,
        "its mode stays"
    );
    assert_eq!(directory(&home), ["config.toml"]);
}

#[test]
fn an_edit_that_cannot_be_used_is_kept_apart_and_every_error_is_said() {
    let home = Home::new();
    edit(&home, "echo 'handle = \"alice\"' > \"$1\"");
    let bad = edit(&home, "printf 'netwrok = 1\\nlow_water = 0\\n' > \"$1\"");
    let errors: Vec<_> = bad
        .stderr
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!((bad.code, errors.len()), (Some(2), 2), "{}", bad.stderr);
    assert!(
        errors[0].contains("line 1") && errors[0].contains("nearest is \"network\""),
        "{}",
        errors[0]
    );
    assert!(
        errors[1].contains("line 2") && errors[1].contains("from 1"),
        "{}",
        errors[1]
    );
    let names = directory(&home);
    assert_eq!(names.len(), 2);
    let (kept, file) = (
        home.path(".config/swarmdex").join(&names[0]),
        home.path(".config/swarmdex/config.toml"),
    );
    assert!(
        bad.stderr.contains(kept.to_str().unwrap()),
        "the copy is named: {}",
        bad.stderr
    );
    assert!(
        std::fs::read_to_string(kept)
            .unwrap()
            .starts_with("netwrok")
    );
    assert_eq!(
        std::fs::read_to_string(file).unwrap(),
        "handle = \"alice\"\n",
        "the old file is as it was"
    );
}

#[test]
fn an_editor_that_fails_changes_nothing() {
    let home = Home::new();
    let failed = edit(&home, "exit 3");
    assert!(
        failed.code == Some(1) && failed.stderr.contains("exit status: 3"),
        "{}",
        failed.stderr
    );
    assert!(
        directory(&home).is_empty(),
        "neither a file nor a copy is left"
    );
    let file = home.path(".config/swarmdex/config.toml");
    let raced = edit(
        &home,
        &format!(
            "echo 'low_water = 9' > \"$1\"; echo 'low_water = 8' > '{}'",
            file.display()
        ),
    );
    assert!(
        raced.code == Some(1) && raced.stderr.contains("changed by another program"),
        "{}",
        raced.stderr
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "low_water = 8\n");
    let mut command = home.command(["config", "edit"]);
    command.env("VISUAL", " ").env_remove("EDITOR");
    ran(command).complains(2, &["neither VISUAL nor EDITOR", "config.toml"]);
    let mut command = home.command(["config", "edit"]);
    command.env("VISUAL", "no-such-editor --wait");
    ran(command).complains(2, &["no-such-editor", "VISUAL"]);
}

#[test]
fn a_link_to_the_settings_file_stays_one() {
    let home = Home::new();
    let real = home.file("dotfiles.toml", "");
    std::fs::create_dir_all(home.path(".config/swarmdex")).unwrap();
    std::os::unix::fs::symlink(&real, home.path(".config/swarmdex/config.toml")).unwrap();
    assert_eq!(edit(&home, "echo 'low_water = 9' > \"$1\"").code, Some(0));
    assert_eq!(std::fs::read_to_string(&real).unwrap(), "low_water = 9\n");
    assert!(
        std::fs::symlink_metadata(home.path(".config/swarmdex/config.toml"))
            .unwrap()
            .is_symlink()
    );
}

#[test]
fn validation_says_valid_or_every_error_with_its_line() {
    let home = Home::new();
    let none = home.run(["config", "validate"]);
    assert!(
        none.code == Some(0) && none.stdout.contains("there is no settings file"),
        "{}",
        none.stdout
    );
    home.run(["config", "validate", "missing.toml"])
        .complains(2, &["missing.toml", "cannot read"]);
    home.run(["--config", "missing.toml", "config", "validate"])
        .complains(2, &["missing.toml", "cannot read"]);

    let good = home.file("good.toml", "handle = \"alice\"");
    assert_eq!(
        home.run(["config", "validate", &good]).stdout,
        format!("{good} is valid\n")
    );
    let bad = home.file(
        "bad.toml",
        "mdns = \"maybe\"\n\nhandle = [\nquery_timeout = 5\n",
    );
    let ran = home.run(["--config", &bad, "config", "validate"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    assert!(
        ran.stderr
            .contains("line 1 says \"maybe\": write true or false"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.lines().count() >= 2, "{}", ran.stderr);
    let told = home.run(["config", "validate", "--json", &bad]);
    assert_eq!(
        (told.code, told.value()["valid"].as_bool()),
        (Some(2), Some(false))
    );
    assert_eq!(told.value()["errors"][0]["line"], 1);
    let path = home.run(["--config", &bad, "config", "path"]);
    assert_eq!(
        (path.code, path.stdout.trim()),
        (Some(0), bad.as_str()),
        "who wants to mend it has to find it"
    );
}

#[test]
fn a_person_at_a_terminal_may_edit_again() {
    let home = Home::new();
    let body = "if [ -e once ]; then echo 'low_water = 9' > \"$1\"; else touch once; echo 'x = 1' \
                > \"$1\"; fi";
    let script = home.file("editor.sh", body);
    let pair = NativePtySystem::default()
        .openpty(PtySize::default())
        .unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_swarmdex"));
    command.args(["config", "edit"]);
    command.env_clear();
    command.env("HOME", home.path(""));
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command.env("EDITOR", format!("sh {script}"));
    command.cwd(home.path(""));
    let mut child = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let mut said = Vec::new();
    let mut screen = pair.master.try_clone_reader().unwrap();
    let mut answer = pair.master.take_writer().unwrap();
    let mut answers = ["perhaps\n", "y\n"].into_iter();
    let mut buffer = [0; 1_024];
    // Reading from a pseudo-terminal whose program has ended fails, which is the end.
    while let Ok(read @ 1..) = screen.read(&mut buffer) {
        said.extend_from_slice(&buffer[..read]);
        if said.ends_with(b"(y/n) ") {
            answer
                .write_all(answers.next().unwrap().as_bytes())
                .unwrap();
        }
    }
    assert!(
        child.wait().unwrap().success(),
        "{}",
        String::from_utf8_lossy(&said)
    );
    assert!(
        answers.next().is_none(),
        "asked again until it was answered"
    );
    assert_eq!(
        std::fs::read_to_string(home.path(".config/swarmdex/config.toml")).unwrap(),
        "low_water = 9\n"
    );
}

/// These problems are on the machine and not in the text.
#[test]
fn validate_finds_what_a_start_would_refuse_on_this_machine() {
    let home = Home::new();
    let file = |text: &str| home.file("c.toml", text);
    for (text, said) in [
        ("\ncontrol_tcp = \"192.0.2.1:4000\"", "line 2"),
        ("listen = [\"/ip4/203.0.113.1/tcp/0\"]", "203.0.113.1"),
        ("\n\nlisten = [\"/dns4/example.org/tcp/4000\"]", "line 3"),
        ("data_dir = \"c.toml\"", "is not a directory"),
        ("data_dir = \"c.toml/below\"", "is not a directory"),
    ] {
        let config = file(text);
        home.run(["--config", &config, "config", "validate"])
            .complains(2, &[said, "c.toml"]);
        home.run(["config", "validate", &config])
            .complains(2, &[said, "c.toml"]);
        let started = home.run(["--config", &config, "--no-mdns", "node"]);
        assert!(
            matches!(started.code, Some(1 | 2)),
            "{text}: a start refuses it too: {}",
            started.stderr
        );
    }
    // The environment is checked along with the file.
    let config = file("");
    let mut validate = home.command(["--config", &config, "config", "validate", "--json"]);
    validate.env("SWARMDEX_NETWORK", "!!");
    let ran = crate::cli::program::ran(validate);
    assert_eq!(
        (
            ran.code,
            ran.value()["valid"].as_bool(),
            ran.value()["errors"][0]["line"].as_u64()
        ),
        (Some(2), Some(false), Some(0))
    );
    // The port is used by a running node.
    let node = crate::cli::program::Running::start(&home, &["--listen", "/ip4/127.0.0.1/tcp/0"]);
    let port = node.address.split('/').nth(4).unwrap().to_owned();
    let config = file(&format!("listen = [\"/ip4/127.0.0.1/tcp/{port}\"]"));
    assert_eq!(
        home.run(["--config", &config, "config", "validate"]).code,
        Some(0)
    );
    let elsewhere = home.path("elsewhere");
    home.run([
        "--config",
        &config,
        "--data-dir",
        elsewhere.to_str().unwrap(),
        "config",
        "validate",
    ])
    .complains(2, &[&port, "in use"]);
}
