//! Traps at once: what a storm of failures costs.

use wasip2::http::types::ResponseOutparam;

#[expect(clippy::panic, reason = "it is what the attack is")]
pub(crate) fn run(_outparam: ResponseOutparam) {
    panic!("as told");
}
