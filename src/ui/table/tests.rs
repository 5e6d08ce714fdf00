use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug, PartialEq)]
struct Thing {
    id: u32,
    size: f64,
}

impl TableEntry for Thing {
    type Id = u32;
    const NAME: &'static str = "things";
    const COLUMNS: &'static [Column] = &[
        Column::new("id", "id", 4, 0),
        Column::new("size", "size", 4, 1).highest_first(),
    ];
    const MOST: usize = 50;
    const NEWEST_FIRST: bool = true;

    fn id(&self) -> u32 {
        self.id
    }

    fn value(&self, column: &'static str, _: Timestamp) -> CellValue {
        match column {
            "id" => CellValue::text(format!("thing-{}", self.id)),
            _ => CellValue::number(Some(self.size)),
        }
    }

    fn copied(&self) -> String {
        self.id.to_string()
    }
}

const NOW: Timestamp = Timestamp(1_000_000);

fn thing(id: u32, size: f64) -> Thing {
    Thing { id, size }
}

#[test]
fn newest_first_until_sorted() {
    let mut table = Table::<Thing>::default();
    table.put([thing(1, 5.0), thing(2, 9.0)], NOW);
    table.put([thing(3, 7.0)], NOW);
    assert_eq!(table.rows(), [3, 2, 1]);
    table.sort_next(NOW);
    assert_eq!((table.sort, table.rows()), (Some("id"), &[1, 2, 3][..]));
    table.sort_next(NOW);
    assert_eq!(table.rows(), [2, 3, 1], "the highest first");
    table.reverse(NOW);
    assert_eq!(table.rows(), [1, 3, 2]);
    table.sort_next(NOW);
    assert_eq!((table.sort, table.rows()), (None, &[3, 2, 1][..]));
    table.sort_by("size", NOW);
    table.sort_by("size", NOW);
    assert_eq!(
        table.rows(),
        [1, 3, 2],
        "the same head twice turns it round"
    );
}

#[test]
fn a_filter_holds_for_what_comes_and_for_what_changes() {
    let mut table = Table::<Thing>::default();
    table.put([thing(1, 5.0), thing(2, 9.0)], NOW);
    table.filter.input = "size:>6".into();
    table.filtered(NOW);
    assert_eq!(table.rows(), [2]);
    table.put([thing(1, 8.0), thing(2, 1.0), thing(3, 6.5)], NOW);
    let mut rows = table.rows().to_vec();
    rows.sort_unstable();
    assert_eq!(rows, [1, 3]);
    table.filter.input = "".into();
    table.filtered(NOW);
    assert_eq!(table.rows().len(), 3);
}

#[test]
fn marks_are_what_is_copied_and_exported() {
    let mut table = Table::<Thing>::default();
    table.put((1..=4).map(|id| thing(id, 0.0)), NOW);
    assert_eq!(table.copied(), ("4".to_owned(), 1), "what is selected");
    table.toggle_mark(10);
    table.step(CursorMove::Down, 10);
    table.toggle_mark(10);
    assert_eq!(table.copied(), ("4\n2".to_owned(), 2));
    assert_eq!(table.export(NOW).rows.len(), 2);
    table.remove(&[4]);
    assert_eq!(table.marked(), 1, "what is gone is not marked");
    assert!(table.unmark() && !table.unmark());
    assert_eq!(table.export(NOW).rows.len(), 3);
}

#[test]
fn what_comes_while_it_is_frozen_waits() {
    let mut table = Table::<Thing>::default();
    table.put([thing(1, 5.0), thing(2, 9.0)], NOW);
    table.toggle_frozen(NOW);
    table.put([thing(3, 7.0), thing(1, 6.0), thing(3, 8.0)], NOW);
    table.remove(&[2]);
    assert_eq!((table.rows().to_vec(), table.waiting()), (vec![2, 1], 3));
    assert_eq!(table.get(&1), Some(&thing(1, 5.0)));
    table.toggle_frozen(NOW);
    assert_eq!(table.rows(), [3, 1]);
    assert_eq!(
        (table.get(&1), table.get(&3)),
        (Some(&thing(1, 6.0)), Some(&thing(3, 8.0)))
    );
}

#[derive(Clone, Debug)]
enum Change {
    Put(u32, f64),
    Remove(u32),
    Freeze,
    Filter(&'static str),
    Sort,
    Reverse,
    Step(bool),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        6 => (0u32..80, 0f64..10.0).prop_map(|(id, size)| Change::Put(id, size)),
        2 => (0u32..80).prop_map(Change::Remove),
        1 => Just(Change::Freeze),
        1 => prop_oneof![Just(""), Just("size:>5"), Just("thing-1")].prop_map(Change::Filter),
        1 => Just(Change::Sort),
        1 => Just(Change::Reverse),
        2 => any::<bool>().prop_map(Change::Step),
    ];
    proptest::collection::vec(change, 0..120)
}

proptest! {
    #[test]
    fn rows_are_what_passes_and_the_selection_stays(changes in changes()) {
        let mut table = Table::<Thing>::default();
        for change in changes {
            let before = table.selection.selected;
            match change {
                Change::Put(id, size) => table.put([thing(id, size)], NOW),
                Change::Remove(id) => table.remove(&[id]),
                Change::Freeze => table.toggle_frozen(NOW),
                Change::Filter(text) => {
                    table.filter.input = text.into();
                    table.filtered(NOW);
                }
                Change::Sort => table.sort_next(NOW),
                Change::Reverse => table.reverse(NOW),
                Change::Step(down) => {
                    table.step(if down { CursorMove::Down } else { CursorMove::Up }, 5);
                    continue;
                }
            }
            prop_assert_eq!(table.selection.selected, before);
            let (above, end) = AnyTable::newer(&table);
            prop_assert_eq!(end, 0);
            prop_assert!(table.len() <= Thing::MOST);
            let mut rows = table.rows().to_vec();
            let passing = table.all().filter(|thing| table.passes(thing, NOW)).count();
            prop_assert_eq!(rows.len() + above, passing);
            rows.sort_unstable();
            rows.dedup();
            prop_assert_eq!(rows.len() + above, passing, "no row twice");
            if table.sort.is_some() {
                let shown = table.rows().to_vec();
                table.sort_now(NOW);
                let mut again = table.rows().to_vec();
                again.sort_unstable();
                let mut shown = shown;
                shown.sort_unstable();
                prop_assert!(shown.iter().all(|id| again.contains(id)));
                prop_assert_eq!(again.len(), passing);
            }
        }
    }
}
