//! What an attack that comes to an end answers.

use wasip2::http::types::{Fields, OutgoingBody, OutgoingResponse, ResponseOutparam};

/// An empty answer.
pub(crate) fn status(outparam: ResponseOutparam, status: u16) {
    let response = OutgoingResponse::new(Fields::new());
    let _ = response.set_status_code(status);
    empty(outparam, response);
}

/// An answer without a body. The body is taken and ended all the same: jco ends its whole process at an answer
/// whose body nobody took, and would never come as far as the attack.
pub(crate) fn empty(outparam: ResponseOutparam, response: OutgoingResponse) {
    let body = response.body();
    ResponseOutparam::set(outparam, Ok(response));
    if let Ok(body) = body {
        let _ = OutgoingBody::finish(body, None);
    }
}

/// A head with status 200; the body is the caller's to write.
pub(crate) fn begin(outparam: ResponseOutparam) -> Option<OutgoingBody> {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().ok();
    ResponseOutparam::set(outparam, Ok(response));
    body
}
