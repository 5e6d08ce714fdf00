//! Conflicts and evidence, as a script sees them. `tests/it/conflicts.rs` tests real evidence.

use crate::cli::program::Home;

#[test]
fn a_node_without_conflicts_says_so() {
    let home = Home::new();
    let none = home.alone(&["conflicts"]);
    assert!(
        none.code == Some(0) && none.stdout.is_empty() && none.stderr.contains("no conflicts"),
        "{}",
        none.stderr
    );
    let json = home.alone(&["conflicts", "--json"]).json();
    assert_eq!(
        (
            json["cases"].as_array().map(Vec::len),
            json["forgotten"].as_u64()
        ),
        (Some(0), Some(0))
    );
    home.alone(&["conflict", "show", "abcd1234"])
        .complains(1, &["no conflict abcd1234", "`conflicts`"]);
    home.alone(&["conflict", "export", "abc"])
        .complains(2, &["hexadecimal", "4 digits"]);
}

#[test]
fn what_is_no_evidence_is_refused_and_said_exactly_without_a_node() {
    let home = Home::new();
    let verify = |name: &str, text: &str| home.run(["conflict", "verify", &home.file(name, text)]);
    verify("noise", "nothing of the kind").complains(1, &["proves nothing", "damaged"]);
    verify("other", "{\"format\": \"x\", \"version\": 1}")
        .complains(1, &["format field is missing or wrong"]);
    let newer = "{\"format\": \"swarmdex-evidence\", \"version\": 7}";
    verify("newer", newer).complains(1, &["version 7", "newer"]);
    verify("huge", &" ".repeat(300_000)).complains(1, &["at most"]);
    let empty = "{\"format\": \"swarmdex-evidence\", \"version\": \
                 1, \"id\": \"00000000000000000000000000000000\", \
                 \"claim\": {\"handle\": {\"handle\": \"alice\"}}, \"statements\": \
                 [], \"manifests\": []}";
    verify("empty", empty).complains(1, &["0 statements", "two to eight"]);
    let json = home.run(["conflict", "verify", &home.file("empty", empty), "--json"]);
    assert_eq!(json.code, Some(1));
    assert!(
        json.value()["fails"]
            .as_str()
            .unwrap()
            .contains("0 statements")
    );
    home.run(["conflict", "verify", "absent.json"])
        .complains(1, &["absent.json", "cannot be read"]);
    assert!(!home.path(".local/share").exists(), "no node was started");
}
