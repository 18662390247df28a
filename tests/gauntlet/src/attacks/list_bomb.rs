//! One call to the host whose argument the host has to copy: a header of millions of empty values,
//! each 8 bytes in the guest and more in the host.

use wasip2::http::types::{Fields, ResponseOutparam};

use crate::answer;

pub(crate) fn run(outparam: ResponseOutparam) {
    let fields = Fields::new();
    let mut count = 1 << 16;
    while count < 1 << 21 {
        let values: Vec<Vec<u8>> = vec![Vec::new(); count];
        let _ = fields.set("x-bomb", &values);
        count *= 2;
    }
    answer::status(outparam, 200);
}
