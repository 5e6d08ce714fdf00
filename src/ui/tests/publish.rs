//! Tests of the Publish screen: form, review, publish and yank.

use std::collections::BTreeMap;

use super::*;
use crate::{
    archive::pack::{
        EntryKind, FoundKey, LeftOutFile, LeftOutReason, ListedEntry, PackListing, RefusedFile,
    },
    domain::trust::{Claimant, Claims},
    registry::{Content, OwnPackage, OwnPackages, PublishStep, Receipt, Steps},
    ui::model::{
        form::{DependencyColumn, Field, FileState},
        picker::PickerEntry,
        publish::Hashed,
    },
};

fn own(n: u8, version: &str, pending: bool, yanked: bool) -> OwnPackage {
    let entry = ReleaseEntry {
        yanked: yanked.then(String::new),
        ..ReleaseEntry::new(version.parse().unwrap(), Hash::of(b"m"))
    };
    OwnPackage {
        id: package_id(1, &format!("parser-{n}")),
        handle: Some("team-1".parse().unwrap()),
        seq: 3,
        signed_at: NOW.before(seconds(4_000)),
        releases: 3,
        versions: vec![version.parse().unwrap()],
        latest: Some(entry),
        manifest: package().latest,
        replicas: Some(if pending { 0 } else { 3 }),
        announced: Some(if pending { 0 } else { 6 }),
        copies: if pending { 0 } else { 2 },
        pending,
    }
}

/// Returns a package of key `n` under a handle.
pub fn own_of(n: u8, handle: crate::domain::name::Handle) -> OwnPackage {
    OwnPackage {
        id: package_id(n, "parser-1"),
        handle: Some(handle),
        ..own(1, "2.1.0", false, false)
    }
}

pub fn with_packages(size: (u16, u16)) -> Model {
    let mut model = full(size);
    press(&mut model, "5");
    let mine = vec![
        own(1, "2.1.0", false, false),
        own(2, "0.3.0", true, false),
        own(3, "1.0.0", false, true),
    ];
    answer_own(&mut model, mine);
    model
}

fn answer_own(model: &mut Model, packages: Vec<OwnPackage>) -> Vec<Effect> {
    let publisher = (!packages.is_empty()).then(|| publisher(1));
    let own = OwnPackages {
        publisher,
        key: "/home/alice/.local/share/swarmdex/publisher.key".into(),
        packages,
    };
    update::on_message(model, EffectResult::Own(Box::new(Ok(own))), NOW)
}

/// Types into the fields in order, with Tab between them.
fn fill(model: &mut Model, texts: &[&str]) {
    for text in texts {
        press(model, text);
        press_code(model, KeyCode::Tab);
    }
}

fn file_is(model: &mut Model, state: FileState) {
    let generation = model.publish.stat;
    update::on_message(
        model,
        EffectResult::Stat {
            generation,
            state,
            proposals: Vec::new(),
        },
        NOW,
    );
}

pub fn filled_form(size: (u16, u16)) -> Model {
    let mut model = with_packages(size);
    press(&mut model, "n");
    fill(
        &mut model,
        &[
            "web",
            "1.0.0",
            "A web server",
            "Serves pages.",
            "net",
            "http, server",
            "MIT",
            "",
            "",
        ],
    );
    fill(&mut model, &["bob/json", "^1.2", ""]);
    model.publish.form.as_mut().unwrap().focus_on(Field::File);
    press(&mut model, "/tmp/web.tar");
    file_is(&mut model, FileState::Is { size: 4_321 });
    model
}

pub fn wrong_form(size: (u16, u16)) -> Model {
    let mut model = with_packages(size);
    press(&mut model, "n");
    fill(
        &mut model,
        &[
            "We b",
            "one",
            "",
            "",
            "",
            "",
            "Apache-2.0/MIT",
            "example.org",
            "",
        ],
    );
    press_ctrl(&mut model, 's');
    model
}

pub fn in_review(size: (u16, u16)) -> Model {
    let mut model = filled_form(size);
    let effects = press_ctrl(&mut model, 's');
    let [Effect::Hash { generation, .. }, ..] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    let hashed = Hashed::Is(Content {
        root: ContentRoot::of(b"bytes"),
        size: 4_321,
    });
    update::on_message(
        &mut model,
        EffectResult::Hashed {
            generation: *generation,
            hashed,
        },
        NOW,
    );
    model
}

