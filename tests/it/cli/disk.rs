//! Files are written whole or not at all, on a full disk and at a mistyped path.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::cli::program::{APART, Home, Ran, Running, ran};

/// Runs a script with `$SWARMDEX` in namespaces of its own, with a disk of `kib` KiB at `$DISK`.
fn on_a_small_disk(home: &Home, kib: u32, script: &str) -> Option<Ran> {
    let disk = home.path("disk");
    std::fs::create_dir_all(&disk).unwrap();
    let mount =
        format!("mount -t tmpfs -o size={kib}k,mode=700 tmpfs \"$DISK\" || exit 99\n{script}");
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-uc", &mount])
        .current_dir(home.path(""));
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("SWARMDEX_") || name.starts_with("XDG_"))
        {
            command.env_remove(name);
        }
    }
    command
        .env("HOME", home.path(""))
        .env("SWARMDEX_GATEWAY", "off")
        .env("DISK", &disk)
        .env("PROGRAM", env!("CARGO_BIN_EXE_swarmdex"));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let ran = ran(command);
    if ran.code == Some(99) || ran.stderr.contains("unshare: ") {
        eprintln!(
            "SKIPPED: this system lets nobody mount a disk in a namespace: {}",
            ran.stderr
        );
        return None;
    }
    Some(ran)
}

#[test]
fn a_full_disk_leaves_no_half_files() {
    let home = Home::new();
    home.publish(&["--handle", "alice"], "web", "1.0.0");
    let big = vec![7_u8; 300_000];
    std::fs::write(home.path("big.bin"), &big).unwrap();
    let manifest = home.file(
        "big.toml",
        "name = \"big\"\nversion = \"1.0.0\"\ndescription = \"For tests\"",
    );
    let published = home
        .alone(&["publish", "big.bin", "--manifest", &manifest, "--json"])
        .json();
    let id = published["id"].as_str().unwrap();
    let _node = Running::start(&home, &[]);
    // None of these fits into what is left of 128 KiB; each reports that, and leaves nothing
    // behind.
    let script = format!(
        "dd if=/dev/zero of=\"$DISK/filler\" bs=1k count=200 2> /dev/null
         \"$PROGRAM\" get '{id}' --output \"$DISK/big\"; echo get $?
         \"$PROGRAM\" get '{id}' --with-deps --output \"$DISK/deps\"; echo deps $?
         \"$PROGRAM\" key export --plain \"$DISK/key\"; echo key $?
         timeout 20 \"$PROGRAM\" events --record \"$DISK/events\"; echo record $?
         timeout 20 \"$PROGRAM\" events > /dev/full; echo events $?
         find \"$DISK\" -type f -size +0"
    );
    let Some(ran) = on_a_small_disk(&home, 128, &script) else {
        return;
    };
    for what in ["get", "deps", "key", "record", "events"] {
        assert!(
            ran.stdout.contains(&format!("{what} 1\n")),
            "{what}: {}{}",
            ran.stdout,
            ran.stderr
        );
    }
    assert_eq!(
        ran.stderr.matches("its disk is full").count(),
        5,
        "{}",
        ran.stderr
    );
    let left: Vec<_> = ran
        .stdout
        .lines()
        .filter(|line| line.starts_with('/'))
        .collect();
    assert!(
        matches!(left[..], [one] if one.ends_with("/filler")),
        "{left:?}: {}",
        ran.stderr
    );
}

#[test]
fn a_backup_and_a_restore_on_a_full_disk_leave_nothing() {
    let home = Home::new();
    home.publish(&["--handle", "alice"], "web", "1.0.0");
    let script = "\"$PROGRAM\" backup saved > /dev/null; echo made $?
         dd if=/dev/zero of=\"$DISK/filler\" bs=1k count=500 2> /dev/null
         \"$PROGRAM\" backup \"$DISK/saved\"; echo backup $?
         \"$PROGRAM\" --data-dir \"$DISK/data\" restore saved; echo restore $?
         find \"$DISK\" -mindepth 1 ! -name lock ! -name filler";
    let Some(ran) = on_a_small_disk(&home, 256, script) else {
        return;
    };
    assert_eq!(
        ran.stdout.lines().take(3).collect::<Vec<_>>(),
        ["made 0", "backup 1", "restore 1"],
        "{}",
        ran.stderr
    );
    assert_eq!(
        ran.stderr.matches("its disk is full").count(),
        2,
        "{}",
        ran.stderr
    );
    let left: Vec<_> = ran.stdout.lines().skip(3).collect();
    assert!(
        matches!(left[..], [one] if one.ends_with("/data")),
        "{left:?}"
    );
}

