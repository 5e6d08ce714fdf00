//! The window of a lookup, request by request.

use ratatui::style::Style;

use super::{Page, Window};
use crate::{
    domain::{
        lookup::{DISTANCE, Hop, HopAnswer, HopFailure, LookupKind, Trace, span},
        name::short_id,
        text::printable,
    },
    ui::{
        action::{Action, KeyPlace},
        model::{Model, lookups::hops},
        screen::lookups::style,
        table::column::Column,
        theme::Theme,
    },
};

/// Columns of the table of requests.
const HOPS: [Column; 8] = [
    Column::new("at", "at", 7, 1).right(),
    Column::new("peer", "peer", 12, 0),
    Column::new("handle", "handle", 20, 6).up_to(25),
    Column::new("bits", "bits", 5, 0).right(),
    Column::new("ask", "asked", 9, 3),
    Column::new("took", "took", 7, 0).right(),
    Column::new("time", "when", 10, 5).up_to(24),
    Column::new("answer", "answer", 20, 0).rather(34).up_to(48),
];

pub struct LookupWindow {
    pub id: u64,
}

impl Window for LookupWindow {
    fn place(&self) -> KeyPlace {
        KeyPlace::Lookup
    }

    fn title(&self) -> &str {
        "Lookup"
    }

    fn lines(&self, model: &Model, page: &mut Page) {
        let theme = page.theme;
        let Some(trace) = model.lookups.table.get(&self.id) else {
            return page.line("This lookup is no longer kept.");
        };
        let title = printable(trace.title());
        page.field_in(trace.kind.label(), &title, theme.strong());
        if trace.what.is_some() {
            page.hash("key", &printable(&trace.key), theme.text());
        }
        let result = trace.came();
        let state = if result.is_empty() {
            trace.word().to_owned()
        } else {
            format!("{}: {result}", trace.word())
        };
        page.field_in("state", &state, style(trace, theme));
        if trace.own {
            page.field("here", "this node has a copy itself");
        }
        let began = crate::clock::here(trace.started_at);
        let time = trace.took_us.map_or_else(
            || format!("began at {began}"),
            |took| format!("{}, began at {began}", span(took)),
        );
        page.field("time", &time);
        let failed = match trace.failed() {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        let (sent, answered) = (hops(trace), trace.answered());
        page.field(
            "requests",
            &format!("{sent} sent, {answered} answered{failed}"),
        );
        page.heading("Peers asked, in order");
        if trace.hops.is_empty() {
            return page.styled("none yet: no known peer to ask", theme.dim());
        }
        table_of_hops(page, model, trace);
        if trace.more_hops > 0 {
            let text = format!("and {} more, which were not kept", trace.more_hops);
            page.styled(text, theme.dim());
        }
        page.blank();
        let target = match trace.kind {
            LookupKind::Bootstrap => {
                " A bootstrap looks up this node first, then a random key in each farther bucket, \
                 so the bits rise again."
            }
            _ => "",
        };
        let text = format!("↓: the closest peer so far. {DISTANCE}{target}");
        page.text(&text, theme.dim());
    }

    fn keys(&self) -> &'static [(Action, &'static str)] {
        &[(Action::Buckets, "routing table"), (Action::Back, "back")]
    }
}

fn table_of_hops(page: &mut Page, model: &Model, trace: &Trace) {
    let theme = page.theme;
    let handle_of = |hop: &Hop| {
        model
            .peers
            .get(&hop.peer)
            .map_or(String::new(), |peer| model.owner_of(peer))
    };
    let named = trace.hops.iter().any(|hop| !handle_of(hop).is_empty());
    let columns: Vec<Column> = HOPS
        .into_iter()
        .filter(|column| named || column.key != "handle")
        .collect();
    let now = trace.took_us.unwrap_or_else(|| {
        let since = model.now.since(trace.started_at).as_micros();
        u32::try_from(since).unwrap_or(u32::MAX)
    });
    let mut least = u16::MAX;
    let hops = trace.hops.iter().map(|hop| {
        let is_closer = hop.bits < least;
        least = least.min(hop.bits);
        (hop, is_closer)
    });
    page.table(&columns, hops, |(hop, is_closer), key, width| match key {
        "at" => (span(hop.after_us), theme.dim()),
        "peer" => (short_id(&hop.peer), theme.strong()),
        "handle" => (handle_of(hop), theme.text()),
        "bits" if *is_closer => (format!("↓ {}", hop.bits), theme.good()),
        "bits" => (hop.bits.to_string(), theme.text()),
        "ask" => (hop.ask.label().to_owned(), theme.text()),
        "took" => (
            hop.took_us.map_or_else(|| "-".to_owned(), span),
            theme.text(),
        ),
        "time" => (timeline(hop, now, width), theme.link()),
        _ => (answer_text(hop), answer_style(hop.answer, theme)),
    });
}

fn answer_text(hop: &Hop) -> String {
    let is_known_from_text = matches!(
        hop.answer,
        HopAnswer::Waiting | HopAnswer::Failed(HopFailure::Unreachable)
    );
    if hop.dialled && !is_known_from_text {
        format!("dialled; {}", hop.said())
    } else {
        hop.said()
    }
}

fn answer_style(answer: HopAnswer, theme: Theme) -> Style {
    match answer {
        HopAnswer::Record | HopAnswer::Providers(_) | HopAnswer::Stored | HopAnswer::Told => {
            theme.good()
        }
        HopAnswer::Failed(_) | HopAnswer::Wrong => theme.bad(),
        HopAnswer::Waiting => theme.fair(),
        HopAnswer::Nothing | HopAnswer::NotAwaited => theme.dim(),
        HopAnswer::Closer => theme.text(),
    }
}

/// Draws when a request was in progress, relative to the duration of the whole lookup.
fn timeline(hop: &Hop, all: u32, width: usize) -> String {
    let at =
        |micros: u32| (f64::from(micros) / f64::from(all.max(1)) * width as f64).floor() as usize;
    let from = at(hop.after_us).min(width.saturating_sub(1));
    if hop.answer == HopAnswer::Told {
        return format!(
            "{}▲{}",
            "·".repeat(from),
            "·".repeat(width.saturating_sub(from + 1))
        );
    }
    let end = hop.after_us.saturating_add(
        hop.took_us
            .unwrap_or_else(|| all.saturating_sub(hop.after_us)),
    );
    let to = at(end).clamp(from + 1, width.max(from + 1));
    let under_way = if hop.took_us.is_some() { "▄" } else { "░" };
    format!(
        "{}{}{}",
        "·".repeat(from),
        under_way.repeat(to - from),
        "·".repeat(width.saturating_sub(to))
    )
}
