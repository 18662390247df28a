//! Which headers cross the edge, in each direction. What the node may trust is set here and
//! nowhere else; a client that sends the same names is not heard.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use terrace_ground_ids::RequestId;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const TERRACE_BUILD: HeaderName = HeaderName::from_static("x-terrace-build");
pub(crate) const TERRACE_LATEST: HeaderName = HeaderName::from_static("x-terrace-latest");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Headers of one connection (RFC 9110, 7.6.1), which never cross a proxy. `Trailer` is not among them: it
/// says which trailers come, and over HTTP/1.1 those that it does not name are not sent.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Headers that mean nothing, or something bad, when they come after the content (RFC 9110, 6.5.1). Those of
/// one connection and those that the edge sets itself go as well.
const NEVER_LATE: [HeaderName; 11] = [
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::LOCATION,
    header::MAX_FORWARDS,
    header::RANGE,
    header::SET_COOKIE,
    header::TRAILER,
    header::WWW_AUTHENTICATE,
];

/// Headers that only the edge may set, and those that it sets anew for its own connection.
const OURS: [HeaderName; 8] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::FORWARDED,
    header::COOKIE,
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("http2-settings"),
    REQUEST_ID,
];

/// The headers that the node gets for a client's `headers`.
pub(crate) fn request(
    headers: &HeaderMap,
    host: &HeaderValue,
    peer: IpAddr,
    secure: bool,
    id: &RequestId,
) -> HeaderMap {
    let mut passed = HeaderMap::with_capacity(headers.len() + 4);
    passed.insert(header::HOST, host.clone());
    for (name, value) in headers {
        if !is_reserved(name) && !OURS.contains(name) && !is_hop_by_hop(name, headers) {
            passed.append(name, value.clone());
        }
    }
    if let Some(cookie) = cookie(headers) {
        passed.insert(header::COOKIE, cookie);
    }
    if let Ok(peer) = HeaderValue::from_str(&peer.to_canonical().to_string()) {
        passed.insert(FORWARDED_FOR, peer);
    }
    passed.insert(
        FORWARDED_PROTO,
        HeaderValue::from_static(if secure { "https" } else { "http" }),
    );
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        passed.insert(REQUEST_ID, id);
    }
    if accepts_trailers(headers) {
        // Of this connection to the node, which is why it is said anew.
        passed.insert(header::TE, HeaderValue::from_static("trailers"));
        passed.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
    passed
}

/// Takes out of the trailers, of a request or an answer, what must not come late: what is stripped from the
/// headers, and what a recipient could take for a header that it obeys.
pub(crate) fn trailers(trailers: &mut HeaderMap) {
    let refused: Vec<HeaderName> = trailers
        .keys()
        .filter(|name| {
            is_reserved(name) || OURS.contains(name) || HOP_BY_HOP.contains(name) || NEVER_LATE.contains(name)
        })
        .cloned()
        .collect();
    for name in refused {
        trailers.remove(name);
    }
}

/// Removes from the node's answer what belongs to the edge's own connection to it.
pub(crate) fn response(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .keys()
            .filter(|name| is_hop_by_hop(name, headers))
            .cloned()
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// HTTP/2 clients may split their cookies over several headers; HTTP/1.1 has one (RFC 9113, 8.2.3).
fn cookie(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(header::COOKIE).iter();
    let first = values.next()?;
    let Some(second) = values.next() else {
        return Some(first.clone());
    };
    let mut joined = first.as_bytes().to_vec();
    for value in std::iter::once(second).chain(values) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(value.as_bytes());
    }
    HeaderValue::from_bytes(&joined).ok()
}

/// A name by which the node is told what the edge knows.
fn is_reserved(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-forwarded-") || (name.as_str().starts_with("x-terrace-") && name != TERRACE_BUILD)
}

/// Whether who sent this would read trailers (RFC 9110, 10.1.4). To anybody else, they are not worth sending.
fn accepts_trailers(headers: &HeaderMap) -> bool {
    names(headers, &header::TE, "trailers")
}

fn is_hop_by_hop(name: &HeaderName, headers: &HeaderMap) -> bool {
    HOP_BY_HOP.contains(name) || names(headers, &header::CONNECTION, name.as_str())
}

/// Whether a header that is a list has this word in it.
fn names(headers: &HeaderMap, list: &HeaderName, word: &str) -> bool {
    headers
        .get_all(list)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_cookies_become_one_header_and_connection_headers_stay() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1"));
        headers.append(header::COOKIE, HeaderValue::from_static("b=2"));
        headers.append(header::CONNECTION, HeaderValue::from_static("close, X-Secret-Hop"));
        headers.append("x-secret-hop", HeaderValue::from_static("1"));
        headers.append("accept", HeaderValue::from_static("*/*"));
        let passed = request(
            &headers,
            &HeaderValue::from_static("acme.localhost:8080"),
            [127, 0, 0, 1].into(),
            false,
            &RequestId::random(),
        );
        assert_eq!(passed[header::COOKIE], "a=1; b=2");
        assert!(!passed.contains_key("x-secret-hop") && !passed.contains_key(header::CONNECTION));
        assert_eq!(passed["accept"], "*/*");
        assert_eq!(passed["x-forwarded-for"], "127.0.0.1");
    }
}
