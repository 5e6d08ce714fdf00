//! cargo.
use std::sync::Arc;
use axum::{http::StatusCode, response::Response};
use super::{answer::sentence, service::{Asked, Service}};
#[derive(Default)]
pub struct Lines;
pub async fn answer(_: &Arc<Service>, _: Asked, _: axum::body::Body) -> Response { sentence(StatusCode::NOT_FOUND, "not yet") }
