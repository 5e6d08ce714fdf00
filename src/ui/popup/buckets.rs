//! The window of the routing table.

use ratatui::style::Style;

use super::{Page, Reply, Window};
use crate::{
    domain::{
        lookup::{Bucket, DISTANCE, RoutingTable},
        text::printable,
    },
    ui::{
        action::Action,
        effect::Effect,
        model::{Model, lookups::ago},
        table::column::Column,
        theme::Theme,
        widget::{bar::bar, number::count},
    },
};

/// Columns of the routing table.
const COLUMNS: [Column; 6] = [
    Column::new("bits", "bits", 4, 0).right(),
    Column::new("fill", "fill", 20, 2),
    Column::new("peers", "peers", 9, 0).right(),
    Column::new("connected", "here", 4, 1).right(),
    Column::new("contact", "oldest contact", 14, 0).right(),
    Column::new("refresh", "last lookup", 11, 0).right(),
];

pub struct BucketsWindow;

impl Window for BucketsWindow {
    fn title(&self) -> &str {
        "Routing table"
    }

    fn lines(&self, model: &Model, page: &mut Page) {
        let theme = page.theme;
        let table = match &model.lookups.routing {
            None => return page.line("Asking the node…"),
            Some(Err(why)) => {
                let text = format!("Cannot show the routing table: {}", printable(why));
                return page.text(&text, theme.bad());
            }
            Some(Ok(table)) => table,
        };
        let text = format!(
            "{} in {}, by distance from this node. A bucket holds up to {}. The farthest half of \
             all peers is at 256 bits, the next quarter at 255, and so on, so near buckets stay \
             empty.",
            count(table.peers() as u64, "peer", "peers"),
            count(table.buckets.len() as u64, "bucket", "buckets"),
            table.room
        );
        page.text(&text, theme.text());
        page.blank();
        if table.buckets.is_empty() {
            return page.styled("Empty: no peer that serves the DHT is known.", theme.fair());
        }
        page.table(&COLUMNS, &table.buckets, |bucket, key, width| {
            cell(model, table, bucket, key, width, theme)
        });
        page.blank();
        let text = format!(
            "oldest contact: the last connection of the peer that has been away for longest. last \
             lookup: of a key in this bucket since the node started. +: replacement waiting. \
             {DISTANCE}"
        );
        page.text(&text, theme.dim());
    }

    fn act(&mut self, _model: &mut Model, _at: &mut usize, action: Action) -> Reply {
        match action {
            Action::Refresh => Reply::Stay(self.tick()),
            _ => Reply::Pass,
        }
    }

    fn tick(&self) -> Vec<Effect> {
        vec![Effect::Routing]
    }
}

fn cell(
    model: &Model,
    table: &RoutingTable,
    bucket: &Bucket,
    key: &str,
    width: usize,
    theme: Theme,
) -> (String, Style) {
    let full = bucket.peers >= table.room;
    match key {
        "bits" => (bucket.bits.to_string(), theme.strong()),
        "fill" => {
            let share = f64::from(bucket.peers) / f64::from(table.room.max(1));
            (
                bar(share, width),
                if full { theme.good() } else { theme.link() },
            )
        }
        "peers" => {
            let pending = if bucket.pending { "+" } else { "" };
            (
                format!("{}{pending} of {}", bucket.peers, table.room),
                theme.text(),
            )
        }
        "connected" => (bucket.connected.to_string(), theme.text()),
        "contact" => (ago(bucket.oldest_contact, model.now), theme.text()),
        _ => (
            ago(bucket.refreshed, model.now),
            if bucket.refreshed.is_none() {
                theme.fair()
            } else {
                theme.text()
            },
        ),
    }
}
