//! A response body of one byte every tenth of a second, for ever.

use wasip2::{clocks::monotonic_clock::subscribe_duration, http::types::ResponseOutparam};

use crate::answer;

pub(crate) fn run(outparam: ResponseOutparam) {
    let Some(body) = answer::begin(outparam) else { return };
    let Ok(stream) = body.write() else { return };
    while stream.blocking_write_and_flush(b"x").is_ok() {
        subscribe_duration(100_000_000).block();
    }
}
