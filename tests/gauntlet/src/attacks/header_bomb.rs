//! Answers with more headers than any client reads.

use wasip2::http::types::{Fields, OutgoingResponse, ResponseOutparam};

use crate::answer;

pub(crate) fn run(outparam: ResponseOutparam) {
    let fields = Fields::new();
    let value = vec![b'x'; 1 << 10];
    for number in 0..100_000 {
        if fields.append(&format!("x-bomb-{number}"), &value).is_err() {
            break;
        }
    }
    answer::empty(outparam, OutgoingResponse::new(fields));
}
