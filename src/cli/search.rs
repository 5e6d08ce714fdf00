//! `search WORDS…`.

use super::{DONE, FAILED, global::Global, own_node, print};
use crate::{Result, domain::query::Query, node::Node};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Words that must all occur; the last one may be a beginning. None lists the newest packages
    words: Vec<String>,
    /// Category that must be there; may be repeated
    #[arg(long, value_name = "NAME")]
    category: Vec<String>,
    /// Tag that must be there; may be repeated
    #[arg(long, value_name = "NAME")]
    tag: Vec<String>,
    /// Most hits
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: usize,
    /// Do not ask peers below this score, from 0 to 1
    #[arg(long, default_value_t = 0.0, value_name = "SCORE")]
    min_reputation: f64,
    /// Print hits and coverage as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    own_node::with(global, async |node, _| {
        let result = search(&node, args).await;
        (node, result)
    })
    .await
}

async fn search(node: &Node, args: Args) -> Result<u8> {
    let query = Query {
        text: args.words.join(" "),
        categories: args.category,
        tags: args.tag,
        limit: args.limit,
        min_reputation: args.min_reputation,
    };
    let results = node.registry().search(&query.bounded()).await?;
    let found = if results.hits.is_empty() { FAILED } else { DONE };
    if args.json {
        print::json(&results)?;
        return Ok(found);
    }
    let rows: Vec<Vec<String>> = results
        .hits
        .iter()
        .map(|hit| {
            vec![
                hit.title(),
                hit.version.to_string(),
                hit.source.label().to_owned(),
                hit.trust.label().to_owned(),
                hit.summary.clone(),
            ]
        })
        .collect();
    if rows.is_empty() {
        eprintln!("nothing was found; try fewer or shorter words");
    } else {
        print::table(&["PACKAGE", "VERSION", "FROM", "TRUST", "WHAT IT IS"], &rows)?;
    }
    let more = if results.truncated { "; there is more, raise --limit" } else { "" };
    let (answered, asked) = (results.coverage.answered, results.coverage.asked);
    eprintln!("{} hits in {} ms, {answered} of {asked} peers answered{more}", rows.len(), results.elapsed.as_millis());
    Ok(found)
}
