//! Tests of keys and clicks.

use std::collections::BTreeSet;

use super::*;

#[test]
fn typing_is_text_and_browsing_is_commands() {
    let mut model = full((80, 24));
    assert!(
        press(&mut model, "4")
            .iter()
            .any(|effect| matches!(effect, Effect::Search { .. }))
    );
    assert!(model.typing(), "there is nothing else to do there at first");
    let effects = press(&mut model, "q1?");
    assert!(!model.quit && model.popups.is_empty() && model.screen == Screen::Search);
    assert_eq!(model.search.input.value(), "q1?");
    assert_eq!(effects.len(), 3, "a search at every key");
    press_code(&mut model, KeyCode::Esc);
    assert_eq!(
        (model.typing(), model.search.input.value()),
        (false, "q1?"),
        "Esc keeps the text"
    );
    press(&mut model, "/");
    update::on_key(
        &mut model,
        Chord {
            code: KeyCode::Char('u'),
            ctrl: true,
            alt: false,
        },
        NOW,
    );
    assert_eq!((model.typing(), model.search.input.value()), (true, ""));
    update::on_key(
        &mut model,
        Chord {
            code: KeyCode::Char('3'),
            ctrl: false,
            alt: true,
        },
        NOW,
    );
    assert_eq!(model.screen, Screen::Feed, "Alt-digit works from anywhere");
    press(&mut model, "q");
    assert!(model.quit);
}

#[test]
fn pasted_text_is_one_harmless_line() {
    let mut model = full((80, 24));
    press(&mut model, "4");
    update::on_paste(&mut model, "web\nserver\u{1b}[31m", NOW);
    assert_eq!(model.search.input.value(), "web server [31m");
}

#[test]
fn the_selection_stays_on_its_peer_while_rows_move() {
    let mut model = full((80, 24));
    press(&mut model, "jj");
    let selected = model.peers.selection.selected.unwrap();
    let mut best = peer(1);
    best.score.total = 0.99;
    let later = NOW.after(Duration::from_secs(1));
    model.apply(
        Batch {
            peers: vec![best.clone()],
            events: 1,
            ..Batch::default()
        },
        later,
    );
    update::on_tick(&mut model, NOW.after(Duration::from_secs(30)));
    assert_ne!(
        model.peers.rows().first(),
        Some(&best.id),
        "not while the cursor is on a row"
    );
    press(&mut model, "31");
    assert_eq!(model.peers.rows().first(), Some(&best.id), "entering sorts");
    assert_eq!(model.peers.selection.selected, Some(selected));
    // On the first row, the list is in order again after a moment.
    press(&mut model, "g");
    best.score.total = 0.0;
    let batch = Batch {
        peers: vec![best.clone()],
        events: 1,
        ..Batch::default()
    };
    model.apply(batch, NOW.after(Duration::from_secs(31)));
    assert_eq!(
        model.peers.rows().first(),
        Some(&best.id),
        "within two seconds of a key"
    );
    update::on_tick(&mut model, NOW.after(Duration::from_secs(34)));
    assert_ne!(model.peers.rows().first(), Some(&best.id));
}

