//! Search: results at every key.

use std::time::Duration;

use ratatui::{
    Frame,
    text::{Line, Span},
};

use super::{Areas, sentences, status};
use crate::{
    domain::{text::printable, time::Ago, trust::Trust},
    registry::{Hit, Source},
    ui::{
        model::Model,
        theme::Theme,
        widget::table::{self, Cell},
    },
};

pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    let search = &model.search;
    table::draw(frame.buffer_mut(), areas.body, &search.hits, theme, |hit, column| cell(model, hit, column, theme));
    if search.hits.rows().is_empty() && !search.running {
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
    status(frame, model, areas, &summary(model), theme);
}

fn summary(model: &Model) -> String {
    let search = &model.search;
    let what = if search.input.value().trim().is_empty() { "newest packages" } else { plural(search.hits.len()) };
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
        let alone = search.of_others();
        let were = if alone == 1 { "was" } else { "were" };
        text.push_str(&format!(", {alone} {} {were} theirs alone", plural(alone)));
    }
    text
}

fn plural(hits: usize) -> &'static str {
    if hits == 1 { "hit" } else { "hits" }
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1_000.0)
}

fn cell(model: &Model, hit: &Hit, column: &str, theme: Theme) -> Cell {
    match column {
        "package" => (hit.title(), theme.strong()),
        "version" => (hit.version.to_string(), theme.text()),
        "from" => {
            let style = match hit.source {
                Source::Local | Source::Cache => theme.dim(),
                Source::Peer(_) | Source::Dht => theme.link(),
            };
            (hit.source.label().to_owned(), style)
        }
        "trust" => {
            let style = match hit.trust {
                Trust::Pinned => theme.good(),
                Trust::Unknown => theme.text(),
                Trust::Distrusted => theme.bad(),
            };
            (hit.trust.label().to_owned(), style)
        }
        "signed" => (Ago(model.now.since(hit.signed_at)).to_string(), theme.dim()),
        "license" => (printable(hit.license.as_deref().unwrap_or_default()), theme.dim()),
        _ => (printable(&hit.summary), theme.text()),
    }
}
