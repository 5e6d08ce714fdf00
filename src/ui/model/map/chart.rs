//! The contents of the map and their positions, shared by drawing, keys and the mouse.

use std::collections::{HashMap, HashSet};

use libp2p::PeerId;
use ratatui::layout::{Position, Rect};

use super::{
    cluster::{Cluster, clusters},
    is_drawn,
    view::{Grid, Point},
};
use crate::ui::model::Model;

/// Largest distance in columns at which a click selects a sign; a row counts as two columns.
const NEAR: u16 = 3;

pub struct Chart {
    /// The cells that the world covers.
    pub area: Rect,
    pub grid: Grid,
    /// Peers that pass the filter and have a location, by id.
    pub peers: Vec<(PeerId, Point)>,
    pub clusters: Vec<Cluster>,
    /// The location of this node, if it declares one.
    pub home: Option<Point>,
}

impl Chart {
    /// Computes the map for an area of the terminal; `None` if it is shown as a list.
    pub fn of(model: &Model, area: Rect) -> Option<Self> {
        if !is_drawn(model) || area.is_empty() {
            return None;
        }
        let grid = model.map.view.over(area.width, area.height);
        let peers = located(model);
        let home = home(model);
        let cells: Vec<_> = peers.iter().map(|(_, point)| grid.cell(*point)).collect();
        let clusters = clusters(&cells, home.and_then(|home| grid.cell(home)), grid.columns);
        let (left, above) = grid.margin(area.width, area.height);
        let inner = Rect {
            x: area.x + left,
            y: area.y + above,
            width: grid.columns,
            height: grid.rows,
        };
        Some(Self {
            area: inner,
            grid,
            peers,
            clusters,
            home,
        })
    }

    pub fn point(&self, id: &PeerId) -> Option<Point> {
        let at = self.peers.binary_search_by_key(id, |(id, _)| *id).ok()?;
        self.peers.get(at).map(|(_, point)| *point)
    }

    /// Returns the peers of a cluster.
    pub fn members<'a>(&'a self, cluster: &'a Cluster) -> impl Iterator<Item = PeerId> + 'a {
        cluster
            .peers
            .iter()
            .filter_map(|number| self.peers.get(*number))
            .map(|(id, _)| *id)
    }

    /// Returns the cluster that contains a peer, if the peer is in view.
    pub fn cluster_of(&self, id: &PeerId) -> Option<&Cluster> {
        let number = self.peers.binary_search_by_key(id, |(id, _)| *id).ok()?;
        self.clusters
            .iter()
            .find(|cluster| cluster.peers.binary_search(&number).is_ok())
    }

    /// Returns the number of peers in view.
    pub fn in_view(&self) -> usize {
        self.clusters
            .iter()
            .map(|cluster| cluster.peers.len())
            .sum()
    }

    /// Returns the cell at a position of the terminal.
    pub fn cell(&self, at: Position) -> Option<(u16, u16)> {
        self.area
            .contains(at)
            .then(|| (at.x - self.area.x, at.y - self.area.y))
    }

    /// Returns the nearest cluster with peers, if a click at this cell is close enough.
    pub fn hit(&self, (column, row): (u16, u16)) -> Option<&Cluster> {
        let away = |cluster: &&Cluster| {
            let last = cluster.column + cluster.width().saturating_sub(1);
            let columns = cluster
                .column
                .saturating_sub(column)
                .max(column.saturating_sub(last));
            columns + 2 * cluster.row.abs_diff(row)
        };
        let with_peers = self
            .clusters
            .iter()
            .filter(|cluster| !cluster.peers.is_empty());
        with_peers
            .min_by_key(away)
            .filter(|cluster| away(cluster) <= NEAR)
    }
}

/// Returns the location that this node declares.
fn home(model: &Model) -> Option<Point> {
    Point::of(model.node.as_ref()?.location.as_ref()?)
}

/// Returns the peers that pass the filter and have a location, by id, so that the order stays the
/// same while rows move.
pub fn located(model: &Model) -> Vec<(PeerId, Point)> {
    let rows = model
        .peers
        .rows()
        .iter()
        .filter_map(|id| model.peers.get(id));
    let mut out: Vec<(PeerId, Point)> = rows
        .filter_map(|peer| Some((peer.id, Point::of(peer.location.as_ref()?)?)))
        .collect();
    out.sort_unstable_by_key(|(id, _)| *id);
    out
}

/// Returns all peers that pass the filter from west to east, those in one place by id; those
/// without a location follow in the order of the table.
pub fn eastward(model: &Model) -> Vec<PeerId> {
    let mut placed = located(model);
    placed.sort_by(|(_, a), (_, b)| a.east.total_cmp(&b.east).then(b.north.total_cmp(&a.north)));
    let ids: HashSet<PeerId> = placed.iter().map(|(id, _)| *id).collect();
    let rest = model
        .peers
        .rows()
        .iter()
        .filter(|id| !ids.contains(*id))
        .copied();
    placed.iter().map(|(id, _)| *id).chain(rest).collect()
}

/// Returns the locations of those peers and of this node, for fitting them in view.
pub fn everything(model: &Model) -> Vec<Point> {
    located(model)
        .into_iter()
        .map(|(_, point)| point)
        .chain(home(model))
        .collect()
}

/// Returns each peer's row number in the table.
pub fn ranks(model: &Model) -> HashMap<PeerId, usize> {
    model
        .peers
        .rows()
        .iter()
        .enumerate()
        .map(|(rank, id)| (*id, rank))
        .collect()
}
