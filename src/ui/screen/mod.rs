//! The screens, and the frame they share: header, tabs, field, body, status, footer.

pub mod clients;
pub mod conflicts;
pub mod feed;
pub mod health;
pub mod logs;
pub mod lookups;
pub mod map;
pub mod peers;
pub mod publish;
pub mod search;
pub mod transfers;

use ratatui::{
    Frame,
    layout::{Alignment, Rect},
    style::{Modifier, Style},
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};
use tui_input::Input;
use unicode_width::UnicodeWidthStr;

use super::{
    action::{Action, CursorMove, KeyPlace, Screen},
    keymap::{self, When},
    layout::{self, Areas, LEAST, SEARCH_LABEL},
    model::{CLOCK_LIMIT_MS, Model, feed::key, map::is_drawn, transfers::can_be_told},
    theme::Theme,
    widget::number::count,
};
use crate::{
    bus::Level,
    control::Link,
    domain::{
        name::{Handle, PublisherId, short_id},
        text::fit,
        time::Ago,
        trust::Trust,
    },
};

/// Draws the whole terminal.
pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme) {
    let (width, height) = model.size;
    if width < LEAST.0 || height < LEAST.1 {
        let text = format!(
            "Terminal too small: {width}x{height}, needs {}x{}",
            LEAST.0, LEAST.1
        );
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), frame.area());
        return;
    }
    frame.buffer_mut().set_style(
        Rect {
            x: 0,
            y: 0,
            width,
            height,
        },
        theme.ground(),
    );
    let areas = layout::areas(model);
    header(frame, model, theme, areas.header);
    tabs(frame, model, theme);
    filter(frame, model, theme, &areas);
    match model.screen {
        Screen::Peers => peers::draw(frame, model, theme, &areas),
        Screen::Map => map::draw(frame, model, theme, &areas),
        Screen::Feed => feed::draw(frame, model, theme, &areas),
        Screen::Search => search::draw(frame, model, theme, &areas),
        Screen::Publish => publish::draw(frame, model, theme, &areas),
        Screen::Lookups => lookups::draw(frame, model, theme, &areas),
        Screen::Transfers if model.clients.shown => clients::draw(frame, model, theme, &areas),
        Screen::Transfers => transfers::draw(frame, model, theme, &areas),
        Screen::Health => health::draw(frame, model, theme, &areas),
        Screen::Conflicts => conflicts::draw(frame, model, theme, &areas),
        Screen::Logs => logs::draw(frame, model, theme, &areas),
    }
    if matches!(model.link, Link::Lost { .. }) {
        // Without a connection, dim what was seen last. The verdict is about the outage.
        for area in [areas.body, areas.side, areas.below] {
            frame
                .buffer_mut()
                .set_style(area, Style::new().add_modifier(Modifier::DIM));
        }
    }
    footer(frame, model, theme, areas.footer);
    if let Some(popup) = model.popups.last() {
        popup.draw(frame, model, theme);
    }
}

/// Draws one row of text.
pub(super) fn line(frame: &mut Frame<'_>, area: Rect, spans: Vec<Span<'_>>) {
    if area.height > 0 {
        frame.render_widget(
            Paragraph::new(Line::from(spans)),
            Rect { height: 1, ..area },
        );
    }
}

