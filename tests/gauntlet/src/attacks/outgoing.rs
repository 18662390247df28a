//! Thousands of outgoing requests, to wherever they get.

use wasip2::http::{
    outgoing_handler::handle,
    types::{Fields, OutgoingRequest, ResponseOutparam, Scheme},
};

use crate::answer;

pub(crate) fn run(outparam: ResponseOutparam) {
    let mut held = Vec::new();
    for _ in 0..100_000 {
        let request = OutgoingRequest::new(Fields::new());
        let _ = request.set_scheme(Some(&Scheme::Http));
        let _ = request.set_authority(Some("127.0.0.1:1"));
        let _ = request.set_path_with_query(Some("/"));
        if let Ok(response) = handle(request, None) {
            held.push(response);
        }
    }
    answer::status(outparam, 200);
}
