//! The control API over HTTP: one request, one JSON answer, or a `Failure`.

use std::{io, time::Duration};

use anyhow::anyhow;
use serde_json::{Value, json};
use ureq::{
    Agent, Body, SendBody,
    http::{HeaderMap, Response, Uri},
};

use crate::{
    connection::Connection,
    failure::{Failure, Problem},
    figures, progress,
};

/// Largest answer that is read, in bytes.
const ANSWER_MAX: u64 = 64 << 20;

/// The control API.
#[derive(Debug)]
pub(crate) struct Api {
    agent: Agent,
    url: String,
    /// What to call it in messages.
    shown: String,
    host: Option<String>,
    token: Option<String>,
}

/// A successful answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Api {
    /// Waits up to `patience` for each answer.
    pub(crate) fn new(connection: Connection, patience: Duration) -> Self {
        let Connection { url, host, token } = connection;
        let shown = url.clone();
        let (url, host) = loopback(url, host);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("terrace/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_recv_response(Some(patience));
        // A proxy cannot reach this machine's own loopback address.
        let config = if is_loopback(&url) { config.proxy(None) } else { config };
        Self {
            agent: config.build().into(),
            url,
            shown,
            host,
            token,
        }
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        let request = self.agent.get(format!("{}{path}", self.url));
        Ok(self.read(self.head(request).call())?.body)
    }

    pub(crate) fn delete(&self, path: &str) -> Result<Value, Failure> {
        let request = self.agent.delete(format!("{}{path}", self.url));
        Ok(self.read(self.head(request).call())?.body)
    }

    /// A POST that says all in its path.
    pub(crate) fn act(&self, path: &str) -> Result<Value, Failure> {
        let request = self.agent.post(format!("{}{path}", self.url));
        Ok(self.read(self.head(request).send_empty())?.body)
    }

    /// Sends bytes as they are.
    pub(crate) fn put_bytes(&self, path: &str, content: &[u8]) -> Result<(), Failure> {
        let request = self.agent.put(format!("{}{path}", self.url));
        let request = self.head(request).content_type("application/octet-stream");
        self.read(request.send(content)).map(|_| ())
    }

    /// An answer of any size, to be read as it comes. It is whole when reading ends without an error.
    pub(crate) fn download(&self, path: &str) -> Result<impl io::Read + use<>, Failure> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let answer = self.head(request).call();
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(answer.into_body().into_reader()),
            answer => match self.read(answer) {
                Err(failure) => Err(failure),
                Ok(_) => Err(Failure::Local(anyhow!("{} sent nothing", self.shown))),
            },
        }
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        let request = self.agent.post(format!("{}{path}", self.url));
        self.read(self.head(request).send_json(body))
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Result<(), Failure> {
        let request = self.agent.put(format!("{}{path}", self.url));
        self.read(self.head(request).send_json(body)).map(|_| ())
    }

    /// A large body, with a progress bar; `afterwards` says what the platform does with it.
    pub(crate) fn upload(&self, path: &str, body: &Value, afterwards: &'static str) -> Result<Value, Failure> {
        let bytes = serde_json::to_vec(body)?;
        let request = self.agent.post(format!("{}{path}", self.url));
        let request = self
            .head(request)
            .content_type("application/json")
            .header("content-length", bytes.len());
        let mut upload = progress::Upload::new(&bytes, afterwards);
        let sent = request.send(SendBody::from_reader(&mut upload));
        upload.finish();
        match sent {
            // Whoever refuses a body for its size need not read it, and then cannot be heard either.
            Err(ureq::Error::Io(error)) if is_hang_up(&error) => Err(Failure::Local(anyhow!(
                "{} hung up in the middle of an upload of {}; it takes at most 64 MiB, unless configured otherwise",
                self.shown,
                figures::size(bytes.len() as u64)
            ))),
            sent => Ok(self.read(sent)?.body),
        }
    }

    /// Every page of a list, as one.
    pub(crate) fn list(&self, path: &str) -> Result<Value, Failure> {
        let mut items = Vec::new();
        let first = if path.contains('?') { '&' } else { '?' };
        let mut query = format!("{first}page_size=200");
        loop {
            let mut page = self.get(&format!("{path}{query}"))?;
            if let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) {
                items.extend(more);
            }
            let Some(token) = page.get("next_page_token").and_then(Value::as_str) else {
                break;
            };
            query = format!("{first}page_size=200&page_token={token}");
        }
        Ok(json!({ "items": items, "next_page_token": null }))
    }

    fn head<B>(&self, mut request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        if let Some(host) = &self.host {
            request = request.header("host", host);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.header("accept", "application/json")
    }

    fn read(&self, sent: Result<Response<Body>, ureq::Error>) -> Result<Answer, Failure> {
        let unreachable = |error: ureq::Error| Failure::Unreachable {
            url: self.shown.clone(),
            cause: cause(error),
        };
        let (parts, mut body) = sent.map_err(unreachable)?.into_parts();
        let bytes = body
            .with_config()
            .limit(ANSWER_MAX)
            .read_to_vec()
            .map_err(unreachable)?;
        if parts.status.is_success() {
            let body = if bytes.is_empty() {
                Value::Null
            } else {
                serde_json::from_slice(&bytes).unwrap_or(Value::Null)
            };
            return Ok(Answer {
                headers: parts.headers,
                body,
            });
        }
        let problem = serde_json::from_slice::<Problem>(&bytes)
            .ok()
            .filter(|problem| !problem.code.is_empty());
        Err(problem.unwrap_or_else(|| self.strange(parts.status.as_u16())).into())
    }

    /// An error that no part of Terrace would answer like this.
    fn strange(&self, status: u16) -> Problem {
        Problem {
            status,
            code: "unexpected-answer".to_owned(),
            detail: Some(format!(
                "{} answered {status}, and not as Terrace does; is it a console's address?",
                self.shown
            )),
            ..Problem::default()
        }
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// Why nothing came back, in the operating system's words where it has some.
fn cause(error: ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

/// Browsers know that `*.localhost` is this machine; many resolvers do not. So the loopback address is
/// dialled and the name goes into the header.
fn loopback(url: String, host: Option<String>) -> (String, Option<String>) {
    let Ok(uri) = url.parse::<Uri>() else {
        return (url, host);
    };
    let (Some(authority), "http") = (uri.authority(), uri.scheme_str().unwrap_or_default()) else {
        return (url, host);
    };
    if !authority.host().ends_with(".localhost") {
        return (url, host);
    }
    let port = authority.port_u16().unwrap_or(80);
    let host = host.unwrap_or_else(|| authority.host().to_owned());
    (
        format!("http://127.0.0.1:{port}{}", uri.path().trim_end_matches('/')),
        Some(host),
    )
}

fn is_loopback(url: &str) -> bool {
    let host = url
        .parse::<Uri>()
        .ok()
        .and_then(|uri| uri.host().map(str::to_owned))
        .unwrap_or_default();
    host == "localhost" || host == "[::1]" || host.starts_with("127.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_below_localhost_is_this_machine() {
        let cases = [
            (
                "http://console.localhost:8080",
                None,
                "http://127.0.0.1:8080",
                Some("console.localhost"),
            ),
            ("http://console.localhost", Some("x"), "http://127.0.0.1:80", Some("x")),
            (
                "http://127.0.0.1:8080",
                Some("console.localhost"),
                "http://127.0.0.1:8080",
                Some("console.localhost"),
            ),
            ("https://console.example.com", None, "https://console.example.com", None),
        ];
        for (url, host, dialled, header) in cases {
            let found = loopback(url.to_owned(), host.map(str::to_owned));
            assert_eq!(found, (dialled.to_owned(), header.map(str::to_owned)));
        }
        assert!(
            is_loopback("http://127.0.0.1:8080") && is_loopback("http://[::1]:80") && !is_loopback("https://a.example")
        );
    }
}
