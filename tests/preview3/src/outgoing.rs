//! Sends a request to somebody, and says what became of it.

use wasip3::{
    http::{
        client,
        types::{Fields, Request, Response, Scheme},
    },
    wit_future,
};

use crate::answer;

pub(crate) async fn run() -> Response {
    let (trailers, at_last) = wit_future::new(|| Ok(None));
    drop(trailers);
    let (request, _sent) = Request::new(Fields::new(), None, at_last, None);
    let _ = request.set_scheme(Some(&Scheme::Http));
    let _ = request.set_authority(Some("127.0.0.1:1"));
    let _ = request.set_path_with_query(Some("/"));
    match client::send(request).await {
        Ok(response) => answer::text(&format!("answered {}", response.get_status_code())),
        Err(code) => answer::text(&format!("{code:?}")),
    }
}
