//! The supervisor's own requests: it deploys and makes tenants by the same public API as everybody.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy, rt::TokioExecutor};
use serde_json::Value;

use super::{Place, child::Child};

/// How long a freshly started process may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// Speaks to the node on the loopback address.
pub(crate) struct Client {
    http: legacy::Client<legacy::connect::HttpConnector, Full<Bytes>>,
    node: String,
    pub(crate) base_domain: String,
    operator_token: String,
}

/// A status and a JSON body.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
    pub(crate) cookies: String,
}

impl Client {
    pub(crate) fn new(place: &Place) -> Result<Self> {
        let operator_token = crate::node::operator_token(&place.secrets)?;
        let file = serde_json::json!({
            "url": format!("http://127.0.0.1:{}", place.port),
            "host": format!("console.{}", place.base_domain),
            "token": operator_token,
        });
        place.secrets.replace(
            &place.data_dir.join("operator.json"),
            &serde_json::to_string_pretty(&file)?,
        )?;
        Ok(Self {
            http: legacy::Client::builder(TokioExecutor::new()).build_http(),
            node: format!("127.0.0.1:{}", place.node_port),
            base_domain: place.base_domain.clone(),
            operator_token,
        })
    }

    /// A request to the control plane, as the operator.
    pub(crate) async fn control(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        self.send(
            &self.node,
            "console",
            method,
            path,
            body,
            &format!("Bearer {}", self.operator_token),
            "",
        )
        .await
    }

    /// A request on a tenant's host, with cookies.
    pub(crate) async fn tenant(
        &self,
        slug: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
        cookies: &str,
    ) -> Result<Answer> {
        self.send(&self.node, slug, method, path, body, "", cookies).await
    }

    #[expect(clippy::too_many_arguments, reason = "the one place where a request is put together")]
    async fn send(
        &self,
        authority: &str,
        label: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
        authorization: &str,
        cookies: &str,
    ) -> Result<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{authority}{path}"))
            .header(header::HOST, format!("{label}.{}", self.base_domain));
        if !authorization.is_empty() {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies);
        }
        let body = match body {
            Some(value) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(serde_json::to_vec(value)?)
            }
            None => Bytes::new(),
        };
        let response = self
            .http
            .request(request.body(Full::new(body))?)
            .await
            .with_context(|| format!("reach {authority}"))?;
        let status = response.status();
        let cookies = response
            .headers()
            .get_all(header::SET_COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok()?.split(';').next())
            .collect::<Vec<_>>()
            .join("; ");
        let bytes = response
            .into_body()
            .collect()
            .await
            .context("read an answer")?
            .to_bytes();
        Ok(Answer {
            status,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            cookies,
        })
    }

    /// Waits until the node answers and has its database.
    pub(crate) async fn wait_for_node(&self, node: &mut Child) -> Result<()> {
        let health = || async {
            self.control(Method::GET, "/internal/health", None)
                .await
                .is_ok_and(|answer| answer.status.is_success())
        };
        wait("the node", node, health).await
    }

    /// Waits until the edge serves what the node published.
    ///
    /// Both sides are asked each time: a node that finishes an operation from before its start publishes
    /// again meanwhile, and the edge may never show the version in between.
    pub(crate) async fn wait_for_edge(&self, place: &Place, edge: &mut Child) -> Result<()> {
        let authority = format!("127.0.0.1:{}", place.port);
        let path = "/.well-known/terrace/edge";
        let serves = || async {
            let published = self.control(Method::GET, "/internal/edge/snapshot", None).await;
            let served = self.send(&authority, "console", Method::GET, path, None, "", "").await;
            published.is_ok_and(|published| {
                let version = published.body["version"].as_str();
                version.is_some() && served.is_ok_and(|served| served.body["snapshot"].as_str() == version)
            })
        };
        wait("the edge", edge, serves).await
    }
}

async fn wait<F: Future<Output = bool>>(who: &str, child: &mut Child, ready: impl Fn() -> F) -> Result<()> {
    let patience = tokio::time::Instant::now() + PATIENCE;
    loop {
        if ready().await {
            return Ok(());
        }
        child.check()?;
        if tokio::time::Instant::now() > patience {
            bail!("{who} does not answer after {} s", PATIENCE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl Answer {
    /// The body, or the problem as an error.
    pub(crate) fn success(self, what: &str) -> Result<Value> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let text = |key: &str| {
            self.body
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        bail!(
            "{what}: {} {} {} (request {})",
            self.status.as_u16(),
            text("title"),
            text("detail"),
            text("request_id")
        )
    }
}
