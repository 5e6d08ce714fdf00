//! The Transfers screen: downloads and uploads with their progress and rate.

use ratatui::{
    Frame,
    style::Style,
    text::{Line, Span},
};
use unicode_width::UnicodeWidthStr;

use super::{Areas, no_match, sentences, status, table_figures};
use crate::{
    domain::{
        size::{Rate, Size},
        text::printable,
        time::Ago,
        transfer::{Transfer, TransferId, TransferState},
    },
    ui::{
        action::{Action, Screen},
        model::{
            Model,
            transfers::{BAR, direction, liars, note, percent, remaining, state},
        },
        theme::Theme,
        widget::{
            bar::bar,
            table::{self, Cell},
        },
    },
};

pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    let transfers = &model.transfers.table;
    if transfers.is_empty() {
        let text = format!(
            "Press {} or {}, select a package, then press {}: its content is downloaded from \
             several \
             peers at once, and verified. Uploads to other nodes appear here too.",
            model.key(Action::Go(Screen::Search), model.screen),
            model.key(Action::Go(Screen::Feed), model.screen),
            model.key(Action::Download, Screen::Search)
        );
        let head = Span::styled("No transfers yet.", theme.strong());
        let lines = vec![Line::from(head), Line::default(), Line::from(text)];
        sentences(frame, areas.body, lines);
        return status(frame, model, areas, "", theme);
    }
    table::draw(
        frame.buffer_mut(),
        areas.body,
        transfers,
        theme,
        |one, column| cell(model, one, column, theme),
    );
    if transfers.rows().is_empty() {
        let text = no_match(model, "transfer");
        sentences(frame, areas.body, vec![Line::default(), Line::from(text)]);
    }
    let flows = format!("{} · ", model.transfers.summary());
    let room = usize::from(areas.status.width).saturating_sub(flows.width());
    let figures = table_figures(model, ["transfer", "transfers"], room);
    status(frame, model, areas, &format!("{flows}{figures}"), theme);
}

/// Colours a state; its word also tells it apart without colour.
pub fn style(transfer: &Transfer, theme: Theme) -> Style {
    match transfer.state {
        TransferState::Running => theme.link(),
        TransferState::Done => theme.good(),
        TransferState::Waiting | TransferState::Paused => theme.fair(),
        TransferState::Cancelled => theme.dim(),
        TransferState::Failed(_) => theme.bad(),
    }
}

/// Returns a progress bar with percent. An upload has none: the peer may want a part only, and get
/// the rest from others.
pub fn gauge(transfer: &Transfer, width: usize) -> String {
    if let TransferId::Serve { .. } = transfer.id {
        return format!("{:>3} % sent", percent(transfer));
    }
    format!(
        "{} {:>3} %",
        bar(transfer.share(), width),
        percent(transfer)
    )
}

pub fn sign(transfer: &Transfer) -> &'static str {
    match transfer.id {
        TransferId::Fetch { .. } => "↓",
        TransferId::Serve { .. } => "↑",
    }
}

fn cell(model: &Model, one: &Transfer, column: &str, theme: Theme) -> Cell {
    let open = one.state.is_open();
    let plain = if open { theme.text() } else { theme.dim() };
    match column {
        "sign" => (
            sign(one).to_owned(),
            if open { theme.link() } else { theme.dim() },
        ),
        "dir" => (direction(one).to_owned(), plain),
        "package" => (
            model.signed_title(&printable(&one.what)),
            if open { theme.strong() } else { theme.text() },
        ),
        "progress" => (gauge(one, BAR), style(one, theme)),
        "size" => (Size(one.size).to_string(), plain),
        "rate" => (
            if one.rate > 0.0 {
                Rate(one.rate).to_string()
            } else {
                String::new()
            },
            plain,
        ),
        "left" => (remaining(one).map_or(String::new(), left), plain),
        "peers" => (
            if one.state == TransferState::Running {
                one.active().to_string()
            } else {
                String::new()
            },
            plain,
        ),
        "state" => match liars(one) {
            0 => (state(one), style(one, theme)),
            _ => (format!("✗ {}", state(one)), theme.bad()),
        },
        "age" => (
            Ago(model.now.since(one.started_at)).to_string(),
            theme.dim(),
        ),
        _ => {
            let bad = liars(one) > 0 || matches!(one.state, TransferState::Failed(_));
            (note(one), if bad { theme.bad() } else { plain })
        }
    }
}

/// Formats the time left; anything below a second is `< 1 s`.
pub fn left(seconds: f64) -> String {
    if seconds < 1.0 {
        "< 1 s".to_owned()
    } else {
        Ago(std::time::Duration::from_secs_f64(seconds.min(1e9))).to_string()
    }
}
