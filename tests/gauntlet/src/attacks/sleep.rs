//! Waits for a day, and uses nothing but its place.

use wasip2::{clocks::monotonic_clock::subscribe_duration, http::types::ResponseOutparam};

use crate::answer;

pub(crate) fn run(outparam: ResponseOutparam) {
    subscribe_duration(86_400_000_000_000).block();
    answer::status(outparam, 200);
}
