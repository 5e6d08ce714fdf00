//! The About window: version, paths, and the licences of embedded data.

use std::path::Path;

use super::{Page, Window};
use crate::ui::model::Model;

/// Embedded data and its licences.
const NOTICE: &str = include_str!("../../../NOTICE");

pub struct AboutWindow;

impl Window for AboutWindow {
    fn title(&self) -> &str {
        "About"
    }

    fn lines(&self, model: &Model, page: &mut Page) {
        page.title(concat!(
            "Swarmdex ",
            env!("CARGO_PKG_VERSION"),
            ": a package registry without a server"
        ));
        page.field("licence", "MIT or Apache-2.0, at your option");
        page.heading("This node");
        if let Some(node) = &model.node {
            page.field("peer id", &node.peer_id.to_string());
            page.field("network", &node.network);
            for address in &node.addresses {
                page.field("address", address);
            }
        }
        page.heading("Paths");
        let paths = &model.places;
        let key = model.publish.key.as_deref();
        // In a demo, the node's data is in the directory of its key.
        let data = key.and_then(Path::parent).filter(|_| model.demo);
        for (label, path) in [
            ("settings", Some(paths.config.as_path())),
            ("data", Some(data.unwrap_or(&paths.data))),
            ("logs", Some(&paths.logs)),
            ("your key", key),
        ] {
            if let Some(path) = path {
                page.field(label, &path.to_string_lossy());
            }
        }
        page.heading("Embedded data and licences");
        for line in NOTICE.lines() {
            page.text(line, page.theme.text());
        }
    }
}
