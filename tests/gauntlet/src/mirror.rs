//! No attack: says in its headers what it was asked, and sends the body back as it comes, and the
//! trailers after it. What a standard component has to see of a request shows here.

use wasip2::{
    http::types::{
        Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam, Scheme,
        Trailers,
    },
    io::streams::StreamError,
};

pub(crate) fn run(request: IncomingRequest, outparam: ResponseOutparam) {
    let response = OutgoingResponse::new(describe(&request));
    let (Ok(body), Ok(incoming)) = (response.body(), request.consume()) else {
        return;
    };
    ResponseOutparam::set(outparam, Ok(response));
    copy(&incoming, &body);
    let _ = OutgoingBody::finish(body, trailers(incoming));
}

/// Those of the request, if it had any.
fn trailers(body: IncomingBody) -> Option<Trailers> {
    let coming = IncomingBody::finish(body);
    coming.subscribe().block();
    let came = coming.get()?.ok()?.ok()??;
    Some(came.clone())
}

fn describe(request: &IncomingRequest) -> Fields {
    let method = match request.method() {
        Method::Get => "GET".to_owned(),
        Method::Post => "POST".to_owned(),
        Method::Other(other) => format!("other {other}"),
        other => format!("{other:?}").replace("Method::", ""),
    };
    let scheme = match request.scheme() {
        Some(Scheme::Http) => "http".to_owned(),
        Some(Scheme::Https) => "https".to_owned(),
        Some(Scheme::Other(other)) => other,
        None => "none".to_owned(),
    };
    let fields = Fields::new();
    let said = [
        ("x-method", method),
        ("x-scheme", scheme),
        ("x-authority", request.authority().unwrap_or_default()),
        ("x-path", request.path_with_query().unwrap_or_default()),
    ];
    for (name, value) in said {
        let _ = fields.append(name, value.as_bytes());
    }
    for (name, value) in request.headers().entries() {
        if name == "trailer" {
            // What comes is what goes.
            let _ = fields.append("trailer", &value);
        }
        let _ = fields.append(&format!("x-got-{name}"), &value);
    }
    fields
}

fn copy(from: &IncomingBody, to: &OutgoingBody) {
    let (Ok(from), Ok(to)) = (from.stream(), to.write()) else {
        return;
    };
    loop {
        match from.blocking_read(4_096) {
            Ok(chunk) => {
                if to.blocking_write_and_flush(&chunk).is_err() {
                    return;
                }
            }
            Err(StreamError::Closed) => return,
            Err(StreamError::LastOperationFailed(error)) => panic!("{}", error.to_debug_string()),
        }
    }
}
