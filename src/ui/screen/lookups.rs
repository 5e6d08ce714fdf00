//! The Lookups screen: DHT lookups, their progress and results.

use ratatui::{
    Frame,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{Areas, no_match, sentences, status, table_status};
use crate::{
    domain::{
        lookup::{LookupState, Trace, span},
        text::printable,
        time::Ago,
    },
    ui::{
        action::Action,
        model::{Model, lookups::hops},
        theme::Theme,
        widget::table::{self, Cell},
    },
};

pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    let lookups = &model.lookups.table;
    if lookups.is_empty() {
        let text = format!(
            "All nodes share the DHT: it holds records of packages and providers of content. This \
             node's lookups and stores are listed here; {} shows the peers asked and their answers.",
            model.key(Action::Open, model.screen)
        );
        let then = format!(
            "Open a package or publish one, or run `swarmdex lookup handle/name`. {} shows the \
             routing table.",
            model.key(Action::Buckets, model.screen)
        );
        let head = Span::styled("No lookups yet.", theme.strong());
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
    let summary = model.lookups.summary(usize::from(areas.top.width));
    let summary: Vec<Line<'_>> = summary
        .into_iter()
        .map(|text| Line::from(Span::styled(text, theme.dim())))
        .collect();
    frame.render_widget(Paragraph::new(summary), areas.top);
    table::draw(
        frame.buffer_mut(),
        areas.body,
        lookups,
        theme,
        |one, column| cell(model, one, column, theme),
    );
    if lookups.rows().is_empty() {
        let text = no_match(model, "lookup");
        sentences(frame, areas.body, vec![Line::default(), Line::from(text)]);
    }
    table_status(frame, model, areas, ["lookup", "lookups"], theme);
}

/// Colours a state; its word also tells it apart without colour.
pub fn style(trace: &Trace, theme: Theme) -> Style {
    match trace.state {
        LookupState::Running => theme.link(),
        LookupState::Done => theme.good(),
        LookupState::Missing => theme.fair(),
        LookupState::Late | LookupState::Unanswered => theme.bad(),
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
