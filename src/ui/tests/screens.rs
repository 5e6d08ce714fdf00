//! Snapshots of every screen and window, at every size, without colour and in ASCII.

use std::collections::BTreeSet;

use ratatui::style::Color;

use super::*;
use crate::control::{Link, Replay};
use crate::ui::{
    ascii,
    keymap::{KEYS, Keymap},
    popup::{Page, Window, help::HelpWindow},
    theme::Theme,
};

/// Opens a screen or window in a terminal of a given size.
type Build = fn((u16, u16)) -> Model;

fn starting(size: (u16, u16)) -> Model {
    Model::new("swarmdex".to_owned(), false, size, NOW)
}

fn alone(size: (u16, u16)) -> Model {
    let mut model = model(size);
    model.apply(
        Batch {
            node: Some(node(0)),
            events: 1,
            ..Batch::default()
        },
        NOW,
    );
    model
}

fn after(size: (u16, u16), keys: &str) -> Model {
    let mut model = full(size);
    press(&mut model, keys);
    model
}

fn peer_window(size: (u16, u16)) -> Model {
    let mut model = full(size);
    press_code(&mut model, KeyCode::Enter);
    model
}

fn notice(size: (u16, u16)) -> Model {
    let mut model = full(size);
    let text = "port 4807 cannot be used, so another one was taken".to_owned();
    let notices = vec![Notice {
        at: NOW,
        level: Level::Warning,
        text,
    }];
    model.apply(
        Batch {
            notices,
            dropped: 3,
            events: 1,
            ..Batch::default()
        },
        NOW,
    );
    model
}

fn frozen_feed(size: (u16, u16)) -> Model {
    let mut model = after(size, "3f");
    model.apply(
        Batch {
            announcements: vec![announced(9, 1)],
            events: 1,
            ..Batch::default()
        },
        NOW,
    );
    model
}

fn healthy(size: (u16, u16)) -> Model {
    let mut model = after(size, "8");
    for step in 0..20 {
        let sample = Sample {
            announced_a_minute: 40 + step,
            ..sample()
        };
        model.apply(
            Batch {
                health: Some(sample),
                events: 1,
                ..Batch::default()
            },
            NOW.after(seconds(step * 2)),
        );
    }
    model
}

/// Replays a session that was recorded on a node of a real demo, to its end.
fn recorded(size: (u16, u16), keys: &str) -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ui/tests/recordings/demo.jsonl");
    let batches = Replay::open(&path, 1.0).unwrap().batches().unwrap();
    let mut model = model(size);
    for (at, batch) in batches {
        model.apply(batch, at);
        update::settle(&mut model);
    }
    press(&mut model, keys);
    model
}

fn sick(size: (u16, u16)) -> Model {
    let mut model = healthy(size);
    let sample = Sample {
        announce_mesh: 0,
        lookups_failed: 30,
        ..sample()
    };
    model.apply(
        Batch {
            health: Some(sample),
            events: 1,
            ..Batch::default()
        },
        NOW.after(seconds(60)),
    );
    update::on_tick(&mut model, NOW.after(seconds(90)));
    model
}

fn measure(size: (u16, u16)) -> Model {
    let mut model = sick(size);
    press(&mut model, "jjj");
    press_code(&mut model, KeyCode::Enter);
    model
}

fn logs(size: (u16, u16)) -> Model {
    let mut model = after(size, "0");
    model.logs.path = Some("/var/log/swarmdex.log".into());
    let line = |number, level, text: &str| LogLine {
        number,
        at: NOW,
        level,
        target: "swarmdex::net::events".to_owned(),
        text: text.to_owned(),
    };
    let lines = vec![
        line(0, LogLevel::Info, "the node has started"),
        line(
            1,
            LogLevel::Warn,
            "the bootstrap peer cannot be reached; check that it runs",
        ),
        line(2, LogLevel::Error, "the disk is full"),
    ];
    model.logs.put(lines, NOW);
    update::settle(&mut model);
    model
}

