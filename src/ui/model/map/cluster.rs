//! Groups signs that would overlap into one sign with a count.

/// Peers that are drawn as one sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The first of the columns it covers.
    pub column: u16,
    pub row: u16,
    /// True if this node is in it.
    pub me: bool,
    /// Indices of its peers, in order.
    pub peers: Vec<usize>,
}

impl Cluster {
    /// Returns its width in cells: one for this node, and one or the digits of a count for peers.
    pub fn width(&self) -> u16 {
        let digits = |count: usize| count.to_string().len() as u16;
        u16::from(self.me)
            + if self.peers.is_empty() {
                0
            } else {
                digits(self.peers.len())
            }
    }

    pub fn covers(&self, (column, row): (u16, u16)) -> bool {
        row == self.row && (self.column..self.column + self.width()).contains(&column)
    }
}

/// Groups peers by their `cells` on a grid with `columns` columns; returns clusters by row and
/// column. Each peer with a cell is in exactly one cluster. The result depends on the cells alone,
/// so the picture does not flicker.
pub fn clusters(
    cells: &[Option<(u16, u16)>],
    me: Option<(u16, u16)>,
    columns: u16,
) -> Vec<Cluster> {
    let mut there: Vec<(u16, u16, Option<usize>)> = cells
        .iter()
        .enumerate()
        .filter_map(|(peer, cell)| cell.map(|(column, row)| (row, column, Some(peer))))
        .chain(me.map(|(column, row)| (row, column, None)))
        .collect();
    there.sort_unstable();
    let mut out: Vec<Cluster> = Vec::new();
    for (row, column, peer) in there {
        let mut one = Cluster {
            column,
            row,
            me: peer.is_none(),
            peers: peer.into_iter().collect(),
        };
        fit(&mut one, columns);
        // A merged cluster may be wider and overlap its neighbour in turn.
        while let Some(last) = out.pop_if(|last| touches(last, &one)) {
            one.column = last.column;
            one.me |= last.me;
            one.peers.splice(0..0, last.peers);
            fit(&mut one, columns);
        }
        out.push(one);
    }
    out.iter_mut()
        .for_each(|cluster| cluster.peers.sort_unstable());
    out
}

/// Returns true if two neighbours, of which `last` is on the left, share a cell or would read as
/// one number.
fn touches(last: &Cluster, one: &Cluster) -> bool {
    let numbers = last.peers.len() > 1 && one.peers.len() > 1 && !one.me;
    last.row == one.row && last.column + last.width() + u16::from(numbers) > one.column
}

/// Moves a cluster left if it would extend beyond the end of the row.
fn fit(cluster: &mut Cluster, columns: u16) {
    cluster.column = cluster.column.min(columns.saturating_sub(cluster.width()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Cells = Vec<Option<(u16, u16)>>;

    fn cells() -> impl Strategy<Value = (Cells, Option<(u16, u16)>)> {
        let cell = || proptest::option::weighted(0.9, (0u16..24, 0u16..4));
        (proptest::collection::vec(cell(), 0..60), cell())
    }

    #[test]
    fn peers_of_one_place_are_counted_and_the_others_stay_apart() {
        let cells = [Some((5, 1)), Some((5, 1)), Some((6, 1)), None, Some((0, 0))];
        let found = clusters(&cells, Some((6, 1)), 80);
        let drawn: Vec<_> = found
            .iter()
            .map(|one| (one.column, one.row, one.me, one.peers.clone()))
            .collect();
        assert_eq!(
            drawn,
            [
                (0, 0, false, vec![4]),
                (5, 1, false, vec![0, 1]),
                (6, 1, true, vec![2])
            ]
        );
        assert!(
            found[2].covers((7, 1)) && !found[2].covers((8, 1)),
            "a sign for us, and one for the other"
        );
    }

    #[test]
    fn a_count_that_needs_two_cells_takes_in_its_neighbour() {
        let mut cells = vec![Some((3, 0)); 10];
        cells.push(Some((4, 0)));
        let found = clusters(&cells, None, 80);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].column, found[0].peers.len()), (3, 11));
        let neighbours = clusters(
            &[Some((3, 0)), Some((3, 0)), Some((4, 0)), Some((4, 0))],
            None,
            80,
        );
        assert_eq!(neighbours.len(), 1, "2 and 2 are 4, not 22");
        let at_the_edge = clusters(&[Some((79, 0)); 12], None, 80);
        assert_eq!((at_the_edge[0].column, at_the_edge[0].width()), (78, 2));
    }

    proptest! {
        #[test]
        fn every_peer_is_in_one_cluster_and_no_two_of_them_touch_the_same_cell((cells, me) in cells()) {
            let found = clusters(&cells, me, 24);
            let mut all: Vec<usize> = found.iter().flat_map(|one| one.peers.clone()).collect();
            all.sort_unstable();
            let there: Vec<usize> = (0..cells.len()).filter(|n| cells[*n].is_some()).collect();
            prop_assert_eq!(all, there);
            prop_assert_eq!(found.iter().filter(|one| one.me).count(), usize::from(me.is_some()));
            for pair in found.windows(2) {
                prop_assert!(
                    pair[0].row < pair[1].row || pair[0].column + pair[0].width() <= pair[1].column,
                    "{:?}", pair
                );
            }
            prop_assert!(found.iter().all(|one| one.column + one.width() <= 24 || one.width() > 24));
        }

        #[test]
        fn the_picture_does_not_depend_on_their_order((cells, me) in cells(), by in 0usize..60) {
            let mut turned = cells.clone();
            let by = if cells.is_empty() { 0 } else { by % cells.len() };
            turned.rotate_left(by);
            let shape = |found: Vec<Cluster>| -> Vec<_> {
                found.iter().map(|one| (one.row, one.column, one.me, one.peers.len())).collect()
            };
            prop_assert_eq!(shape(clusters(&cells, me, 24)), shape(clusters(&turned, me, 24)));
        }
    }
}
