//! Writes from other sites are refused by `Sec-Fetch-Site` (the rule of Go 1.25's `CrossOriginProtection`).

use http::{HeaderMap, Method, Uri, header};

/// True when a browser says that this write comes from another site, or its `Origin` is not this host.
///
/// Siblings (`same-site`) are refused too: `acme.example.com` and `globex.example.com` are one site
/// to a browser and two tenants to us. Requests of programs carry neither header and pass: they hold
/// no cookie that another page could ride on.
pub fn cross_site(method: &Method, headers: &HeaderMap) -> bool {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return false;
    }
    if let Some(site) = headers.get("sec-fetch-site") {
        return site != "same-origin" && site != "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return false;
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let origin_host = origin
        .as_ref()
        .and_then(Uri::authority)
        .map(http::uri::Authority::as_str);
    origin_host.is_none() || origin_host != host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_write_from_a_sibling_tenant_is_cross_site() {
        assert!(cross_site(&Method::POST, &headers(&[("sec-fetch-site", "same-site")])));
        assert!(cross_site(
            &Method::DELETE,
            &headers(&[("sec-fetch-site", "cross-site")])
        ));
        assert!(cross_site(
            &Method::POST,
            &headers(&[
                ("origin", "http://globex.localhost:8080"),
                ("host", "acme.localhost:8080")
            ])
        ));
        assert!(cross_site(
            &Method::POST,
            &headers(&[("origin", "null"), ("host", "acme.localhost:8080")])
        ));
    }

    #[test]
    fn reads_own_writes_and_programs_pass() {
        assert!(!cross_site(&Method::GET, &headers(&[("sec-fetch-site", "cross-site")])));
        assert!(!cross_site(
            &Method::POST,
            &headers(&[("sec-fetch-site", "same-origin")])
        ));
        assert!(!cross_site(
            &Method::POST,
            &headers(&[
                ("origin", "http://acme.localhost:8080"),
                ("host", "acme.localhost:8080")
            ])
        ));
        assert!(!cross_site(&Method::POST, &headers(&[])));
    }
}
