//! The status row of a search: number of results, time, and coverage.

use std::time::Duration;

use unicode_width::UnicodeWidthStr;

use crate::{
    registry::Coverage,
    ui::{
        action::{Action, Screen},
        model::Model,
        table::AnyTable,
        widget::number::{count, grouped},
    },
};

const BETWEEN: &str = " · ";
/// Columns from which the share of packages has its noun.
const ROOMY: usize = 100;

/// Returns the status in at most `width` columns; the last parts are dropped first.
pub fn of(model: &Model, width: usize) -> String {
    let mut text = String::new();
    for part in parts(model, width) {
        let between = if text.is_empty() { "" } else { BETWEEN };
        if text.width() + between.width() + part.width() > width && !text.is_empty() {
            break;
        }
        text.push_str(between);
        text.push_str(&part);
    }
    text
}

fn parts(model: &Model, width: usize) -> Vec<String> {
    let search = &model.search;
    let mut parts = Vec::new();
    parts.extend(newer(model));
    parts.push(found(model));
    parts.extend(search.local.map(|local| format!("local {}", millis(local))));
    parts.push(peers(search.running, search.coverage));
    parts.extend(search.coverage.share.map(|share| percent(share, width)));
    let (shown, total) = (search.hits.len() as u64, search.total);
    let order = search
        .hits
        .sort
        .map_or(String::new(), |sort| match (sort, search.hits.reversed) {
            ("match", false) => "best first".to_owned(),
            ("signed", false) => "newest first".to_owned(),
            _ => search.hits.order(),
        });
    if shown < total || search.truncated {
        parts.push(format!("{order}, {} shown", grouped(shown)));
    } else {
        parts.push(order);
    }
    parts
}

/// Says that the results are old: how many packages are newer, and the key that shows them.
fn newer(model: &Model) -> Option<String> {
    let newer = model.search.newer(model.known_packages());
    let key = model.key(Action::Refresh, Screen::Search);
    let most = if model.search.terms.filters.is_empty() {
        ""
    } else {
        "up to "
    };
    (newer > 0).then(|| format!("{most}{} newer ↑ ({key})", grouped(newer)))
}

/// Describes how many packages match, of how many in the local catalogue.
fn found(model: &Model) -> String {
    let (search, known) = (
        &model.search,
        model.node.as_ref().map_or(0, |node| node.packages),
    );
    let packages = |number| count(number, "package", "packages");
    if search.terms.is_everything() {
        packages(known.max(search.total))
    } else if search.total > known {
        // Results from peers do not count towards the local catalogue.
        packages(search.total)
    } else {
        format!("{} of {}", grouped(search.total), packages(known))
    }
}

fn peers(
    running: bool,
    Coverage {
        asked, answered, ..
    }: Coverage,
) -> String {
    match (running, asked) {
        (true, 0) => "asking peers…".to_owned(),
        (true, asked) => format!("asking peers: {answered} of {asked} answered…"),
        (false, 0) => "no peer to ask".to_owned(),
        (false, asked) => format!(
            "{answered} of {} answered",
            count(asked as u64, "peer", "peers")
        ),
    }
}

/// Rounds down, so that 100 % is shown only if nothing is missing.
fn percent(share: f64, width: usize) -> String {
    let noun = if width >= ROOMY { " searched" } else { "" };
    format!("~{} %{noun}", (share.clamp(0.0, 1.0) * 100.0).floor())
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1_000.0)
}
