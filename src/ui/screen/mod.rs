//! The screens, and the frame they share: header, bar, field, body, status, footer.

pub mod feed;
pub mod peers;
pub mod search;

use ratatui::{
    Frame,
    layout::{Alignment, Rect},
    style::Style,
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};
use tui_input::Input;
use unicode_width::UnicodeWidthStr;

use super::{
    action::{Action, Screen},
    keymap,
    layout::{self, Areas, LEAST, WIDE},
    model::{CLOCK_LIMIT_MS, Model},
    popup,
    theme::Theme,
};
use crate::{
    bus::Level,
    domain::{name::short_id, text::fit},
};

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme) {
    let (width, height) = model.size;
    if width < LEAST.0 || height < LEAST.1 {
        let text = format!("Swarmdex needs {} columns and {} rows; here are {width} and {height}.", LEAST.0, LEAST.1);
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), frame.area());
        return;
    }
    let mut areas = layout::areas(model);
    if !model.popups.is_empty() && width >= WIDE {
        // Beside a window, the list has the rest of the width.
        let left = layout::drawer(model).x.saturating_sub(1);
        (areas.field.width, areas.body.width) = (left, left);
    }
    header(frame, model, theme, areas.header);
    tabs(frame, model, theme, areas.tabs);
    match model.screen {
        Screen::Peers => peers::draw(frame, model, theme, &areas),
        Screen::Feed => feed::draw(frame, model, theme, &areas),
        Screen::Search => search::draw(frame, model, theme, &areas),
    }
    if let Some(notice) = model.notice() {
        let word = match notice.level {
            Level::Info => "note",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        let text = format!("{word}: {}", notice.text);
        line(frame, areas.status, vec![Span::styled(fit(&text, usize::from(width)), theme.level(notice.level))]);
    }
    footer(frame, model, theme, areas.footer);
    if let Some(window) = model.popups.last() {
        popup::draw(frame, model, window, theme);
    }
}

/// One row of text.
pub(super) fn line(frame: &mut Frame<'_>, area: Rect, spans: Vec<Span<'_>>) {
    if area.height > 0 {
        frame.render_widget(Paragraph::new(Line::from(spans)), Rect { height: 1, ..area });
    }
}

/// Spans that fit one after the other; those that do not are left out whole.
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
    let Some(node) = &model.node else {
        let text = if model.running { "running" } else { "starting the node…" };
        let spans = vec![Span::styled(model.title.clone(), theme.title()), Span::raw(format!("  {text}"))];
        return line(frame, area, spans);
    };
    let state = match node.connected {
        0 => ("○ alone".to_owned(), theme.fair()),
        1 => ("● 1 peer".to_owned(), theme.good()),
        count => (format!("● {count} peers"), theme.good()),
    };
    let packages = match node.packages {
        1 => "1 package".to_owned(),
        count => format!("{count} packages"),
    };
    let lost = if model.dropped > 0 { theme.bad() } else { theme.dim() };
    let refused = model.refused();
    let mut figures = vec![
        state,
        (packages, theme.text()),
        (format!("{} announced/min", model.announcements_a_minute()), theme.text()),
        (format!("{} dropped", model.dropped), lost),
    ];
    if let Some(offset) = node.clock_offset_ms.filter(|offset| offset.abs() > CLOCK_LIMIT_MS) {
        let (minutes, way) = (offset.abs() / 60_000, if offset > 0 { "ahead" } else { "behind" });
        figures.insert(1, (format!("! clock {minutes} min {way}"), theme.bad()));
    }
    if refused > 0 {
        figures.push((format!("{refused} refused"), theme.fair()));
    }
    figures.push((format!("{} known", node.known_peers), theme.dim()));
    if !node.dht_server {
        figures.push(("DHT client only".to_owned(), theme.fair()));
    }
    if area.height < 2 {
        return line(frame, area, fitting(figures, width, " · "));
    }
    let id = short_id(&node.peer_id);
    let who = node.handle.as_ref().map_or_else(|| id.clone(), |handle| format!("{handle} ({id})"));
    let top = vec![
        (model.title.clone(), theme.title()),
        (format!("you are {who}"), theme.strong()),
        (format!("network {}", node.network), theme.text()),
    ];
    line(frame, area, fitting(top, width, "  "));
    line(frame, Rect { y: area.y + 1, ..area }, fitting(figures, width, " · "));
}

fn tabs(frame: &mut Frame<'_>, model: &Model, theme: Theme, area: Rect) {
    let mut spans = Vec::new();
    for screen in Screen::ALL {
        let here = screen == model.screen;
        let name = if here || area.width >= WIDE {
            format!(" {} {} ", screen.digit(), screen.name())
        } else {
            format!(" {} ", screen.digit())
        };
        spans.push(Span::styled(name, if here { theme.selected() } else { theme.dim() }));
        spans.push(Span::raw(" "));
    }
    line(frame, area, spans);
}

fn footer(frame: &mut Frame<'_>, model: &Model, theme: Theme, area: Rect) {
    let typing = model.typing();
    let mode = if typing { "TYPING" } else { "BROWSING" };
    let mut left = usize::from(area.width).saturating_sub(mode.len() + 2);
    let mut spans = vec![Span::styled(format!("{mode}  "), theme.strong())];
    let in_window = !model.popups.is_empty();
    let filtered = match model.screen {
        Screen::Peers => model.peers.filter.is_shown(),
        Screen::Feed => model.feed.filter.is_shown(),
        Screen::Search => false,
    };
    for row in keymap::rows(typing, model.screen).filter(|row| !row.short.is_empty()) {
        // With a window open, only what works in it; without, there may be nothing to go back from.
        let useful = match row.action {
            Action::Help | Action::Quit => true,
            Action::Back => in_window || filtered,
            _ => !in_window,
        };
        if !useful {
            continue;
        }
        let Some(key) = row.keys.first().map(|_| keymap::labels(row)) else { continue };
        let needed = key.width() + row.short.width() + 3;
        if needed > left {
            continue;
        }
        left -= needed;
        spans.push(Span::styled(key, theme.key()));
        spans.push(Span::styled(format!(" {}  ", row.short), theme.dim()));
    }
    line(frame, area, spans);
}

/// A text field on one row, with the cursor in it while it has the focus.
pub(super) fn field(frame: &mut Frame<'_>, area: Rect, label: &str, input: &Input, typing: bool, theme: Theme) {
    if area.height == 0 {
        return;
    }
    let room = usize::from(area.width).saturating_sub(label.width() + 1).max(1);
    let skipped = input.visual_scroll(room.saturating_sub(1));
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
    line(frame, area, vec![Span::styled(label.to_owned(), theme.key()), Span::styled(fit(&shown, room), style)]);
    if typing {
        let x = label.width() + input.visual_cursor().saturating_sub(skipped).min(room.saturating_sub(1));
        frame.set_cursor_position((area.x + x as u16, area.y));
    }
}

/// The status row, unless a notice has it.
pub(super) fn status(frame: &mut Frame<'_>, model: &Model, areas: &Areas, text: &str, style: Style) {
    if model.notice().is_none() {
        line(frame, areas.status, vec![Span::styled(fit(text, usize::from(areas.status.width)), style)]);
    }
}

/// Sentences in the middle of an empty body.
pub(super) fn sentences(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'_>>) {
    let top = area.height.saturating_sub(lines.len() as u16 + 2) / 3;
    let area = Rect {
        x: area.x + 2.min(area.width),
        y: area.y + top,
        width: area.width.saturating_sub(4),
        height: area.height.saturating_sub(top),
    };
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).alignment(Alignment::Left), area);
}
