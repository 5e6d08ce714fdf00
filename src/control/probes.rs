//! Other programs look here: metrics for Prometheus, and probes that a service manager asks.
//! Answers are text, or have the node's state in their status, so that no row of a call says them.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use super::{
    Control, Watch,
    answer::{Node, refuse},
    calls::Row,
};
use crate::domain::health::{HealthState, HealthVerdict, Measure, rows, verdict};

pub(super) const ROWS: &[Row] = &[
    Row::by_hand(
        "GET",
        "/metrics",
        "",
        &["Returns every metric, for Prometheus."],
        || get(metrics),
    ),
    Row::by_hand("GET", "/v1/metrics", "", &["Same as `/metrics`."], || {
        get(metrics)
    }),
    Row::by_hand(
        "GET",
        "/healthz",
        "",
        &[
            "Returns 200 while the verdict is good or degraded, and 503 with the cause while it is bad.",
        ],
        || get(healthz),
    ),
    Row::by_hand(
        "GET",
        "/readyz",
        "",
        &["Returns 200 once the node listens, and 503 before."],
        || get(readyz),
    ),
];

async fn metrics(State(it): Node) -> Response {
    /// <https://prometheus.io/docs/instrumenting/exposition_formats/>
    const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match it.node.metrics().await {
        Ok(text) => ([(header::CONTENT_TYPE, KIND)], text).into_response(),
        Err(error) => refuse(&error),
    }
}

/// Tells if the node works, for a probe that restarts it when it does not.
async fn healthz(State(it): Node) -> Response {
    #[derive(Serialize)]
    struct Answer {
        verdict: HealthVerdict,
        /// Measures that are not good.
        wrong: Vec<Measure>,
    }
    let sample = match it.node.health().await {
        Ok(sample) => sample,
        Err(error) => return refuse(&error),
    };
    let verdict = verdict(&sample);
    let status = match verdict.state {
        HealthState::Good | HealthState::Degraded => StatusCode::OK,
        HealthState::Bad => StatusCode::SERVICE_UNAVAILABLE,
    };
    let wrong = rows(&sample)
        .into_iter()
        .filter(|row| row.state > Some(HealthState::Good));
    let wrong = wrong.map(|row| row.measure).collect();
    (status, Json(Answer { verdict, wrong })).into_response()
}

/// Tells if the node takes requests: it does once it listens, even with no peers.
async fn readyz(State(it): Node) -> Response {
    match it.node.status().await {
        Ok(status) if !status.node.addresses.is_empty() => {
            (StatusCode::OK, "ready\n").into_response()
        }
        Ok(_) => (StatusCode::SERVICE_UNAVAILABLE, "it does not listen\n").into_response(),
        Err(error) => refuse(&error),
    }
}
