use std::{ffi::OsString, path::Path, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::domain::reputation::Weights;

fn paths() -> Paths {
    Paths {
        config: "/nowhere/config.toml".into(),
        data: "/nowhere/data".into(),
        state: "/nowhere/state".into(),
        runtime: "/nowhere/run".into(),
    }
}

fn load(
    file: Option<&str>,
    environment: &[(&str, &str)],
    flags: &[(&'static str, &str)],
) -> Result<Settings> {
    let dir = tempfile::tempdir().unwrap();
    let config = file.map(|text| {
        let path = dir.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        path
    });
    let environment = environment
        .iter()
        .map(|(a, b)| (OsString::from(a), OsString::from(b)))
        .collect();
    let flags = flags
        .iter()
        .map(|(key, text)| (*key, (*text).to_owned()))
        .collect();
    Settings::load(
        paths(),
        Layers {
            config,
            environment,
            flags,
        },
    )
}

fn complaint(result: Result<Settings>) -> String {
    let error = result.unwrap_err();
    assert!(error.is_usage(), "{error:?}");
    let text = error.to_string();
    assert!(!text.contains('\n'), "one sentence: {text}");
    text
}

#[test]
fn the_table_tells_the_defaults_as_they_are() {
    let settings = load(None, &[], &[]).unwrap();
    for (key, shown) in KEYS.iter().zip(settings.shown()) {
        assert_eq!(shown.from, "default");
        if key.name != "data_dir" {
            assert_eq!(shown.value.unwrap_or_default(), key.default, "{}", key.name);
        }
        assert!(key.meaning.len() > 20, "{} has a meaning", key.name);
    }
    assert_eq!(settings.node.net.weights, Weights::default());
    let options = settings.node.clone();
    assert_eq!(
        (
            options.net.low_water,
            options.net.high_water,
            options.net.mdns
        ),
        (48, 64, true)
    );
}

#[test]
fn what_is_shown_can_be_read_back() {
    let settings = load(
        None,
        &[],
        &[
            ("handle", "alice"),
            ("location", "52.52,13.4,Berlin"),
            ("listen", "/ip4/127.0.0.1/tcp/0"),
            ("query_timeout", "90s"),
            ("data_dir", "/srv/node"),
        ],
    )
    .unwrap();
    let again = load(Some(&settings.to_toml(true)), &[], &[]).unwrap();
    let values = |settings: &Settings| {
        settings
            .shown()
            .into_iter()
            .map(|shown| shown.value)
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&again), values(&settings));
    assert_eq!(again.node.net.query_timeout, Duration::from_secs(90));
}

#[test]
fn each_layer_overrides_the_one_before_and_is_named() {
    let file = "network = \"file\"\nlow_water = 10\nmdns = false\n[reputation]\nsuccess = 0.4\nrecency = 0";
    let settings = load(
        Some(file),
        &[
            ("SWARMDEX_NETWORK", "env"),
            ("SWARMDEX_LOW_WATER", "11"),
            ("PATH", "/bin"),
        ],
        &[("network", "flag")],
    )
    .unwrap();
    assert_eq!(settings.node.net.network.as_str(), "flag");
    assert_eq!(settings.node.net.low_water, 11);
    assert!(!settings.node.net.mdns);
    assert_eq!(
        (
            settings.node.net.weights.success,
            settings.node.net.weights.recency
        ),
        (0.4, 0.0)
    );
    assert_eq!(settings.origin("network"), Origin::Flag("--network"));
    assert_eq!(
        settings.origin("low_water"),
        Origin::Environment("SWARMDEX_LOW_WATER".into())
    );
    assert!(matches!(settings.origin("mdns"), Origin::File(_)));
    assert_eq!(settings.origin("high_water"), Origin::Default);
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let file = complaint(load(Some("netwrok = \"x\""), &[], &[]));
    assert!(
        file.contains("\"netwrok\"")
            && file.contains("nearest is \"network\"")
            && file.contains("config.toml")
    );
    let nested = complaint(load(Some("[reputation]\nsucces = 1"), &[], &[]));
    assert!(
        nested.contains("nearest is \"reputation.success\""),
        "{nested}"
    );
    assert!(complaint(load(Some("[reputatoin]"), &[], &[])).contains("\"reputatoin\""));
    let variable = complaint(load(None, &[("SWARMDEX_BOOTSTRAPS", "x")], &[]));
    assert!(
        variable.contains("nearest is \"SWARMDEX_BOOTSTRAP\""),
        "{variable}"
    );
}

#[test]
fn a_malformed_value_names_place_value_and_remedy() {
    for (file, parts) in [
        (
            "query_timeout = \"5x\"",
            ["query_timeout in", "\"5x\"", "such as 500ms"],
        ),
        (
            "query_timeout = 5",
            ["query_timeout in", "says 5", "\"5s\""],
        ),
        (
            "query_timeout = \"9h\"",
            ["query_timeout in", "\"9h\"", "1h"],
        ),
        ("low_water = 0", ["low_water in", "says 0", "from 1"]),
        (
            "mdns = \"maybe\"",
            ["mdns in", "\"maybe\"", "true or false"],
        ),
        (
            "dht = \"both\"",
            ["dht in", "\"both\"", "auto, server or client"],
        ),
        (
            "network = \"My Net\"",
            ["network in", "\"My Net\"", "lower-case"],
        ),
        (
            "location = \"here\"",
            ["location in", "\"here\"", "52.5,13.4,Berlin"],
        ),
        (
            "log_level = \"loud\"",
            ["log_level in", "\"loud\"", "debug"],
        ),
        (
            "log_format = \"xml\"",
            ["log_format in", "\"xml\"", "text or json"],
        ),
        (
            "listen = [\"localhost:80\"]",
            ["listen in", "localhost:80", "/ip4/0.0.0.0/tcp/4807"],
        ),
        (
            "network =",
            ["config.toml, line 1", "(network =)", "correct it"],
        ),
        (
            "mdns = true\nmdns = true",
            ["config.toml, line 2", "duplicate", "correct it"],
        ),
        (
            "low_water = 70",
            ["low_water is 70", "high_water 64", "smaller"],
        ),
    ] {
        let text = complaint(load(Some(file), &[], &[]));
        assert!(
            parts.iter().all(|part| text.contains(part)),
            "{file}: {text}"
        );
    }
    let flag = complaint(load(None, &[], &[("query_timeout", "soon")]));
    assert!(flag.starts_with("--timeout says \"soon\""), "{flag}");
    let variable = complaint(load(None, &[("SWARMDEX_MDNS", "2")], &[]));
    assert!(
        variable.starts_with("SWARMDEX_MDNS says \"2\""),
        "{variable}"
    );
}

#[test]
fn a_bootstrap_address_needs_the_peers_id() {
    let error = load(None, &[], &[("bootstrap", "/ip4/192.0.2.7/tcp/4807")]).unwrap_err();
    assert!(
        matches!(&error, RegistryError::Address { given, why } if given.contains("192.0.2.7") && why.contains("--bootstrap"))
    );
    assert!(error.is_usage());
}

#[test]
fn a_file_that_was_asked_for_must_exist() {
    let layers = Layers {
        config: Some("/nowhere/at-all.toml".into()),
        ..Layers::default()
    };
    assert!(complaint(Settings::load(paths(), layers)).contains("/nowhere/at-all.toml"));
    assert!(load(None, &[("SWARMDEX_CONFIG", "/nowhere/x.toml")], &[]).is_err());
    assert!(load(None, &[], &[]).is_ok(), "the default file need not");
}

#[test]
fn a_database_of_places_must_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("home.mmdb");
    std::fs::write(&database, b"whatever\xab\xcd\xefMaxMind.com whatever").unwrap();
    let config = dir.path().join("config.toml");
    let from = |text: &str| {
        std::fs::write(&config, text).unwrap();
        Settings::load(
            paths(),
            Layers {
                config: Some(config.clone()),
                ..Layers::default()
            },
        )
    };
    // A path in the settings file is relative to that file.
    let settings = from("geoip_db = \"home.mmdb\"").unwrap();
    assert_eq!(
        settings.node.net.geoip_db.as_deref(),
        Some(database.as_path())
    );
    let missing = complaint(from("mdns = true\ngeoip_db = \"away.mmdb\""));
    let parts = [
        "geoip_db in ",
        "config.toml, line 2",
        "\"away.mmdb\"",
        "give the path of an .mmdb file",
    ];
    assert!(parts.iter().all(|part| missing.contains(part)), "{missing}");
    let none = complaint(from("geoip_db = \"config.toml\""));
    assert!(
        none.contains("not a database in MaxMind's format"),
        "{none}"
    );
    let text = "network = \"lab\"\ngeoip_db = \"away.mmdb\"\n";
    let wrong = problems(&config, text, nothing_more).unwrap();
    assert_eq!((wrong.len(), wrong[0].line), (1, 2));
    let flag = complaint(load(None, &[], &[("geoip_db", "/nowhere/at-all.mmdb")]));
    assert!(
        flag.starts_with("--geoip-db says \"/nowhere/at-all.mmdb\""),
        "{flag}"
    );
}

#[test]
fn a_chosen_data_directory_holds_everything() {
    let settings = load(None, &[], &[("data_dir", "/srv/a")]).unwrap();
    assert_eq!(
        settings.chosen_data_dir().as_deref(),
        Some(Path::new("/srv/a"))
    );
    assert!(settings.paths.logs().starts_with("/srv/a"));
    assert_eq!(load(None, &[], &[]).unwrap().chosen_data_dir(), None);
    let file = load(Some("data_dir = \"here\""), &[], &[]).unwrap();
    assert!(file.paths.data.is_absolute() && file.paths.data.ends_with("here"));
}

#[test]
fn the_documented_table_has_every_key() {
    let table = keys_markdown();
    assert!(
        KEYS.iter()
            .all(|key| table.contains(&format!("| `{}` |", key.name)))
    );
    assert_eq!(table.lines().count(), KEYS.len() + 2);
}

#[test]
fn the_template_changes_nothing_and_can_be_uncommented() {
    let template = template();
    assert!(
        template
            .lines()
            .all(|line| line.is_empty() || line.starts_with('#')),
        "{template}"
    );
    assert!(template.lines().all(|line| line.len() <= 120), "{template}");
    for key in &KEYS {
        let line = template
            .lines()
            .find(|line| line.starts_with(&format!("#{} = ", key.name)))
            .unwrap();
        // Those without a default say what to write.
        let result = load(Some(&line[1..]), &[], &[]);
        assert_eq!(result.is_ok(), !key.default.is_empty(), "{line}");
    }
}

#[test]
fn every_problem_of_a_file_is_told_with_its_line() {
    let text = "netwrok = \"x\"\nmdns = true\nmdns = false\nquery_timeout = \"5x\"\nlow_water = 70\n\
                bootstrap = [\"/ip4/192.0.2.7/tcp/4807\"]\nhandle =\n[reputation]\nsucces = 1\nnear_km = 200\n";
    let found = problems(Path::new("/etc/own.toml"), text, nothing_more).unwrap();
    let lines: Vec<_> = found.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [1, 3, 4, 5, 6, 7, 9, 10], "{found:?}");
    for (problem, part) in found.iter().zip([
        "nearest is \"network\"",
        "duplicate",
        "such as 500ms",
        "line 5: low_water is 70",
        "does not end with /p2p/",
        "(handle =)",
        "nearest is \"reputation.success\"",
        "near must be the smaller",
    ]) {
        let said = problem.error.to_string();
        assert!(
            problem.error.is_usage() && said.contains(part) && said.contains("/etc/own.toml"),
            "{said}"
        );
    }
    assert!(
        problems(Path::new("/etc/own.toml"), &template(), nothing_more)
            .unwrap()
            .is_empty()
    );
    let unread = problems(
        Path::new("a.toml"),
        "low_water = 70\nhigh_water = \"many\"",
        nothing_more,
    )
    .unwrap();
    assert_eq!(
        unread.len(),
        1,
        "a default conflicts with nothing when its key was meant to be set: {unread:?}"
    );
}

