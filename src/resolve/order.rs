//! Orders releases for installation, dependencies first.

use std::collections::{BTreeMap, BTreeSet};

/// Returns every key of `needs` once, dependencies first, ties by key. Packages that need each
/// other are adjacent, by key, after everything else that they need. Values that are no keys are
/// ignored.
///
/// Nothing recurses, because a long published chain must not overflow the stack.
pub(super) fn dependencies_first<K: Ord + Clone>(needs: &BTreeMap<K, Vec<K>>) -> Vec<K> {
    let circles = circles(needs);
    let circle_of: BTreeMap<&K, usize> = circles
        .iter()
        .enumerate()
        .flat_map(|(circle, keys)| keys.iter().map(move |key| (*key, circle)))
        .collect();
    let mut waits: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); circles.len()];
    let mut holds_up: Vec<Vec<usize>> = vec![Vec::new(); circles.len()];
    for (key, needed) in needs {
        for (of, on) in needed
            .iter()
            .filter_map(|needed| circle_of.get(key).zip(circle_of.get(needed)))
        {
            if of != on
                && let (Some(waits), Some(holds_up)) = (waits.get_mut(*of), holds_up.get_mut(*on))
                && waits.insert(*on)
            {
                holds_up.push(*of);
            }
        }
    }
    let first_of = |circle: usize| circles.get(circle).and_then(|keys| keys.first().copied());
    let mut ready: BTreeSet<_> = waits
        .iter()
        .enumerate()
        .filter(|(_, waits)| waits.is_empty())
        .map(|(circle, _)| (first_of(circle), circle))
        .collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some((_, circle)) = ready.pop_first() {
        order.extend(
            circles
                .get(circle)
                .into_iter()
                .flatten()
                .map(|key| (*key).clone()),
        );
        for &next in holds_up.get(circle).into_iter().flatten() {
            if let Some(waits) = waits.get_mut(next)
                && waits.remove(&circle)
                && waits.is_empty()
            {
                ready.insert((first_of(next), next));
            }
        }
    }
    order
}

/// Returns the strongly connected components by Kosaraju's algorithm, each sorted.
fn circles<K: Ord>(needs: &BTreeMap<K, Vec<K>>) -> Vec<Vec<&K>> {
    let mut needed_by: BTreeMap<&K, Vec<&K>> = BTreeMap::new();
    for (key, needed) in needs {
        for needed in needed.iter().filter(|needed| needs.contains_key(needed)) {
            needed_by.entry(needed).or_default().push(key);
        }
    }
    let mut finished = Vec::with_capacity(needs.len());
    let mut seen = BTreeSet::new();
    for start in needs.keys() {
        let mut path = vec![(start, false)];
        while let Some((key, done)) = path.pop() {
            if done {
                finished.push(key);
            } else if seen.insert(key) {
                path.push((key, true));
                path.extend(
                    needs
                        .get_key_value(key)
                        .into_iter()
                        .flat_map(|(_, needed)| {
                            needed
                                .iter()
                                .filter_map(|needed| needs.get_key_value(needed))
                                .map(|(needed, _)| (needed, false))
                        }),
                );
            }
        }
    }
    let mut circles = Vec::new();
    let mut placed = BTreeSet::new();
    for &start in finished.iter().rev() {
        let mut circle = Vec::new();
        let mut open = vec![start];
        while let Some(key) = open.pop() {
            if placed.insert(key) {
                circle.push(key);
                open.extend(needed_by.get(key).into_iter().flatten().copied());
            }
        }
        if !circle.is_empty() {
            circle.sort_unstable();
            circles.push(circle);
        }
    }
    circles
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(needs: &[(u8, &[u8])]) -> Vec<u8> {
        dependencies_first(
            &needs
                .iter()
                .map(|(key, needs)| (*key, needs.to_vec()))
                .collect(),
        )
    }

    #[test]
    fn what_is_needed_comes_first_and_a_circle_together() {
        assert_eq!(
            order(&[(1, &[3, 2]), (2, &[4]), (3, &[4]), (4, &[])]),
            [4, 2, 3, 1]
        );
        assert_eq!(
            order(&[(1, &[2]), (2, &[3]), (3, &[2, 9]), (9, &[])]),
            [9, 2, 3, 1],
            "9 is needed by the circle"
        );
        assert_eq!(order(&[(1, &[1, 7])]), [1], "itself, and what is not there");
        assert_eq!(order(&[(2, &[]), (1, &[])]), [1, 2]);
    }

    proptest! {
        #[test]
        fn every_key_once_and_only_circles_look_ahead(edges in prop::collection::vec((0u8..9, 0u8..9), 0..20)) {
            let mut needs: BTreeMap<u8, Vec<u8>> = (0..9).map(|key| (key, Vec::new())).collect();
            edges.iter().for_each(|(from, to)| needs.get_mut(from).unwrap().push(*to));
            let order = dependencies_first(&needs);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..9).collect::<Vec<_>>());
            let reaches = |from: u8, to: u8| {
                let (mut seen, mut open) = (BTreeSet::new(), needs[&from].clone());
                while let Some(key) = open.pop() {
                    if seen.insert(key) {
                        open.extend(&needs[&key]);
                    }
                }
                seen.contains(&to)
            };
            let at = |key: u8| order.iter().position(|other| *other == key).unwrap();
            for (from, to) in edges {
                prop_assert!(at(to) <= at(from) || reaches(to, from), "{} needs {}", from, to);
            }
        }
    }
}
