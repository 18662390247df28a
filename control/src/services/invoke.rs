//! `POST /api/control/services/{service}/invoke`.

use std::time::Duration;

use axum::{
    Extension, Json,
    extract::{self, Path},
    http::{HeaderMap, HeaderName, HeaderValue, Method},
};
use bytes::Bytes;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use terrace_ground_ids::{ReleaseId, RequestId};
use utoipa::ToSchema;

use super::service_of;
use crate::{
    LogLine, State, TenantRef, authentication::Authenticated, body::Upload, contract::Problem, refusal::Refusal,
    validation::Validation,
};

/// Most headers of an invocation.
const HEADERS_MAX: usize = 100;
/// Longest path, with its query, in bytes.
const PATH_BYTES_MAX: usize = 8 << 10;

/// One request to a service, for somebody who builds it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvokeUpload {
    /// In capitals.
    #[schema(example = "POST")]
    pub method: String,
    /// The whole path, with its query.
    #[schema(example = "/api/tasks/boards")]
    pub path: String,
    /// Names and values.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The body, in base64; none when absent.
    #[serde(default)]
    #[schema(content_encoding = "base64")]
    pub body: Option<String>,
    /// Whose data it works on, by slug or id. Absent only with `bundle`.
    #[serde(default)]
    #[schema(example = "acme")]
    pub tenant: Option<String>,
    /// Ask as nobody, instead of as an owner called `operator`.
    #[serde(default)]
    pub anonymous: bool,
    /// Run this component, which is not deployed, for a tenant that does not exist.
    #[serde(default)]
    pub bundle: Option<InvokeBundle>,
}

/// A component that is not deployed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvokeBundle {
    /// The text of `service.toml`.
    pub manifest: String,
    /// The Wasm component, in base64.
    #[schema(content_encoding = "base64")]
    pub component: String,
}

/// An invocation that was checked.
#[derive(Debug)]
pub struct NewInvocation {
    /// The method.
    pub method: Method,
    /// The path with its query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The name of whoever asks; `None` to ask as nobody.
    pub caller: Option<String>,
    /// What runs, and for whom.
    pub subject: Subject,
}

/// What an invocation runs.
#[derive(Debug)]
pub enum Subject {
    /// The release that this tenant has.
    Deployed(TenantRef),
    /// A manifest and a component, for a tenant that does not exist.
    Bundle(String, Bytes),
}

/// How an invocation went.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvocationResult {
    /// The release that ran; null for one that is not deployed.
    #[schema(value_type = Option<String>, required = true)]
    pub release: Option<ReleaseId>,
    /// The request's id, which its log lines carry.
    #[schema(value_type = String)]
    pub request_id: RequestId,
    /// The status.
    pub status: u16,
    /// The headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body, in base64.
    #[schema(content_encoding = "base64")]
    pub body: String,
    /// Why the platform answered in place of the service: a code of `docs/reference/problems.md`; null
    /// when the service answered itself.
    #[schema(required = true)]
    pub failure: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: f64,
    /// What the service wrote meanwhile, and what ended it.
    pub logs: Vec<LogLine>,
}

impl InvocationResult {
    /// With an answer.
    pub fn answered(release: Option<ReleaseId>, request_id: RequestId, took: Duration) -> Self {
        Self {
            release,
            request_id,
            status: 0,
            headers: Vec::new(),
            body: String::new(),
            failure: None,
            duration_ms: took.as_secs_f64() * 1e3,
            logs: Vec::new(),
        }
    }
}

/// Sends one request to a service, as a member of a tenant would, and tells what became of it: the
/// answer, the log lines, and what ended it.
///
/// It does what it says: a request that writes, writes. With a bundle it runs a component that is not
/// deployed, for a tenant that does not exist and has no data.
#[utoipa::path(
    post, path = "/api/control/services/{service}/invoke", operation_id = "control_invoke_service", tag = "services",
    security(("session" = [])),
    params(("service" = String, Path, description = "The service's name", example = "tasks")),
    request_body = InvokeUpload,
    responses(
        (status = OK, body = InvocationResult, description = "How it went"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn invoke(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(service): Path<String>,
    upload: Upload,
) -> Result<Json<InvocationResult>, Refusal> {
    let service = service_of(&service)?;
    let (mut invocation, anonymous) = upload.decode(decode).await?;
    if !anonymous {
        invocation.caller = Some(authenticated.operator.name.clone());
    }
    let (by, method, path) = (
        authenticated.operator.who(),
        invocation.method.clone(),
        invocation.path.clone(),
    );
    let result = state.platform().invoke(&service, invocation).await?;
    let path = path.split('?').next().unwrap_or_default();
    tracing::info!(%service, request.id = %result.request_id, "{by} invoked {method} {path} of {service}");
    Ok(Json(result))
}

fn decode(upload: InvokeUpload) -> Result<(NewInvocation, bool), Refusal> {
    let mut validation = Validation::new();
    let method = Method::from_bytes(upload.method.as_bytes()).ok();
    if method.as_ref().is_none_or(|method| method == Method::CONNECT) {
        validation.reject("/method", "must be a method, like GET or POST");
    }
    let is_path = upload.path.starts_with('/')
        && upload.path.len() <= PATH_BYTES_MAX
        && upload.path.parse::<axum::http::uri::PathAndQuery>().is_ok();
    if !is_path {
        validation.reject("/path", "must be a path, like /api/tasks/boards");
    }
    if upload.headers.len() > HEADERS_MAX {
        validation.reject("/headers", format!("must be at most {HEADERS_MAX}"));
    }
    let mut headers = HeaderMap::new();
    for (index, (name, value)) in upload.headers.iter().take(HEADERS_MAX).enumerate() {
        match (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => drop(headers.append(name, value)),
            _ => validation.reject(format!("/headers/{index}"), "must be a name and a value"),
        }
    }
    let body = BASE64.decode(upload.body.as_deref().unwrap_or_default().as_bytes());
    if body.is_err() {
        validation.reject("/body", "must be base64");
    }
    let subject = match (upload.tenant, upload.bundle) {
        (Some(tenant), None) => validation
            .word("/tenant", &tenant, "the tenants' slugs and ids")
            .map(Subject::Deployed),
        (None, Some(bundle)) => match BASE64.decode(bundle.component.as_bytes()) {
            Ok(component) => Some(Subject::Bundle(bundle.manifest, component.into())),
            Err(_) => {
                validation.reject("/bundle/component", "must be a WebAssembly component, in base64");
                None
            }
        },
        _ => {
            validation.reject("/tenant", "must be given, or `bundle`, and not both");
            None
        }
    };
    validation.finish()?;
    let (Some(method), Some(subject), Ok(body)) = (method, subject, body) else {
        return Err(Refusal::internal(
            "an invocation that was not accepted was not rejected either",
        ));
    };
    let invocation = NewInvocation {
        method,
        path: upload.path,
        headers,
        body: body.into(),
        caller: None,
        subject,
    };
    Ok((invocation, upload.anonymous))
}
