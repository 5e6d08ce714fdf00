//! Tests of the search: its screen, and the effect of keys and clicks on the text.

use ratatui::style::Modifier;

use super::*;
use crate::{
    domain::query::Facet,
    registry::{FacetCount, Facets, Hit, SearchUpdate},
    ui::model::recent::RecentSearches,
};

pub fn hit(n: u8, source: Source) -> Hit {
    Hit {
        package: package_id(n, &format!("parser-{n}")),
        handle: (n != 2).then(|| format!("team-{n}").parse().unwrap()),
        trust: if n == 1 {
            Trust::Pinned
        } else {
            Trust::Unknown
        },
        version: "2.1.0".parse().unwrap(),
        summary: "Parses configuration files".to_owned(),
        categories: vec!["parsing".to_owned(), "config".to_owned()],
        tags: vec![],
        license: Some("MIT OR Apache-2.0".to_owned()),
        ecosystem: "generic".to_owned(),
        dependents: if n == 3 { 0 } else { u64::from(n) * 1_007 },
        providers: u64::from(n),
        yanked: n == 4,
        deprecated: n == 5,
        looks_like: None,
        signed_at: NOW.before(Duration::from_secs(4_000 * u64::from(n))),
        source,
        score: 1.0 / f64::from(n),
    }
}

pub fn hits(hits: Vec<Hit>, coverage: Coverage) -> SearchUpdate {
    SearchUpdate::Hits {
        total: hits.len() as u64,
        hits,
        coverage,
        instead: None,
    }
}

/// Answers the search with a package of each key, under these handles.
pub fn answer_hits(model: &mut Model, owners: &[(u8, crate::domain::name::Handle)]) {
    let found = owners.iter().map(|(n, handle)| Hit {
        handle: Some(handle.clone()),
        trust: Trust::Unknown,
        ..hit(*n, Source::Local)
    });
    let found = found.collect();
    answer(model, hits(found, Coverage::default()));
    answer(model, done(0));
    update::settle(model);
}

fn done(answered: usize) -> SearchUpdate {
    let coverage = Coverage {
        asked: 5,
        answered,
        share: Some(0.987),
    };
    SearchUpdate::Done {
        coverage,
        elapsed: Duration::from_millis(90),
        truncated: false,
    }
}

fn facets() -> SearchUpdate {
    let count = |facet, value: &str, shown: &str, packages| FacetCount {
        facet,
        value: value.to_owned(),
        shown: shown.to_owned(),
        packages,
    };
    let mut counts = vec![
        count(Facet::Category, "parsing", "parsing", 1_204),
        count(Facet::Category, "command line", "command line", 310),
        count(Facet::Category, "web", "web", 12),
    ];
    counts.extend(
        (1..=8).map(|n| count(Facet::Tag, &format!("tag-{n}"), &format!("tag-{n}"), 90 / n)),
    );
    counts.extend([
        count(Facet::License, "mit", "MIT", 1_100),
        count(Facet::License, "apache-2.0", "Apache-2.0", 900),
        count(Facet::Ecosystem, "cargo", "cargo", 1_300),
        count(Facet::Publisher, &publisher(1).to_string(), "team-1", 40),
    ]);
    SearchUpdate::Facets {
        facets: Facets {
            total: 1_312,
            counts,
            sampled: true,
        },
    }
}

fn answer(model: &mut Model, update: SearchUpdate) -> Vec<Effect> {
    let (generation, after) = (model.search.generation, Duration::from_micros(1_700));
    update::on_message(
        model,
        EffectResult::Search {
            generation,
            update,
            after,
        },
        model.now,
    )
}

/// Returns the model after `text` was typed and before any answer.
fn typed(size: (u16, u16), text: &str) -> Model {
    let mut model = full(size);
    let node = NodeSnapshot {
        packages: 63_666,
        ..node(6)
    };
    model.apply(
        Batch {
            node: Some(node),
            events: 1,
            ..Batch::default()
        },
        NOW,
    );
    press(&mut model, "4");
    press(&mut model, text);
    model
}

