//! Feed: announcements as they arrive.

use ratatui::{Frame, text::Line};

use super::{Areas, field, sentences, status};
use crate::{
    bus::delay_ms,
    domain::{name::short_id, text::printable, time::Timestamp},
    registry::{Announced, title},
    ui::{
        layout,
        model::{Model, feed::MAX_ROWS},
        theme::Theme,
        widget::table::{Cell, Column, Table},
    },
};

const COLUMNS: [Column; 8] = [
    Column::new("time", 8, 1),
    Column::new("", 1, 0),
    Column::new("package", 20, 0).up_to(40),
    Column::new("version", 10, 0).up_to(16),
    Column::new("delay", 8, 2).right(),
    Column::new("via", 12, 3),
    Column::new("trust", 10, 5),
    Column::new("what it is", 16, 4).up_to(200),
];

pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    let feed = &model.feed;
    field(frame, areas.field, "filter: ", &feed.filter.input, feed.filter.typing, theme);
    let page = layout::page(model);
    let ids = feed.ids();
    let selected = feed.selection.index(&ids).and_then(|index| index.checked_sub(feed.selection.offset));
    let rows: Vec<_> = feed.rows().skip(feed.selection.offset).take(page).map(|one| row(one, theme)).collect();
    let none = rows.is_empty();
    frame.render_widget(Table { columns: &COLUMNS, rows, selected, sorted: None, theme }, areas.body);
    if none {
        let text = if feed.is_empty() {
            "Nothing has been announced yet. Whatever a publisher of this network announces from now on appears here, \
             verified."
        } else {
            "No announcement has this text. Esc in the list takes the filter off."
        };
        sentences(frame, areas.body, vec![Line::default(), Line::from(text)]);
    }
    if feed.frozen {
        let lost = if feed.lost > 0 { format!(", {} too many to keep", feed.lost) } else { String::new() };
        let text = format!("FROZEN · {} waiting{lost} · f goes on", feed.waiting());
        status(frame, model, areas, &text, theme.fair());
    } else {
        let shown = ids.len();
        let follows = if feed.selection.selected.is_none() { "following the newest" } else { "g follows the newest" };
        let kept = if shown >= MAX_ROWS { " (the newest are kept)" } else { "" };
        status(frame, model, areas, &format!("{shown} announcements{kept}, {follows}"), theme.dim());
    }
}

fn row(one: &Announced, theme: Theme) -> Vec<Cell> {
    let version = if one.yanked { format!("{} yanked", one.version) } else { one.version.to_string() };
    let ms = delay_ms(one.delay);
    let delay = if ms < 10_000.0 { format!("{ms:.0} ms") } else { format!("{:.0} s", ms / 1_000.0) };
    let via = one.via.as_ref().map_or("you".to_owned(), short_id);
    vec![
        (clock_time(one.at), theme.dim()),
        ("✓".to_owned(), theme.good()),
        (title(&one.package, one.handle.as_ref()), theme.strong()),
        (version, if one.yanked { theme.fair() } else { theme.text() }),
        (delay, theme.text()),
        (via, theme.dim()),
        (one.trust.label().to_owned(), theme.text()),
        (printable(&one.summary), theme.dim()),
    ]
}

/// Hours, minutes and seconds on this machine's clock.
pub fn clock_time(at: Timestamp) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis)
        .map(|at| at.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S").to_string())
        .unwrap_or_default()
}
