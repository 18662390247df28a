//! One file per attack.

mod bulk_copy;
mod fields;
mod handles;
mod header_bomb;
mod list_bomb;
mod log_flood;
mod memory;
mod nothing;
mod outgoing;
mod random_bomb;
mod reused_loop;
mod sleep;
mod slow_body;
mod spin;
mod stack;
mod stream_bomb;
mod trap;

use wasip2::http::types::ResponseOutparam;

/// Takes a request, and does its worst.
pub(crate) type Attack = fn(ResponseOutparam);

/// The attack of a name.
pub(crate) fn named(name: &str) -> Option<Attack> {
    Some(match name {
        "ping" => nothing::run,
        "loop" => spin::run,
        "reused-loop" => reused_loop::run,
        "memory" => memory::run,
        "list-bomb" => list_bomb::run,
        "random-bomb" => random_bomb::run,
        "header-bomb" => header_bomb::run,
        "fields" => fields::run,
        "handles" => handles::run,
        "stream-bomb" => stream_bomb::run,
        "bulk-copy" => bulk_copy::run,
        "stack" => stack::run,
        "trap" => trap::run,
        "sleep" => sleep::run,
        "slow-body" => slow_body::run,
        "outgoing" => outgoing::run,
        "log-flood" => log_flood::run,
        _ => return None,
    })
}