fn answered(size: (u16, u16), text: &str) -> Model {
    let mut model = typed(size, text);
    let local = SearchUpdate::Hits {
        hits: vec![hit(2, Source::Local), hit(1, Source::Local)],
        coverage: Coverage::default(),
        total: 1_312,
        instead: None,
    };
    answer(&mut model, local);
    answer(&mut model, facets());
    model
}

/// Returns a search while peers are answering.
pub fn on_search(size: (u16, u16)) -> Model {
    let mut model = answered(size, "par");
    let theirs = SearchUpdate::Hits {
        hits: vec![
            hit(3, Source::Peer(peer_id(3))),
            hit(4, Source::Dht),
            hit(5, Source::Local),
        ],
        coverage: Coverage {
            asked: 5,
            answered: 3,
            share: Some(0.98),
        },
        total: 1_314,
        instead: None,
    };
    answer(&mut model, theirs);
    model
}

pub fn blank(size: (u16, u16)) -> Model {
    let mut model = answered(size, "");
    answer(&mut model, done(4));
    model
}

pub fn alone(size: (u16, u16)) -> Model {
    let mut model = model(size);
    model.apply(
        Batch {
            node: Some(NodeSnapshot {
                packages: 0,
                ..node(0)
            }),
            events: 1,
            ..Batch::default()
        },
        NOW,
    );
    press(&mut model, "4");
    answer(&mut model, hits(vec![], Coverage::default()));
    let ended = SearchUpdate::Done {
        coverage: Coverage::default(),
        elapsed: Duration::ZERO,
        truncated: false,
    };
    answer(&mut model, ended);
    model
}

pub fn nothing(size: (u16, u16)) -> Model {
    let mut model = typed(size, "tag:cli glockenspiel");
    answer(&mut model, hits(vec![], Coverage::default()));
    answer(
        &mut model,
        SearchUpdate::Facets {
            facets: Facets::default(),
        },
    );
    answer(&mut model, done(5));
    model
}

pub fn mistaken(size: (u16, u16)) -> Model {
    answered(size, "par colour:red tag: ")
}

pub fn instead(size: (u16, u16)) -> Model {
    let mut model = typed(size, "prasers");
    let update = SearchUpdate::Hits {
        hits: vec![hit(1, Source::Local)],
        coverage: Coverage::default(),
        total: 1,
        instead: Some("parses".to_owned()),
    };
    answer(&mut model, update);
    answer(&mut model, done(1));
    model
}

/// Returns a search with one category chosen and the next one selected.
pub fn in_facets(size: (u16, u16)) -> Model {
    let mut model = answered(size, "par");
    press_ctrl(&mut model, 'f');
    press(&mut model, " j");
    model
}

pub fn in_recent(size: (u16, u16)) -> Model {
    let mut model = on_search(size);
    let made = [
        "web server",
        "category:web \"exact words\" -java",
        "parser",
        "license:MIT json",
        "tag:cli",
    ];
    model.search.recent = RecentSearches::from_texts(made.map(str::to_owned));
    press_ctrl(&mut model, 'r');
    press(&mut model, "ser");
    model
}

fn names(model: &Model) -> Vec<&str> {
    model
        .search
        .hits
        .rows()
        .iter()
        .map(|id| id.name.as_str())
        .collect()
}

#[test]
fn answers_to_an_earlier_text_are_not_shown() {
    let mut model = on_search((80, 24));
    let old = model.search.generation;
    press(&mut model, "s");
    assert_eq!(names(&model).len(), 5, "nothing blinks");
    let update = hits(vec![hit(9, Source::Local)], Coverage::default());
    update::on_message(
        &mut model,
        EffectResult::Search {
            generation: old,
            update,
            after: Duration::ZERO,
        },
        NOW,
    );
    assert!(
        model
            .search
            .hits
            .all()
            .all(|hit| hit.package != package_id(9, "parser-9"))
    );
    assert_eq!(
        press_code(&mut model, KeyCode::Enter),
        [],
        "nor is opened what the text before had found"
    );
    answer(
        &mut model,
        hits(vec![hit(7, Source::Local)], Coverage::default()),
    );
    assert_eq!(names(&model), ["parser-7"]);
    assert!(matches!(
        press_code(&mut model, KeyCode::Enter).first(),
        Some(Effect::GetPackage { .. })
    ));
}

