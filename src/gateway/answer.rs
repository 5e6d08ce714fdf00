//! Responses in the forms that every client understands.

use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Serialize;

use super::{range, request_log};
use crate::RegistryError;

/// The caching of an answer that may change: it is revalidated each time, and sent only if it
/// changed.
pub const CHANGES: HeaderValue = HeaderValue::from_static("no-cache");
/// Seconds after which a client that came too early should try again.
const AGAIN: &str = "2";

/// The caching of an answer that never changes, because its URL contains its digest.
const FIXED: HeaderValue = HeaderValue::from_static("max-age=31536000, immutable");

/// Returns a text that may change, with an entity tag of its content.
pub fn document(headers: &HeaderMap, kind: &'static str, text: String) -> Response {
    let etag = etag_of(text.as_bytes());
    tagged(headers, kind, &etag, text.into())
}

/// Returns the entity tag of a text.
pub fn etag_of(text: &[u8]) -> String {
    format!("\"{}\"", blake3::hash(text).to_hex())
}

/// Returns a text that may change, with this entity tag.
pub fn tagged(headers: &HeaderMap, kind: &'static str, etag: &str, text: Bytes) -> Response {
    let length = text.len();
    let mut response = match range::is_known(headers, etag) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => (
            [(header::CONTENT_TYPE, kind)],
            [(header::CONTENT_LENGTH, length)],
            text,
        )
            .into_response(),
    };
    let fields = response.headers_mut();
    fields.insert(header::CACHE_CONTROL, CHANGES);
    if let Ok(etag) = HeaderValue::from_str(etag) {
        fields.insert(header::ETAG, etag);
    }
    response
}

/// A document as it was sent, to be sent again.
pub struct Written {
    pub text: Bytes,
    pub etag: String,
}

impl Written {
    pub fn of(text: String) -> Self {
        let etag = etag_of(text.as_bytes());
        Self {
            text: text.into(),
            etag,
        }
    }
}

/// Lets clients cache an answer for good.
pub fn never_changes(response: &mut Response) {
    response.headers_mut().insert(header::CACHE_CONTROL, FIXED);
}

/// Returns a value as JSON that is not cached.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => {
            let fields = [
                (
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("application/json"),
                ),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ];
            (status, fields, text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Returns a sentence as plain text.
pub fn sentence(status: StatusCode, text: &str) -> Response {
    request_log::refusal(status, text);
    let fields = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, fields, format!("{text}\n")).into_response()
}

/// Returns the answer of a node without peers, which cannot know yet.
pub fn too_early() -> Response {
    let text = "this node has just started and has no peers yet; try again in a moment";
    let mut response = sentence(StatusCode::SERVICE_UNAVAILABLE, text);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static(AGAIN));
    response
}

/// Returns the HTTP status of a node's error. Missing packages are 404, on which clients try their
/// next registry; any other status stops them.
pub fn status_of(error: &RegistryError) -> StatusCode {
    match error.code() {
        "not_found" | "no_content" | "no_match" | "no_version" | "unknown_handle" | "fetch"
        | "stopped" => StatusCode::NOT_FOUND,
        "version_taken" | "history_unknown" | "ambiguous_handle" | "unpinned_handle" => {
            StatusCode::CONFLICT
        }
        // As the official Python package index does.
        "file_taken" => StatusCode::BAD_REQUEST,
        "not_yours" => StatusCode::FORBIDDEN,
        "too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "store_full" | "disk_full" => StatusCode::INSUFFICIENT_STORAGE,
        "busy" | "closed" => StatusCode::SERVICE_UNAVAILABLE,
        _ if error.is_usage() => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Returns the response without its body, but with the body's length.
pub fn head_of(mut response: Response) -> Response {
    let length = response.body().size_hint().exact();
    *response.body_mut() = Body::empty();
    if let Some(length) = length.filter(|_| response.status() != StatusCode::NOT_MODIFIED) {
        response
            .headers_mut()
            .entry(header::CONTENT_LENGTH)
            .or_insert(HeaderValue::from(length));
    }
    response
}
