//! `health`: the node's health, for users and for probes that need an exit code.

use serde::Serialize;

use super::{DONE, UNHEALTHY, global::Global, print, session};
use crate::{
    Result,
    control::{Control, Status, Watch},
    domain::health::{
        GatewayHealth, HealthState, HealthVerdict, MeasureRow, Sample, rows, verdict,
    },
    gateway,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print the verdict and all measures as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct HealthOutput<'a> {
    #[serde(flatten)]
    verdict: HealthVerdict,
    measures: &'a Sample,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    session::running(global, async |node, _| {
        let mut sample = node.health().await?;
        let Status {
            node: snapshot,
            gateway,
            ..
        } = node.status().await?;
        // On another machine, the address would mean that machine itself.
        if let Some(url) = gateway.filter(|_| node.is_here())
            && let Err(why) = gateway::check(&url, &snapshot.peer_id).await
        {
            sample.gateway = Some(GatewayHealth::Failed { address: url, why });
        }
        let verdict = verdict(&sample);
        let state = verdict.state;
        if args.json {
            print::json(&HealthOutput {
                verdict,
                measures: &sample,
            })?;
        } else {
            show(&verdict, &sample)?;
        }
        Ok(if state == HealthState::Bad {
            UNHEALTHY
        } else {
            DONE
        })
    })
    .await
}

pub(super) fn show(verdict: &HealthVerdict, sample: &Sample) -> Result<()> {
    print::lines(&format!("{}: {}", verdict.state.label(), verdict.cause))?;
    if !verdict.remedy.is_empty() {
        print::lines(&format!("what to do: {}", verdict.remedy))?;
    }
    let row = |row: &MeasureRow| {
        let state = row.state.map_or("", HealthState::label).to_owned();
        vec![
            row.measure.name().to_owned(),
            row.shown.clone(),
            row.threshold.clone(),
            state,
        ]
    };
    print::table(
        &["MEASURE", "VALUE", "HEALTHY IF", "STATE"],
        rows(sample).iter().map(row).collect(),
    )
}
