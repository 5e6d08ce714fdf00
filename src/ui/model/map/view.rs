//! The part of the world in view, and the mapping between cells and coordinates.
//!
//! The projection is equirectangular, so that a cell is found with one division. A row is as high
//! as two columns are wide, which is the shape of most terminals' cells.

use crate::domain::geo::GeoLocation;

/// Degrees of latitude that the whole world shows at least. The polar regions are left out unless a
/// node is there.
const INHABITED: f64 = 145.0;
/// Latitude at the middle of that range.
const MIDDLE: f64 = 12.5;
/// Closest zoom, as a multiple of the whole world. Closer in, there would be hardly any coastline:
/// the data has one point per degree.
pub const CLOSEST: f64 = 8.0;

/// A point on the globe in degrees: north from -90 to 90, east from -180 to 180.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub north: f64,
    pub east: f64,
}

impl Point {
    /// Converts a location; `None` if it is out of range.
    pub fn of(location: &GeoLocation) -> Option<Self> {
        location.is_valid().then_some(Self {
            north: location.latitude,
            east: location.longitude,
        })
    }

    /// Returns the degrees east and north from here to `there`, the short way around the globe.
    pub fn to(self, there: Self) -> (f64, f64) {
        (turn(there.east - self.east), there.north - self.north)
    }
}

/// Normalises a longitude to between -180 and 180 degrees.
pub fn turn(degrees: f64) -> f64 {
    (degrees + 180.0).rem_euclid(360.0) - 180.0
}

/// The centre of the view and its zoom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    pub middle: Point,
    /// 1 shows the whole inhabited world, 2 half of its width.
    pub zoom: f64,
}

impl View {
    pub const WORLD: Self = Self {
        middle: Point {
            north: MIDDLE,
            east: 0.0,
        },
        zoom: 1.0,
    };

    /// Lays the view over a grid of `columns` by `rows` cells, both at least 1; a narrower world
    /// uses fewer columns.
    pub fn over(self, columns: u16, rows: u16) -> Grid {
        let (columns, rows) = (columns.max(1), rows.max(1));
        let mut wide = columns;
        let mut scale = whole(columns, rows) / self.zoom.clamp(least_zoom(columns, rows), CLOSEST);
        if scale * f64::from(columns) >= 360.0 {
            // Never show the same place twice.
            wide = ((360.0 / scale + 1e-9).floor() as u16).clamp(1, columns);
            scale = 360.0 / f64::from(wide);
        }
        let mut high = rows;
        if scale * 2.0 * f64::from(rows) >= 180.0 {
            high = ((90.0 / scale - 1e-9).ceil() as u16).clamp(1, rows);
        }
        let half = scale * f64::from(high);
        let room = (90.0 - half).max(0.0);
        let north = self.middle.north.clamp(-room, room);
        let left = self.middle.east - scale * f64::from(wide) / 2.0;
        Grid {
            columns: wide,
            rows: high,
            left,
            top: north + half,
            scale,
        }
    }

    /// Limits zoom and latitude to what can be shown.
    pub fn settled(self, columns: u16, rows: u16) -> Self {
        let grid = self.over(columns, rows);
        let north = grid.top - grid.scale * f64::from(grid.rows);
        let zoom = self
            .zoom
            .clamp(least_zoom(columns.max(1), rows.max(1)), CLOSEST);
        Self {
            middle: Point {
                north,
                east: turn(self.middle.east),
            },
            zoom,
        }
    }

    /// Moves the view by cells. Longitude wraps around; latitude is limited.
    pub fn panned(self, right: i32, down: i32, columns: u16, rows: u16) -> Self {
        let view = self.settled(columns, rows);
        let scale = view.over(columns, rows).scale;
        let middle = Point {
            north: view.middle.north - f64::from(down) * 2.0 * scale,
            east: view.middle.east + f64::from(right) * scale,
        };
        Self { middle, ..view }.settled(columns, rows)
    }