const ALL: [(&str, Build); 70] = [
    ("starting", starting),
    ("alone", alone),
    ("peers", full),
    ("recorded_peers", |size| recorded(size, "")),
    ("recorded_feed", |size| recorded(size, "3")),
    ("recorded_health", |size| recorded(size, "8")),
    ("map", |size| map::on_map(size, "")),
    ("map_filtered", |size| map::on_map(size, "/place:sydney")),
    ("map_closer", |size| map::on_map(size, "z++")),
    ("map_of_nobody", map::of_nobody),
    ("map_alone", |size| {
        let mut model = alone(size);
        press(&mut model, "2");
        model
    }),
    ("recorded_map", |size| recorded(size, "2")),
    ("map_peer", |size| {
        let mut model = map::on_map(size, "n");
        press_code(&mut model, KeyCode::Enter);
        model
    }),
    ("peers_filtered", |size| after(size, "/tokyo score:>0.1")),
    ("peers_nonsense", |size| after(size, "/speed:>3")),
    ("peers_marked", |size| after(size, "  ")),
    ("peer", peer_window),
    ("peer_implausible", |size| {
        let mut model = after(size, "jjjj");
        press_code(&mut model, KeyCode::Enter);
        model
    }),
    ("help", |size| after(size, "?")),
    ("about", |size| after(size, "A")),
    ("columns", |size| after(size, "cjj +")),
    ("palette", |size| after(size, ":theme")),
    ("export", |size| after(size, "w")),
    ("notice", notice),
    ("feed", frozen_feed),
    ("search", on_search),
    ("search_blank", search::blank),
    ("search_alone", search::alone),
    ("search_nothing", search::nothing),
    ("search_mistake", search::mistaken),
    ("search_instead", search::instead),
    ("search_facets", search::in_facets),
    ("search_recent", search::in_recent),
    ("package", on_package),
    ("health", healthy),
    ("health_bad", sick),
    ("health_measure", measure),
    ("health_changes", |size| {
        let mut model = sick(size);
        press(&mut model, "v");
        model
    }),
    ("logs", logs),
    ("conflicts", conflicts::on_conflicts),
    ("conflicts_none", conflicts::none),
    ("conflict_changed", conflicts::opened_version),
    ("conflict_handle", conflicts::opened_handle),
    ("conflict_distrust", conflicts::asked_to_distrust),
    ("conflict_export", conflicts::exporting),
    ("publish", publish::with_packages),
    ("form", publish::filled_form),
    ("form_problems", publish::wrong_form),
    ("review", publish::in_review),
    ("published", publish::published),
    ("yank", publish::asked_to_yank),
    ("picker", publish::picking),
    ("transfers", transfers::on_transfers),
    ("transfers_none", |size| after(size, "6")),
    ("transfer_running", |size| transfers::opened(size, 1)),
    ("transfer_done", |size| transfers::opened(size, 2)),
    ("transfer_cancel", transfers::asked_to_cancel),
    ("clients", clients::on_clients),
    ("clients_none", |size| after(size, "6v")),
    ("client_run", |size| clients::opened(size, 1)),
    ("client_refused", |size| clients::opened(size, 5)),
    ("lookups", lookups::on_lookups),
    ("lookups_none", |size| after(size, "7")),
    ("lookup", |size| lookups::opened(size, 1)),
    ("lookup_running", |size| lookups::opened(size, 2)),
    ("lookup_bootstrap", |size| lookups::opened(size, 7)),
    ("buckets", lookups::buckets),
    ("package_here", transfers::with_content),
    ("package_readme", transfers::at_readme),
    ("package_grown", transfers::grown),
];

fn drawn(model: &Model, draw: impl Fn(&mut Frame<'_>, &Model)) -> ratatui::buffer::Buffer {
    let mut surface = Memory::new(model.size);
    surface.draw(|frame| draw(frame, model)).unwrap();
    surface.0.backend().buffer().clone()
}

fn text(buffer: &ratatui::buffer::Buffer) -> String {
    let mut backend = TestBackend::new(buffer.area.width, buffer.area.height);
    let cells = buffer.content.iter().enumerate().map(|(n, cell)| {
        let (x, y) = (n as u16 % buffer.area.width, n as u16 / buffer.area.width);
        (x, y, cell)
    });
    ratatui::backend::Backend::draw(&mut backend, cells).unwrap();
    backend.to_string()
}

#[test]
fn screens_look_as_they_should() {
    for (name, build) in ALL {
        for size in SIZES {
            let model = build(size);
            let shown = drawn(&model, |frame, model| look().draw(frame, model));
            // The clock is in the machine's own time zone.
            insta::with_settings!({
                omit_expression => true,
                prepend_module_to_snapshot => false,
                filters => [(r"\d{4}-\d\d-\d\d", "yyyy-mm-dd"), (r"\d\d:\d\d:\d\d", "hh:mm:ss"), (r"-\d{6}\.csv", "-hhmmss.csv")],
            }, {
                insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), text(&shown));
            });

            let plain = drawn(&model, |frame, model| {
                screen::draw(frame, model, Theme::plain())
            });
            let uncoloured =
                |cell: &ratatui::buffer::Cell| cell.fg == Color::Reset && cell.bg == Color::Reset;
            assert!(
                plain.content.iter().all(uncoloured),
                "{name} without colour has some"
            );
            assert_eq!(
                text(&plain),
                text(&shown),
                "{name} says the same without colour"
            );

            let mut model = build(size);
            model.ascii = true;
            let mut spelt = drawn(&model, |frame, model| {
                screen::draw(frame, model, Theme::plain())
            });
            ascii::spell(&mut spelt);
            let strange: Vec<&str> = spelt
                .content
                .iter()
                .map(|cell| cell.symbol())
                .filter(|c| !c.is_ascii())
                .collect();
            assert!(strange.is_empty(), "{name} in ASCII has {strange:?}");
        }
    }
}

