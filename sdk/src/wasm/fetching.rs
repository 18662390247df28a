//! Requests to other hosts, by the standard `wasi:http/outgoing-handler`.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use wstd::{
    __internal::wasip2::http::{
        outgoing_handler,
        types::{ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme},
    },
    io::{AsyncInputStream, AsyncOutputStream, AsyncPollable},
};

use crate::fetch::{Error, Response};

/// Bytes that are read at once.
const PART: usize = 16 << 10;

pub(crate) async fn fetch(request: http::Request<Vec<u8>>) -> Result<Response, Error> {
    let (parts, bytes) = request.into_parts();
    let url = shown(&parts.uri);
    let outgoing = outgoing(&parts, bytes.len())?;
    let body = outgoing
        .body()
        .map_err(|()| Error::Invalid("its body is taken".to_owned()))?;
    let answer = outgoing_handler::handle(outgoing, None).map_err(|code| failure(&url, code))?;
    // A host that refuses need not read the body; what it says matters more than what was not sent.
    if let Ok(stream) = body.write() {
        let stream = AsyncOutputStream::new(stream);
        let _ = stream.write_all(&bytes).await;
        let _ = stream.flush().await;
    }
    let _ = OutgoingBody::finish(body, None);
    AsyncPollable::new(answer.subscribe()).wait_for().await;
    match answer.get() {
        Some(Ok(Ok(response))) => read(&url, response).await,
        Some(Ok(Err(code))) => Err(failure(&url, code)),
        Some(Err(())) | None => Err(Error::Failed(url, "the answer was taken".to_owned())),
    }
}

fn outgoing(parts: &http::request::Parts, length: usize) -> Result<OutgoingRequest, Error> {
    let invalid = |what: &str| Error::Invalid(format!("{what} is not possible"));
    let named = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
    let mut fields: Vec<(String, Vec<u8>)> = named.filter(|(name, _)| name != "content-length").collect();
    if length > 0 {
        fields.push(("content-length".to_owned(), length.to_string().into_bytes()));
    }
    let fields = Fields::from_list(&fields).map_err(|error| invalid(&format!("a header ({error})")))?;
    let request = OutgoingRequest::new(fields);
    let method = match parts.method.as_str() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    };
    request.set_method(&method).map_err(|()| invalid("the method"))?;
    let scheme = match parts.uri.scheme_str() {
        Some("https") => Scheme::Https,
        Some("http") => Scheme::Http,
        _ => return Err(invalid("an address without http:// or https://")),
    };
    request.set_scheme(Some(&scheme)).map_err(|()| invalid("the scheme"))?;
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    request.set_authority(authority).map_err(|()| invalid("the host"))?;
    let path = parts.uri.path_and_query().map(http::uri::PathAndQuery::as_str);
    request.set_path_with_query(path).map_err(|()| invalid("the path"))?;
    Ok(request)
}

async fn read(url: &str, response: IncomingResponse) -> Result<Response, Error> {
    let broken = |why: &str| Error::Failed(url.to_owned(), why.to_owned());
    let status = StatusCode::from_u16(response.status()).map_err(|_| broken("a status that HTTP does not know"))?;
    let mut headers = HeaderMap::new();
    for (name, value) in response.headers().entries() {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(&value)) {
            headers.append(name, value);
        }
    }
    let incoming: IncomingBody = response.consume().map_err(|()| broken("its body is taken"))?;
    let stream = AsyncInputStream::new(incoming.stream().map_err(|()| broken("its body is taken"))?);
    let (mut body, mut part) = (Vec::new(), vec![0; PART]);
    loop {
        let count = stream
            .read(&mut part)
            .await
            .map_err(|error| broken(&error.to_string()))?;
        if count == 0 {
            break;
        }
        body.extend_from_slice(part.get(..count).unwrap_or_default());
    }
    Ok(Response { status, headers, body })
}

/// Without the query, which may hold what no log should show.
fn shown(uri: &Uri) -> String {
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    format!("{}://{authority}{}", uri.scheme_str().unwrap_or_default(), uri.path())
}

fn failure(url: &str, code: ErrorCode) -> Error {
    let url = url.to_owned();
    match code {
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => Error::Denied(url),
        ErrorCode::HttpRequestUriInvalid | ErrorCode::HttpRequestMethodInvalid | ErrorCode::HttpRequestUriTooLong => {
            Error::Invalid(format!("{url}: {code}"))
        }
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => Error::Timeout(url),
        other => Error::Failed(url, other.to_string()),
    }
}