#[test]
fn a_key_acts_on_the_row_that_was_seen() {
    let mut model = full((120, 36));
    press(&mut model, "3");
    let top = model.feed.current().unwrap().package.clone();
    // Another one comes a moment before the key.
    let one = |n: u8| Batch {
        announcements: vec![announced(n, 1)],
        events: 1,
        ..Batch::default()
    };
    model.apply(one(7), NOW.after(Duration::from_millis(100)));
    let at = NOW.after(Duration::from_millis(300));
    let chord = |c| Chord {
        code: KeyCode::Char(c),
        ctrl: false,
        alt: false,
    };
    let fetched = |effects: Vec<Effect>| match effects.as_slice() {
        [Effect::Download { package, .. }] => package.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(fetched(update::on_key(&mut model, chord('d'), at)), top);
    model.apply(one(8), NOW.after(Duration::from_secs(1)));
    let later = NOW.after(Duration::from_secs(2));
    assert_eq!(fetched(update::on_key(&mut model, chord('d'), later)), top);
    assert!(
        picture(&model).contains("1 newer ↑ (g)"),
        "{}",
        picture(&model)
    );
    press(&mut model, "g");
    assert_eq!(
        model.feed.current().unwrap().package,
        announced(8, 1).package
    );
    assert!(!picture(&model).contains("newer ↑"), "{}", picture(&model));
}

#[test]
fn a_letter_sorts_by_the_column_whose_head_shows_it() {
    let mut model = full((120, 36));
    let alt = |model: &mut Model, c| {
        let chord = Chord {
            code: KeyCode::Char(c),
            ctrl: false,
            alt: true,
        };
        update::on_key(model, chord, NOW);
    };
    assert!(picture(&model).contains("Round trip"));
    alt(&mut model, 'r');
    assert_eq!(
        (model.peers.sort, model.peers.reversed),
        (Some("rtt"), false)
    );
    assert!(
        picture(&model).contains("Round tr…▲"),
        "{}",
        picture(&model)
    );
    alt(&mut model, 'r');
    assert_eq!(
        (model.peers.sort, model.peers.reversed),
        (Some("rtt"), true)
    );
    alt(&mut model, 'z');
    assert_eq!(model.peers.sort, Some("rtt"), "no head has that letter");
    for (_, columns) in crate::ui::model::TABLES {
        let letters = crate::ui::table::column::letters(columns);
        let each: BTreeSet<char> = letters.iter().copied().flatten().collect();
        assert_eq!(
            each.len(),
            letters.iter().flatten().count(),
            "no letter twice"
        );
        for (column, letter) in columns.iter().zip(letters) {
            let taken = column
                .title
                .chars()
                .all(|c| !c.is_ascii_lowercase() || each.contains(&c));
            assert!(
                letter.is_some() || column.picture || taken,
                "{}",
                column.key
            );
        }
    }
}

#[test]
fn keys_act_on_the_marks_and_the_question_names_them() {
    let mut model = full((120, 36));
    press(&mut model, "  j");
    let marked: BTreeSet<PeerId> = model.peers.marked.iter().copied().collect();
    assert!(!marked.contains(&model.peers.current().unwrap().id));
    press(&mut model, "b");
    let text = picture(&model);
    assert!(text.contains("Ban 2 peers, team-7 ("), "{text}");
    let effects = press(&mut model, "y");
    let banned: BTreeSet<PeerId> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Peer { id, .. } => Some(*id),
            _ => None,
        })
        .collect();
    assert_eq!(banned, marked);
    assert_eq!(press(&mut model, "p").len(), 2);
    press(&mut model, "3  d");
    assert!(
        picture(&model).contains("downloading 2 packages"),
        "{}",
        picture(&model)
    );
    assert_eq!(press(&mut model, "t"), []);
    assert!(model.popups.is_empty(), "trust is for one at a time");
    assert!(
        picture(&model).contains("one at a time"),
        "{}",
        picture(&model)
    );
}