#[test]
fn the_best_come_first_and_do_not_move_under_a_hand() {
    let mut model = answered((120, 40), "par");
    assert_eq!(names(&model), ["parser-1", "parser-2"]);
    press_code(&mut model, KeyCode::Down);
    let mut best = hit(9, Source::Peer(peer_id(3)));
    best.score = 1.5;
    answer(&mut model, hits(vec![best], Coverage::default()));
    update::on_tick(&mut model, NOW.after(seconds(1)));
    assert_eq!(names(&model), ["parser-1", "parser-2", "parser-9"]);
    update::on_tick(&mut model, NOW.after(seconds(30)));
    assert_eq!(names(&model), ["parser-1", "parser-2", "parser-9"]);
    assert!(
        picture(&model).contains("1 more at the end"),
        "{}",
        picture(&model)
    );
    press_code(&mut model, KeyCode::Tab);
    press(&mut model, "34");
    assert_eq!(names(&model), ["parser-9", "parser-1", "parser-2"]);
    assert_eq!(
        model.search.hits.current().unwrap().package,
        package_id(2, "parser-2"),
        "the selection is where it was"
    );
}

#[test]
fn without_words_the_newest_come_first_unless_another_order_was_chosen() {
    let mut model = answered((120, 40), "");
    assert!(picture(&model).contains("newest first"));
    press(&mut model, "tag:x");
    assert_eq!(
        model.search.hits.sort,
        Some("signed"),
        "a filter is no word"
    );
    press(&mut model, " par");
    assert_eq!(model.search.hits.sort, Some("match"));
    press_code(&mut model, KeyCode::Esc);
    press(&mut model, "s");
    let chosen = model.search.hits.sort;
    press(&mut model, "/");
    press_ctrl(&mut model, 'u');
    assert_eq!(model.search.hits.sort, chosen);
}

#[test]
fn what_was_found_is_marked_in_name_and_text() {
    for selected in [0, 1] {
        let model = answered((100, 24), "\"parses configuration\" par");
        let mut surface = Memory::new(model.size);
        surface
            .draw(|frame| screen::draw(frame, &model, crate::ui::theme::Theme::plain()))
            .unwrap();
        let buffer = surface.0.backend().buffer().clone();
        let row = 5 + selected;
        let marked: String = (0..100)
            .filter_map(|x| buffer.cell((x, row)))
            .filter(|cell| {
                cell.modifier
                    .contains(Modifier::BOLD | Modifier::UNDERLINED)
            })
            .map(|cell| cell.symbol())
            .collect();
        // Marks end where the column does.
        assert_eq!(marked, "parParses configuratio", "row {row}");
    }
}

#[test]
fn toggling_twice_restores_the_text() {
    for size in [(80, 24), (140, 40)] {
        let mut model = answered(size, "par");
        press_code(&mut model, KeyCode::Esc);
        press(&mut model, "F");
        assert!(model.popups.len() == 1 && !model.typing());
        let once = press(&mut model, "j ");
        assert_eq!(model.search.input.value(), "category:\"command line\" par");
        assert!(
            matches!(once.as_slice(), [Effect::Search { text, .. }] if text == model.search.input.value())
        );
        assert!(
            picture(&model).contains("● command line"),
            "{}",
            picture(&model)
        );
        press_code(&mut model, KeyCode::Enter);
        assert_eq!(model.search.input.value(), "par");
        press_code(&mut model, KeyCode::Esc);
        assert!(model.popups.is_empty() && !model.typing());
    }
}

#[test]
fn facets_are_clicked_where_they_are_shown() {
    let mut model = answered((120, 40), "par");
    let text = picture(&model);
    let row = text
        .lines()
        .position(|line| line.contains("Apache-2.0  "))
        .unwrap() as u16;
    click(&mut model, 100, row);
    assert_eq!(model.search.input.value(), "license:apache-2.0 par");
    assert!(
        model.typing() && model.popups.is_empty(),
        "the field keeps the keys"
    );
    press_ctrl(&mut model, 'f');
    let text = picture(&model);
    let row = text
        .lines()
        .position(|line| line.contains("● Apache-2.0"))
        .unwrap() as u16;
    click(&mut model, 100, row);
    assert_eq!(model.search.input.value(), "par");
    click(&mut model, 5, 20);
    assert!(model.popups.is_empty() && model.typing());
}

