//! `GET /internal/edge/blob/{sha256}`: the bytes of one file.

use axum::{
    extract::{self, Path},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{State, refusal::Refusal};

/// A year: bytes that are named by their hash never change.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

pub(crate) async fn blob(
    extract::State(state): extract::State<State>,
    Path(sha256): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let unknown = || Refusal::not_found("No build has a file with this hash.");
    let is_hash = sha256.len() == 64 && sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hash {
        return Err(unknown());
    }
    let etag = format!("\"{sha256}\"");
    let caching = [
        (header::ETAG, etag.clone()),
        (header::CACHE_CONTROL, FOR_EVER.to_owned()),
    ];
    if headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|value| value == etag.as_str())
    {
        return Ok((StatusCode::NOT_MODIFIED, caching).into_response());
    }
    let bytes = state.platform().blob(&sha256).await?.ok_or_else(unknown)?;
    let content_type = [(header::CONTENT_TYPE, "application/octet-stream")];
    Ok((caching, content_type, bytes).into_response())
}
