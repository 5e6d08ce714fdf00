//! Tests of transfers, downloads, and the content in a package's window.

use super::*;
use crate::{
    domain::held::{FetchOrigin, Share},
    domain::transfer::{Part, Transfer, TransferId, TransferPeer, TransferState},
    registry::{Held, Order, Release, ReleaseFile, Wanted},
    ui::{
        effect::Download,
        model::{
            package::{ContentState, ReadmeState},
            readme::ReadmeText,
        },
    },
};

const MIB: u64 = 1 << 20;

fn root(n: u8) -> ContentRoot {
    ContentRoot::of(&[n])
}

fn giver(n: u8, part: Part, bytes: u64, refused: u64) -> TransferPeer {
    TransferPeer {
        part,
        bytes,
        millis: 1_500,
        refused,
        ..TransferPeer::new(peer_id(n))
    }
}

fn fetch(n: u8, what: &str, state: TransferState, done: u64) -> Transfer {
    Transfer {
        id: TransferId::Fetch { root: root(n) },
        what: what.to_owned(),
        size: 12 * MIB + 345_678,
        done,
        resumed: 0,
        rate: 0.0,
        ended_at: (!state.is_open()).then(|| NOW.before(seconds(u64::from(n)))),
        for_others: false,
        beside: false,
        state,
        peers: vec![],
        started_at: NOW.before(seconds(4 + u64::from(n))),
    }
}

fn running(n: u8) -> Transfer {
    Transfer {
        rate: 3_456_789.0,
        peers: vec![
            giver(1, Part::Giving, 4 * MIB, 0),
            giver(2, Part::Giving, 2 * MIB, 0),
            giver(4, Part::Slow, 0, 0),
        ],
        ..fetch(n, "alice/web 1.2.0", TransferState::Running, 6 * MIB)
    }
}

pub fn finished(n: u8) -> Transfer {
    let size = 12 * MIB + 345_678;
    Transfer {
        resumed: 3 * MIB,
        peers: vec![
            giver(5, Part::Lied, MIB / 2, 1),
            giver(1, Part::Idle, 6 * MIB, 0),
            giver(2, Part::Lost, size - 3 * MIB - 6 * MIB - MIB / 2, 0),
        ],
        ..fetch(n, "bob/json 0.3.1", TransferState::Done, size)
    }
}

fn several() -> Vec<Transfer> {
    let why = "none of 3 peers that were asked has it; try again when others are there".to_owned();
    let served = peer_id(2);
    vec![
        running(1),
        finished(2),
        fetch(3, "carol/nine 9.0.0", TransferState::Failed(why), 2 * MIB),
        fetch(4, "dave/much 2.0.0-rc.1", TransferState::Paused, 11 * MIB),
        fetch(5, "erin/soon 0.1.0", TransferState::Waiting, 0),
        fetch(6, "frank/not 1.0.0", TransferState::Cancelled, 0),
        Transfer {
            id: TransferId::Serve {
                root: root(7),
                peer: served,
            },
            rate: 1_234_567.0,
            peers: vec![TransferPeer {
                part: Part::Giving,
                bytes: 9 * MIB,
                ..TransferPeer::new(served)
            }],
            ..fetch(7, "alice/db 4.4.4", TransferState::Running, 9 * MIB)
        },
    ]
}

pub fn tell(model: &mut Model, transfers: Vec<Transfer>) {
    model.apply(
        Batch {
            events: transfers.len() as u64,
            transfers,
            ..Batch::default()
        },
        NOW,
    );
    update::settle(model);
}

pub fn on_transfers(size: (u16, u16)) -> Model {
    let mut model = full(size);
    press(&mut model, "6");
    tell(&mut model, several());
    model
}

/// Selects the row of content `n`.
fn on(size: (u16, u16), n: u8) -> Model {
    let mut model = on_transfers(size);
    let row = model
        .transfers
        .table
        .rows()
        .iter()
        .find(|id| id.root() == root(n))
        .copied();
    model.transfers.table.selection.selected = row;
    model
}