fn publishing(size: (u16, u16)) -> (Model, u64) {
    let mut model = in_review(size);
    let effects = press_code(&mut model, KeyCode::Enter);
    let [Effect::Publish { generation, .. }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    let generation = *generation;
    let steps = [
        PublishStep::Hashed { size: 4_321 },
        PublishStep::Signed { seq: 1 },
        PublishStep::Stored,
    ];
    for (n, step) in steps.into_iter().enumerate() {
        let after = Duration::from_millis(n as u64 * 2);
        update::on_message(
            &mut model,
            EffectResult::Step {
                generation,
                step,
                after,
            },
            NOW,
        );
    }
    (model, generation)
}

fn receipt() -> Receipt {
    Receipt {
        id: format!("{}@1.0.0", package_id(1, "web")),
        package: package_id(1, "web"),
        version: "1.0.0".parse().unwrap(),
        handle: None,
        seq: 1,
        manifest: Hash::of(b"m"),
        content: ContentRoot::of(b"bytes"),
        size: 4_321,
        steps: Steps {
            copies: 1,
            copies_wanted: 2,
            ..Steps::default()
        },
        pending: false,
        clock: None,
        new_key: Some("/home/alice/.local/share/swarmdex/publisher.key".into()),
    }
}

pub fn published(size: (u16, u16)) -> Model {
    let (mut model, generation) = publishing(size);
    update::on_message(
        &mut model,
        EffectResult::Published {
            generation,
            result: Box::new(Ok(receipt())),
        },
        NOW,
    );
    model
}

pub fn asked_to_yank(size: (u16, u16)) -> Model {
    let mut model = with_packages(size);
    press(&mut model, "x");
    model
}

pub fn picking(size: (u16, u16)) -> Model {
    let mut model = filled_form(size);
    let effects = press_ctrl(&mut model, 'o');
    let [Effect::List { generation, dir }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(dir, Path::new("/tmp/"), "where the path is");
    let file = |name: &str, is_dir| PickerEntry {
        name: name.to_owned(),
        is_dir,
        size: 1_234,
    };
    let entries = Ok(vec![
        file("archives", true),
        file("web-1.tar", false),
        file("web-2.tar", false),
    ]);
    update::on_message(
        &mut model,
        EffectResult::Listed {
            generation: *generation,
            entries,
        },
        NOW,
    );
    model
}

fn draft_in(effects: &[Effect]) -> Option<BTreeMap<String, String>> {
    effects.iter().rev().find_map(|effect| match effect {
        Effect::SaveDraft(draft) => draft.clone(),
        _ => None,
    })
}

#[test]
fn every_key_in_the_form_is_kept() {
    let mut model = with_packages((120, 40));
    press(&mut model, "n");
    assert_eq!(
        model.publish.form.as_ref().unwrap().text(Field::Handle),
        "team-1",
        "what one is called already"
    );
    let effects = press(&mut model, "web");
    let saved = draft_in(&effects).unwrap();
    assert_eq!(saved.get("name").map(String::as_str), Some("web"));
    press_code(&mut model, KeyCode::Esc);
    assert!(!model.typing());
    press(&mut model, "d");
    assert_eq!(
        (
            model.typing(),
            model.publish.form.as_ref().unwrap().text(Field::Name)
        ),
        (true, "web")
    );

    // Start again.
    let mut model = super::model((120, 40));
    update::restore(&mut model, &saved);
    assert!(picture(&model).contains("unfinished draft: web"));
    press(&mut model, "5d");
    assert_eq!(
        model.publish.form.as_ref().unwrap().text(Field::Name),
        "web"
    );
}

#[test]
fn a_draft_that_became_a_release_is_none_any_more() {
    let texts = |version: &str| {
        let release = own(1, "2.1.0", false, false);
        BTreeMap::from([
            ("name".to_owned(), release.id.name.to_string()),
            ("version".to_owned(), version.to_owned()),
        ])
    };
    for (version, kept) in [("2.1.0", false), ("2.1.1", true)] {
        let mut model = super::model((120, 40));
        update::restore(&mut model, &texts(version));
        let effects = answer_own(&mut model, vec![own(1, "2.1.0", false, false)]);
        assert_eq!(model.publish.form.is_some(), kept, "{version}");
        assert_eq!(effects.contains(&Effect::SaveDraft(None)), !kept);
        assert_eq!(picture(&model).contains("unfinished draft"), kept);
    }
}

#[test]
fn a_handle_alone_is_a_draft_unless_it_was_there() {
    let mut model = with_packages((120, 40));
    press(&mut model, "n");
    press_code(&mut model, KeyCode::Esc);
    assert!(model.publish.form.is_none(), "nothing was typed");
    press(&mut model, "n");
    press_code(&mut model, KeyCode::BackTab);
    press(&mut model, "x");
    press_code(&mut model, KeyCode::Esc);
    press(&mut model, "n");
    assert!(model.window::<ConfirmWindow>().is_some());
}

#[test]
fn another_form_asks_before_a_draft_is_lost() {
    let mut model = filled_form((120, 40));
    press_code(&mut model, KeyCode::Esc);
    press(&mut model, "n");
    assert!(picture(&model).contains("The draft of web would be lost"));
    press(&mut model, "n");
    assert_eq!(
        model.publish.form.as_ref().unwrap().text(Field::Name),
        "web"
    );
    press(&mut model, "e");
    press(&mut model, "y");
    let form = model.publish.form.as_ref().unwrap();
    assert_eq!(
        (form.text(Field::Name), form.text(Field::Version)),
        ("parser-1", "2.1.1")
    );
    assert_eq!(
        form.text(Field::Needs(0, DependencyColumn::Package)),
        "team-3/words",
        "filled in from the last release"
    );
    assert_eq!(form.focused(), Field::Version);
}

#[test]
fn nothing_is_published_before_it_was_reviewed_and_read() {
    let model = wrong_form((120, 40));
    assert!(
        model.popups.is_empty() && model.typing(),
        "the first wrong field has the focus"
    );
    assert_eq!(model.publish.form.as_ref().unwrap().focused(), Field::Name);

    let mut model = filled_form((120, 40));
    press_ctrl(&mut model, 's');
    assert!(
        press_code(&mut model, KeyCode::Enter).is_empty(),
        "the file is not read yet"
    );
    press_code(&mut model, KeyCode::Esc);
    assert!(model.typing(), "back in the form");

    let mut model = in_review((120, 40));
    let effects = press_code(&mut model, KeyCode::Enter);
    assert!(
        matches!(effects.as_slice(), [Effect::Publish { draft, .. }] if draft.name.as_str() == "web")
    );
    assert!(
        press(&mut model, "n").is_empty() && model.publish.is_running(),
        "one at a time"
    );
}

#[test]
fn the_review_shows_what_goes_in_and_what_stays_out() {
    let mut model = filled_form((120, 60));
    let effects = press_ctrl(&mut model, 's');
    let hash = |effect: &Effect| match effect {
        Effect::Hash { generation, .. } => Some(*generation),
        _ => None,
    };
    let generation = effects.iter().find_map(hash).unwrap();
    let entry = |path: &str, kind, size| ListedEntry {
        path: path.to_owned(),
        kind,
        size,
        included: None,
    };
    let left = |path: &str, size, why| LeftOutFile {
        path: path.to_owned(),
        size,
        why,
    };
    let ignored = LeftOutReason::Ignored {
        pattern: "/target/".to_owned(),
        file: ".gitignore".to_owned(),
    };
    let listing = PackListing {
        entries: vec![
            entry("src", EntryKind::Directory, 0),
            entry("src/main.rs", EntryKind::File, 1_300),
        ],
        left_out: vec![
            left(
                ".env",
                Some(20),
                LeftOutReason::Private {
                    pattern: ".env*".to_owned(),
                },
            ),
            left("target/", None, ignored),
        ],
        refused: vec![RefusedFile {
            path: "notes.txt".to_owned(),
            key: FoundKey::Own,
        }],
        warnings: vec!["README and readme differ only in case".to_owned()],
        ..PackListing::default()
    };
    for wrong in [generation + 1, generation] {
        let listing = Box::new(listing.clone());
        update::on_message(
            &mut model,
            EffectResult::Listing {
                generation: wrong,
                listing,
            },
            NOW,
        );
        assert_eq!(
            picture(&model).contains("Included"),
            wrong == generation,
            "a late answer is nothing"
        );
    }
    let text = picture(&model);
    for part in [
        "Included: 1 file, 1.3 KiB; 2 left out",
        "1.3 KiB      src/main.rs",
        "20 B         .env: .env* is often private",
        "target/: .gitignore says /target/",
        "notes.txt is a key of Swarmdex",
        "! README and readme differ only in case",
    ] {
        assert!(text.contains(part), "\"{part}\" is missing: {text}");
    }
    let at = |part: &str| text.find(part).unwrap();
    let heading = at("Manifest");
    assert!(
        at("! README") < heading && at("notes.txt is a key") < heading,
        "seen without scrolling: {text}"
    );
}

#[test]
fn a_file_that_vanishes_is_said_beside_its_field() {
    let mut model = filled_form((120, 40));
    let effects = press_ctrl(&mut model, 's');
    let [Effect::Hash { generation, .. }, ..] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    let hashed = Hashed::Wrong("no such file or directory".to_owned());
    update::on_message(
        &mut model,
        EffectResult::Hashed {
            generation: *generation,
            hashed,
        },
        NOW,
    );
    assert!(picture(&model).contains("no such file or directory"));
    press_code(&mut model, KeyCode::Enter);
    assert!(model.popups.is_empty() && model.typing());
    let checked = model.publish.check().unwrap();
    assert_eq!(
        checked.problems.get(&Field::File).map(String::as_str),
        Some("no such file or directory")
    );
}

#[test]
fn success_forgets_the_draft_and_failure_keeps_it() {
    let (mut model, generation) = publishing((120, 40));
    let result = Box::new(Ok(receipt()));
    let effects = update::on_message(
        &mut model,
        EffectResult::Published { generation, result },
        NOW,
    );
    assert_eq!(effects, [Effect::SaveDraft(None), Effect::Own]);
    let text = picture(&model);
    assert!(
        text.contains("Published.") && text.contains("Back it up"),
        "{text}"
    );
    press_code(&mut model, KeyCode::Esc);
    assert!(model.publish.progress.is_none());

    // Once stored, it is a release and no longer a draft, whatever happens afterwards.
    let (mut model, generation) = publishing((120, 40));
    let result = Box::new(Err(RegistryError::Closed));
    let effects = update::on_message(
        &mut model,
        EffectResult::Published { generation, result },
        NOW,
    );
    assert_eq!(effects, [Effect::SaveDraft(None), Effect::Own]);
    assert!(picture(&model).contains("Nothing is lost"));

    let mut model = in_review((120, 40));
    let effects = press_code(&mut model, KeyCode::Enter);
    let [Effect::Publish { generation, .. }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    let (generation, result) = (*generation, Box::new(Err(RegistryError::Closed)));
    let effects = update::on_message(
        &mut model,
        EffectResult::Published { generation, result },
        NOW,
    );
    assert_eq!(
        draft_in(&effects).unwrap().get("name").map(String::as_str),
        Some("web")
    );
    assert!(picture(&model).contains("The draft is kept"));
    press(&mut model, "d");
    assert!(model.typing() && model.publish.progress.is_none());
}

#[test]
fn quitting_asks_only_while_a_publish_runs() {
    let (mut model, _) = publishing((120, 40));
    press(&mut model, "q");
    assert!(!model.quit && picture(&model).contains("Quit anyway?"));
    press(&mut model, "n");
    assert!(!model.quit && model.popups.is_empty());
    press(&mut model, "qy");
    assert!(model.quit);
    let (mut model, _) = publishing((120, 40));
    press_ctrl(&mut model, 'c');
    assert!(model.quit, "Ctrl-C does not ask");
}

#[test]
fn a_yank_names_its_target_and_is_taken_back_the_same_way() {
    let mut model = with_packages((120, 40));
    press(&mut model, "x");
    assert!(picture(&model).contains("team-1/parser-1@2.1.0"));
    let effects = press(&mut model, "y");
    assert!(matches!(
        effects.as_slice(),
        [Effect::Yank { yank: true, .. }]
    ));
    press(&mut model, "jjx");
    assert!(picture(&model).contains("Un-yank team-1/parser-3@1.0.0"));
    assert!(press(&mut model, "n").is_empty(), "no changes nothing");
}

#[test]
fn a_handle_that_another_key_claims_is_warned_of_before_anything_is_signed() {
    let mut model = filled_form((160, 50));
    let claims = |handle: &str, by: &[u8]| {
        let claimant = |n: &u8| Claimant {
            publisher: publisher(*n),
            since: NOW,
        };
        let (handle, claimants) = (handle.parse().unwrap(), by.iter().map(claimant).collect());
        EffectResult::Claimed(Box::new(Claims {
            handle,
            bound: None,
            own: None,
            published: false,
            claimants,
            answered: 0,
            needed: 0,
        }))
    };
    update::on_message(&mut model, claims("team-1", &[7]), NOW);
    let said = format!(
        "the key {} has claimed team-1 since",
        publisher(7).fingerprint()
    );
    assert!(picture(&model).contains(&said));
    update::on_message(&mut model, claims("other", &[]), NOW);
    assert!(
        picture(&model).contains(&said),
        "an answer to an older question changes nothing"
    );
    update::on_message(&mut model, claims("team-1", &[]), NOW);
    assert!(!picture(&model).contains(&said));
}

#[test]
fn a_path_is_completed_and_picked() {
    let mut model = filled_form((120, 40));
    let generation = model.publish.stat;
    let proposals = vec!["/tmp/web.tar.gz".to_owned()];
    let state = FileState::Is { size: 1 };
    update::on_message(
        &mut model,
        EffectResult::Stat {
            generation,
            state,
            proposals,
        },
        NOW,
    );
    assert!(picture(&model).contains(".gz  Right: complete"));
    press_code(&mut model, KeyCode::Right);
    assert_eq!(
        model.publish.form.as_ref().unwrap().text(Field::File),
        "/tmp/web.tar.gz"
    );

    let mut model = picking((120, 40));
    press(&mut model, "jj");
    press_code(&mut model, KeyCode::Enter);
    assert_eq!(
        model.publish.form.as_ref().unwrap().text(Field::File),
        "/tmp/web-1.tar"
    );
    let mut model = picking((120, 40));
    press(&mut model, "j");
    let effects = press_code(&mut model, KeyCode::Enter);
    assert!(
        matches!(effects.as_slice(), [Effect::List { dir, .. }] if dir == Path::new("/tmp/archives"))
    );
}

#[test]
fn a_megabyte_of_hostile_text_fits_its_field() {
    let mut model = with_packages((80, 24));
    press(&mut model, "n");
    for text in [
        "\u{1b}[2J\u{202e}日本語 ".repeat(100_000),
        "\u{0}\u{7}".repeat(1 << 19),
        "a".repeat(1 << 20),
    ] {
        update::on_paste(&mut model, &text, NOW);
        let shown = picture(&model);
        assert!(!shown.contains(['\u{1b}', '\u{202e}', '\u{7}']));
        assert!(
            model
                .publish
                .form
                .as_ref()
                .unwrap()
                .text(Field::Name)
                .chars()
                .count()
                <= 4_096
        );
        press_code(&mut model, KeyCode::Tab);
    }
    press_ctrl(&mut model, 's');
    picture(&model);
}

#[test]
fn a_click_goes_to_the_field() {
    let mut model = filled_form((120, 40));
    // Find the line of the version, to the right of its label.
    let text = picture(&model);
    let y = text
        .lines()
        .position(|line| line.contains("version      1.0.0"))
        .unwrap() as u16;
    click(&mut model, 70, y);
    assert_eq!(
        model.publish.form.as_ref().unwrap().focused(),
        Field::Version
    );
    assert!(model.typing());
    click(&mut model, 3, 4);
    assert!(!model.typing(), "in the list one browses");
}
