//! Search: results at every key.

use std::time::Duration;

use ratatui::{
    Frame,
    text::{Line, Span},
};

use super::{Areas, field, sentences, status};
use crate::{
    domain::{text::printable, time::Ago, trust::Trust},
    registry::{Hit, Source},
    ui::{
        layout,
        model::Model,
        theme::Theme,
        widget::table::{Cell, Column, Table},
    },
};

const COLUMNS: [Column; 6] = [
    Column::new("package", 20, 0).up_to(36),
    Column::new("version", 8, 0).up_to(14),
    Column::new("from", 5, 1),
    Column::new("trust", 10, 3),
    Column::new("signed", 6, 4).right(),
    Column::new("what it is", 16, 2).up_to(200),
];

pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    let search = &model.search;
    field(frame, areas.field, "search: ", &search.input, search.typing, theme);
    let page = layout::page(model);
    let ids = search.ids();
    let selected = search.selection.index(&ids).and_then(|index| index.checked_sub(search.selection.offset));
    let shown = search.hits.iter().skip(search.selection.offset).take(page);
    let rows: Vec<_> = shown.map(|hit| row(model, hit, theme)).collect();
    let none = rows.is_empty();
    frame.render_widget(Table { columns: &COLUMNS, rows, selected, sorted: None, theme }, areas.body);
    if none && !search.running {
        let text = if search.input.value().trim().is_empty() {
            vec!["No package is known here yet. What others publish appears by itself."]
        } else {
            vec![
                "Nothing was found.",
                "",
                "Try fewer or shorter words: all of them must occur, the last may be a beginning.",
            ]
        };
        let lines = text.into_iter().map(|line| Line::from(Span::styled(line, theme.text())));
        sentences(frame, areas.body, std::iter::once(Line::default()).chain(lines).collect());
    }
    status(frame, model, areas, &summary(model), theme.dim());
}

fn summary(model: &Model) -> String {
    let search = &model.search;
    let what = if search.input.value().trim().is_empty() { "newest packages" } else { "hits" };
    let more = if search.truncated { " (there is more)" } else { "" };
    let mut text = format!("{} {what}{more}", search.hits.len());
    if let Some(local) = search.local {
        text.push_str(&format!(" · local {}", millis(local)));
    }
    let (answered, asked) = (search.coverage.answered, search.coverage.asked);
    if search.running {
        text.push_str(&format!(" · asking peers: {answered} of {asked} answered…"));
    } else if asked == 0 {
        text.push_str(" · no peer to ask");
    } else {
        text.push_str(&format!(" · {answered} of {asked} peers answered"));
        if let Some(elapsed) = search.elapsed {
            text.push_str(&format!(" in {}", millis(elapsed)));
        }
        text.push_str(&format!(", {} hits were theirs alone", search.of_others()));
    }
    text
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1_000.0)
}

fn row(model: &Model, hit: &Hit, theme: Theme) -> Vec<Cell> {
    let source = match hit.source {
        Source::Local | Source::Cache => theme.dim(),
        Source::Peer(_) | Source::Dht => theme.link(),
    };
    let trust = match hit.trust {
        Trust::Pinned => theme.good(),
        Trust::Unknown => theme.text(),
        Trust::Distrusted => theme.bad(),
    };
    vec![
        (hit.title(), theme.strong()),
        (hit.version.to_string(), theme.text()),
        (hit.source.label().to_owned(), source),
        (hit.trust.label().to_owned(), trust),
        (Ago(model.now.since(hit.signed_at)).to_string(), theme.dim()),
        (printable(&hit.summary), theme.text()),
    ]
}
