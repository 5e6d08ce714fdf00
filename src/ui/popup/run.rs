//! The window of a package manager's run: requests, refusals, and the sources of its downloads.

use std::cmp::Reverse;

use super::{Page, Window};
use crate::{
    clock,
    domain::{
        name::short_id,
        request::{ClientRequest, RequestPurpose},
        size::Size,
        text::{fit, printable},
    },
    ui::model::{
        Model,
        clients::{ClientRun, Sum},
    },
};

/// Most requests listed.
const LISTED: usize = 500;

pub struct RunWindow {
    pub id: u64,
}

impl Window for RunWindow {
    fn title(&self) -> &str {
        "Package manager"
    }

    fn lines(&self, model: &Model, page: &mut Page) {
        let theme = page.theme;
        let Some(run) = model.clients.table.get(&self.id) else {
            return page.line("This run is no longer known.");
        };
        let sum = run.sum();
        page.field_in("client", &run.client(), theme.strong());
        page.field("from", &run.from());
        page.field("began", &clock::here(run.began()));
        let state = if run.is_open(model.now) {
            "in progress"
        } else {
            "ended"
        };
        let (all, files, changes) = (run.asked(), sum.files, sum.changes);
        page.field(
            "asked",
            &format!("{all} requests: {files} files, {changes} changes; {state}"),
        );
        let (sent, fetched) = (Size(sum.bytes), Size(sum.fetched()));
        page.field(
            "sent",
            &format!("{sent}; {fetched} of it downloaded from peers"),
        );
        let style = if sum.refused + sum.broken_off > 0 {
            theme.bad()
        } else {
            theme.good()
        };
        let refused = format!("{}; broken off {}", sum.refused, sum.broken_off);
        page.field_in("refused", &refused, style);
        sources(page, model, &sum);
        refusals(page, run);
        page.heading("Requests, latest first");
        for one in run.requests.values().rev().take(LISTED) {
            request(page, model, one);
        }
        let listed = run.requests.len().min(LISTED) as u64;
        let more = run.asked().saturating_sub(listed);
        if more > 0 {
            page.styled(format!("and {more} earlier"), theme.dim());
        }
    }
}

fn sources(page: &mut Page, model: &Model, sum: &Sum) {
    page.heading("Sources of the bytes");
    let mut source = |bytes: u64, name: &str| {
        let text = format!("{:>9}  {name}", Size(bytes).to_string());
        page.styled(text, page.theme.text());
    };
    source(sum.here, "this node");
    let mut peers: Vec<_> = sum.peers.iter().collect();
    peers.sort_by_key(|(peer, bytes)| (Reverse(**bytes), **peer));
    for (peer, bytes) in peers {
        let handle = model
            .peers
            .get(peer)
            .map_or(String::new(), |peer| model.owner_of(peer));
        source(*bytes, &format!("{} {handle}", short_id(peer)));
    }
}

/// Adds the reason of each refusal, without repeats.
fn refusals(page: &mut Page, run: &ClientRun) {
    let mut reasons: Vec<&str> = Vec::new();
    for request in run.requests.values().filter(|request| request.is_refused()) {
        let reason = request.refusal.as_deref();
        if let Some(why) = reason.filter(|why| !reasons.contains(why)) {
            reasons.push(why);
        }
    }
    if reasons.is_empty() {
        return;
    }
    page.heading("Reasons for refusals");
    for why in reasons {
        page.text(&printable(why), page.theme.bad());
    }
}

/// Shows one request as a line.
fn request(page: &mut Page, model: &Model, request: &ClientRequest) {
    let theme = page.theme;
    let what = match (&request.package, &request.version) {
        (Some(package), Some(version)) => format!("{package} {version}"),
        (Some(package), None) => package.to_string(),
        (None, _) => request.path.clone(),
    };
    let purpose = match request.purpose {
        RequestPurpose::Read => "read",
        RequestPurpose::File => "file",
        RequestPurpose::Change => "change",
    };
    let size = Size(request.bytes);
    let (end, style) = match request.millis {
        None => ("sending".to_owned(), theme.link()),
        Some(_) if request.is_broken_off() => (format!("broken off at {size}"), theme.bad()),
        Some(millis) => (format!("{size} in {millis} ms"), theme.text()),
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
            model
                .peers
                .get(peer)
                .map_or_else(|| short_id(peer), |peer| model.owner_of(peer))
        ),
        peers => format!(", from {} peers", peers.len()),
    };
    let text = format!(
        "{} {purpose:<6} {} {}: {end}{from}{owner}",
        clock::here(request.at),
        request.status,
        printable(&what)
    );
    page.styled(fit(&text, page.width), style);
}