#[test]
fn a_watcher_is_offered_no_change_and_told_why() {
    for readonly in [true, false] {
        let mut model = full((120, 36));
        model.readonly = readonly;
        if !readonly {
            let why = "no answer".to_owned();
            let lost = EffectResult::Link(crate::control::Link::Lost { why });
            update::on_message(&mut model, lost, NOW);
        }
        let text = picture(&model);
        let footer = text.lines().last().unwrap();
        assert!(
            !footer.contains(" ban") && footer.contains(" sort"),
            "{footer}"
        );
        assert_eq!(press(&mut model, "bp"), []);
        assert!(model.popups.is_empty());
        let said = picture(&model);
        let why = if readonly {
            "--readonly"
        } else {
            "does not answer"
        };
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn a_screen_always_begins_in_the_same_mode_and_digits_lead_on_from_an_empty_search() {
    let mut model = full((120, 36));
    press(&mut model, "4567");
    assert_eq!(model.screen, Screen::Lookups);
    press(&mut model, "4");
    assert!(model.typing());
    press_code(&mut model, KeyCode::Esc);
    press(&mut model, "14");
    assert!(model.typing(), "again in the field");
    press(&mut model, "t5");
    assert_eq!(
        (model.screen, model.search.input.value()),
        (Screen::Search, "t5")
    );
    press_ctrl(&mut model, 'u');
    press(&mut model, " 7");
    assert_eq!(model.search.input.value(), " 7", "a space makes it text");
    press_ctrl(&mut model, 'u');
    press(&mut model, "1/x");
    press(&mut model, "");
    assert!(model.typing());
    update::on_key(
        &mut model,
        Chord {
            code: KeyCode::Char('3'),
            ctrl: false,
            alt: true,
        },
        NOW,
    );
    press(&mut model, "1");
    assert!(!model.typing());
}

#[test]
fn quitting_says_what_ends_with_the_node_that_serves() {
    let mut model = full((120, 36));
    model.ends_node = true;
    press(&mut model, "q");
    let text = picture(&model);
    assert!(
        !model.quit && text.contains("quitting ends it: 6 peers"),
        "{text}"
    );
    press(&mut model, "y");
    assert!(model.quit);
    let mut alone = full((120, 36));
    alone.ends_node = true;
    alone.node = Some(node(0));
    press(&mut alone, "q");
    assert!(alone.quit, "nobody is served");
    let mut attached = full((120, 36));
    press(&mut attached, "q");
    assert!(attached.quit, "the node goes on");
}

#[test]
fn refused_has_one_count_and_a_way_to_its_lines() {
    let mut model = full((120, 36));
    assert!(picture(&model).contains("2 refused (r)"));
    let line = |number, target: &str| LogLine {
        number,
        at: NOW,
        level: LogLevel::Info,
        target: target.to_owned(),
        text: format!("line {number}"),
    };
    let lines = vec![
        line(0, "swarmdex::net"),
        line(1, crate::bus::REFUSED),
        line(2, "swarmdex::net"),
    ];
    model.logs.put(lines, NOW);
    press(&mut model, "r");
    assert_eq!(model.screen, Screen::Logs);
    assert_eq!(model.logs.table.rows(), [1]);
}

#[test]
fn every_column_can_be_sorted_by_and_turned_round() {
    let mut model = full((160, 50));
    for _ in 0..<PeerSnapshot as TableEntry>::COLUMNS.len() {
        press(&mut model, "s");
        let before = model.peers.rows().to_vec();
        assert_eq!(before.len(), 8);
        press(&mut model, "SS");
        assert_eq!(model.peers.rows(), before, "twice round is as before");
    }
}

#[test]
fn a_frozen_feed_waits_and_is_bounded() {
    let mut model = full((80, 24));
    press(&mut model, "3f");
    let shown = model.feed.rows().to_vec();
    let many = (0..3_000).map(|seq| announced(7, seq)).collect();
    model.apply(
        Batch {
            announcements: many,
            events: 3_000,
            ..Batch::default()
        },
        NOW,
    );
    assert_eq!(
        (
            model.feed.rows().to_vec(),
            model.feed.waiting(),
            model.feed.lost
        ),
        (shown, <ReceivedAnnouncement as TableEntry>::MOST, 2_000)
    );
    press(&mut model, "f");
    assert_eq!(
        model.feed.rows().to_vec().len(),
        <ReceivedAnnouncement as TableEntry>::MOST
    );
    assert_eq!(
        model.feed.rows().to_vec().first().unwrap().1,
        2_999,
        "newest first"
    );
}

#[test]
fn only_t_pins_a_handle_and_asks_with_the_fingerprint() {
    let mut model = on_search((80, 24));
    press_code(&mut model, KeyCode::Esc);
    let effects = press_code(&mut model, KeyCode::Enter);
    let Some(Effect::GetPackage { generation, .. }) = effects.first() else {
        panic!("{effects:?}")
    };
    let found = |trust| Box::new(Ok(Package { trust, ..package() }));
    let looked = EffectResult::Package {
        generation: *generation,
        result: found(Trust::Unknown),
    };
    let effects = update::on_message(&mut model, looked, NOW);
    assert!(
        !effects
            .iter()
            .any(|effect| matches!(effect, Effect::Trust { .. })),
        "looking pins nothing: {effects:?}"
    );
    assert!(picture(&model).contains(&format!("team-1/parser-1 ({})", publisher(1).fingerprint())));
    assert_eq!(press(&mut model, "t"), [], "it asks first");
    assert!(picture(&model).contains(&publisher(1).fingerprint()));
    let effects = press(&mut model, "y");
    let [
        Effect::Trust {
            publisher: key,
            handle: Some(handle),
            what,
        },
    ] = effects.as_slice()
    else {
        panic!("{effects:?}")
    };
    assert_eq!((*key, handle.as_str()), (publisher(1), "team-1"));
    let said = EffectResult::Trust {
        what: what.clone(),
        publisher: *key,
        handle: Some(handle.clone()),
        trust: Trust::Pinned,
        result: Box::new(Ok(())),
    };
    let effects = update::on_message(&mut model, said, NOW);
    let [Effect::Conflicts, Effect::GetPackage { generation, .. }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    let looked = EffectResult::Package {
        generation: *generation,
        result: found(Trust::Pinned),
    };
    update::on_message(&mut model, looked, NOW);
    assert!(
        !picture(&model).contains(&format!("({})", publisher(1).fingerprint())),
        "its handle says enough now"
    );
    press(&mut model, "t");
    assert!(picture(&model).contains("is pinned already"));
}

#[test]
fn t_pins_the_publisher_of_the_row_and_the_lists_say_so() {
    let mut model = on_search((80, 24));
    press_code(&mut model, KeyCode::Esc);
    press(&mut model, "jjt");
    let effects = press(&mut model, "y");
    let [
        Effect::Trust {
            publisher: key,
            handle: Some(handle),
            what,
        },
    ] = effects.as_slice()
    else {
        panic!("{effects:?}")
    };
    assert!(
        picture(&model).contains(&key.fingerprint()),
        "an unpinned handle is shown with its key's fingerprint"
    );
    let said = EffectResult::Trust {
        what: what.clone(),
        publisher: *key,
        handle: Some(handle.clone()),
        trust: Trust::Pinned,
        result: Box::new(Ok(())),
    };
    assert_eq!(
        update::on_message(&mut model, said, NOW),
        [Effect::Conflicts]
    );
    assert_eq!(model.search.hits.current().unwrap().trust, Trust::Pinned);
}

#[test]
fn a_failure_is_shown_with_its_remedy_and_tried_again() {
    let mut model = on_search((80, 24));
    let effects = press_code(&mut model, KeyCode::Enter);
    let Some(Effect::GetPackage { generation, .. }) = effects.first() else {
        panic!("{effects:?}")
    };
    let result = Box::new(Err(RegistryError::Closed));
    update::on_message(
        &mut model,
        EffectResult::Package {
            generation: *generation,
            result,
        },
        NOW,
    );
    assert!(matches!(
        model.window::<PackageWindow>().unwrap().state,
        PackageState::Failed(_)
    ));
    assert!(picture(&model).contains("start it again"));
    assert!(matches!(
        press(&mut model, "R").as_slice(),
        [Effect::GetPackage { .. }]
    ));
}

/// Every action must have a visible effect.
#[test]
fn tables_mark_copy_export_and_choose_columns() {
    let mut model = full((160, 50));
    press(&mut model, " ");
    press(&mut model, "j ");
    assert_eq!(model.peers.marked.len(), 2);
    let effects = press(&mut model, "y");
    assert!(
        matches!(effects.as_slice(), [Effect::Copy { things: 2, text }] if text.lines().count() == 2)
    );
    press(&mut model, "w");
    assert!(model.typing() && picture(&model).contains("Export 2 rows"));
    press_ctrl(&mut model, 'u');
    press(&mut model, "/tmp/peers.json");
    let effects = press_code(&mut model, KeyCode::Enter);
    let [Effect::Export { path, sheet }] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!((path.as_str(), sheet.rows.len()), ("/tmp/peers.json", 2));
    assert!(
        sheet.columns.contains(&"rtt_ms".to_owned()),
        "{:?}",
        sheet.columns
    );
    let exported = |model: &mut Model, result| {
        let path = "/tmp/peers.json".to_owned();
        update::on_message(model, EffectResult::Exported { path, result }, NOW);
    };
    exported(
        &mut model,
        Err("/tmp/peers.json is there already; choose another name".to_owned()),
    );
    let text = picture(&model);
    assert!(
        text.contains("! /tmp/peers.json is there already") && text.contains("Export 2 rows"),
        "the name stays: {text}"
    );
    exported(&mut model, Ok(2));
    assert!(model.popups.is_empty() && picture(&model).contains("wrote 2 rows to /tmp/peers.json"));
    assert!(picture(&model).contains("2 marked"), "a note hides nothing");
    press_code(&mut model, KeyCode::Esc);
    assert!(model.peers.marked.is_empty());

    press(&mut model, "cjj ");
    let effects = press(&mut model, ">");
    let [
        Effect::SaveColumns {
            table: "peers",
            words,
        },
    ] = effects.as_slice()
    else {
        panic!("{effects:?}")
    };
    assert_eq!(words[..4], ["state", "peer", "rtt", "-handle"]);
    press(&mut model, "+");
    press_code(&mut model, KeyCode::Esc);
    assert!(
        !picture(&model).contains("team-1"),
        "the handles are hidden"
    );
}

#[test]
fn every_screen_s_table_freezes_with_a_banner() {
    for (key, screen) in [
        ("1", Screen::Peers),
        ("3", Screen::Feed),
        ("4", Screen::Search),
        ("6", Screen::Transfers),
        ("7", Screen::Lookups),
        ("8", Screen::Health),
        ("9", Screen::Conflicts),
    ] {
        let mut model = full((100, 30));
        press(&mut model, key);
        press_code(&mut model, KeyCode::Esc);
        press(&mut model, "f");
        let waiting = Batch {
            peers: vec![peer(11)],
            announcements: vec![announced(11, 1)],
            health: Some(sample()),
            events: 3,
            ..Batch::default()
        };
        model.apply(waiting, NOW);
        update::on_tick(&mut model, NOW.after(seconds(30)));
        assert!(picture(&model).contains("FROZEN"), "{screen:?}");
        press(&mut model, "f");
        assert!(!picture(&model).contains("FROZEN"), "{screen:?}");
    }
}

#[test]
fn a_filter_understands_columns_and_says_what_it_does_not() {
    let mut model = full((160, 50));
    press(&mut model, "/score:>0.5 -tokyo");
    let scores: Vec<f64> = model
        .peers
        .rows()
        .iter()
        .map(|id| model.peers.get(id).unwrap().score.total)
        .collect();
    assert!(
        !scores.is_empty() && scores.iter().all(|score| *score > 0.5),
        "{scores:?}"
    );
    press_ctrl(&mut model, 'u');
    press(&mut model, "speed:>3");
    assert!(picture(&model).contains("there is no column speed"));
    assert_eq!(
        model.peers.rows().len(),
        8,
        "what makes no sense hides nothing"
    );
}

#[test]
fn the_palette_does_what_a_key_would() {
    let mut model = full((100, 30));
    press(&mut model, ":feed");
    press_code(&mut model, KeyCode::Enter);
    assert_eq!((model.screen, model.popups.len()), (Screen::Feed, 0));
    press(&mut model, ":");
    assert_eq!(press(&mut model, "q?1"), [], "letters are text there");
    press_code(&mut model, KeyCode::Esc);
    assert!(model.popups.is_empty() && !model.quit);
    press(&mut model, ":theme");
    assert_eq!(press_code(&mut model, KeyCode::Enter), [Effect::Theme]);
}

#[test]
fn own_keys_take_the_place_of_the_others() {
    let mut model = full((100, 30));
    let own = [("quit".to_owned(), vec!["Q".to_owned()])].into();
    model.keymap = crate::ui::keymap::Keymap::new(&own).unwrap();
    press(&mut model, "q");
    assert!(!model.quit);
    assert!(
        picture(&model).contains("Q quit"),
        "the footer has them too"
    );
    press(&mut model, "Q");
    assert!(model.quit);
}

#[test]
fn the_mouse_points_at_what_is_drawn() {
    let mut model = full((120, 40));
    click(&mut model, 2, 4);
    assert_eq!(
        model.peers.current().map(|peer| peer.id),
        Some(model.peers.rows()[0])
    );
    click(&mut model, 2, 6);
    assert_eq!(model.peers.selection.selected, Some(model.peers.rows()[2]));
    click(&mut model, 2, 6);
    assert!(
        model.window::<PeerWindow>().is_some(),
        "the same row again opens it"
    );
    click(&mut model, 1, 30);
    assert!(model.popups.is_empty(), "outside the window closes it");
    let head = picture(&model)
        .lines()
        .nth(3)
        .unwrap()
        .find("pAckages")
        .unwrap() as u16;
    click(&mut model, head, 3);
    assert_eq!(
        (model.peers.sort, model.peers.reversed),
        (Some("packages"), false)
    );
    click(&mut model, head, 3);
    assert!(model.peers.reversed);
    press(&mut model, "g");
    mouse(&mut model, MouseEventKind::ScrollDown, 5, 10);
    assert_eq!(
        model.peers.selection.index(model.peers.rows()),
        Some(3),
        "three rows further"
    );
    let tab = picture(&model)
        .lines()
        .nth(2)
        .unwrap()
        .find("8 Health")
        .unwrap() as u16;
    click(&mut model, tab, 2);
    assert_eq!(model.screen, Screen::Health);
    assert_eq!(press(&mut model, "M"), [Effect::Mouse(false)]);
    assert!(!model.mouse);
}

#[test]
fn logs_are_shown_from_a_level_on_and_opened_in_a_pager() {
    let mut model = full((120, 40));
    press(&mut model, "0");
    assert_eq!(press(&mut model, "o"), [], "there is none yet");
    model.logs.path = Some("/var/log/swarmdex.log".into());
    assert_eq!(
        press(&mut model, "o"),
        [Effect::Pager("/var/log/swarmdex.log".into())]
    );
    let line = |number, level| LogLine {
        number,
        at: NOW,
        level,
        target: "swarmdex".to_owned(),
        text: format!("n{number}"),
    };
    model.logs.put(
        (0..4)
            .map(|n| line(n, LogLevel::ALL[n as usize + 1]))
            .collect(),
        NOW,
    );
    update::settle(&mut model);
    assert_eq!(model.logs.table.rows(), [3, 2, 1, 0], "newest first");
    press(&mut model, "lll");
    assert_eq!(model.logs.table.rows(), [3, 2], "from warn on");
    model
        .logs
        .put(vec![line(4, LogLevel::Info), line(5, LogLevel::Error)], NOW);
    update::settle(&mut model);
    assert_eq!(model.logs.table.rows(), [5, 3, 2]);
    press(&mut model, "ll");
    assert_eq!(model.logs.table.rows().len(), 6);
    let mut model = full((120, 40));
    press(&mut model, "0");
    let many = (0..5_000).map(|n| line(n, LogLevel::Info)).collect();
    model.logs.put(many, NOW);
    update::settle(&mut model);
    assert_eq!(model.logs.table.len(), <LogLine as TableEntry>::MOST);
}

#[test]
fn keys_of_every_place_do_something_or_nothing_but_never_break() {
    let keys = "?:q13456800[]jkgGned xployscfwRTMAF<>+-/S ynabc";
    let codes = [
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Tab,
        KeyCode::BackTab,
        KeyCode::Up,
        KeyCode::PageDown,
        KeyCode::F(1),
    ];
    let mut seed = 7u64;
    for size in [(40, 12), (120, 40)] {
        let mut model = publish::with_packages(size);
        for step in 0..6_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (seed >> 33) as usize;
            match at % 5 {
                0 => drop(press_code(&mut model, codes[at / 5 % codes.len()])),
                1 => drop(click(
                    &mut model,
                    (at / 5 % 130) as u16,
                    (at / 700 % 45) as u16,
                )),
                2 => drop(press_ctrl(
                    &mut model,
                    ['s', 'o', 'u', 'w', 'd', 'r', 'f'][at / 5 % 7],
                )),
                _ => drop(press(&mut model, &keys[at / 5 % keys.len()..][..1])),
            }
            model.quit = false;
            if at % 50 == 49 {
                // Resize in a storm as well.
                update::on_resize(
                    &mut model,
                    ((1 + at / 50 % 250) as u16, (1 + at / 13_000 % 80) as u16),
                );
            }
            if step % 20 == 0 {
                picture(&model);
            }
        }
    }
}