#[test]
fn every_window_has_snapshots() {
    let windows = ALL
        .iter()
        .flat_map(|(_, build)| build((120, 36)).popups)
        .map(|popup| popup.window.type_name());
    let drawn: BTreeSet<String> = windows
        .filter_map(|name| name.rsplit("::").nth(1))
        .map(str::to_owned)
        .collect();
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ui/popup");
    let files = std::fs::read_dir(files).unwrap().map(|file| {
        let path = file.unwrap().path();
        path.file_stem().unwrap().to_str().unwrap().to_owned()
    });
    let files: BTreeSet<String> = files
        .filter(|file| file != "mod" && file != "page")
        .collect();
    assert_eq!(files, drawn);
}

#[test]
fn every_state_is_told_by_a_sign_too() {
    let bad = picture(&sick((160, 50)));
    assert!(
        bad.contains("✗ BAD") && bad.contains("What to do:"),
        "{bad}"
    );
    assert!(bad.contains("good → bad"), "the change is there: {bad}");
    let elsewhere = {
        let mut model = sick((160, 50));
        press(&mut model, "1");
        picture(&model)
    };
    assert!(
        elsewhere.contains("✗ bad"),
        "a change shows on every screen: {elsewhere}"
    );
}

#[test]
fn a_node_that_is_lost_is_said_and_its_last_picture_is_dim() {
    let mut model = full((80, 24));
    let dim = |model: &Model| {
        let mut surface = Memory::new(model.size);
        surface.draw(|frame| look().draw(frame, model)).unwrap();
        let buffer = surface.0.backend().buffer().clone();
        buffer
            .cell((2, 5))
            .unwrap()
            .modifier
            .contains(ratatui::style::Modifier::DIM)
    };
    assert!(!dim(&model));
    let lost = Link::Lost {
        why: "the node has ended".to_owned(),
    };
    update::on_message(&mut model, EffectResult::Link(lost), NOW);
    let text = picture(&model);
    assert!(
        text.contains("reconnecting… the node has ended") && text.contains("team-7"),
        "{text}"
    );
    assert!(dim(&model));
    update::on_tick(&mut model, NOW.after(seconds(12)));
    assert!(model.dirty, "the age is shown");
    let text = picture(&model);
    assert!(text.contains("showing data from 12 s ago"), "{text}");
    press(&mut model, "8");
    let text = picture(&model);
    assert!(text.contains("✗ BAD: the node does not answer"), "{text}");
    assert!(!text.contains("P re-announce"), "{text}");
    update::on_message(
        &mut model,
        EffectResult::Link(Link::Here),
        NOW.after(seconds(15)),
    );
    press(&mut model, "1");
    let back = NOW.after(seconds(15));
    update::on_message(&mut model, EffectResult::Link(Link::Here), back);
    assert!(!dim(&model));
    press(&mut model, "8v");
    let text = picture(&model);
    assert!(
        text.contains("bad: the node does not answer: the node has ended"),
        "{text}"
    );
    assert!(
        text.contains("the node answers again, after 15 s"),
        "{text}"
    );
}

#[test]
fn a_node_that_starts_is_not_good_yet() {
    let mut model = alone((80, 24));
    let sample = Sample {
        peers_in: 0,
        peers_out: 0,
        running_for: seconds(2),
        ..Sample::default()
    };
    let batch = Batch {
        health: Some(sample),
        events: 1,
        ..Batch::default()
    };
    model.apply(batch, NOW);
    assert!(
        picture(&model).contains("… starting · ○ alone"),
        "{}",
        picture(&model)
    );
    press(&mut model, "8");
    let text = picture(&model);
    assert!(text.contains("… STARTING: looking for peers"), "{text}");
    assert!(!text.contains("GOOD"), "{text}");
}

#[test]
fn below_the_least_size_there_is_one_sentence() {
    let text = picture(&full((30, 8)));
    assert!(text.contains("too small"), "{text}");
}

