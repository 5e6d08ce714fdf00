//! Settings: which layer wins, and that a person is told.

use serde_json::Value;

use crate::program::{Home, ran};

fn shown<'a>(all: &'a Value, key: &str) -> (&'a str, &'a str) {
    let found = all.as_array().unwrap().iter().find(|shown| shown["key"] == key).unwrap();
    (found["value"].as_str().unwrap(), found["from"].as_str().unwrap())
}

#[test]
fn each_layer_overrides_the_one_before() {
    let home = Home::new();
    let file = home.file("own.toml", "network = \"file\"\nlow_water = 10\nhandle = \"alice\"");
    let mut command = home.command(["--config", &file, "config", "show", "--json", "--network", "flag"]);
    command.env("SWARMDEX_LOW_WATER", "11").env("SWARMDEX_NETWORK", "environment");
    let all = ran(command).json();
    assert_eq!(shown(&all, "network"), ("\"flag\"", "--network"));
    assert_eq!(shown(&all, "low_water"), ("11", "SWARMDEX_LOW_WATER"));
    assert_eq!(shown(&all, "handle"), ("\"alice\"", file.as_str()));
    assert_eq!(shown(&all, "high_water"), ("64", "default"));
}

#[test]
fn what_is_shown_to_a_person_is_a_settings_file() {
    let home = Home::new();
    let text = home.run(["config", "show", "--explain", "--timeout", "7s"]).stdout;
    let file = home.file("again.toml", &text);
    let again = home.run(["--config", &file, "config", "show", "--json"]).json();
    assert_eq!(shown(&again, "query_timeout"), ("\"7s\"", file.as_str()));
}

#[test]
fn paths_follow_the_platform_until_a_directory_is_chosen() {
    let home = Home::new();
    let path = home.run(["config", "path"]);
    assert_eq!(path.stdout.trim(), home.path(".config/swarmdex/config.toml").to_str().unwrap());
    let mut command = home.command(["config", "path", "--json"]);
    command.env("XDG_DATA_HOME", home.path("share")).env("XDG_STATE_HOME", home.path("state"));
    let paths = ran(command).json();
    assert_eq!(paths["data"], home.path("share/swarmdex").to_str().unwrap());
    assert_eq!(paths["state"], home.path("state/swarmdex").to_str().unwrap());
    let chosen = home.run(["--data-dir", "/srv/node", "config", "path", "--json"]).json();
    assert_eq!((chosen["data"].as_str(), chosen["state"].as_str()), (Some("/srv/node"), Some("/srv/node/state")));
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one() {
    let home = Home::new();
    let file = home.file("own.toml", "netwrok = \"lab\"");
    home.run(["--config", &file, "status"]).complains(2, &["\"netwrok\"", "nearest is \"network\"", "own.toml"]);
    let mut command = home.command(["config", "show"]);
    command.env("SWARMDEX_BOOTSTRAPS", "");
    ran(command).complains(2, &["\"SWARMDEX_BOOTSTRAPS\"", "nearest is \"SWARMDEX_BOOTSTRAP\""]);
    home.run(["--config", "missing.toml", "status"]).complains(2, &["missing.toml", "cannot be read"]);
}
