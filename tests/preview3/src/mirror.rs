//! Says in its headers what it was asked, and sends the body back as it comes, and the trailers after it.

use wasip3::{
    http::types::{Fields, Method, Request, Response, Scheme, Trailers},
    wit_bindgen::{StreamResult, spawn_local},
    wit_future,
};

use crate::answer;

const CHUNK_BYTES: usize = 4_096;

pub(crate) fn run(request: Request) -> Response {
    let (response, mut rest) = answer::begin(describe(&request));
    let (handled, result) = wit_future::new(|| Ok(()));
    let (mut contents, trailers) = Request::consume_body(request, result);
    spawn_local(async move {
        let _ = handled.write(Ok(())).await;
        loop {
            let (status, piece) = contents.read(Vec::with_capacity(CHUNK_BYTES)).await;
            if !piece.is_empty() && !rest.body.write_all(piece).await.is_empty() {
                return;
            }
            if status == StreamResult::Dropped {
                break;
            }
        }
        drop((contents, rest.body));
        let trailers = trailers.await.map(|given| given.as_ref().and_then(copied));
        let _ = rest.trailers.write(trailers).await;
    });
    response
}

/// The request's body becomes the response's, and this component never sees it.
pub(crate) fn pass_through(request: Request) -> Response {
    let (_handled, result) = wit_future::new(|| Ok(()));
    let (contents, trailers) = Request::consume_body(request, result);
    Response::new(Fields::new(), Some(contents), trailers).0
}

fn copied(trailers: &Trailers) -> Option<Trailers> {
    Fields::from_list(&trailers.copy_all()).ok()
}

fn describe(request: &Request) -> Fields {
    let method = match request.get_method() {
        Method::Get => "GET".to_owned(),
        Method::Post => "POST".to_owned(),
        Method::Other(other) => format!("other {other}"),
        other => format!("{other:?}").replace("Method::", ""),
    };
    let scheme = match request.get_scheme() {
        Some(Scheme::Http) => "http".to_owned(),
        Some(Scheme::Https) => "https".to_owned(),
        Some(Scheme::Other(other)) => other,
        None => "none".to_owned(),
    };
    let fields = Fields::new();
    let said = [
        ("x-method", method),
        ("x-scheme", scheme),
        ("x-authority", request.get_authority().unwrap_or_default()),
        ("x-path", request.get_path_with_query().unwrap_or_default()),
    ];
    for (name, value) in said {
        let _ = fields.append(name, value.as_bytes());
    }
    for (name, value) in request.get_headers().copy_all() {
        if name == "trailer" {
            // What comes is what goes.
            let _ = fields.append("trailer", &value);
        }
        let _ = fields.append(&format!("x-got-{name}"), &value);
    }
    fields
}
