//! Reading a JSON body: its size, its time and its shape are limited before anything looks at it.

use std::time::Duration;

use axum::{
    body::to_bytes,
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use bytes::Bytes;
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;
use terrace_ground_error::Code;
use tokio::sync::OwnedSemaphorePermit;

use crate::{State, refusal::Refusal};

/// How long an ordinary body may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// An ordinary JSON body.
pub(crate) struct Input<T>(pub(crate) T);

/// A release or a build: large, so few at a time, and kept apart from the executor's threads.
pub(crate) struct Upload {
    bytes: Bytes,
    // Held until the upload was dealt with: it bounds the memory of all uploads together.
    _place: OwnedSemaphorePermit,
}

impl<T: DeserializeOwned> FromRequest<State> for Input<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &State) -> Result<Self, Refusal> {
        let bytes = read(request, state.config().body_max_kib << 10, BODY_TIME_MAX).await?;
        parse(&bytes).map(Self)
    }
}

impl FromRequest<State> for Upload {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &State) -> Result<Self, Refusal> {
        let Ok(place) = state.uploads().clone().try_acquire_owned() else {
            return Err(Refusal::busy(
                "Other uploads are under way; try again when they are done.",
                5,
            ));
        };
        let config = state.config();
        let bytes = read(
            request,
            config.upload_max_mib << 20,
            Duration::from_secs(config.upload_seconds_max),
        )
        .await?;
        Ok(Self { bytes, _place: place })
    }
}

impl Upload {
    /// Parses the body and hands it to `decode`, on a thread that may take its time.
    pub(crate) async fn decode<T, R>(&self, decode: fn(T) -> Result<R, Refusal>) -> Result<R, Refusal>
    where
        T: DeserializeOwned + 'static,
        R: Send + 'static,
    {
        let bytes = self.bytes.clone();
        tokio::task::spawn_blocking(move || parse(&bytes).and_then(decode))
            .await
            .map_err(Refusal::internal)?
    }
}

/// A body that is bytes, whatever its type says.
pub(crate) async fn bytes(request: Request, bytes_max: usize) -> Result<Bytes, Refusal> {
    collect(request, bytes_max, BODY_TIME_MAX).await
}

async fn read(request: Request, bytes_max: usize, time_max: Duration) -> Result<Bytes, Refusal> {
    if !is_json(request.headers()) {
        return Err(Refusal::detail(
            Code::MalformedBody,
            "Send JSON, with `content-type: application/json`.",
        ));
    }
    collect(request, bytes_max, time_max).await
}

async fn collect(request: Request, bytes_max: usize, time_max: Duration) -> Result<Bytes, Refusal> {
    let (parts, body) = request.into_parts();
    let too_large = || {
        Refusal::detail(
            Code::BodyTooLarge,
            format!("The body may have at most {} bytes.", bytes_max),
        )
    };
    let announced = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > bytes_max) {
        return Err(too_large());
    }
    match tokio::time::timeout(time_max, to_bytes(body, bytes_max)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_large(&error) => Err(too_large()),
        Ok(Err(_)) => Err(Refusal::detail(
            Code::MalformedRequest,
            "The body ended before it was complete.",
        )),
        Err(_) => Err(Refusal::detail(
            Code::MalformedRequest,
            "The body took too long to arrive.",
        )),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<LengthLimitError>())
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    // serde would also take an array, and read the fields in the order in which they are declared.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(Refusal::detail(Code::MalformedBody, "Send a JSON object."));
    }
    // serde's message speaks of the sender's own text only, so the sender may read it.
    serde_json::from_slice(bytes).map_err(|error| Refusal::detail(Code::MalformedBody, format!("{error}.")))
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .eq_ignore_ascii_case("application/json")
}