/// Lays out spans one after the other, and leaves out those that do not fit.
fn fitting(spans: Vec<(String, Style)>, width: usize, gap: &'static str) -> Vec<Span<'static>> {
    let (mut out, mut used) = (Vec::new(), 0);
    for (text, style) in spans {
        let needed = text.width() + if out.is_empty() { 0 } else { gap.width() };
        if used + needed > width {
            continue;
        }
        if !out.is_empty() {
            out.push(Span::raw(gap));
        }
        used += needed;
        out.push(Span::styled(text, style));
    }
    out
}

fn header(frame: &mut Frame<'_>, model: &Model, theme: Theme, area: Rect) {
    let width = usize::from(area.width);
    if let Link::Lost { why } = &model.link {
        let mut sign = "reconnecting… ".to_owned();
        if let Some(at) = model.lost_at.filter(|_| area.height < 2) {
            sign = format!("reconnecting, data {} old… ", Ago(model.now.since(at)));
        }
        let why = fit(why, width.saturating_sub(sign.width()));
        let head = vec![
            Span::styled(sign, theme.bad()),
            Span::styled(why, theme.text()),
        ];
        line(frame, area, head);
        let age = model
            .lost_at
            .map_or(String::new(), |at| Ago(model.now.since(at)).to_string());
        let last = format!("showing data from {age} ago, when the connection was lost");
        return line(
            frame,
            Rect {
                y: area.y + 1,
                height: area.height.saturating_sub(1),
                ..area
            },
            vec![Span::styled(last, theme.dim())],
        );
    }
    let Some(node) = &model.node else {
        let text = if model.running {
            "running"
        } else {
            "starting the node…"
        };
        let spans = vec![
            Span::styled(model.title.clone(), theme.title()),
            Span::raw(format!("  {text}")),
        ];
        return line(frame, area, spans);
    };
    let state = match node.connected {
        0 => ("○ alone".to_owned(), theme.fair()),
        1 => ("● 1 peer".to_owned(), theme.good()),
        count => (format!("● {count} peers"), theme.good()),
    };
    let packages = count(node.packages, "package", "packages");
    let lost = if model.dropped > 0 {
        theme.bad()
    } else {
        theme.dim()
    };
    let refused = model.refused();
    let mut figures: Vec<(String, Style)> = Vec::new();
    if let Some(verdict) = model.health.history.verdict() {
        figures.push(if model.health.starting {
            ("… starting".to_owned(), theme.dim())
        } else {
            let text = format!("{} {}", health::sign(verdict.state), verdict.state.label());
            (text, health::style(verdict.state, theme))
        });
    }
    figures.extend([
        state,
        (packages, theme.text()),
        (
            format!("{} announced/min", model.announcements_a_minute()),
            theme.text(),
        ),
        (format!("{} dropped", model.dropped), lost),
    ]);
    if let Some(offset) = node
        .clock_offset_ms
        .filter(|offset| offset.abs() > CLOCK_LIMIT_MS)
    {
        let (minutes, way) = (
            offset.abs() / 60_000,
            if offset > 0 { "ahead" } else { "behind" },
        );
        figures.insert(
            figures.len().min(2),
            (format!("! clock {minutes} min {way}"), theme.bad()),
        );
    }
    if refused > 0 {
        let key = model.key(Action::Refused, model.screen);
        figures.push((format!("{refused} refused ({key})"), theme.fair()));
    }
    figures.push((format!("{} known", node.known_peers), theme.dim()));
    if !node.dht_server {
        figures.push(("DHT client only".to_owned(), theme.fair()));
    }
    if area.height < 2 {
        return line(frame, area, fitting(figures, width, " · "));
    }
    let id = short_id(&node.peer_id);
    let who = node
        .handle
        .as_ref()
        .map_or_else(|| id.clone(), |handle| format!("{handle} ({id})"));
    let top = vec![
        (model.title.clone(), theme.title()),
        (format!("you are {who}"), theme.strong()),
        (format!("network {}", node.network), theme.text()),
    ];
    line(frame, area, fitting(top, width, "  "));
    line(
        frame,
        Rect {
            y: area.y + 1,
            ..area
        },
        fitting(figures, width, " · "),
    );
}

fn tabs(frame: &mut Frame<'_>, model: &Model, theme: Theme) {
    for (screen, name, area) in layout::tabs(model) {
        let style = if screen == model.screen {
            theme.selected()
        } else {
            theme.dim()
        };
        line(
            frame,
            area.intersection(frame.area()),
            vec![Span::styled(name, style)],
        );
    }
}

/// Draws the filter of the screen's table or the search field, and any mistake in it.
fn filter(frame: &mut Frame<'_>, model: &Model, theme: Theme, areas: &Areas) {
    if model.screen == Screen::Search {
        return field(
            frame,
            areas.field,
            SEARCH_LABEL,
            &model.search.input,
            model.search.typing,
            theme,
        );
    }
    let filter = model.table().filter();
    let problem = filter
        .terms
        .problem
        .as_ref()
        .map(|problem| format!("  ! {problem}"))
        .unwrap_or_default();
    let most = usize::from(areas.field.width)
        .saturating_sub("filter: ".len() + filter.input.value().width() + 2);
    let problem = fit(&problem, most);
    let width = areas.field.width.saturating_sub(problem.width() as u16);
    field(
        frame,
        Rect {
            width,
            ..areas.field
        },
        "filter: ",
        &filter.input,
        filter.typing,
        theme,
    );
    if areas.field.height > 0 {
        let room = Rect {
            x: areas.field.x + width,
            width: areas.field.width - width,
            ..areas.field
        };
        line(frame, room, vec![Span::styled(problem, theme.fair())]);
    }
}

fn footer(frame: &mut Frame<'_>, model: &Model, theme: Theme, area: Rect) {
    let (typing, place) = (model.typing(), model.place());
    let mode = if typing { "TYPING" } else { "BROWSING" };
    let mut left = usize::from(area.width).saturating_sub(mode.len() + 2);
    let mut spans = vec![Span::styled(format!("{mode}  "), theme.strong())];
    let in_window = !model.popups.is_empty();
    let shown = model.screen == Screen::Publish && model.publish.progress.is_some();
    let filtered = shown || model.table().filter().is_shown() || model.table().marked() > 0;
    let here = |row: &&keymap::KeyRow| {
        !matches!(row.on, keymap::KeyScope::All | keymap::KeyScope::Screens)
    };
    let rows = || keymap::rows(typing, place).filter(|row| !row.short.is_empty());
    // Keys of this place come first; help and quit are always shown.
    let here_first = |row: &&keymap::KeyRow| matches!(row.action, Action::Help | Action::Quit);
    let first = rows()
        .filter(here_first)
        .filter(|row| typing || row.when != When::Anywhere);
    let special = rows().filter(here);
    let rest =
        rows().filter(|row| !here(row) && !matches!(row.action, Action::Help | Action::Quit));
    for row in first.chain(special).chain(rest) {
        // Without a window, there may be nothing to go back from.
        let useful = match row.action {
            action if model.refusal(action).is_some() => false,
            // A question names its own way back.
            Action::Back => place != KeyPlace::Confirm && (in_window || filtered),
            Action::Zoom { .. } | Action::Pan(_) | Action::Fit => is_drawn(model),
            Action::ContinueDraft => model.publish.form.is_some(),
            Action::NewRelease | Action::Yank => !model.publish.mine.is_empty(),
            Action::Trust | Action::Distrust | Action::Evidence => model.shown_conflict().is_some(),
            Action::NextKey => model
                .shown_conflict()
                .is_some_and(|case| case.keys().len() > 1),
            Action::Refresh => {
                model.screen == Screen::Search
                    && !in_window
                    && model.search.newer(model.known_packages()) > 0
            }
            Action::Pause | Action::Cancel => model.shown_transfer().is_some_and(can_be_told),
            _ => true,
        };
        let key = model.keymap.labels(row);
        let key = key.split(' ').next().unwrap_or_default();
        let needed = key.width() + row.short.width() + 3;
        if !useful || key.is_empty() || needed > left {
            continue;
        }
        left -= needed;
        spans.push(Span::styled(key.to_owned(), theme.key()));
        spans.push(Span::styled(format!(" {}  ", row.short), theme.dim()));
    }
    line(frame, area, spans);
}

/// Draws a text field on one row, with the cursor in it if it has the focus.
pub(super) fn field(
    frame: &mut Frame<'_>,
    area: Rect,
    label: &str,
    input: &Input,
    typing: bool,
    theme: Theme,
) {
    if area.height == 0 {
        return;
    }
    let (room, skipped) = layout::field_view(usize::from(area.width), label, input);
    let mut hidden = 0;
    let shown: String = input
        .value()
        .chars()
        .skip_while(|c| {
            let skip = hidden < skipped;
            hidden += unicode_width::UnicodeWidthChar::width(*c).unwrap_or(0);
            skip
        })
        .collect();
    let style = if typing { theme.strong() } else { theme.text() };
    line(
        frame,
        area,
        vec![
            Span::styled(label.to_owned(), theme.key()),
            Span::styled(fit(&shown, room), style),
        ],
    );
    if typing {
        let x = label.width()
            + input
                .visual_cursor()
                .saturating_sub(skipped)
                .min(room.saturating_sub(1));
        frame.set_cursor_position((area.x + x as u16, area.y));
    }
}

/// Draws the status row: the table's state first, then a notice if there is one, else `text`.
pub(super) fn status(
    frame: &mut Frame<'_>,
    model: &Model,
    areas: &Areas,
    text: &str,
    theme: Theme,
) {
    let mut left = usize::from(areas.status.width);
    let mut spans = Vec::new();
    if let Some(banner) = table_banner(model) {
        let banner = fit(&banner, left);
        left -= banner.width();
        spans.push(Span::styled(banner, theme.fair()));
    }
    let (text, style) = match model.notices.shown() {
        Some(notice) => {
            let word = match notice.level {
                Level::Info => "note",
                Level::Warning => "warning",
                Level::Error => "error",
            };
            (
                format!("{word}: {}", notice.text),
                theme.level(notice.level),
            )
        }
        None if spans.is_empty() => (text.to_owned(), theme.dim()),
        None => (String::new(), theme.dim()),
    };
    let text = if spans.is_empty() || text.is_empty() {
        text
    } else {
        format!(" · {text}")
    };
    spans.push(Span::styled(fit(&text, left), style));
    line(frame, areas.status, spans);
}

/// Describes the state of a table: frozen, or with marked rows.
fn table_banner(model: &Model) -> Option<String> {
    let table = model.table();
    let key = |action| model.key(action, model.screen);
    let [_, _, waiting, lost] = table.counts();
    if table.is_frozen() {
        let lost = if lost > 0 {
            format!(", {lost} dropped")
        } else {
            String::new()
        };
        let marked = if table.marked() > 0 {
            format!(", {} marked", table.marked())
        } else {
            String::new()
        };
        return Some(format!(
            "FROZEN: {waiting} new{lost}{marked}, {} resumes",
            key(Action::Freeze)
        ));
    }
    let newer = newer_rows(model);
    match table.marked() {
        0 => newer,
        count => {
            let newer = newer.map_or(String::new(), |newer| format!(" · {newer}"));
            Some(format!(
                "{count} marked: keys act on them ({}: unmark){newer}",
                key(Action::Back)
            ))
        }
    }
}

/// Says how many rows came while the cursor was on a row, and the key that shows them.
fn newer_rows(model: &Model) -> Option<String> {
    let table = model.table();
    let key = model.key(Action::Move(CursorMove::First), model.screen);
    let word = if table.is_by_time() { "newer" } else { "more" };
    match table.newer() {
        (0, 0) => None,
        (0, end) => Some(format!("{end} {word} at the end ({key}: sort)")),
        (above, _) => Some(format!("{above} {word} ↑ ({key})")),
    }
}

/// Draws the status row of a table: number of rows, what is hidden, and the order.
pub(super) fn table_status(
    frame: &mut Frame<'_>,
    model: &Model,
    areas: &Areas,
    words: [&str; 2],
    theme: Theme,
) {
    let text = table_figures(model, words, usize::from(areas.status.width));
    status(frame, model, areas, &text, theme);
}

/// Returns that text, in at most `room` columns if possible.
fn table_figures(model: &Model, [one, many]: [&str; 2], room: usize) -> String {
    let table = model.table();
    let [shown, known, ..] = table.counts();
    let hidden = match known.saturating_sub(shown) {
        0 => String::new(),
        hidden => format!(", {hidden} hidden by the filter"),
    };
    let order = if table.can_follow() {
        follow_hint(model)
    } else {
        table.order()
    };
    let things = if shown == 1 { one } else { many };
    let (first, page) = (table.offset(), layout::page(model));
    let part = if shown as usize > page && page > 0 {
        format!("{}-{} of ", first + 1, (first + page).min(shown as usize))
    } else {
        String::new()
    };
    let text = format!("{part}{shown} {things}{hidden}, {order}");
    let leading = Some(table.leading()).filter(|leading| text.width() + leading.width() <= room);
    format!("{text}{}", leading.unwrap_or_default())
}

/// Returns the cell of a publisher's key: a word if the person decided about it, else its
/// fingerprint, with a sign if other keys claim the same handle.
pub(super) fn key_cell(
    model: &Model,
    (owner, handle, trust): (&PublisherId, Option<&Handle>, Trust),
    theme: Theme,
) -> (String, Style) {
    let text = key(owner, trust);
    let contested = handle.is_some_and(|handle| model.claims.is_contested(handle, owner));
    match trust {
        Trust::Unknown if contested => (format!("! {text}"), theme.bad()),
        Trust::Unknown => (text, theme.text()),
        Trust::Pinned | Trust::Own => (text, theme.good()),
        Trust::Distrusted => (text, theme.bad()),
    }
}

/// Returns the hint that leads back to following the newest row.
pub(super) fn follow_hint(model: &Model) -> String {
    let key = model.key(Action::Move(CursorMove::First), model.screen);
    format!("{key} follows the newest")
}

/// Returns the sentence for a list whose filter hides every row.
pub(super) fn no_match(model: &Model, what: &str) -> String {
    let key = model.key(Action::Back, model.screen);
    format!("No {what} matches the filter. {key} clears it.")
}

/// Draws sentences in the middle of an empty body.
pub(super) fn sentences(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'_>>) {
    let top = area.height.saturating_sub(lines.len() as u16 + 2) / 3;
    let area = Rect {
        x: area.x + 2.min(area.width),
        y: area.y + top,
        width: area.width.saturating_sub(4),
        height: area.height.saturating_sub(top),
    };
    frame.render_widget(
        Paragraph::new(lines)
            .wrap(Wrap { trim: false })
            .alignment(Alignment::Left),
        area,
    );
}
