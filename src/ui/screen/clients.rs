//! The table of package managers that use the gateway, with a row for each run.

use ratatui::{
    Frame,
    text::{Line, Span},
};
use unicode_width::UnicodeWidthStr;

use super::{Areas, sentences, status, table_figures};
use crate::{
    domain::{size::Size, time::Ago},
    ui::{
        model::{
            Model,
            clients::{Run, note},
        },
        theme::Theme,
        widget::table::{self, Cell},
    },
};

pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    let clients = &model.clients.table;
    if clients.is_empty() {
        let text = "`swarmdex setup cargo` (or pip, uv, npm, pnpm, yarn, bun) prints what makes a package manager use this node. \
                    Each run of one is shown here then: what it asked, what was refused and why, and which peers gave the \
                    bytes. 8 says whether the gateway is open, and v goes back to the transfers.";
        let head = Span::styled(
            "No package manager has asked this node for anything yet.",
            theme.strong(),
        );
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
        let text = "No run of a client has these words. Esc in the list takes the filter off.";
        sentences(frame, areas.body, vec![Line::default(), Line::from(text)]);
    }
    let summary = format!("{} · ", model.clients.summary());
    let room = usize::from(areas.status.width).saturating_sub(summary.width());
    let figures = table_figures(model, ["run", "runs"], room);
    status(frame, model, areas, &format!("{summary}{figures}"), theme);
}

fn cell(model: &Model, run: &Run, column: &str, theme: Theme) -> Cell {
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
