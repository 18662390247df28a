//! Answers with more headers than any client reads.

use wasip2::http::types::{Fields, OutgoingResponse, ResponseOutparam};

pub(crate) fn run(outparam: ResponseOutparam) {
    let fields = Fields::new();
    let value = vec![b'x'; 1 << 10];
    for number in 0..100_000 {
        if fields.append(&format!("x-bomb-{number}"), &value).is_err() {
            break;
        }
    }
    ResponseOutparam::set(outparam, Ok(OutgoingResponse::new(fields)));
}
