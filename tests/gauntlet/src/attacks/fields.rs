//! Many header objects, each full, held at the same time: the bomb is the host's memory, not one header.

use wasip2::http::types::{Fields, ResponseOutparam};

use crate::answer;

pub(crate) fn run(outparam: ResponseOutparam) {
    let value = vec![b'x'; 1 << 10];
    let mut held = Vec::new();
    for _ in 0..1_000_000 {
        let fields = Fields::new();
        for number in 0..60 {
            if fields.append(&format!("x-bomb-{number}"), &value).is_err() {
                break;
            }
        }
        held.push(fields);
    }
    answer::status(outparam, 200);
}
