//! `sim` as a script sees it.

use serde_json::Value;

use crate::cli::program::Home;

fn report(seed: &str) -> Value {
    let home = Home::new();
    let words = [
        "sim",
        "--nodes",
        "40",
        "--publishes",
        "10",
        "--lookups",
        "20",
    ];
    let ran = home.run([&words[..], &["--seed", seed, "--json"]].concat());
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (Some(0), ""),
        "{}",
        ran.stdout
    );
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_report_and_another_seed_another() {
    let first = report("7");
    assert_eq!((&report("7"), &report("7")), (&first, &first));
    let other = report("8");
    assert_ne!(other["trace"], first["trace"]);
    for field in ["delivered", "duplicates", "lookups", "hops", "verified"] {
        assert!(first[field].as_f64().unwrap() > 0.0, "{field}: {first}");
    }
    assert_eq!(
        (&first["seed"], &first["nodes"]),
        (&Value::from(7), &Value::from(40))
    );
    assert_eq!(first["banned_honest"], 0);
    assert_eq!(first["trace"].as_str().unwrap().len(), 64);
}

#[test]
fn a_report_for_people_says_what_is_a_model() {
    let home = Home::new();
    let words = "sim --nodes 20 --publishes 5 --lookups 5 --seed 7 --listen /ip4/127.0.0.1/tcp/0";
    let ran = home.run(words.split(' '));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("--listen has no effect"),
        "{}",
        ran.stderr
    );
    for part in ["delivered 100.00 %", "Gossipsub and Kademlia are models"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
}

#[test]
fn what_cannot_be_simulated_is_said() {
    let home = Home::new();
    for (flag, value) in [("--nodes", "20001"), ("--nodes", "0"), ("--churn", "1.5")] {
        home.run(["sim", flag, value]).complains(2, &[flag, value]);
    }
}
