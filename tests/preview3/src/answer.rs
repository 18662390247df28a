//! Answers of a few bytes, and one whose body is the caller's to write.

use std::sync::atomic::{AtomicU32, Ordering};

use wasip3::{
    http::types::{ErrorCode, Fields, Response, Trailers},
    wit_bindgen::{FutureWriter, StreamWriter, spawn_local},
    wit_future, wit_stream,
};

/// What is left to write of a response.
pub(crate) struct Rest {
    pub(crate) body: StreamWriter<u8>,
    pub(crate) trailers: FutureWriter<Result<Option<Trailers>, ErrorCode>>,
}

/// A head with status 200, and the rest of it.
pub(crate) fn begin(headers: Fields) -> (Response, Rest) {
    let (body, contents) = wit_stream::new();
    let (trailers, at_last) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(headers, Some(contents), at_last);
    (response, Rest { body, trailers })
}

/// A whole answer.
pub(crate) fn text(text: &str) -> Response {
    let (response, mut rest) = begin(Fields::new());
    let text = text.as_bytes().to_vec();
    spawn_local(async move {
        rest.body.write_all(text).await;
        drop(rest.body);
        let _ = rest.trailers.write(Ok(None)).await;
    });
    response
}

/// How many requests this instance has counted so far, this one included.
pub(crate) fn uses() -> u32 {
    static USES: AtomicU32 = AtomicU32::new(0);
    USES.fetch_add(1, Ordering::Relaxed) + 1
}
