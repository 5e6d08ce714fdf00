//! The window of a package manager's run: requests, refusals, and the sources of its downloads.

use std::cmp::Reverse;

use ratatui::{
    style::Style,
    text::{Line, Span},
};

use super::{field, heading};
use crate::{
    clock,
    domain::{
        name::short_id,
        request::{ClientRequest, RequestPurpose},
        size::Size,
        text::{fit, printable},
    },
    ui::{
        model::{
            Model,
            clients::{ClientRun, Sum},
            peers::called,
        },
        theme::Theme,
        widget::wrap::wrap,
    },
};

/// Most requests listed.
const LISTED: usize = 500;

pub fn lines(model: &Model, id: u64, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let Some(run) = model.clients.table.get(&id) else {
        return vec![Line::from("This run is no longer known.")];
    };
    let sum = run.sum();
    let mut lines = Vec::new();
    let mut say =
        |label: &str, text: &str, style: Style| field(&mut lines, label, text, style, width, theme);
    say("client", &run.client(), theme.strong());
    say("from", &run.from(), theme.text());
    say("began", &clock::here(run.began()), theme.text());
    let going = if run.is_open(model.now) {
        "in progress"
    } else {
        "ended"
    };
    say(
        "asked",
        &format!(
            "{} requests: {} files, {} changes; {going}",
            run.asked(),
            sum.files,
            sum.changes
        ),
        theme.text(),
    );
    say(
        "sent",
        &format!(
            "{}; {} of it downloaded from peers",
            Size(sum.bytes),
            Size(sum.fetched())
        ),
        theme.text(),
    );
    let bad = if sum.refused + sum.broken_off > 0 {
        theme.bad()
    } else {
        theme.good()
    };
    say(
        "refused",
        &format!("{}; broken off {}", sum.refused, sum.broken_off),
        bad,
    );
    peers(&mut lines, model, &sum, theme);
    refusals(&mut lines, run, width, theme);
    heading(&mut lines, "Requests, latest first", theme);
    for request in run.requests.values().rev().take(LISTED) {
        lines.push(asked(model, request, width, theme));
    }
    let more = run
        .asked()
        .saturating_sub(run.requests.len().min(LISTED) as u64);
    if more > 0 {
        lines.push(Line::from(Span::styled(
            format!("and {more} earlier"),
            theme.dim(),
        )));
    }
    lines
}

fn peers(lines: &mut Vec<Line<'static>>, model: &Model, sum: &Sum, theme: Theme) {
    heading(lines, "Sources of the bytes", theme);
    let mut given: Vec<_> = sum
        .peers
        .iter()
        .map(|(peer, bytes)| (*peer, *bytes))
        .collect();
    given.sort_by_key(|(peer, bytes)| (Reverse(*bytes), *peer));
    lines.push(Line::from(format!(
        "{:>9}  this node",
        Size(sum.here).to_string()
    )));
    for (peer, bytes) in given {
        let handle = model.peers.get(&peer).map_or(String::new(), called);
        let text = format!(
            "{:>9}  {} {handle}",
            Size(bytes).to_string(),
            short_id(&peer)
        );
        lines.push(Line::from(Span::styled(text, theme.text())));
    }
}

/// Adds the reason of each refusal, without repeats.
fn refusals(lines: &mut Vec<Line<'static>>, run: &ClientRun, width: usize, theme: Theme) {
    let mut said: Vec<&str> = Vec::new();
    for request in run.requests.values().filter(|request| request.is_refused()) {
        if let Some(why) = request.refusal.as_deref().filter(|why| !said.contains(why)) {
            said.push(why);
        }
    }
    if said.is_empty() {
        return;
    }
    heading(lines, "Reasons for refusals", theme);
    for why in said {
        let wrapped = wrap(&printable(why), width);
        lines.extend(
            wrapped
                .into_iter()
                .map(|line| Line::from(Span::styled(line, theme.bad()))),
        );
    }
}

/// Shows one request as a line.
fn asked(model: &Model, request: &ClientRequest, width: usize, theme: Theme) -> Line<'static> {
    let what = match (&request.package, &request.version) {
        (Some(package), Some(version)) => format!("{package} {version}"),
        (Some(package), None) => package.to_string(),
        (None, _) => request.path.clone(),
    };
    let doing = match request.purpose {
        RequestPurpose::Read => "read",
        RequestPurpose::File => "file",
        RequestPurpose::Change => "change",
    };
    let (end, style) = match request.millis {
        None => ("sending".to_owned(), theme.link()),
        Some(_) if request.is_broken_off() => (
            format!("broken off at {}", Size(request.bytes)),
            theme.bad(),
        ),
        Some(millis) => (
            format!("{} in {millis} ms", Size(request.bytes)),
            theme.text(),
        ),
    };
    let style = if request.is_refused() {
        theme.bad()
    } else {
        style
    };
    let owner = request
        .owner
        .map_or_else(String::new, |owner| format!(", of {}", owner.fingerprint()));
    let from = match request.origin.peers.as_slice() {
        [] => String::new(),
        [(peer, _)] => format!(
            ", from {}",
            model.peers.get(peer).map_or_else(|| short_id(peer), called)
        ),
        peers => format!(", from {} peers", peers.len()),
    };
    let text = format!(
        "{} {:<6} {} {}: {end}{from}{owner}",
        clock::here(request.at),
        doing,
        request.status,
        printable(&what)
    );
    Line::from(Span::styled(fit(&text, width), style))
}
