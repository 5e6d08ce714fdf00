use super::*;
use proptest::prelude::*;

fn entry(version: &str, manifest: u8, yanked: bool) -> ReleaseEntry {
    let yanked = yanked.then(String::new);
    ReleaseEntry {
        yanked,
        ..ReleaseEntry::new(version.parse().unwrap(), Hash([manifest; 32]))
    }
}

#[test]
fn the_highest_live_release_is_resolved() {
    let list = [
        entry("1.0.0", 1, false),
        entry("1.2.0", 2, true),
        entry("1.1.0", 3, false),
        entry("2.0.0-rc.1", 4, false),
    ];
    let pick = |req: Option<&str>| {
        let req = req.map(|text| Ecosystem::Cargo.requirement(text).unwrap());
        resolve(&Ecosystem::Cargo, &list, req.as_ref()).map(|release| release.version.to_string())
    };
    assert_eq!(pick(None).as_deref(), Some("1.1.0"));
    assert_eq!(pick(Some("^1")).as_deref(), Some("1.1.0"));
    assert_eq!(
        pick(Some("=1.2.0")).as_deref(),
        Some("1.2.0"),
        "a lock file may name a yanked release"
    );
    assert_eq!(pick(Some("^1.2")), None);
    assert_eq!(pick(Some("2.0.0-rc.1")).as_deref(), Some("2.0.0-rc.1"));
    assert_eq!(
        resolve(&Ecosystem::Cargo, &[entry("0.1.0-a", 1, false)], None)
            .map(|r| r.version.to_string())
            .as_deref(),
        Some("0.1.0-a")
    );
}

#[test]
fn a_post_release_is_later_than_the_next_candidate() {
    let list = [entry("1.0.0.post1", 1, false), entry("1.0.1rc1", 2, false)];
    let latest = resolve(&Ecosystem::Pypi, &list, None).unwrap();
    assert_eq!(latest.version.as_str(), "1.0.0.post1");
}

#[test]
fn a_changed_hash_is_a_conflict_and_a_new_version_is_not() {
    let known = [entry("1.0.0", 1, false)];
    let offered = [entry("1.0.0", 9, false), entry("1.1.0", 2, false)];
    let found = conflicts(&Ecosystem::Cargo, &known, &offered);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].kept, found[0].offered),
        (Hash([1; 32]), Hash([9; 32]))
    );
    assert_eq!(
        conflicts(&Ecosystem::Pypi, &known, &offered),
        [],
        "where releases grow it is an addition"
    );
    let gone = removed(&Ecosystem::Pypi, &known, &offered);
    assert_eq!(gone, [("1.0.0".parse().unwrap(), Hash([1; 32]))]);
}

#[test]
fn every_field_of_an_entry_is_bounded() {
    let good = || entry("1.0.0", 1, true);
    let of = |entry: ReleaseEntry| entry.check(&Ecosystem::Pypi);
    let files = |count: usize| {
        (0..count)
            .map(|n| YankedFile {
                name: format!("{n}.whl"),
                why: String::new(),
            })
            .collect()
    };
    assert_eq!(of(good()), Ok(()));
    assert_eq!(
        of(ReleaseEntry {
            yanked: Some("x".repeat(MAX_REASON)),
            ..good()
        }),
        Ok(())
    );
    assert_eq!(
        of(ReleaseEntry {
            yanked: Some("x".repeat(MAX_REASON + 1)),
            ..good()
        }),
        Err("reason")
    );
    assert_eq!(
        of(ReleaseEntry {
            deprecated: Some("a\u{1b}[2J".to_owned()),
            ..good()
        }),
        Err("reason")
    );
    assert_eq!(
        of(ReleaseEntry {
            deprecated: Some("two\nlines".to_owned()),
            ..good()
        }),
        Ok(())
    );
    assert_eq!(
        of(ReleaseEntry {
            yanked_files: files(MAX_YANKED_FILES),
            ..good()
        }),
        Ok(())
    );
    assert_eq!(
        of(ReleaseEntry {
            yanked_files: files(MAX_YANKED_FILES + 1),
            ..good()
        }),
        Err("yanked files")
    );
    assert_eq!(
        of(ReleaseEntry {
            yanked_files: vec![YankedFile {
                name: "../x".to_owned(),
                why: String::new()
            }],
            ..good()
        }),
        Err("yanked files")
    );
    let long = (0..9)
        .map(|n| YankedFile {
            name: format!("{n}.whl"),
            why: "x".repeat(MAX_REASON),
        })
        .collect();
    assert_eq!(
        of(ReleaseEntry {
            yanked_files: long,
            ..good()
        }),
        Err("state")
    );
    assert_eq!(
        of(ReleaseEntry {
            manifests: vec![],
            ..good()
        }),
        Err("manifests")
    );
    assert_eq!(
        of(ReleaseEntry {
            manifests: vec![],
            older: true,
            ..good()
        }),
        Ok(())
    );
    let two = ReleaseEntry {
        manifests: vec![Hash([1; 32]), Hash([2; 32])],
        ..good()
    };
    assert_eq!(two.check(&Ecosystem::Pypi), Ok(()));
    assert_eq!(two.check(&Ecosystem::Cargo), Err("manifests"));
}