#[test]
fn a_filter_that_does_not_fit_into_the_field_is_not_added() {
    let mut model = answered((120, 40), &"x".repeat(195));
    press_ctrl(&mut model, 'f');
    assert_eq!(press(&mut model, " "), []);
    assert!(
        model.search.input.value().len() == 195 && picture(&model).contains("at most 200 bytes")
    );
}

#[test]
fn recent_searches_are_noted_kept_and_taken() {
    let mut model = full((80, 24));
    let kept = |effects: &[Effect]| {
        effects.iter().find_map(|effect| match effect {
            Effect::SaveSearches(texts) => Some(texts.clone()),
            _ => None,
        })
    };
    assert_eq!(
        kept(&press(&mut model, "4par")),
        None,
        "no prefix of what is typed"
    );
    let noted = update::on_tick(&mut model, NOW.after(seconds(1)));
    assert_eq!(kept(&noted).unwrap(), ["par"], "left alone for a second");
    assert_eq!(update::on_tick(&mut model, NOW.after(seconds(2))), []);
    press(&mut model, "ser");
    let noted = press_code(&mut model, KeyCode::Esc);
    assert_eq!(kept(&noted).unwrap(), ["parser"], "the beginning gave way");
    press(&mut model, "/");
    press_ctrl(&mut model, 'u');
    press(&mut model, "json");
    answer(
        &mut model,
        hits(vec![hit(1, Source::Local)], Coverage::default()),
    );
    let opened = press_code(&mut model, KeyCode::Enter);
    assert_eq!(kept(&opened).unwrap(), ["json", "parser"]);

    press_code(&mut model, KeyCode::Esc);
    press_ctrl(&mut model, 'r');
    assert_eq!(press(&mut model, "q?ars"), [], "letters are text there");
    assert!(picture(&model).contains("No matching search."));
    press_ctrl(&mut model, 'u');
    press(&mut model, "pars");
    assert!(
        matches!(press_code(&mut model, KeyCode::Enter).as_slice(), [Effect::Search { text, .. }] if text == "parser")
    );
    assert!(model.popups.is_empty() && model.typing());
    press_ctrl(&mut model, 'r');
    press_code(&mut model, KeyCode::Down);
    press_code(&mut model, KeyCode::Esc);
    assert_eq!(model.search.input.value(), "parser", "Esc changes nothing");
    press_ctrl(&mut model, 'r');
    let row = picture(&model)
        .lines()
        .position(|line| line.contains("│ json"))
        .unwrap() as u16;
    click(&mut model, 20, row);
    assert_eq!(model.search.input.value(), "json");
}

#[test]
fn a_mistake_is_marked_and_the_rest_is_searched() {
    let mut model = typed((80, 24), "par colour:red");
    assert!(
        picture(&model).contains("    ^^^^^^^^^^"),
        "{}",
        picture(&model)
    );
    answer(
        &mut model,
        hits(vec![hit(1, Source::Local)], Coverage::default()),
    );
    assert_eq!(names(&model), ["parser-1"]);
    let click_on = picture(&model)
        .lines()
        .position(|line| line.contains("parser-1"))
        .unwrap() as u16;
    click(&mut model, 3, click_on);
    assert!(!model.typing(), "rows are where they are drawn");
}

#[test]
fn it_is_said_what_was_searched_for_instead() {
    let model = instead((80, 24));
    assert!(picture(&model).contains("no results for \"prasers\"; showing \"parses\""));
    let mut model = typed((80, 24), "pars configuration");
    let update = SearchUpdate::Hits {
        hits: vec![hit(1, Source::Local)],
        coverage: Coverage::default(),
        total: 2,
        instead: Some("parses configuration".to_owned()),
    };
    press(&mut model, " ");
    answer(&mut model, update.clone());
    assert!(picture(&model).contains("no results for \"pars configuration\""));
    press_ctrl(&mut model, 'u');
    press(&mut model, "parser configuration");
    answer(&mut model, update.clone());
    assert!(
        picture(&model).contains("few results for \"parser configuration\""),
        "its name has the one, its text the other"
    );
}

