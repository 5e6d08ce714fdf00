//! The About window: version, paths, and the licences of embedded data.

use std::path::Path;

use ratatui::text::{Line, Span};

use super::{field, heading};
use crate::ui::{model::Model, theme::Theme, widget::wrap::wrap};

/// Embedded data and its licences.
const NOTICE: &str = include_str!("../../../NOTICE");

pub fn lines(model: &Model, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = vec![Line::from(Span::styled(
        concat!(
            "Swarmdex ",
            env!("CARGO_PKG_VERSION"),
            ": a package registry without a server"
        ),
        theme.title(),
    ))];
    field(
        &mut lines,
        "licence",
        "MIT or Apache-2.0, at your option",
        theme.text(),
        width,
        theme,
    );
    heading(&mut lines, "This node", theme);
    if let Some(node) = &model.node {
        field(
            &mut lines,
            "peer id",
            &node.peer_id.to_string(),
            theme.text(),
            width,
            theme,
        );
        field(
            &mut lines,
            "network",
            &node.network,
            theme.text(),
            width,
            theme,
        );
        for address in &node.addresses {
            field(&mut lines, "address", address, theme.text(), width, theme);
        }
    }
    heading(&mut lines, "Paths", theme);
    let places = &model.places;
    let own = [
        ("settings", &places.config),
        ("data", &places.data),
        ("logs", &places.logs),
    ];
    let (key, demo) = (model.publish.key.as_ref(), model.demo);
    // In a demo, the node's data is in the directory of its key.
    let data = key
        .and_then(|key| key.parent())
        .filter(|_| demo)
        .map(Path::to_owned);
    for (label, path) in own.into_iter().chain(key.map(|key| ("your key", key))) {
        let path = data.as_ref().filter(|_| label == "data").unwrap_or(path);
        field(
            &mut lines,
            label,
            &path.to_string_lossy(),
            theme.text(),
            width,
            theme,
        );
    }
    heading(&mut lines, "Embedded data and licences", theme);
    lines.extend(
        NOTICE
            .lines()
            .flat_map(|line| wrap(line, width))
            .map(Line::from),
    );
    lines
}
