//! Writes to its standard output without end.

use wasip2::{cli::stdout::get_stdout, http::types::ResponseOutparam};

use crate::answer;

pub(crate) fn run(outparam: ResponseOutparam) {
    let output = get_stdout();
    let line = [b'x'; 4096];
    while output.blocking_write_and_flush(&line).is_ok() {}
    answer::status(outparam, 200);
}
