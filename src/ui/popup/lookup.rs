//! The window of a lookup, request by request, and the window of the routing table.

use ratatui::{
    style::Style,
    text::{Line, Span},
};

use super::{field, heading};
use crate::{
    domain::{
        lookup::{
            Bucket, DISTANCE, Hop, HopAnswer, HopFailure, LookupKind, RoutingTable, Trace, span,
        },
        name::short_id,
        text::{fit, printable},
    },
    ui::{
        model::{
            Model,
            lookups::{ago, hops},
            peers::called,
        },
        screen::lookups::style,
        table::column::{Column, columns_in},
        theme::Theme,
        widget::{bar::bar, wrap::wrap},
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

/// Columns of the routing table.
const BUCKETS: [Column; 6] = [
    Column::new("bits", "bits", 4, 0).right(),
    Column::new("fill", "fill", 20, 2),
    Column::new("peers", "peers", 9, 0).right(),
    Column::new("connected", "here", 4, 1).right(),
    Column::new("contact", "oldest contact", 14, 0).right(),
    Column::new("refresh", "last lookup", 11, 0).right(),
];

pub fn lines(model: &Model, id: u64, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let Some(trace) = model.lookups.table.get(&id) else {
        return vec![Line::from("This lookup is no longer kept.")];
    };
    let mut lines = Vec::new();
    let mut say =
        |label: &str, text: &str, style: Style| field(&mut lines, label, text, style, width, theme);
    say(
        trace.kind.label(),
        &printable(trace.title()),
        theme.strong(),
    );
    if trace.what.is_some() {
        say("key", &printable(&trace.key), theme.text());
    }
    let came = trace.came();
    let state = if came.is_empty() {
        trace.word().to_owned()
    } else {
        format!("{}: {came}", trace.word())
    };
    say("state", &state, style(trace, theme));
    if trace.own {
        say("here", "this node has a copy itself", theme.text());
    }
    let began = crate::clock::here(trace.started_at);
    let time = trace.took_us.map_or_else(
        || format!("began at {began}"),
        |took| format!("{}, began at {began}", span(took)),
    );
    say("time", &time, theme.text());
    let failed = match trace.failed() {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    say(
        "requests",
        &format!(
            "{} sent, {} answered{failed}",
            hops(trace),
            trace.answered()
        ),
        theme.text(),
    );
    heading(&mut lines, "Peers asked, in order", theme);
    if trace.hops.is_empty() {
        lines.push(Line::from(Span::styled(
            "none yet: no known peer to ask",
            theme.dim(),
        )));
        return lines;
    }
    table_of_hops(&mut lines, model, trace, width, theme);
    if trace.more_hops > 0 {
        let text = format!("and {} more, which were not kept", trace.more_hops);
        lines.push(Line::from(Span::styled(text, theme.dim())));
    }
    lines.push(Line::default());
    let target = match trace.kind {
        LookupKind::Bootstrap => {
            " A bootstrap looks up this node first, then a random key in each farther bucket, so \
             the bits rise again."
        }
        _ => "",
    };
    let text = format!("v: the closest peer so far. {DISTANCE}{target}").replacen('v', "↓", 1);
    lines.extend(
        wrap(&text, width)
            .into_iter()
            .map(|line| Line::from(Span::styled(line, theme.dim()))),
    );
    lines
}

fn row(
    columns: &[(Column, usize)],
    cell: &dyn Fn(&'static str, usize) -> (String, Style),
) -> Line<'static> {
    let mut spans = Vec::new();
    for (column, width) in columns {
        let (text, style) = cell(column.key, *width);
        let text = fit(&text, *width);
        let text = if column.right {
            format!("{text:>width$}")
        } else {
            format!("{text:<width$}")
        };
        spans.extend([Span::styled(text, style), Span::raw(" ")]);
    }
    spans.pop();
    Line::from(spans)
}

fn head(columns: &[(Column, usize)], theme: Theme) -> Line<'static> {
    row(columns, &|key, _| {
        let title = columns
            .iter()
            .find(|(column, _)| column.key == key)
            .map_or("", |(column, _)| column.title);
        (title.to_owned(), theme.dim())
    })
}

fn table_of_hops(
    lines: &mut Vec<Line<'static>>,
    model: &Model,
    trace: &Trace,
    width: usize,
    theme: Theme,
) {
    let handle_of = |hop: &Hop| model.peers.get(&hop.peer).map_or(String::new(), called);
    let named = trace.hops.iter().any(|hop| !handle_of(hop).is_empty());
    let columns: Vec<Column> = HOPS
        .into_iter()
        .filter(|column| named || column.key != "handle")
        .collect();
    let columns = columns_in(&columns, width);
    lines.push(head(&columns, theme));
    let now = trace.took_us.unwrap_or_else(|| {
        let since = model.now.since(trace.started_at).as_micros();
        u32::try_from(since).unwrap_or(u32::MAX)
    });
    let mut least = u16::MAX;
    for hop in &trace.hops {
        let closer = hop.bits < least;
        least = least.min(hop.bits);
        lines.push(row(&columns, &|key, width| match key {
            "at" => (span(hop.after_us), theme.dim()),
            "peer" => (short_id(&hop.peer), theme.strong()),
            "handle" => (handle_of(hop), theme.text()),
            "bits" if closer => (format!("↓ {}", hop.bits), theme.good()),
            "bits" => (hop.bits.to_string(), theme.text()),
            "ask" => (hop.ask.label().to_owned(), theme.text()),
            "took" => (
                hop.took_us.map_or_else(|| "-".to_owned(), span),
                theme.text(),
            ),
            "time" => (timeline(hop, now, width), theme.link()),
            _ => (said(hop), answer_style(hop.answer, theme)),
        }));
    }
}

fn said(hop: &Hop) -> String {
    let says_so = matches!(
        hop.answer,
        HopAnswer::Waiting | HopAnswer::Failed(HopFailure::Unreachable)
    );
    if hop.dialled && !says_so {
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

pub fn buckets(model: &Model, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let table = match &model.lookups.routing {
        None => return vec![Line::from("Asking the node…")],
        Some(Err(why)) => {
            let text = format!("Cannot show the routing table: {}", printable(why));
            return wrap(&text, width)
                .into_iter()
                .map(|line| Line::from(Span::styled(line, theme.bad())))
                .collect();
        }
        Some(Ok(table)) => table,
    };
    let mut lines = Vec::new();
    let peers = |count: usize| {
        if count == 1 {
            "1 peer".to_owned()
        } else {
            format!("{count} peers")
        }
    };
    let buckets = if table.buckets.len() == 1 {
        "1 bucket".to_owned()
    } else {
        format!("{} buckets", table.buckets.len())
    };
    let text = format!(
        "{} in {buckets}, by distance from this node. A bucket holds up to {}. The farthest half \
         of all \
         peers is at 256 bits, the next quarter at 255, and so on, so near buckets stay empty.",
        peers(table.peers()),
        table.room
    );
    lines.extend(wrap(&text, width).into_iter().map(Line::from));
    if table.buckets.is_empty() {
        lines.push(Line::default());
        lines.push(Line::from(Span::styled(
            "Empty: no peer that serves the DHT is known.",
            theme.fair(),
        )));
        return lines;
    }
    lines.push(Line::default());
    let columns = columns_in(&BUCKETS, width);
    lines.push(head(&columns, theme));
    for bucket in &table.buckets {
        lines.push(row(&columns, &|key, width| {
            bucket_cell(model, table, bucket, key, width, theme)
        }));
    }
    lines.push(Line::default());
    let text = format!(
        "oldest contact: the last connection of the peer that has been away for longest. \
         last lookup: of a key in this bucket since the node started. +: replacement waiting. \
         {DISTANCE}"
    );
    lines.extend(
        wrap(&text, width)
            .into_iter()
            .map(|line| Line::from(Span::styled(line, theme.dim()))),
    );
    lines
}

fn bucket_cell(
    model: &Model,
    table: &RoutingTable,
    bucket: &Bucket,
    key: &str,
    width: usize,
    theme: Theme,
) -> (String, Style) {
    let full = bucket.peers >= table.room;
    match key {
        "bits" => (bucket.bits.to_string(), theme.strong()),
        "fill" => {
            let share = f64::from(bucket.peers) / f64::from(table.room.max(1));
            (
                bar(share, width),
                if full { theme.good() } else { theme.link() },
            )
        }
        "peers" => {
            let pending = if bucket.pending { "+" } else { "" };
            (
                format!("{}{pending} of {}", bucket.peers, table.room),
                theme.text(),
            )
        }
        "connected" => (bucket.connected.to_string(), theme.text()),
        "contact" => (ago(bucket.oldest_contact, model.now), theme.text()),
        _ => (
            ago(bucket.refreshed, model.now),
            if bucket.refreshed.is_none() {
                theme.fair()
            } else {
                theme.text()
            },
        ),
    }
}
