//! Everything that is on the map, and where: one answer for drawing, keys and mouse.

use std::collections::{HashMap, HashSet};

use libp2p::PeerId;
use ratatui::layout::{Position, Rect};

use super::{
    cluster::{Cluster, clusters},
    is_drawn,
    view::{Grid, Point},
};
use crate::ui::model::Model;

/// How far beside a sign a click still means it: columns, where a row counts as two.
const NEAR: u16 = 3;

pub struct Chart {
    /// The cells that are part of the world.
    pub area: Rect,
    pub grid: Grid,
    /// Those that pass the filter and have a place, by id.
    pub peers: Vec<(PeerId, Point)>,
    pub clusters: Vec<Cluster>,
    /// Where this node is, if it says so.
    pub home: Option<Point>,
}

impl Chart {
    /// The map in an area of the screen; `None` where it is a list.
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

    /// The peers of a cluster.
    pub fn members<'a>(&'a self, cluster: &'a Cluster) -> impl Iterator<Item = PeerId> + 'a {
        cluster
            .peers
            .iter()
            .filter_map(|number| self.peers.get(*number))
            .map(|(id, _)| *id)
    }

    /// The cluster a peer is in, if it is in view.
    pub fn cluster_of(&self, id: &PeerId) -> Option<&Cluster> {
        let number = self.peers.binary_search_by_key(id, |(id, _)| *id).ok()?;
        self.clusters
            .iter()
            .find(|cluster| cluster.peers.binary_search(&number).is_ok())
    }

    /// Peers that are in view.
    pub fn in_view(&self) -> usize {
        self.clusters
            .iter()
            .map(|cluster| cluster.peers.len())
            .sum()
    }

    /// The cell at a position of the screen.
    pub fn cell(&self, at: Position) -> Option<(u16, u16)> {
        self.area
            .contains(at)
            .then(|| (at.x - self.area.x, at.y - self.area.y))
    }

    /// What a click there means: the nearest cluster with peers, if one is near.
    pub fn hit(&self, (column, row): (u16, u16)) -> Option<&Cluster> {
        let away = |cluster: &&Cluster| {
            let last = cluster.column + cluster.width().saturating_sub(1);
            let beside = cluster
                .column
                .saturating_sub(column)
                .max(column.saturating_sub(last));
            beside + 2 * cluster.row.abs_diff(row)
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

/// Where this node is, if it says so.
fn home(model: &Model) -> Option<Point> {
    Point::of(model.node.as_ref()?.location.as_ref()?)
}

/// The peers that pass the filter and have a place, by id: an order that stays while rows move.
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

/// All that pass the filter from west to east; those of one place by id, and those without one
/// last, as in the table.
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

/// The places of those and our own, for a view of all of them.
pub fn everything(model: &Model) -> Vec<Point> {
    located(model)
        .into_iter()
        .map(|(_, point)| point)
        .chain(home(model))
        .collect()
}

/// Each peer's place among the rows, for taking the first of several.
pub fn ranks(model: &Model) -> HashMap<PeerId, usize> {
    model
        .peers
        .rows()
        .iter()
        .enumerate()
        .map(|(rank, id)| (*id, rank))
        .collect()
}
