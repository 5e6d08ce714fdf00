use super::*;

fn draft(toml: &str) -> Result<Draft, toml::de::Error> {
    toml::from_str(toml)
}

fn content(bytes: &[u8]) -> File {
    File::of(&Ecosystem::Generic, "web.bin", bytes)
}

#[test]
fn the_name_of_a_file_is_one_everywhere() {
    for good in ["web-1.2.0.tar.zst", "Über mich.pdf", "a"] {
        assert_eq!(check_file(good), Ok(()), "{good}");
    }
    for bad in [
        "",
        "..",
        ".bashrc",
        "-rf",
        "a/b",
        "a\\b",
        "con:",
        "bell\u{7}",
        "a.",
        &"x".repeat(161),
    ] {
        assert!(check_file(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_draft_becomes_a_manifest() {
    let draft = draft(
        r#"
            name = "web"
            version = "1.2.0"
            description = "A web server"
            tags = ["http"]
            dependencies = [{ package = "alice/json", requirement = "^1" }]
            "#,
    )
    .unwrap();
    let manifest = draft
        .into_manifest(PublisherId::nobody(), content(b"x"), Timestamp(7))
        .unwrap();
    assert_eq!(manifest.summary(), "A web server");
    assert_eq!(manifest.dependencies.len(), 1);
}

#[test]
fn every_broken_field_is_named() {
    let mut draft = draft("name = \"web\"\nversion = \"1.0.0\"").unwrap();
    draft.title = Some("x".repeat(200));
    draft.description = "bell\u{7}".to_owned();
    draft.homepage = Some("ftp://old".to_owned());
    draft.tags = vec![String::new()];
    draft.dependencies = vec![toml::from_str("package = \"json\"\nrequirement = \"*\"").unwrap()];
    let errors = draft
        .into_manifest(PublisherId::nobody(), content(b""), Timestamp(0))
        .unwrap_err();
    let fields: Vec<_> = errors.iter().map(|error| error.field).collect();
    assert_eq!(
        fields,
        ["title", "description", "tags", "homepage", "dependencies"]
    );
}

#[test]
fn a_text_may_have_the_joiners_that_its_script_needs() {
    let errors = |change: &dyn Fn(&mut Draft)| {
        let mut draft = draft("name = \"web\"\nversion = \"1.0.0\"").unwrap();
        change(&mut draft);
        draft
            .into_manifest(PublisherId::nobody(), content(b""), Timestamp(0))
            .err()
            .map(|errors| errors[0].field)
    };
    let persian = "می\u{200c}خواهم";
    assert_eq!(
        errors(&|draft| draft.title = Some(persian.to_owned())),
        None
    );
    assert_eq!(
        errors(&|draft| draft.description = format!("{persian}\n{persian}")),
        None
    );
    assert_eq!(errors(&|draft| draft.tags = vec![persian.to_owned()]), None);
    assert_eq!(
        errors(&|draft| draft.title = Some("we\u{200d}b".to_owned())),
        Some("title")
    );
    assert_eq!(
        errors(&|draft| draft.homepage = Some(format!("https://example.org/{persian}"))),
        Some("homepage")
    );
}

#[test]
fn unknown_and_malformed_fields_are_errors() {
    assert!(draft("name = \"web\"\nversion = \"1.0.0\"\nverison = 1").is_err());
    let wrong = draft("name = \"web\"\nversion = \"one\"").unwrap();
    let errors = wrong
        .into_manifest(PublisherId::nobody(), content(b""), Timestamp(0))
        .unwrap_err();
    assert_eq!(errors[0].field, "version");
    assert!(draft("name = \"w eb\"\nversion = \"1.0.0\"").is_err());
}
