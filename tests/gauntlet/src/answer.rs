//! What an attack that comes to an end answers.

use wasip2::http::types::{Fields, OutgoingBody, OutgoingResponse, ResponseOutparam};

/// An empty answer.
pub(crate) fn status(outparam: ResponseOutparam, status: u16) {
    let response = OutgoingResponse::new(Fields::new());
    let _ = response.set_status_code(status);
    ResponseOutparam::set(outparam, Ok(response));
}

/// A head with status 200; the body is the caller's to write.
pub(crate) fn begin(outparam: ResponseOutparam) -> Option<OutgoingBody> {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().ok();
    ResponseOutparam::set(outparam, Ok(response));
    body
}