#[test]
fn a_recording_that_can_go_no_further_ends_with_a_whole_line() {
    let home = Home::new();
    let _node = Running::start(&home, &[]);
    let script = "\"$PROGRAM\" events --record \"$DISK/events\" & recorder=$!
         while ! test -s \"$DISK/events\"; do sleep 0.05; done
         dd if=/dev/zero of=\"$DISK/filler\" bs=1k count=200 2> /dev/null
         wait $recorder; echo \"record $?\"
         tail -c 1 \"$DISK/events\" | od -An -c; \"$PROGRAM\" replay \"$DISK/events\"";
    let Some(ran) = on_a_small_disk(&home, 64, script) else {
        return;
    };
    assert!(
        ran.stdout.contains("record 1\n") && ran.stdout.contains("\\n"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    // The recording is valid; only a terminal to show it on is missing.
    assert!(
        ran.stderr.contains("its disk is full") && ran.stderr.contains("needs a terminal"),
        "{}",
        ran.stderr
    );
}

#[test]
fn health_looks_at_the_disk_when_it_is_asked() {
    let home = Home::new();
    let words = APART.join(" ");
    let script = format!(
        "\"$PROGRAM\" --data-dir \"$DISK/d\" {words} node start
         \"$PROGRAM\" --data-dir \"$DISK/d\" health
         head -c 90000000 /dev/zero > \"$DISK/filler\"
         \"$PROGRAM\" --data-dir \"$DISK/d\" health; echo full $?
         rm \"$DISK/filler\"
         \"$PROGRAM\" --data-dir \"$DISK/d\" health; echo again $?
         \"$PROGRAM\" --data-dir \"$DISK/d\" node stop"
    );
    let Some(ran) = on_a_small_disk(&home, 131_072, &script) else {
        return;
    };
    let parts: Vec<&str> = ran.stdout.split("full 4\n").collect();
    assert_eq!(parts.len(), 2, "{}{}", ran.stdout, ran.stderr);
    assert!(parts[0].contains("the disk is full"), "{}", ran.stdout);
    assert!(!parts[1].contains("the disk is full"), "{}", ran.stdout);
}

/// With one wrong letter in a path, no directory is created.
#[test]
fn a_path_with_a_mistake_in_it_makes_no_directories() {
    let home = Home::new();
    let published = home.publish(&["--handle", "alice"], "web", "1.0.0");
    let id = published["id"].as_str().unwrap();
    let node = Running::start(&home, &[]);
    let no = |words: &[&str]| home.run(words).complains(1, &["no/such", "check the path"]);
    no(&["get", id, "--output", "no/such/file"]);
    no(&["get", id, "--output", "no/such/"]);
    no(&["get", id, "--with-deps", "--output", "no/such"]);
    no(&["get", id, "--with-deps", "--lock", "no/such/lock"]);
    no(&["key", "export", "--plain", "no/such/key"]);
    no(&["events", "--record", "no/such/events"]);
    assert!(!Path::new(&home.path("no")).exists());
    // A single directory for several releases is what was requested.
    assert_eq!(
        home.run(["get", id, "--with-deps", "--output", "deps"])
            .code,
        Some(0)
    );
    assert!(home.path("deps").is_dir());
    assert_eq!(node.stop("TERM").code(), Some(0));

    let mut edit = home.command(["--config", "no/such/config.toml", "config", "edit"]);
    edit.env("EDITOR", "true");
    ran(edit).complains(1, &["no/such", "check the path"]);
    assert!(!home.path("no").exists());
}
