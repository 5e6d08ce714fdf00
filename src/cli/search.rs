//! `search WORDS…`.

use clap::builder::RangedU64ValueParser;

use super::{DONE, FAILED, global::Global, print, session};
use crate::{
    RegistryError, Result,
    domain::query::{MAX_HITS, MAX_LABELS, MAX_TEXT, Query},
    registry::{Hit, SearchResults},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Words that must all occur; the last one may be a beginning. None lists what there is
    words: Vec<String>,
    /// Category that must be there; may be repeated
    #[arg(long, value_name = "NAME")]
    category: Vec<String>,
    /// Tag that must be there; may be repeated
    #[arg(long, value_name = "NAME")]
    tag: Vec<String>,
    /// Most hits
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=MAX_HITS as u64))]
    limit: usize,
    /// Do not ask peers below this score, from 0 to 1
    #[arg(long, default_value_t = 0.0, value_name = "SCORE", value_parser = score)]
    min_reputation: f64,
    /// Print hits and coverage as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn score(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|score| (0.0..=1.0).contains(score)).ok_or("write a number from 0 to 1")
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    let json = args.json;
    let query = query(args)?;
    session::with(global, async |node, _| {
        let spinner = print::spinner("asking peers");
        let results = node.registry().search(&query).await;
        spinner.finish_and_clear();
        let results = results?;
        if json {
            print::json(&results)?;
        } else {
            show(&results)?;
        }
        Ok(if results.hits.is_empty() { FAILED } else { DONE })
    })
    .await
}

/// The query, if peers would take it as it is: one that was cut would find what nobody asked for.
fn query(args: Args) -> Result<Query> {
    let text = args.words.join(" ");
    if text.len() > MAX_TEXT {
        let length = text.len();
        let why = format!("the search has {length} bytes of text and peers take {MAX_TEXT}; use fewer words");
        return Err(RegistryError::Usage(why));
    }
    for (flag, labels) in [("--category", &args.category), ("--tag", &args.tag)] {
        if labels.len() > MAX_LABELS || labels.iter().any(|label| label.len() > MAX_TEXT) {
            let why =
                format!("peers take {MAX_LABELS} times {flag} of {MAX_TEXT} bytes each; use fewer or shorter ones");
            return Err(RegistryError::Usage(why));
        }
    }
    Ok(Query {
        text,
        categories: args.category,
        tags: args.tag,
        limit: args.limit,
        offset: 0,
        min_reputation: args.min_reputation,
        local: false,
        timeout: None,
    })
}

fn show(results: &SearchResults) -> Result<()> {
    let row = |hit: &Hit| {
        vec![
            hit.title(),
            hit.version.to_string(),
            hit.source.label().to_owned(),
            hit.trust.label().to_owned(),
            hit.summary.clone(),
        ]
    };
    if results.hits.is_empty() {
        print::note("nothing was found; try fewer or shorter words");
    } else {
        let rows = results.hits.iter().map(row).collect();
        print::table(&["PACKAGE", "VERSION", "FROM", "TRUST", "WHAT IT IS"], rows)?;
    }
    let more = if results.truncated { "; there is more, raise --limit" } else { "" };
    print::note(format!(
        "{} found in {} ms, {} of {} peers answered{more}",
        results.hits.len(),
        results.elapsed.as_millis(),
        results.coverage.answered,
        results.coverage.asked,
    ));
    Ok(())
}
