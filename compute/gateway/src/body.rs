//! The one body type of the gateway: bytes in frames, from a client, a guest or memory.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};

/// What can go wrong while a body flows. Never shown to a client.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// Bytes in frames.
pub type Body = UnsyncBoxBody<Bytes, Error>;

/// A body from memory.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}
