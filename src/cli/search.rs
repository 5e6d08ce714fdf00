//! `search WORDS…`.

use clap::builder::RangedU64ValueParser;
use serde::Serialize;

use super::{DONE, FAILED, global::Global, print, session};
use crate::{
    RegistryError, Result,
    domain::{
        query::{MAX_HITS, MAX_LABELS, MAX_OFFSET, MAX_TEXT, Mistake, Query},
        time::{Ago, Timestamp},
    },
    registry::{Coverage, Facets, Hit, LookAlike, SearchResults, claimed},
};

/// Share of the catalogue from which an answer counts as complete. Catalogues change during the
/// comparison.
const WHOLE: f64 = 0.995;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "In the text: words, \"a phrase\", -not, category:web, tag:cli, license:MIT, \
                  eco:cargo, cargo:serde, publisher:alice, updated:<30d, is:yanked, \
                  is:distrusted. Quote what your shell would interpret:\n  \
                        swarmdex search 'web -java \"http server\" updated:<30d'"
)]
pub(super) struct Args {
    /// Words that must all match; the last may be a prefix. Without words, lists the newest
    /// packages
    words: Vec<String>,
    /// Require this category; may be repeated
    #[arg(long, value_name = "NAME")]
    category: Vec<String>,
    /// Require this tag; may be repeated
    #[arg(long, value_name = "NAME")]
    tag: Vec<String>,
    /// Most results to print
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=MAX_HITS as u64))]
    limit: usize,
    /// Skip this many of the best results
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(0..=MAX_OFFSET as u64))]
    offset: usize,
    /// Do not ask peers below this score, from 0 to 1
    #[arg(long, default_value_t = 0.0, value_name = "SCORE", value_parser = score)]
    min_reputation: f64,
    /// Search only this node's own catalogue
    #[arg(long)]
    local: bool,
    /// Print the results, their total, and whether the search was complete, as one JSON object
    #[arg(long)]
    json: bool,
}

/// The JSON output.
#[derive(Serialize)]
struct SearchOutput<'a> {
    hits: Vec<SearchLine<'a>>,
    /// Number of matching packages that are known.
    total: u64,
    /// All peers answered, and their catalogues were complete as far as is known.
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    instead: Option<&'a str>,
    coverage: Coverage,
    elapsed_ms: u128,
    facets: &'a Facets,
}

#[derive(Serialize)]
struct SearchLine<'a> {
    /// The id that `show` and `get` accept on every node.
    id: String,
    name: &'a str,
    version: String,
    description: &'a str,
    publisher: String,
    handle: Option<&'a str>,
    /// Fingerprint of the publisher's key, which distinguishes unpinned handles.
    fingerprint: String,
    trust: &'static str,
    /// Source of the result: `local`, `peer` or `DHT`.
    source: &'static str,
    score: f64,
    categories: &'a [String],
    tags: &'a [String],
    license: Option<&'a str>,
    ecosystem: &'a str,
    dependents: u64,
    providers: u64,
    signed_at: Timestamp,
    yanked: bool,
    deprecated: bool,
    /// The known package whose name this one resembles.
    #[serde(skip_serializing_if = "Option::is_none")]
    looks_like: Option<&'a LookAlike>,
}

impl<'a> SearchLine<'a> {
    fn of(hit: &'a Hit) -> Self {
        Self {
            id: hit.package.to_string(),
            name: hit.package.name.as_str(),
            version: hit.version.to_string(),
            description: &hit.summary,
            publisher: hit.package.owner.to_string(),
            handle: hit.handle.as_ref().map(|handle| handle.as_str()),
            fingerprint: hit.package.owner.fingerprint(),
            trust: hit.trust.label(),
            source: hit.source.label(),
            score: (hit.score * 1_000.0).round() / 1_000.0,
            categories: &hit.categories,
            tags: &hit.tags,
            license: hit.license.as_deref(),
            ecosystem: &hit.ecosystem,
            dependents: hit.dependents,
            providers: hit.providers,
            signed_at: hit.signed_at,
            yanked: hit.yanked,
            deprecated: hit.deprecated,
            looks_like: hit.looks_like.as_ref(),
        }
    }
}