#[test]
fn a_notice_does_not_hide_the_figures() {
    let mut model = blank((80, 24));
    press(&mut model, "par");
    let notice = Notice {
        at: NOW,
        level: Level::Info,
        text: "something came".to_owned(),
    };
    model.apply(
        Batch {
            notices: vec![notice],
            events: 1,
            ..Batch::default()
        },
        NOW,
    );
    let text = picture(&model);
    assert!(text.contains("note: something came"), "{text}");
    assert!(
        text.contains("search: par") && text.contains("63,666 packages · local 1.7 ms"),
        "{text}"
    );
    press(&mut model, &"x".repeat(60));
    assert!(
        !picture(&model).contains("packages · local"),
        "what is typed needs its place"
    );
}

#[test]
fn the_list_moves_while_one_types() {
    let mut model = on_search((80, 24));
    press_code(&mut model, KeyCode::Down);
    press_code(&mut model, KeyCode::Down);
    press_code(&mut model, KeyCode::Up);
    assert!(model.typing());
    assert_eq!(
        model.search.hits.current().unwrap().package,
        package_id(2, "parser-2")
    );
    press_code(&mut model, KeyCode::Esc);
    assert_eq!((model.typing(), model.search.input.value()), (false, "par"));
}

#[test]
fn an_age_that_is_shown_costs_a_frame_only_when_it_reads_differently() {
    let mut model = on_search((80, 24));
    update::on_tick(&mut model, NOW.after(seconds(5)));
    model.dirty = false;
    update::on_tick(&mut model, NOW.after(seconds(6)));
    assert!(!model.dirty);
    update::on_tick(&mut model, NOW.after(seconds(90)));
    assert!(model.dirty);
}

#[test]
fn hostile_labels_stay_in_their_cells() {
    let mut model = typed((140, 40), "x");
    let mut evil = hit(1, Source::Local);
    let text = "\u{1b}[2J\u{202e}日本語\r\n".repeat(50);
    (evil.summary, evil.categories, evil.license, evil.ecosystem) = (
        text.clone(),
        vec![text.clone()],
        Some(text.clone()),
        text.clone(),
    );
    answer(&mut model, hits(vec![evil], Coverage::default()));
    let count = FacetCount {
        facet: Facet::Tag,
        value: text.clone(),
        shown: text.clone(),
        packages: 3,
    };
    answer(
        &mut model,
        SearchUpdate::Facets {
            facets: Facets {
                total: 1,
                counts: vec![count],
                sampled: false,
            },
        },
    );
    press_ctrl(&mut model, 'f');
    press(&mut model, " ");
    let shown = picture(&model);
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'));
    assert!(
        !model
            .search
            .input
            .value()
            .chars()
            .any(crate::domain::text::is_unsafe_char)
    );
}

#[test]
fn a_search_says_that_it_is_old_and_r_keeps_the_cursor() {
    let mut model = answered((120, 40), "");
    press_code(&mut model, KeyCode::Tab);
    press(&mut model, "j");
    let selected = model.search.hits.selection.selected.clone();
    assert!(!picture(&model).contains("newer"), "{}", picture(&model));
    let announcements = vec![announced(1, 9), announced(3, 9)];
    let batch = Batch {
        announcements,
        events: 2,
        ..Batch::default()
    };
    model.apply(batch, NOW);
    let text = picture(&model);
    assert!(text.contains("2 newer ↑ (R)"), "{text}");
    assert!(text.lines().last().unwrap().contains("R refresh"), "{text}");
    let effects = press(&mut model, "R");
    assert!(
        matches!(effects.as_slice(), [Effect::Search { .. }]),
        "{effects:?}"
    );
    assert_eq!(model.search.hits.selection.selected, selected);
    assert!(!picture(&model).contains("newer"));
    // Only what the words may find counts.
    let mut model = answered((120, 40), "database");
    let batch = Batch {
        announcements: vec![announced(1, 9)],
        events: 1,
        ..Batch::default()
    };
    model.apply(batch, NOW);
    assert!(!picture(&model).contains("newer"), "{}", picture(&model));
}