proptest! {
    /// A file has problems if, and only if, it cannot be loaded; and the first is what loading
    /// says.
    #[test]
    fn problems_are_why_a_file_is_refused(text in "((low_water|mdns|x|handle|listen) ?= ?(1|true|\\[\\]|\"a\")?\n|\\[(reputation|x)\\]\n){0,5}") {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, &text).unwrap();
        let loaded = Settings::load(paths(), Layers { config: Some(path.clone()), ..Layers::default() });
        let found = problems(&path, &text, nothing_more).unwrap();
        prop_assert_eq!(loaded.err().map(|error| error.to_string()), found.first().map(|first| first.error.to_string()));
    }

    /// Whatever subset of layers sets a key, the highest one wins.
    #[test]
    fn the_highest_layer_wins(file in prop::option::of(1usize..60), env in prop::option::of(1usize..60), flag in prop::option::of(1usize..60)) {
        let text = file.map(|n| format!("low_water = {n}"));
        let env_text = env.map(|n| n.to_string());
        let flag_text = flag.map(|n| n.to_string());
        let environment: Vec<_> = env_text.iter().map(|text| ("SWARMDEX_LOW_WATER", text.as_str())).collect();
        let flags: Vec<_> = flag_text.iter().map(|text| ("low_water", text.as_str())).collect();
        let settings = load(text.as_deref(), &environment, &flags).unwrap();
        prop_assert_eq!(settings.node.net.low_water, flag.or(env).or(file).unwrap_or(48));
    }

    /// No file makes it panic, and every complaint is a usage error of one line.
    #[test]
    fn any_file_is_settings_or_a_sentence(text in ".*") {
        if let Err(error) = load(Some(&text), &[], &[]) {
            prop_assert!(error.is_usage());
            prop_assert!(!error.to_string().contains('\n'));
        }
    }

    /// A misspelt key never passes.
    #[test]
    fn a_misspelt_key_is_found_out(name in "[a-z_]{1,14}") {
        prop_assume!(KEYS.iter().all(|key| key.name != name) && name != "reputation");
        let error = load(Some(&format!("{name} = 1")), &[], &[]).unwrap_err();
        prop_assert!(error.to_string().contains("the nearest is"));
    }
}

fn nothing_more(_: &Settings) -> Vec<String> {
    Vec::new()
}

#[test]
fn the_explorer_s_tables_are_read_and_its_complaints_get_their_line() {
    let text = "network = \"lab\"\n[keys]\nquit = [\"Q\"]\n[columns]\npeers = [\"-peer\"]\n";
    let path = Path::new("a.toml");
    assert!(problems(path, text, nothing_more).unwrap().is_empty());
    let wrong = problems(path, text, |settings| {
        vec![format!("keys.quit: {:?}", settings.keys["quit"])]
    })
    .unwrap();
    assert_eq!((wrong.len(), wrong[0].line), (1, 3));
    assert!(
        wrong[0]
            .error
            .to_string()
            .contains("a.toml, line 3: keys.quit: [\"Q\"]")
    );
    assert!(
        !problems(path, "[keys]\nquit = \"Q\"", nothing_more)
            .unwrap()
            .is_empty(),
        "a list is wanted"
    );
}