#[test]
fn nothing_breaks_at_any_size() {
    for width in [1, 2, 39, 40, 41, 63, 99, 100, 250] {
        for height in [1, 5, 12, 13, 16, 80] {
            for (_, build) in ALL {
                picture(&build((width, height)));
            }
        }
    }
}

#[test]
fn hostile_text_stays_in_its_cell() {
    let mut model = model((80, 24));
    let mut evil = announced(1, 1);
    evil.summary = "\u{1b}[2J\u{202e}日本語\r\n".repeat(2_000);
    let mut liar = peer(1);
    liar.agent = Some("日".repeat(5_000));
    model.apply(
        Batch {
            peers: vec![liar],
            announcements: vec![evil],
            events: 2,
            ..Batch::default()
        },
        NOW,
    );
    for keys in ["1", "3"] {
        press(&mut model, keys);
        let text = picture(&model);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
        assert_eq!(text.lines().count(), 24);
    }
}

#[test]
fn every_key_is_in_the_help() {
    let model = full((250, 80));
    let mut page = Page::new(240, Theme::plain());
    HelpWindow.lines(&model, &mut page);
    let help: Vec<String> = page.lines.iter().map(ToString::to_string).collect();
    for row in KEYS {
        let keys = model.keymap.labels(row);
        assert!(
            help.iter()
                .any(|line| line.starts_with(&keys) && line.contains(row.help)),
            "{keys}: {}",
            row.help
        );
    }
}

/// Returns a table in which every key is another one than by default.
fn rebound() -> Keymap {
    let keys = KEYS.iter().zip('一'..);
    let own = keys.map(|(row, c)| (row.id.to_owned(), vec![format!("Alt-{c}")]));
    Keymap::new(&own.collect()).unwrap()
}

/// Returns the parts of a text that name default keys: `Esc`, `d: download`, `press 5`, `6 shows`.
fn default_keys(text: &str) -> Vec<String> {
    const VERBS: [&str; 12] = [
        "shows", "clears", "resumes", "returns", "lists", "follows", "closes", "opens", "lets",
        "tries", "takes", "goes",
    ];
    // These keys are English words as well.
    const WORDS: [&str; 7] = ["Up", "Down", "Left", "Right", "Home", "End", "Delete"];
    let labels: Vec<String> = KEYS
        .iter()
        .flat_map(|row| row.keys)
        .map(|chord| chord.label())
        .filter(|label| !WORDS.contains(&label.as_str()))
        .collect();
    // A word that a window cuts off touches its frame, so that it is none.
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || "()\"".contains(c))
        .filter(|word| !word.is_empty())
        .collect();
    let is_key = |word: &str| labels.iter().any(|label| label == word);
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let bare = word.trim_end_matches([':', ',', '.', ';']);
        let before = at.checked_sub(1).and_then(|at| words.get(at)).copied();
        let after = words.get(at + 1).copied().unwrap_or_default();
        // A word of several letters is a key, but `Space` is a word as well; a figure is none.
        let is_named = bare.chars().count() > 1 && bare != "Space";
        let is_label = word.ends_with(':') && bare.chars().all(char::is_alphabetic);
        let is_hint = is_named
            || is_label
            || matches!(before, Some("press" | "Press"))
            || VERBS.contains(&after);
        if is_key(bare) && is_hint {
            found.push(format!("{} {word} {after}", before.unwrap_or_default()));
        }
    }
    found
}

#[test]
fn a_key_that_was_rebound_is_named_nowhere() {
    let hints = default_keys("│ Esc: back (d: download) press 5, 6 shows it; 3 peers, a day");
    assert_eq!(hints.len(), 4, "{hints:?}");
    for (name, build) in ALL {
        let mut model = build((160, 50));
        (model.keymap, model.notices) = (rebound(), Default::default());
        let text = picture(&model);
        assert_eq!(default_keys(&text), Vec::<String>::new(), "{name}: {text}");
    }
}

#[test]
fn messages_and_questions_name_rebound_keys() {
    const PLACES: [&str; 14] = [
        "peers",
        "map",
        "peer",
        "feed",
        "search",
        "package",
        "health",
        "logs",
        "conflicts",
        "conflict_handle",
        "publish",
        "transfers",
        "transfer_done",
        "lookups",
    ];
    for (name, build) in ALL.into_iter().filter(|(name, _)| PLACES.contains(name)) {
        let place = build((160, 50)).place();
        for row in KEYS.iter().filter(|row| row.on.holds(place)) {
            let mut model = build((160, 50));
            (model.keymap, model.notices) = (rebound(), Default::default());
            update::act(&mut model, row.action);
            let text = picture(&model);
            let found = default_keys(&text);
            assert_eq!(found, Vec::<String>::new(), "{name}, {}: {text}", row.id);
        }
    }
}