pub fn opened(size: (u16, u16), n: u8) -> Model {
    let mut model = on(size, n);
    press_code(&mut model, KeyCode::Enter);
    model
}

pub fn asked_to_cancel(size: (u16, u16)) -> Model {
    let mut model = on(size, 1);
    press(&mut model, "x");
    model
}

fn with_readme() -> Package {
    let mut package = package();
    let manifest = package.latest.as_mut().unwrap();
    manifest.files[0].name = "parser-1-2.1.0.tar.zst".to_owned();
    manifest.files[0].size = 1_258_291;
    manifest.readme = Some(Content {
        root: root(99),
        size: 512,
    });
    package
}

/// Opens the window of a package; returns its number too.
fn opening(size: (u16, u16)) -> (Model, u64, Vec<Effect>) {
    let mut model = on_search(size);
    let effects = press_code(&mut model, KeyCode::Enter);
    let Some(Effect::GetPackage { generation, .. }) = effects.first() else {
        panic!("{effects:?}")
    };
    let result = Box::new(Ok(with_readme()));
    let effects = update::on_message(
        &mut model,
        EffectResult::Package {
            generation: *generation,
            result,
        },
        NOW,
    );
    (model, *generation, effects)
}

fn held() -> Held {
    let content = with_readme().latest.unwrap().content();
    let share = |n, bytes| Share {
        peer: peer_id(n),
        bytes,
        millis: 900,
        refused: 0,
    };
    Held {
        content,
        own: false,
        pinned: false,
        pinned_for: Vec::new(),
        for_others: false,
        added_at: NOW,
        used_at: NOW,
        what: None,
        origin: Some(FetchOrigin {
            shares: vec![share(1, 400_000), share(2, 858_291)],
            millis: 2_100,
            resumed: 0,
        }),
        in_file: true,
    }
}

pub fn with_content(size: (u16, u16)) -> Model {
    let (mut model, generation, _) = opening(size);
    let text = "# Parser\n\nParses configuration files,\nand says *in words* what is wrong.\n\n- \
                quick\n- small\n\n```sh\nparser --check  config.toml\n```\n";
    for message in [
        EffectResult::Held {
            generation,
            result: Box::new(Ok(Some(held()))),
        },
        EffectResult::Readme {
            generation,
            result: Ok(ReadmeText::of(text.as_bytes())),
        },
    ] {
        update::on_message(&mut model, message, NOW);
    }
    model
}

/// Opens a package whose latest release was extended after it was published, before and after all
/// its manifests were looked up.
fn that_grew(size: (u16, u16)) -> (Model, u64, Vec<Effect>) {
    let mut model = on_search(size);
    let effects = press_code(&mut model, KeyCode::Enter);
    let Some(Effect::GetPackage { generation, .. }) = effects.first() else {
        panic!("{effects:?}")
    };
    let mut package = with_readme();
    let version = package.latest.as_ref().unwrap().version.clone();
    let grow = |mut entry: ReleaseEntry| {
        let more = (entry.version == version).then(|| Hash::of(b"the second manifest"));
        entry.manifests.extend(more);
        entry
    };
    package.releases = package.releases.into_iter().map(grow).collect();
    let result = Box::new(Ok(package));
    let effects = update::on_message(
        &mut model,
        EffectResult::Package {
            generation: *generation,
            result,
        },
        NOW,
    );
    (model, *generation, effects)
}

pub fn grown(size: (u16, u16)) -> Model {
    let (mut model, generation, _) = that_grew(size);
    let mut release = release();
    let first = release.files[0].clone();
    release.files.push(ReleaseFile {
        file: File {
            name: "parser-1-2.1.0.zip".to_owned(),
            size: 812,
            ..first.file
        },
        manifest: Hash::of(b"the second manifest"),
        signed_at: NOW.before(seconds(7_200)),
        yanked: Some("made from another tree".to_owned()),
    });
    release.missing = 1;
    update::on_message(
        &mut model,
        EffectResult::Files {
            generation,
            result: Box::new(Ok(release)),
        },
        NOW,
    );
    model
}

