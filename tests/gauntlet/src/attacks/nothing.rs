//! No attack: what a victim asks for where there is only one component.

use wasip2::http::types::ResponseOutparam;

use crate::answer;

pub(crate) fn run(outparam: ResponseOutparam) {
    answer::status(outparam, 200);
}
