//! Holds more resources of the host than it could ever need.

use wasip2::{clocks::monotonic_clock::subscribe_duration, http::types::ResponseOutparam};

use crate::answer;

pub(crate) fn run(outparam: ResponseOutparam) {
    let mut held = Vec::new();
    for _ in 0..10_000_000 {
        held.push(subscribe_duration(3_600_000_000_000));
    }
    answer::status(outparam, 200);
}