#[test]
fn every_file_of_a_release_that_grew_is_shown() {
    let (model, generation, effects) = that_grew((120, 44));
    let package = model.search.hits.current().unwrap().package.clone();
    let asked = effects
        .iter()
        .any(|effect| matches!(effect, Effect::Files { generation: of, .. } if *of == generation));
    assert!(asked, "{package}: {effects:?}");
    assert!(picture(&model).contains("looking for files that were added later"));
    let text = picture(&grown((120, 44)));
    assert!(
        text.contains("parser-1-2.1.0.tar.zst") && text.contains("parser-1-2.1.0.zip"),
        "{text}"
    );
    assert!(
        text.contains("signed 2 h ago")
            && text.contains("made from another tree")
            && text.contains("1 of its manifests"),
        "{text}"
    );
}

/// Scrolls to the end of the readme.
pub fn at_readme(size: (u16, u16)) -> Model {
    let mut model = with_content(size);
    press(&mut model, "G");
    model
}

fn release() -> Release {
    with_readme().latest_release().unwrap()
}

#[test]
fn p_halts_a_fetch_and_lets_it_go_on() {
    for (n, order) in [
        (1, Order::Pause),
        (5, Order::Pause),
        (4, Order::Resume),
        (3, Order::Resume),
    ] {
        let mut model = on((80, 24), n);
        let effects = press(&mut model, "p");
        assert!(
            matches!(effects.as_slice(), [Effect::Direct { id, order: told, .. }] if id.root() == root(n) && *told == order),
            "{effects:?}"
        );
        let mut model = opened((80, 24), n);
        assert_eq!(press(&mut model, "p"), effects, "in its window as well");
    }
    for (n, said) in [
        (7, "only the other side"),
        (2, "is complete"),
        (6, "was cancelled"),
    ] {
        let mut model = on((80, 24), n);
        assert_eq!(press(&mut model, "p"), []);
        assert!(picture(&model).contains(said), "{said}");
    }
    let mut model = on((80, 24), 1);
    let told = |order, done| EffectResult::Directed {
        what: "alice/web 1.2.0".to_owned(),
        order,
        result: Box::new(Ok(done)),
    };
    update::on_message(&mut model, told(Order::Pause, true), NOW);
    assert!(picture(&model).contains("paused alice/web 1.2.0 (p: resume)"));
    update::on_message(&mut model, told(Order::Resume, false), NOW);
    assert!(picture(&model).contains("nothing to do"));
    assert_eq!(press(&mut full((80, 24)), "6px"), [], "where there is none");
}

#[test]
fn cancelling_names_what_it_throws_away_and_asks() {
    let mut model = asked_to_cancel((80, 24));
    let text = picture(&model);
    assert!(
        text.contains("Cancel the download of alice/web 1.2.0?") && text.contains("6.0 MiB of"),
        "{text}"
    );
    assert_eq!(press(&mut model, "n"), []);
    assert!(model.popups.is_empty());
    press(&mut model, "x");
    let effects = press(&mut model, "y");
    assert!(
        matches!(
            effects.as_slice(),
            [Effect::Direct {
                order: Order::Cancel,
                ..
            }]
        ),
        "{effects:?}"
    );
    for (n, said) in [
        (7, "only the other side"),
        (2, "has ended"),
        (6, "has ended"),
    ] {
        let mut model = on((80, 24), n);
        press(&mut model, "x");
        assert!(
            model.popups.is_empty() && picture(&model).contains(said),
            "{said}"
        );
    }
}

#[test]
fn an_opened_transfer_goes_on_before_the_eyes() {
    let mut model = opened((120, 40), 1);
    assert!(picture(&model).contains("6.0 MiB so far"));
    tell(
        &mut model,
        vec![Transfer {
            done: 9 * MIB,
            ..running(1)
        }],
    );
    assert!(picture(&model).contains("9.0 MiB so far"));
    tell(&mut model, vec![finished(1)]);
    let text = picture(&model);
    assert!(
        text.contains("hash verified: BLAKE3 of all 12928590 bytes") && text.contains("LIED"),
        "{text}"
    );
}

