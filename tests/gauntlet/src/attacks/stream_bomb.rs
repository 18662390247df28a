//! A response body that does not end, as fast as the host takes it.

use wasip2::http::types::ResponseOutparam;

use crate::answer;

pub(crate) fn run(outparam: ResponseOutparam) {
    let Some(body) = answer::begin(outparam) else { return };
    let Ok(stream) = body.write() else { return };
    let chunk = vec![b'x'; 4096];
    while stream.blocking_write_and_flush(&chunk).is_ok() {}
}
