//! Behaves on every other request: the loop comes in an instance that has served well before.

use std::sync::atomic::{AtomicU32, Ordering};

use wasip2::http::types::ResponseOutparam;

use crate::{answer, attacks::spin};

static SERVED: AtomicU32 = AtomicU32::new(0);

pub(crate) fn run(outparam: ResponseOutparam) {
    if SERVED.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
        spin::for_ever();
    }
    answer::status(outparam, 200);
}
