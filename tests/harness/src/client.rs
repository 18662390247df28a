//! Requests as a browser or a program would send them: to the edge, by host name.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

use crate::PASSWORD;

/// How long one request may take before the test fails.
const REQUEST_MAX: Duration = Duration::from_secs(30);

/// Speaks to one edge. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    port: u16,
    operator_token: Arc<str>,
}

/// A signed-in member: the tenant's slug and the cookies.
#[derive(Debug, Clone)]
pub struct Session {
    /// The tenant's slug.
    pub slug: String,
    /// `__Host-session=...; __Host-refresh=...`
    pub cookies: String,
    /// The signed-in member, as the API shows it.
    pub member: Value,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub bytes: Bytes,
    /// The body as JSON; null when it is not.
    pub body: Value,
}

impl Answer {
    /// The problem's code, or an empty text.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The answer, if it is a success.
    ///
    /// # Errors
    /// The status and the body.
    pub fn success(self) -> Result<Self> {
        if self.status.is_success() {
            Ok(self)
        } else {
            bail!("{} {}", self.status, String::from_utf8_lossy(&self.bytes))
        }
    }
}

impl Client {
    pub(crate) fn new(port: u16, operator_token: String) -> Self {
        Self {
            http: legacy::Client::builder(TokioExecutor::new()).build_http(),
            port,
            operator_token: operator_token.into(),
        }
    }

    /// Any request. `label` is the first label of the host: `acme`, `console`.
    ///
    /// # Errors
    /// No answer came.
    pub async fn send(
        &self,
        label: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer> {
        let response = self.open(label, method, path, headers, body).await?;
        let (head, body) = response.into_parts();
        let bytes = tokio::time::timeout(REQUEST_MAX, body.collect())
            .await
            .context("the answer does not end")??
            .to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            bytes,
            body,
        })
    }

    async fn open(
        &self,
        label: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<http::Response<Incoming>> {
        let host = format!("{label}.localhost:{}", self.port);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://127.0.0.1:{}{path}", self.port))
            .header(header::HOST, host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).context("make a request")?;
        tokio::time::timeout(REQUEST_MAX, self.http.request(request))
            .await
            .with_context(|| format!("{path} does not answer"))?
            .with_context(|| format!("send {path}"))
    }

    /// A request with JSON, as a member.
    ///
    /// # Errors
    /// No answer came.
    pub async fn call(&self, session: &Session, method: Method, path: &str, body: Option<Value>) -> Result<Answer> {
        let bytes = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        self.send(
            &session.slug,
            method,
            path,
            &[("cookie", &session.cookies), ("content-type", "application/json")],
            bytes,
        )
        .await
    }

    /// GET as a member.
    ///
    /// # Errors
    /// No answer came.
    pub async fn get(&self, session: &Session, path: &str) -> Result<Answer> {
        self.call(session, Method::GET, path, None).await
    }

    /// POST as a member.
    ///
    /// # Errors
    /// No answer came.
    pub async fn post(&self, session: &Session, path: &str, body: Value) -> Result<Answer> {
        self.call(session, Method::POST, path, Some(body)).await
    }

    /// A request to the control plane, as the operator.
    ///
    /// # Errors
    /// No answer came.
    pub async fn control(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answer> {
        let bytes = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let authorization = format!("Bearer {}", self.operator_token);
        self.send(
            "console",
            method,
            path,
            &[("authorization", &authorization), ("content-type", "application/json")],
            bytes,
        )
        .await
    }

    /// A request to the control plane with bytes, as the operator.
    ///
    /// # Errors
    /// No answer came.
    pub async fn control_bytes(&self, method: Method, path: &str, body: Bytes) -> Result<Answer> {
        let authorization = format!("Bearer {}", self.operator_token);
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/octet-stream"),
        ];
        self.send("console", method, path, &headers, body).await
    }

    /// Signs in with the demo's password.
    ///
    /// # Errors
    /// The answer was not a success.
    pub async fn sign_in(&self, slug: &str, email: &str) -> Result<Session> {
        let body = serde_json::json!({ "email": email, "password": PASSWORD }).to_string();
        let answer = self
            .send(
                slug,
                Method::POST,
                "/api/identity/session",
                &[("content-type", "application/json")],
                body.into(),
            )
            .await?
            .success()?;
        let cookies: Vec<&str> = answer
            .headers
            .get_all(header::SET_COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok()?.split(';').next())
            .collect();
        Ok(Session {
            slug: slug.to_owned(),
            cookies: cookies.join("; "),
            member: answer.body["member"].clone(),
        })
    }

    /// Opens the live stream.
    ///
    /// # Errors
    /// The answer was not a stream.
    pub async fn events(&self, session: &Session, cursor: Option<&str>) -> Result<Events> {
        let mut headers = vec![("cookie", session.cookies.as_str())];
        if let Some(cursor) = cursor {
            headers.push(("last-event-id", cursor));
        }
        let response = self
            .open(&session.slug, Method::GET, "/api/events", &headers, Bytes::new())
            .await?;
        if !response.status().is_success() {
            bail!("the stream answers {}", response.status());
        }
        Ok(Events {
            body: response.into_body(),
            buffer: String::new(),
        })
    }
}

/// An open live stream.
pub struct Events {
    body: Incoming,
    buffer: String,
}

impl Events {
    /// The next frame as (event, id, data), comments left out.
    ///
    /// # Errors
    /// The stream ended, or nothing came in 10 seconds.
    pub async fn next(&mut self) -> Result<(String, String, Value)> {
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let frame: String = self.buffer.drain(..end + 2).collect();
                let field = |name: &str| {
                    frame
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(|value| value.trim_start().to_owned())
                };
                if let Some(event) = field("event:") {
                    let data = field("data:")
                        .and_then(|data| serde_json::from_str(&data).ok())
                        .unwrap_or(Value::Null);
                    return Ok((event, field("id:").unwrap_or_default(), data));
                }
                continue;
            }
            let frame = tokio::time::timeout(Duration::from_secs(10), self.body.frame())
                .await
                .context("no event came")?;
            let frame = frame.context("the stream ended")?.context("the stream broke")?;
            if let Some(data) = frame.data_ref() {
                self.buffer.push_str(&String::from_utf8_lossy(data));
            }
        }
    }
}
