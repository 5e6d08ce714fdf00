//! The Feed screen: announcements as they arrive.

use ratatui::{Frame, text::Line};

use super::{Areas, key_cell, no_match, sentences, table_status};
use crate::{
    bus::delay_ms,
    domain::{name::short_id, text::printable},
    registry::{ReceivedAnnouncement, claimed},
    ui::{
        model::{Model, feed::version},
        theme::Theme,
        widget::table::{self, Cell},
    },
};

pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    let feed = &model.feed;
    table::draw(
        frame.buffer_mut(),
        areas.body,
        feed,
        theme,
        |one, column| cell(model, one, column, theme),
    );
    if feed.rows().is_empty() {
        let text = if feed.is_empty() {
            "No announcements yet. New releases in this network appear here, verified.".to_owned()
        } else {
            no_match(model, "announcement")
        };
        sentences(frame, areas.body, vec![Line::default(), Line::from(text)]);
    }
    table_status(
        frame,
        model,
        areas,
        ["announcement", "announcements"],
        theme,
    );
}

fn cell(model: &Model, one: &ReceivedAnnouncement, column: &str, theme: Theme) -> Cell {
    match column {
        "time" => (crate::clock::here(one.at), theme.dim()),
        "verified" => ("✓".to_owned(), theme.good()),
        "package" => (claimed(&one.package, one.handle.as_ref()), theme.strong()),
        "version" => (
            version(one),
            if one.yanked {
                theme.fair()
            } else {
                theme.text()
            },
        ),
        "delay" => {
            let ms = delay_ms(one.delay);
            (
                if ms < 10_000.0 {
                    format!("{ms:.0} ms")
                } else {
                    format!("{:.0} s", ms / 1_000.0)
                },
                theme.text(),
            )
        }
        "via" => (
            one.via.as_ref().map_or("you".to_owned(), short_id),
            theme.dim(),
        ),
        "trust" => {
            let publisher = (&one.package.owner, one.handle.as_ref(), one.trust);
            key_cell(model, publisher, theme)
        }
        _ => (printable(&one.summary), theme.dim()),
    }
}
