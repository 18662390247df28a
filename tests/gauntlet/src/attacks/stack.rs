//! Overflows the stack.

use wasip2::http::types::ResponseOutparam;

use crate::answer;

pub(crate) fn run(outparam: ResponseOutparam) {
    std::hint::black_box(descend(1));
    answer::status(outparam, 200);
}

fn descend(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 64]);
    if depth == u64::MAX {
        0
    } else {
        descend(depth + room[0] / depth).wrapping_add(room[63])
    }
}
