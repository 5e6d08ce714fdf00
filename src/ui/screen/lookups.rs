//! The Lookups screen: DHT lookups, their progress and results.

use ratatui::{
    Frame,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{Areas, sentences, status, table_status};
use crate::{
    domain::{
        lookup::{State, Trace, span},
        text::printable,
        time::Ago,
    },
    ui::{
        model::{Model, lookups::hops},
        theme::Theme,
        widget::table::{self, Cell},
    },
};

pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    let lookups = &model.lookups.table;
    if lookups.is_empty() {
        let text = "The DHT is what all nodes keep together: records of packages, and who has which content. Whatever this \
                    node looks for there, or stores, is listed here, and Enter shows whom it asked and what they said.";
        let then = "Open a package or publish one, or run `swarmdex lookup handle/name`. b shows whom Kademlia knows.";
        let head = Span::styled("Nothing has been looked up yet.", theme.strong());
        let lines = vec![
            Line::from(head),
            Line::default(),
            Line::from(text),
            Line::default(),
            Line::from(then),
        ];
        sentences(frame, areas.body, lines);
        return status(frame, model, areas, "", theme);
    }
    let said = model.lookups.said(usize::from(areas.top.width));
    let said: Vec<Line<'_>> = said
        .into_iter()
        .map(|text| Line::from(Span::styled(text, theme.dim())))
        .collect();
    frame.render_widget(Paragraph::new(said), areas.top);
    table::draw(
        frame.buffer_mut(),
        areas.body,
        lookups,
        theme,
        |one, column| cell(model, one, column, theme),
    );
    if lookups.rows().is_empty() {
        let text = "No lookup has these words. Esc in the list takes the filter off.";
        sentences(frame, areas.body, vec![Line::default(), Line::from(text)]);
    }
    table_status(frame, model, areas, ["lookup", "lookups"], theme);
}

/// Colours a state; its word also tells it apart without colour.
pub fn style(trace: &Trace, theme: Theme) -> Style {
    match trace.state {
        State::Running => theme.link(),
        State::Done => theme.good(),
        State::Missing => theme.fair(),
        State::Late | State::Unanswered => theme.bad(),
    }
}

fn cell(model: &Model, one: &Trace, column: &str, theme: Theme) -> Cell {
    let plain = if one.is_open() {
        theme.text()
    } else {
        theme.dim()
    };
    match column {
        "kind" => (one.kind.label().to_owned(), theme.text()),
        "what" => (
            printable(one.title()),
            if one.is_open() {
                theme.strong()
            } else {
                theme.text()
            },
        ),
        "state" => (one.word().to_owned(), style(one, theme)),
        "hops" => (hops(one).to_string(), plain),
        "answers" => (one.answered().to_string(), plain),
        "took" => (one.took_us.map_or_else(String::new, span), plain),
        "age" => (
            Ago(model.now.since(one.started_at)).to_string(),
            theme.dim(),
        ),
        "note" => (one.came(), plain),
        _ => (printable(&one.key), theme.dim()),
    }
}