pub(super) fn score(text: &str) -> Result<f64, &'static str> {
    text.parse()
        .ok()
        .filter(|score| (0.0..=1.0).contains(score))
        .ok_or("write a number from 0 to 1")
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    let json = args.json;
    let query = query(args)?;
    let said = |mistake: Mistake| {
        format!(
            "{}: {}",
            query.text.get(mistake.at).unwrap_or_default(),
            mistake.why
        )
    };
    let terms = query.terms();
    if terms.asks_nothing() {
        let said: Vec<String> = terms.mistakes.into_iter().map(said).collect();
        return Err(RegistryError::Usage(format!(
            "not searched: {}",
            said.join("; ")
        )));
    }
    terms
        .mistakes
        .into_iter()
        .for_each(|mistake| print::note(format!("{}; searching for the rest", said(mistake))));
    session::with(global, async |node, settings| {
        let spinner = print::spinner(if query.local {
            "searching"
        } else {
            "asking peers"
        });
        let query = Query {
            timeout: Some(settings.node.net.query_timeout),
            ..query
        };
        let results = node.registry().search(&query).await;
        spinner.finish_and_clear();
        let results = results?;
        if json {
            print::json(&SearchOutput {
                hits: results.hits.iter().map(SearchLine::of).collect(),
                total: results.total,
                complete: is_complete(&query, &results),
                instead: results.instead.as_deref(),
                coverage: results.coverage,
                elapsed_ms: results.elapsed.as_millis(),
                facets: &results.facets,
            })?;
        } else {
            show(&query, &results)?;
        }
        Ok(if results.hits.is_empty() {
            FAILED
        } else {
            DONE
        })
    })
    .await
}

fn is_complete(query: &Query, results: &SearchResults) -> bool {
    let Coverage {
        asked,
        answered,
        share,
    } = results.coverage;
    !query.local && asked > 0 && answered == asked && share.is_none_or(|share| share >= WHOLE)
}

/// Returns the query, or an error if it is too long for peers: a shortened query would find other
/// things.
fn query(args: Args) -> Result<Query> {
    let text = args.words.join(" ");
    if text.len() > MAX_TEXT {
        let length = text.len();
        let why = format!(
            "the search has {length} bytes of text, but peers accept at most {MAX_TEXT}; use fewer \
             words"
        );
        return Err(RegistryError::Usage(why));
    }
    for (flag, labels) in [("--category", &args.category), ("--tag", &args.tag)] {
        if labels.len() > MAX_LABELS || labels.iter().any(|label| label.len() > MAX_TEXT) {
            let why = format!(
                "peers accept {flag} at most {MAX_LABELS} times, with up to {MAX_TEXT} bytes each; \
                 use fewer or shorter ones"
            );
            return Err(RegistryError::Usage(why));
        }
    }
    let Args {
        category,
        tag,
        limit,
        offset,
        min_reputation,
        local,
        ..
    } = args;
    Ok(Query {
        text,
        categories: category,
        tags: tag,
        limit,
        offset,
        min_reputation,
        local,
        timeout: None,
    })
}

fn show(query: &Query, results: &SearchResults) -> Result<()> {
    let now = crate::clock::now();
    let row = |hit: &Hit| {
        let mark = match hit {
            Hit { yanked: true, .. } => "yanked",
            Hit {
                deprecated: true, ..
            } => "deprecated",
            hit => hit.trust.label(),
        };
        vec![
            claimed(&hit.package, hit.handle.as_ref()),
            hit.version.to_string(),
            hit.package.owner.fingerprint(),
            hit.source.label().to_owned(),
            mark.to_owned(),
            Ago(now.since(hit.signed_at)).to_string(),
            hit.summary.clone(),
        ]
    };
    if let Some(instead) = &results.instead {
        print::note(format!("few results match; showing results for {instead}"));
    }
    if results.hits.is_empty() && results.total > 0 {
        print::note(format!("there are only {}; lower --offset", results.total));
    } else if results.hits.is_empty() {
        print::note("no results; try fewer or shorter words");
    } else {
        let rows = results.hits.iter().map(row).collect();
        print::table(
            &[
                "PACKAGE",
                "VERSION",
                "KEY",
                "FROM",
                "TRUST",
                "SIGNED",
                "DESCRIPTION",
            ],
            rows,
        )?;
    }
    for hit in &results.hits {
        if let Some(other) = &hit.looks_like {
            print::note(format!("warning: {} looks like {other}", hit.title()));
        }
    }
    let shown = (query.offset + results.hits.len()) as u64;
    let more = if results.total > shown || results.truncated {
        "; there is more, raise --limit or --offset"
    } else {
        ""
    };
    let Coverage {
        asked,
        answered,
        share,
    } = results.coverage;
    let peers = match asked {
        _ if query.local => ", no peers asked".to_owned(),
        0 => ", no peers to ask".to_owned(),
        _ => format!(", {answered} of {asked} peers answered"),
    };
    let share = share
        .map(|share| format!(", about {:.0} % of all packages", share * 100.0))
        .unwrap_or_default();
    print::note(format!(
        "{} of {} shown, in {} ms{peers}{share}{more}",
        results.hits.len(),
        results.total,
        results.elapsed.as_millis(),
    ));
    Ok(())
}