#[test]
fn a_copy_with_its_readme_is_one_row() {
    let mut model = on((120, 40), 0);
    let what = "copy of alice/web 1.2.0";
    let copy = |n, beside, state| Transfer {
        for_others: true,
        beside,
        ..fetch(n, what, state, 0)
    };
    let rows = |model: &Model| {
        model
            .transfers
            .table
            .all()
            .filter(|one| one.what == what)
            .count()
    };
    tell(
        &mut model,
        vec![
            copy(20, false, TransferState::Running),
            copy(21, true, TransferState::Running),
        ],
    );
    assert_eq!(rows(&model), 1);
    tell(
        &mut model,
        vec![copy(
            21,
            true,
            TransferState::Failed("nobody has it".to_owned()),
        )],
    );
    assert_eq!(rows(&model), 2, "what is missing is said");
}

#[test]
fn filters_know_the_words_of_transfers() {
    for (words, rows) in [
        ("state:running", 2),
        ("state:running dir:fetch", 1),
        ("rate:>1000000", 2),
        ("dir:serve", 1),
        ("progress:>=100", 1),
        ("lied", 1),
    ] {
        let mut model = on_transfers((160, 50));
        press(&mut model, "/");
        press(&mut model, words);
        assert_eq!(model.transfers.table.rows().len(), rows, "{words}");
    }
    let mut model = on_transfers((160, 50));
    press(&mut model, "w");
    let effects = press_code(&mut model, KeyCode::Enter);
    let [Effect::Export { sheet, .. }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(sheet.rows.len(), 7);
    assert!(
        sheet.columns.contains(&"rate_bytes_s".to_owned()),
        "{:?}",
        sheet.columns
    );
}

#[test]
fn d_fetches_what_is_selected_and_tells_its_end_once() {
    let mut model = on_search((80, 24));
    press_code(&mut model, KeyCode::Esc);
    press(&mut model, "j");
    let effects = press(&mut model, "d");
    let [
        Effect::Download {
            package, version, ..
        },
    ] = effects.as_slice()
    else {
        panic!("{effects:?}")
    };
    assert_eq!(
        (package.clone(), version.to_string()),
        (package_id(2, "parser-2"), "2.1.0".to_owned())
    );
    assert!(picture(&model).contains("/parser-2 2.1.0…"));

    let found = |missing| {
        EffectResult::Download(Download::Found {
            release: Box::new(release()),
            missing,
            looks_like: None,
        })
    };
    assert_eq!(
        update::on_message(&mut model, found(vec![Wanted::of(&release())]), NOW),
        [],
        "it is fetched by key, and pins nothing"
    );
    let named = Wanted::of(&release()).what;
    assert!(
        named.ends_with(&format!("({}) 2.1.0", publisher(1).fingerprint())),
        "{named}"
    );
    assert!(picture(&model).contains("downloading team-1/parser-1"));

    let wanted = Wanted::of(&release());
    let id = TransferId::Fetch {
        root: wanted.content.root,
    };
    let done = Transfer {
        id,
        what: wanted.what,
        ..finished(1)
    };
    tell(&mut model, vec![done.clone()]);
    let text = picture(&model);
    assert!(
        text.contains("downloaded and verified, although 1 peer LIED, team-1/parser-1 ("),
        "{text}"
    );
    let later = NOW.after(seconds(60));
    update::on_tick(&mut model, later);
    model.apply(
        Batch {
            transfers: vec![done],
            events: 1,
            ..Batch::default()
        },
        later,
    );
    assert!(
        model.notices.shown().is_none(),
        "a node that is new here tells everything again"
    );
    assert_eq!(update::on_message(&mut model, found(Vec::new()), NOW), []);
    assert!(picture(&model).contains("team-1/parser-1"));

    press(&mut model, "3");
    let effects = press(&mut model, "d");
    let shown = model.feed.current().unwrap();
    assert!(
        matches!(effects.as_slice(), [Effect::Download { version, .. }] if *version == shown.version),
        "that release: {effects:?}"
    );
}

#[test]
fn a_fetch_that_was_seen_running_tells_its_end_on_every_screen() {
    let mut model = full((160, 50));
    tell(&mut model, several());
    assert!(
        model.notices.shown().is_none(),
        "what ended before is no news"
    );
    model.dirty = false;
    tell(&mut model, vec![running(1)]);
    assert!(!model.dirty, "nothing of it is to be seen here");
    let why = "the disk is full".to_owned();
    tell(
        &mut model,
        vec![fetch(1, "alice/web 1.2.0", TransferState::Failed(why), MIB)],
    );
    assert!(
        model.dirty
            && picture(&model)
                .contains("cannot download alice/web 1.2.0 (details: 6): the disk is full")
    );
    let mut model = full((160, 50));
    let served = several().pop().unwrap();
    tell(&mut model, vec![served.clone()]);
    tell(
        &mut model,
        vec![Transfer {
            state: TransferState::Done,
            ended_at: Some(NOW),
            ..served
        }],
    );
    assert!(
        model.notices.shown().is_none(),
        "what others fetched is theirs to know"
    );
}

#[test]
fn an_opened_package_says_whether_its_content_is_here() {
    let (mut model, generation, effects) = opening((120, 44));
    let manifest = with_readme().latest.unwrap();
    let root = manifest.content().root;
    assert!(
        effects.contains(&Effect::Held { generation, root }),
        "{effects:?}"
    );
    let readme = effects.iter().find_map(|effect| match effect {
        Effect::Readme { wanted, .. } => Some(wanted.clone()),
        _ => None,
    });
    assert_eq!(
        readme.map(|wanted| (Some(wanted.content), wanted.beside)),
        Some((manifest.readme, Some(root)))
    );
    assert!(picture(&model).contains("downloading…"));

    update::on_message(
        &mut model,
        EffectResult::Held {
            generation,
            result: Box::new(Ok(None)),
        },
        NOW,
    );
    let why = "nobody has it".to_owned();
    update::on_message(
        &mut model,
        EffectResult::Readme {
            generation,
            result: Err(why),
        },
        NOW,
    );
    press(&mut model, "G");
    assert!(picture(&model).contains("nobody has it (R: retry)"));
    press(&mut model, "g");
    assert!(picture(&model).contains("no (d: download)"));
    assert!(matches!(
        press(&mut model, "d").as_slice(),
        [Effect::Download { .. }]
    ));
    let id = TransferId::Fetch { root };
    tell(&mut model, vec![Transfer { id, ..running(1) }]);
    assert!(picture(&model).contains("downloading: 48 %"));
    tell(&mut model, vec![Transfer { id, ..finished(1) }]);
    assert!(picture(&model).contains("yes, verified"));
    let Some(view) = model.window::<PackageWindow>() else {
        panic!()
    };
    assert!(
        matches!(view.content, ContentState::Here(None))
            && matches!(view.readme, ReadmeState::Failed(_))
    );
    let beside = Transfer {
        id: TransferId::Fetch {
            root: self::root(99),
        },
        ..running(1)
    };
    tell(&mut model, vec![beside.clone()]);
    tell(
        &mut model,
        vec![Transfer {
            state: TransferState::Done,
            ..beside
        }],
    );
    assert!(
        !picture(&model).contains("readme of"),
        "no word of a readme"
    );
}

#[test]
fn quitting_asks_only_where_a_fetch_would_be_interrupted() {
    let mut attached = full((80, 24));
    tell(&mut attached, vec![running(1)]);
    press(&mut attached, "q");
    assert!(attached.quit, "the node goes on without it");
    let mut own = full((80, 24));
    own.ends_node = true;
    tell(&mut own, vec![running(1), running(2)]);
    press(&mut own, "q");
    assert!(
        !own.quit && picture(&own).contains("alice/web 1.2.0 and 1 more are being downloaded.")
    );
    press(&mut own, "n");
    tell(
        &mut own,
        vec![
            finished(1),
            fetch(2, "alice/web 1.2.0", TransferState::Paused, MIB),
        ],
    );
    own.node = Some(node(0));
    press(&mut own, "q");
    assert!(own.quit);
}
