//! Asks the host for more random bytes than there is memory.

use wasip2::{http::types::ResponseOutparam, random::random::get_random_bytes};

use crate::answer;

pub(crate) fn run(outparam: ResponseOutparam) {
    for exponent in 20..40 {
        std::hint::black_box(get_random_bytes(1 << exponent));
    }
    answer::status(outparam, 200);
}