    /// Zooms by one step, in if `closer`. The point at `at` stays in its cell as far as possible.
    pub fn zoomed(self, closer: bool, at: Option<(u16, u16)>, columns: u16, rows: u16) -> Self {
        let view = self.settled(columns, rows);
        let zoom = match (closer, view.zoom) {
            (true, zoom) if zoom < 1.0 => 1.0,
            (true, zoom) => zoom * 2.0,
            // Beyond the whole inhabited world, one more step shows the poles.
            (false, zoom) => zoom / 2.0,
        };
        let changed = Self { zoom, ..view }.settled(columns, rows);
        let Some(at) = at else { return changed };
        let (before, after) = (view.over(columns, rows), changed.over(columns, rows));
        // Margins change with the zoom: compare the same position on the screen.
        let (was, is) = (before.margin(columns, rows), after.margin(columns, rows));
        let there = (
            (at.0 + was.0).saturating_sub(is.0),
            (at.1 + was.1).saturating_sub(is.1),
        );
        let (east, north) = after.point(there).to(before.point(at));
        let middle = Point {
            north: changed.middle.north + north,
            east: changed.middle.east + east,
        };
        Self { middle, ..changed }.settled(columns, rows)
    }

    /// Returns this view if `point` is well within it, else one with `point` at the centre.
    pub fn showing(self, point: Point, columns: u16, rows: u16) -> Self {
        let view = self.settled(columns, rows);
        let grid = view.over(columns, rows);
        let inner =
            |at: u16, length: u16, all: bool| all || (1..length.saturating_sub(1)).contains(&at);
        let seen = grid.cell(point).is_some_and(|(column, row)| {
            inner(column, grid.columns, grid.is_round()) && inner(row, grid.rows, grid.top >= 90.0)
        });
        if seen {
            view
        } else {
            Self {
                middle: point,
                ..view
            }
            .settled(columns, rows)
        }
    }

    /// Returns the closest view that has all of `points` in it; the whole world if there are none.
    pub fn fitting(points: &[Point], columns: u16, rows: u16) -> Self {
        let Some(middle) = middle(points) else {
            return Self::WORLD;
        };
        let mut zoom = CLOSEST;
        while zoom >= 0.5 {
            let view = Self { middle, zoom }.settled(columns, rows);
            let grid = view.over(columns, rows);
            // Leave a column free on either side, for signs wider than a cell.
            let (aside, above) = if zoom > 1.0 { (1, 1) } else { (0, 0) };
            let inside = |point: &Point| {
                grid.cell(*point).is_some_and(|(column, row)| {
                    (aside..grid.columns.saturating_sub(aside)).contains(&column)
                        && (above..grid.rows.saturating_sub(above)).contains(&row)
                })
            };
            if points.iter().all(inside) {
                return view;
            }
            zoom /= 2.0;
        }
        Self { middle, zoom: 0.5 }.settled(columns, rows)
    }
}

/// Degrees per column with the whole inhabited world in view.
fn whole(columns: u16, rows: u16) -> f64 {
    (360.0 / f64::from(columns)).max(INHABITED / (2.0 * f64::from(rows)))
}

/// The zoom that has the poles in view too.
fn least_zoom(columns: u16, rows: u16) -> f64 {
    (2.0 * f64::from(rows) * whole(columns, rows) / 180.0).min(1.0)
}

/// Returns the centre of the smallest box around `points`; in longitude, it is opposite the widest
/// gap.
fn middle(points: &[Point]) -> Option<Point> {
    let mut easts: Vec<f64> = points.iter().map(|point| point.east).collect();
    easts.sort_by(f64::total_cmp);
    let (first, last) = (*easts.first()?, *easts.last()?);
    let mut east = (first + last) / 2.0;
    let mut widest = first + 360.0 - last;
    for pair in easts.windows(2) {
        if let [a, b] = pair
            && b - a > widest
        {
            widest = b - a;
            east = turn((a + b) / 2.0 + 180.0);
        }
    }
    let north = |of: fn(f64, f64) -> f64| points.iter().map(|point| point.north).reduce(of);
    Some(Point {
        north: (north(f64::min)? + north(f64::max)?) / 2.0,
        east,
    })
}