fn entries(releases: Vec<ReleaseEntry>) -> HeadEntries {
    HeadEntries {
        recent: releases.clone(),
        all: releases,
    }
}

proptest! {
    #[test]
    fn joining_loses_no_version(a in prop::collection::vec(0u64..30, 0..20), b in prop::collection::vec(0u64..30, 0..20)) {
        let list = |minors: &[u64]| {
            let mut minors = minors.to_vec();
            minors.sort_unstable();
            minors.dedup();
            minors.iter().map(|m| entry(&format!("1.{m}.0"), *m as u8, false)).collect::<Vec<_>>()
        };
        let (a, b) = (list(&a), list(&b));
        let mut joined = entries(a.clone());
        joined.join(&Ecosystem::Cargo, &b);
        prop_assert!(a.iter().chain(&b).all(|entry| joined.all.contains(entry)));
        prop_assert_eq!(&joined.all[..a.len()], &a[..]);
        prop_assert_eq!(&joined.all, &joined.recent);
        let mut again = joined.clone();
        again.join(&Ecosystem::Cargo, &b);
        prop_assert_eq!(again, joined);
    }

    /// Entries spread over any records merge to the same as one list.
    #[test]
    fn records_come_to_what_one_list_says(
        steps in prop::collection::vec((0u8..6, 0u8..9, any::<bool>()), 1..40),
        cuts in prop::collection::vec(any::<bool>(), 40),
    ) {
        let ecosystem = Ecosystem::Pypi;
        let (mut state, mut pages) = (HeadEntries::default(), Vec::<Vec<ReleaseEntry>>::new());
        let mut model: Vec<(String, Vec<Hash>, Option<String>)> = Vec::new();
        for ((minor, manifest, yank), cut) in steps.into_iter().zip(cuts) {
            let text = format!("1.{minor}");
            let (version, hash) = (text.parse().unwrap(), Hash([minor * 16 + manifest; 32]));
            let at = model.iter().position(|(known, ..)| *known == text);
            match at {
                Some(at) if yank => model[at].2 = Some("bad".to_owned()),
                Some(at) if !model[at].1.contains(&hash) => model[at].1.push(hash),
                Some(_) => {}
                None => model.push((text, vec![hash], None)),
            }
            match at {
                Some(_) if yank => prop_assert!(state.change(&ecosystem, &version, |entry| entry.yanked = Some("bad".to_owned()))),
                _ => state.add(&ecosystem, &version, hash),
            }
            if cut {
                pages.push(std::mem::take(&mut state.recent));
            }
        }
        state.keep_latest(&ecosystem);
        let all = gather(&ecosystem, pages.iter().chain([&state.recent]).map(Vec::as_slice));
        let said: Vec<_> = all.iter().map(|one| (one.version.to_string(), one.manifests.clone(), one.yanked.clone())).collect();
        prop_assert_eq!(&said, &model);
        prop_assert_eq!(&all, &state.all);
        prop_assert!(all.iter().all(|entry| !entry.older));
        if let Some(latest) = resolve(&ecosystem, &all, None) {
            let listed = find(&ecosystem, &state.recent, &latest.version);
            prop_assert!(listed.is_some_and(|entry| entry.first().is_some()), "the head lists the \
                latest");
        }
    }
}
