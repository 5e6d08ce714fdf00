//! `setup npm` and similar verbs, and npm with the configuration that they wrote.

use serde_json::json;

use crate::cli::{
    gateway::Site,
    gateway_npm::has_npm,
    program::{APART, ran},
};

#[test]
fn setup_writes_what_npm_needs_and_takes_it_out_again() {
    let site = Site::start(&["--handle", "alice"]);
    let run = |words: &[&str]| {
        let ran = ran(site.home.command([&APART[..], words].concat()));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran
    };
    let printed = run(&["setup", "npm", "@team"]).stdout;
    assert!(
        printed.contains(&format!("\n@team:registry={}\n", site.registry())),
        "{printed}"
    );
    assert!(printed.contains(&site.token_line()), "{printed}");
    assert!(
        run(&["setup", "yarn", "team", "--fresh"])
            .stdout
            .contains("npmMinimalAgeGate: 0")
    );
    let theirs = "# mine\nsave-exact=true\n";
    std::fs::write(site.home.path(".npmrc"), theirs).unwrap();
    site.module("tiny", "@team/tiny", "1.0.0", json!({}));
    let in_project = |words: &[&str]| {
        let mut command = site.home.command([&APART[..], words].concat());
        command.current_dir(site.home.path("tiny"));
        let ran = ran(command);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran
    };
    for _ in 0..2 {
        in_project(&["setup", "npm", "@team", "--write"]);
    }
    let project = std::fs::read_to_string(site.home.path("tiny/.npmrc")).unwrap();
    assert!(
        project.contains("@team:registry=") && !project.contains("_authToken"),
        "{project}"
    );
    let home = std::fs::read_to_string(site.home.path(".npmrc")).unwrap();
    assert!(
        home.starts_with(theirs) && home.matches("_authToken").count() == 1,
        "{home}"
    );
    if has_npm() {
        let published = site.npm_by("tiny", ".npmrc", &["publish"]);
        assert_eq!(published.code, Some(0), "{}", published.stderr);
        assert_eq!(
            site.document("/npm/@team/tiny")["dist-tags"]["latest"],
            "1.0.0"
        );
    }
    in_project(&["setup", "pnpm", "--mirror", "--write", "--fresh"]);
    let workspace = site.home.path("tiny/pnpm-workspace.yaml");
    assert!(
        std::fs::read_to_string(&workspace)
            .unwrap()
            .contains("minimumReleaseAge: 0")
    );
    let project = std::fs::read_to_string(site.home.path("tiny/.npmrc")).unwrap();
    assert!(
        project.contains(&format!("\nregistry={}\n", site.registry()))
            && project.contains("not found"),
        "{project}"
    );
    in_project(&["setup", "pnpm", "--undo"]);
    assert_eq!(
        std::fs::read_to_string(site.home.path(".npmrc")).unwrap(),
        theirs
    );
    assert_eq!(
        std::fs::read_to_string(site.home.path("tiny/.npmrc")).unwrap(),
        ""
    );
    assert_eq!(std::fs::read_to_string(&workspace).unwrap(), "");
    let both = site
        .home
        .alone(&["setup", "pnpm", "--write", "--global", "--fresh"]);
    assert_eq!(both.code, Some(2), "{}", both.stderr);
}
