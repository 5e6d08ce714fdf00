//! Finds the next point in a direction.

use super::view::Point;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toward {
    Left,
    Right,
    Up,
    Down,
}

impl Toward {
    /// Returns the distances along the direction and across it.
    fn along(self, (east, north): (f64, f64)) -> (f64, f64) {
        match self {
            Self::Left => (-east, north.abs()),
            Self::Right => (east, north.abs()),
            Self::Up => (north, east.abs()),
            Self::Down => (-north, east.abs()),
        }
    }
}

/// Returns the number of the nearest of `others` in a direction from `here`. Points within 45
/// degrees of the direction win over all others, up to 90 degrees off. East and west wrap around
/// the globe.
pub fn nearest(
    here: Point,
    toward: Toward,
    others: impl IntoIterator<Item = (usize, Point)>,
) -> Option<usize> {
    let mut best: Option<((bool, f64), usize)> = None;
    for (number, point) in others {
        let (ahead, aside) = toward.along(here.to(point));
        if ahead <= 0.0 {
            continue;
        }
        let cost = (aside > ahead, ahead.hypot(2.0 * aside));
        let is_better = best.is_none_or(|(least, _)| {
            cost.0
                .cmp(&least.0)
                .then(cost.1.total_cmp(&least.1))
                .is_lt()
        });
        if is_better {
            best = Some((cost, number));
        }
    }
    best.map(|(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const ALL: [Toward; 4] = [Toward::Left, Toward::Right, Toward::Up, Toward::Down];

    fn step(points: &[Point], here: usize, toward: Toward) -> Option<usize> {
        let others = points
            .iter()
            .copied()
            .enumerate()
            .filter(|(number, _)| *number != here);
        nearest(points[here], toward, others)
    }

    /// Returns all points that can be reached from `start`.
    fn reached(points: &[Point], start: usize) -> BTreeSet<usize> {
        let (mut seen, mut next) = (BTreeSet::from([start]), vec![start]);
        while let Some(here) = next.pop() {
            let steps = ALL
                .into_iter()
                .filter_map(|toward| step(points, here, toward));
            next.extend(steps.filter(|there| seen.insert(*there)));
        }
        seen
    }

    #[test]
    fn cities_are_next_to_one_another_as_on_a_map() {
        let cities = [
            (52.5, 13.4),
            (40.7, -74.0),
            (-33.9, 151.2),
            (35.7, 139.7),
            (-33.9, 18.4),
            (48.9, 2.4),
        ];
        let points = cities.map(|(north, east)| Point { north, east });
        let [berlin, new_york, sydney, tokyo, cape_town, paris] = [0, 1, 2, 3, 4, 5];
        assert_eq!(step(&points, berlin, Toward::Left), Some(paris));
        assert_eq!(step(&points, paris, Toward::Left), Some(new_york));
        assert_eq!(
            step(&points, berlin, Toward::Right),
            Some(tokyo),
            "Cape Town is below rather than to the right"
        );
        assert_eq!(step(&points, berlin, Toward::Down), Some(cape_town));
        assert_eq!(step(&points, tokyo, Toward::Down), Some(sydney));
        assert_eq!(
            step(&points, tokyo, Toward::Right),
            Some(new_york),
            "across the Pacific"
        );
        assert_eq!(step(&points, berlin, Toward::Up), None);
        for start in 0..points.len() {
            assert_eq!(reached(&points, start).len(), points.len(), "all from each");
        }
    }

    proptest! {
        #[test]
        fn there_is_a_way_from_each_place_and_back_into_the_rest(
            places in proptest::collection::btree_set((-60i32..75, -180i32..180), 2..40), start in 0usize..40,
        ) {
            let points: Vec<Point> =
                places.iter().map(|(north, east)| Point { north: f64::from(*north), east: f64::from(*east) }).collect();
            let start = start % points.len();
            prop_assert!(ALL.into_iter().any(|toward| step(&points, start, toward).is_some()), "stuck at {start}");
            // Four directions cannot reach everything: in one of a few thousand random worlds, some
            // point is always hidden behind others. `n` and `p` reach it.
            prop_assert!(reached(&points, start).len() * 2 >= points.len());
        }

        #[test]
        fn it_is_in_that_direction(
            places in proptest::collection::vec((-90.0..90.0f64, -180.0..180.0f64), 2..30), toward in 0usize..4,
        ) {
            let points: Vec<Point> = places.iter().map(|(north, east)| Point { north: *north, east: *east }).collect();
            let toward = ALL[toward];
            let ahead = |there: usize| toward.along(points[0].to(points[there])).0;
            match step(&points, 0, toward) {
                Some(there) => prop_assert!(ahead(there) > 0.0),
                None => prop_assert!((1..points.len()).all(|there| ahead(there) <= 0.0)),
            }
        }
    }
}
