//! The table of package managers that use the gateway, with a row for each run.

use ratatui::{
    Frame,
    text::{Line, Span},
};
use unicode_width::UnicodeWidthStr;

use super::{Areas, no_match, sentences, status, table_figures};
use crate::{
    domain::{size::Size, time::Ago},
    ui::{
        action::{Action, Screen},
        model::{
            Model,
            clients::{ClientRun, note},
        },
        theme::Theme,
        widget::table::{self, Cell},
    },
};

pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    let clients = &model.clients.table;
    if clients.is_empty() {
        let text = format!(
            "`swarmdex setup cargo` (or pip, uv, npm, pnpm, yarn, bun) prints the configuration \
             that \
             lets a package manager use this node. Its runs appear here, with their requests, \
             refusals, and the peers that sent the data. Health ({}) shows if the gateway is open; \
             {} returns to the transfers.",
            model.key(Action::Go(Screen::Health), model.screen),
            model.key(Action::Clients, model.screen)
        );
        let head = Span::styled("No package manager has used this node yet.", theme.strong());
        sentences(
            frame,
            areas.body,
            vec![Line::from(head), Line::default(), Line::from(text)],
        );
        return status(frame, model, areas, "", theme);
    }
    table::draw(
        frame.buffer_mut(),
        areas.body,
        clients,
        theme,
        |one, column| cell(model, one, column, theme),
    );
    if clients.rows().is_empty() {
        let text = no_match(model, "run");
        sentences(frame, areas.body, vec![Line::default(), Line::from(text)]);
    }
    let summary = format!("{} · ", model.clients.summary());
    let room = usize::from(areas.status.width).saturating_sub(summary.width());
    let figures = table_figures(model, ["run", "runs"], room);
    status(frame, model, areas, &format!("{summary}{figures}"), theme);
}

fn cell(model: &Model, run: &ClientRun, column: &str, theme: Theme) -> Cell {
    let sum = run.sum();
    let plain = if run.is_open(model.now) {
        theme.text()
    } else {
        theme.dim()
    };
    let count = |count: u64| {
        if count == 0 {
            String::new()
        } else {
            count.to_string()
        }
    };
    match column {
        "client" => (run.client(), theme.strong()),
        "from" => (run.from(), plain),
        "asked" => (run.asked().to_string(), plain),
        "files" => (count(sum.files), plain),
        "changes" => (count(sum.changes), plain),
        "refused" => (count(sum.refused), theme.bad()),
        "sent" => (Size(sum.bytes).to_string(), plain),
        "peers" => match sum.fetched() {
            0 => (String::new(), plain),
            bytes => (Size(bytes).to_string(), theme.link()),
        },
        "age" => (Ago(model.now.since(run.began())).to_string(), theme.dim()),
        _ => {
            let bad = sum.refused + sum.broken_off > 0;
            (note(&sum), if bad { theme.bad() } else { plain })
        }
    }
}
