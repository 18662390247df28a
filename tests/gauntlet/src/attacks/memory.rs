//! Allocates without end, and writes to every page.

use wasip2::http::types::ResponseOutparam;

use crate::answer;

pub(crate) fn run(outparam: ResponseOutparam) {
    let mut held = Vec::new();
    while held.len() < 1 << 20 {
        held.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
    answer::status(outparam, 200);
}
