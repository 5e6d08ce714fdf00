use proptest::prelude::*;

use super::*;

fn filled() -> ReleaseForm {
    let mut form = ReleaseForm::new(Some("alice"));
    for (field, text) in [
        (Field::Name, "web"),
        (Field::Version, "1.2.0"),
        (Field::Description, "A web server"),
        (Field::Tags, "http, server,"),
        (Field::License, "MIT OR Apache-2.0"),
        (Field::Repository, "https://example.org/web"),
        (Field::Needs(0, DependencyColumn::Package), "bob/json"),
        (Field::Needs(0, DependencyColumn::Requirement), "^1.2"),
        (Field::File, "/tmp/web.tar"),
    ] {
        form.set(field, text);
    }
    form.file = FileState::Is { size: 7 };
    form
}

fn problem(field: Field, text: &str) -> String {
    let mut form = filled();
    form.set(field, text);
    let previous = [Previous {
        name: "web".parse().unwrap(),
        versions: vec!["1.1.0".parse().unwrap()],
    }];
    form.check(&previous)
        .problems
        .remove(&field)
        .unwrap_or_default()
}

#[test]
fn a_filled_form_is_a_draft() {
    let checked = filled().check(&[]);
    assert_eq!(checked.problems, BTreeMap::new());
    let draft = checked.draft.unwrap();
    assert_eq!((draft.tags.len(), draft.dependencies.len()), (2, 1));
    let left = checked.left.unwrap();
    assert!((7_000..8_192).contains(&left), "{left}");
}

#[test]
fn every_field_says_what_is_wrong_with_it() {
    for (field, text, said) in [
        (Field::Handle, "Alice!", "letter"),
        (Field::Name, "", ""),
        (Field::Name, "a b", ""),
        (Field::Version, "one", ""),
        (Field::Version, "", "such as 1.0.0"),
        (Field::Version, "1.1.0", "published already"),
        (Field::License, "Apache-2.0/MIT", "did you mean"),
        (Field::License, "Apache 2", "SPDX expression"),
        (Field::Repository, "example.org/web", "is not a URL"),
        (Field::Homepage, "ftp://example.org", "must start with"),
        (Field::Title, &"x".repeat(200), "at most 120 are allowed"),
        (Field::Needs(0, DependencyColumn::Package), "bob//json", ""),
        (Field::Needs(0, DependencyColumn::Package), "js on", ""),
        (
            Field::Needs(0, DependencyColumn::Requirement),
            "about 1",
            "",
        ),
        (
            Field::Needs(0, DependencyColumn::Optional),
            "perhaps",
            "enter yes",
        ),
        (Field::File, "", "choose a file"),
    ] {
        let problem = problem(field, text);
        assert!(
            !problem.is_empty() && problem.contains(said),
            "{field:?} {text:?}: {problem}"
        );
    }
    assert_eq!(problem(Field::License, "LicenseRef-mine"), "");
    assert_eq!(problem(Field::Version, "1.1.1"), "");
    assert_eq!(problem(Field::Version, "1.0.9"), "");
}

#[test]
fn the_table_of_dependencies_grows_by_itself() {
    let mut form = filled();
    let count = form.fields().len();
    form.set(Field::Needs(1, DependencyColumn::Package), "bob/words");
    assert_eq!(form.fields().len(), count + 3);
    form.set(Field::Needs(1, DependencyColumn::Package), "");
    assert_eq!(form.fields().len(), count);
    assert_eq!(form.fields().last(), Some(&Field::File));
}

#[test]
fn the_next_release_is_higher() {
    for (last, next) in [
        ("1.2.3", "1.2.4"),
        ("2.0.0-rc.1", "2.0.0"),
        ("0.0.0", "0.0.1"),
    ] {
        assert_eq!(
            next_version(&Ecosystem::Generic, &last.parse().unwrap()).as_deref(),
            Some(next)
        );
    }
}

proptest! {
    #[test]
    fn a_draft_comes_back_as_it_was_saved(texts in proptest::collection::vec(".{0,40}", 14)) {
        let mut form = ReleaseForm::new(None);
        for (field, text) in form.fields().into_iter().zip(&texts) {
            form.set(field, text);
        }
        let saved = form.to_texts();
        prop_assert_eq!(ReleaseForm::from_texts(&saved).to_texts(), saved);
        form.check(&[]);
    }

    #[test]
    fn any_texts_make_a_form(texts in proptest::collection::btree_map(".{0,12}", ".{0,40}", 0..8)) {
        ReleaseForm::from_texts(&texts).check(&[]);
    }
}
