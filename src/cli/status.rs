//! `status`.

use serde::Serialize;

use super::{DONE, global::Global, health, print, session};
use crate::{
    Result,
    control::{Control, Status},
    domain::health::{HealthVerdict, Sample, verdict},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print the status as one JSON object
    #[arg(long)]
    json: bool,
    /// Show the health verdict and all measures too
    #[arg(long)]
    detailed: bool,
}

#[derive(Serialize)]
struct Detailed {
    #[serde(flatten)]
    status: Status,
    health: HealthVerdict,
    measures: Sample,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    session::with(global, async |node, _| {
        show_of(node, args).await.map(|()| DONE)
    })
    .await
}

pub(super) async fn show_of(node: &dyn Control, args: Args) -> Result<()> {
    let status = node.status().await?;
    if !args.detailed {
        return if args.json {
            print::json(&status)
        } else {
            show(&status)
        };
    }
    let measures = node.health().await?;
    let verdict = verdict(&measures);
    if args.json {
        return print::json(&Detailed {
            status,
            health: verdict,
            measures,
        });
    }
    show(&status)?;
    print::lines("")?;
    health::show(&verdict, &measures)
}

fn show(
    Status {
        node: status,
        version,
        pid,
        data_dir,
        socket,
        gateway,
        ..
    }: &Status,
) -> Result<()> {
    let role = if status.dht_server {
        "serving others"
    } else {
        "client only"
    };
    let clock = match status.clock_offset_ms {
        Some(offset) => format!("{offset} ms from the median of the peers"),
        None => "not compared, with fewer than two peers".to_owned(),
    };
    let mut fields = vec![
        ("node", status.peer_id.to_string()),
        ("network", status.network.clone()),
        (
            "handle",
            status.handle.clone().unwrap_or_else(|| "none".to_owned()),
        ),
        (
            "peers",
            format!(
                "{} connected, {} known",
                status.connected, status.known_peers
            ),
        ),
        ("packages", status.packages.to_string()),
        (
            "DHT",
            format!("{} records held, {role}", status.dht_records),
        ),
        ("clock", clock),
        ("data", data_dir.display().to_string()),
        (
            "socket",
            socket
                .as_ref()
                .map_or("none".to_owned(), |path| path.display().to_string()),
        ),
        (
            "gateway",
            gateway.clone().unwrap_or_else(|| "none".to_owned()),
        ),
        ("process", format!("{pid}, Swarmdex {version}")),
    ];
    fields.extend(
        status
            .addresses
            .iter()
            .map(|address| ("address", address.clone())),
    );
    print::fields(&fields)
}
