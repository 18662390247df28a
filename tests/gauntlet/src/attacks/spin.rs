//! Computes for ever, and never calls the host.

use wasip2::http::types::ResponseOutparam;

use crate::answer;

pub(crate) fn run(outparam: ResponseOutparam) {
    for_ever();
    answer::status(outparam, 200);
}

/// Does not return, which the compiler must not know.
pub(crate) fn for_ever() {
    let mut turns = 1_u64;
    while std::hint::black_box(turns) != 0 {
        turns = turns.wrapping_mul(3) | 1;
    }
}