/// Cells over a part of the world.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    pub columns: u16,
    pub rows: u16,
    /// Longitude of the left edge in degrees; may be beyond the date line.
    pub left: f64,
    /// Latitude of the upper edge in degrees.
    pub top: f64,
    /// Degrees per column; a row covers twice as many.
    pub scale: f64,
}

impl Grid {
    /// Returns true if the grid covers all longitudes.
    pub fn is_round(&self) -> bool {
        self.scale * f64::from(self.columns) >= 360.0 - 1e-9
    }

    /// Returns the cells left free on the left and above if the area is larger than the grid.
    pub fn margin(&self, columns: u16, rows: u16) -> (u16, u16) {
        (
            columns.saturating_sub(self.columns) / 2,
            rows.saturating_sub(self.rows) / 2,
        )
    }

    pub fn width(&self) -> f64 {
        self.scale * f64::from(self.columns)
    }

    pub fn height(&self) -> f64 {
        self.scale * 2.0 * f64::from(self.rows)
    }

    /// Returns the column and row of the cell that a point is in.
    pub fn cell(&self, point: Point) -> Option<(u16, u16)> {
        let column = ((point.east - self.left).rem_euclid(360.0) / self.scale).floor();
        let row = (self.top - point.north) / (2.0 * self.scale);
        let rows = f64::from(self.rows);
        // The lower edge belongs to the last row: there is none below the pole.
        let row = if row >= rows && row <= rows + 1e-6 {
            rows - 1.0
        } else {
            row.floor()
        };
        let inside = (0.0..f64::from(self.columns)).contains(&column) && (0.0..rows).contains(&row);
        inside.then_some((column as u16, row as u16))
    }

