//! Copies all of its memory, again and again: one such instruction is long, and asks nobody.

use wasip2::http::types::ResponseOutparam;

use crate::answer;

pub(crate) fn run(outparam: ResponseOutparam) {
    let mut memory = vec![1_u8; 24 << 20];
    let half = memory.len() / 2;
    let mut turns = 1_u64;
    while std::hint::black_box(turns) != 0 {
        memory.copy_within(..half, half);
        turns = turns.wrapping_mul(3) | 1;
        std::hint::black_box(&memory);
    }
    answer::status(outparam, 200);
}
