//! Shell completions and the manual page.

use std::process::Command;

use crate::cli::program::{Home, ran};

const VERBS: [&str; 21] = [
    "node",
    "publish",
    "search",
    "import",
    "get",
    "show",
    "transfers",
    "contents",
    "pin",
    "unpin",
    "gc",
    "verify",
    "versions",
    "yank",
    "unyank",
    "status",
    "config",
    "demo",
    "sim",
    "completions",
    "man",
];

#[test]
fn every_shell_gets_a_script_with_every_verb_and_flag() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.run(["completions", shell]);
        assert_eq!(
            (script.code, script.stderr.as_str()),
            (Some(0), ""),
            "{shell}"
        );
        for word in VERBS.iter().chain(&["bootstrap", "headless"]) {
            assert!(script.stdout.contains(word), "{shell} does not know {word}");
        }
    }
    home.run(["completions", "ksh"]).complains(2, &["ksh"]);
    let help = home.run(["completions", "--help"]).stdout;
    assert!(
        help.contains("bash-completion/completions/swarmdex") && help.contains("compinit"),
        "{help}"
    );
}

#[test]
fn bash_completes_verbs_and_the_flags_of_one() {
    let home = Home::new();
    let script = home.file(
        "completions.bash",
        &home.run(["completions", "bash"]).stdout,
    );
    let completed = |words: &str, last: &str, before: &str| {
        let count = words.split(' ').count() - 1;
        let text = format!(
            "source {script}; COMP_WORDS=({words}); COMP_CWORD={count}; _swarmdex swarmdex \
             '{last}' '{before}'; \
             echo \"${{COMPREPLY[*]}}\""
        );
        let output = Command::new("bash")
            .args(["--norc", "-c", &text])
            .output()
            .unwrap();
        assert!(
            output.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(
        completed("swarmdex un", "un", "swarmdex"),
        "unpin unyank unblock"
    );
    assert_eq!(
        completed("swarmdex publish --mani", "--mani", "publish"),
        "--manifest"
    );
}

#[test]
fn the_manual_page_tells_every_verb_setting_and_exit_code() {
    let home = Home::new();
    let page = home.run(["man"]);
    assert_eq!((page.code, page.stderr.as_str()), (Some(0), ""));
    let page = page.stdout.replace("\\-", "-");
    assert!(
        page.lines().any(|line| line.starts_with(".TH swarmdex 1")),
        "{page}"
    );
    for verb in VERBS.iter().chain(&[
        "config show",
        "config path",
        "config validate",
        "config edit",
    ]) {
        assert!(page.contains(&format!(".SS \"{verb}\"")), "{verb}");
    }
    for key in &swarmdex::config::KEYS {
        assert!(
            page.contains(&format!("\\fB{}\\fR", key.name)),
            "{}",
            key.name
        );
        assert!(page.contains(&key.variable()), "{}", key.variable());
    }
    for heading in [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "COMMANDS",
        "SETTINGS",
        "\"EXIT STATUS\"",
    ] {
        assert!(page.contains(&format!(".SH {heading}\n")), "{heading}");
    }
    let flags = page.matches("\\fB--bootstrap\\fR").count();
    assert_eq!(
        flags, 2,
        "in the synopsis and under the settings, and not again with each verb"
    );
}

#[test]
fn neither_needs_a_node_or_settings() {
    let home = Home::new();
    for words in [&["completions", "fish"][..], &["man"]] {
        let mut command = home.command(words);
        command
            .env_remove("HOME")
            .env("SWARMDEX_NO_SUCH_KEY", "x")
            .env("SWARMDEX_CONFIG", "/nowhere/at-all.toml");
        let ran = ran(command);
        assert!(
            ran.code == Some(0) && !ran.stdout.is_empty(),
            "{words:?}: {}",
            ran.stderr
        );
    }
    assert!(
        std::fs::read_dir(home.path("")).unwrap().next().is_none(),
        "nothing was written"
    );
}