    /// Returns the point at the centre of a cell.
    pub fn point(&self, (column, row): (u16, u16)) -> Point {
        Point {
            north: (self.top - (f64::from(row) + 0.5) * 2.0 * self.scale).clamp(-90.0, 90.0),
            east: turn(self.left + (f64::from(column) + 0.5) * self.scale),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point() -> impl Strategy<Value = Point> {
        (-90.0..=90.0f64, -180.0..=180.0f64).prop_map(|(north, east)| Point { north, east })
    }

    fn view() -> impl Strategy<Value = View> {
        (point(), 0.1..40.0f64).prop_map(|(middle, zoom)| View { middle, zoom })
    }

    fn size() -> impl Strategy<Value = (u16, u16)> {
        (1u16..260, 1u16..90)
    }

    #[test]
    fn the_world_is_where_one_looks_for_it() {
        let grid = View::WORLD.over(160, 33);
        let cell = |north, east| grid.cell(Point { north, east }).unwrap();
        let (berlin, new_york, sydney) = (cell(52.5, 13.4), cell(40.7, -74.0), cell(-33.9, 151.2));
        assert!(new_york.0 < berlin.0 && berlin.0 < sydney.0, "west is left");
        assert!(
            berlin.1 < new_york.1 && new_york.1 < sydney.1,
            "north is above"
        );
        assert_eq!(cell(0.0, 0.0).0, 80, "Greenwich is in the middle");
        assert_eq!((grid.columns, grid.is_round()), (160, true));
    }

    #[test]
    fn places_on_both_sides_of_the_date_line_are_beside_one_another() {
        let (fiji, samoa) = (
            Point {
                north: -17.7,
                east: 178.0,
            },
            Point {
                north: -13.8,
                east: -171.8,
            },
        );
        let view = View::fitting(&[fiji, samoa], 80, 17);
        assert!(view.zoom > 4.0, "{view:?}");
        let (dx, dy) = fiji.to(samoa);
        assert!((dx - 10.2).abs() < 1e-9 && (dy - 3.9).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn a_cell_is_found_by_its_middle((columns, rows) in size(), view in view(), at in (0u16..260, 0u16..90)) {
            let grid = view.over(columns, rows);
            prop_assert!(grid.columns <= columns && grid.rows <= rows);
            let cell = (at.0 % grid.columns, at.1 % grid.rows);
            let point = grid.point(cell);
            prop_assert!((-90.0..=90.0).contains(&point.north) && (-180.0..=180.0).contains(&point.east));
            // The centre of a row may lie beyond a pole; part of the row is still on the globe.
            let middle = grid.top - (f64::from(cell.1) + 0.5) * 2.0 * grid.scale;
            if middle.abs() <= 90.0 {
                prop_assert_eq!(grid.cell(point), Some(cell));
            }
        }

        #[test]
        fn a_point_is_within_its_cell((columns, rows) in size(), view in view(), point in point()) {
            let grid = view.over(columns, rows);
            if let Some(cell) = grid.cell(point) {
                let (dx, dy) = grid.point(cell).to(point);
                prop_assert!(dx.abs() <= grid.scale * 0.5 + 1e-6 && dy.abs() <= grid.scale * 2.0 + 1e-6);
            }
        }

        #[test]
        fn far_enough_off_everything_is_in_view((columns, rows) in size(), middle in point(), point in point()) {
            let grid = View { middle, zoom: 0.01 }.over(columns, rows);
            prop_assert!(grid.cell(point).is_some(), "{grid:?}");
        }

        #[test]
        fn settling_changes_nothing_twice((columns, rows) in size(), view in view()) {
            let once = view.settled(columns, rows);
            let twice = once.settled(columns, rows);
            prop_assert!((once.middle.north - twice.middle.north).abs() < 1e-6);
            prop_assert!(turn(once.middle.east - twice.middle.east).abs() < 1e-6);
            prop_assert_eq!(once.zoom, twice.zoom);
        }

        #[test]
        fn round_the_world_one_comes_back((columns, rows) in size(), view in view(), steps in -500i32..500) {
            let start = view.settled(columns, rows);
            let back = start.panned(steps, 0, columns, rows).panned(-steps, 0, columns, rows);
            prop_assert!(turn(back.middle.east - start.middle.east).abs() < 1e-6);
            let far = start.panned(0, 10_000, columns, rows).over(columns, rows);
            prop_assert!(far.top - far.height() >= -90.0 - far.scale * 2.0 - 1e-6, "no view of what is not there");
        }

        #[test]
        fn what_the_wheel_points_at_stays(view in view(), (columns, rows) in (20u16..200, 10u16..60), at in (0u16..200, 0u16..60)) {
            let view = view.settled(columns, rows);
            let grid = view.over(columns, rows);
            let cell = (at.0 % grid.columns, at.1 % grid.rows);
            let closer = view.zoomed(true, Some(cell), columns, rows);
            let there = closer.over(columns, rows);
            // On a grid with fewer columns the point cannot stay in its cell.
            if there.columns == grid.columns && there.rows == grid.rows {
                let (dx, _) = there.point(cell).to(grid.point(cell));
                prop_assert!(dx.abs() < 1e-6, "{dx}");
            }
        }

        #[test]
        fn what_is_to_be_shown_is_shown((columns, rows) in size(), view in view(), point in point()) {
            let shown = view.showing(point, columns, rows);
            prop_assert!(shown.over(columns, rows).cell(point).is_some());
            prop_assert_eq!(shown.zoom, view.settled(columns, rows).zoom);
        }

        #[test]
        fn all_that_is_fitted_is_in_view((columns, rows) in size(), points in proptest::collection::vec(point(), 0..12)) {
            let grid = View::fitting(&points, columns, rows).over(columns, rows);
            for point in points {
                prop_assert!(grid.cell(point).is_some(), "{point:?} in {grid:?}");
            }
        }
    }
}
