//! Links to files: what a browser reads and writes without asking a service.
//!
//! A file is whatever somebody has uploaded, and it is given out on the tenant's own host: so it may run
//! nothing there, and what a browser could run is only offered for saving.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt as _, Full};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use terrace_capabilities_blob::{Access, Error, ErrorKind, Files, Info, Link, Links, Place};
use terrace_compute_gateway::{self as gateway, Body};
use terrace_data_router::Principal;
use terrace_ground_error::{Code, Problem};
use terrace_ground_ids::TenantId;

/// How long a link's request may take, the body included.
const REQUEST_MAX: Duration = Duration::from_secs(60);

/// Types that a browser may show. A page or a drawing with a script in it is not among them.
const SHOWN: [&str; 12] = [
    "application/json",
    "application/pdf",
    "audio/mpeg",
    "audio/ogg",
    "image/avif",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "text/plain",
    "video/mp4",
    "video/webm",
];

/// Answers links.
pub(crate) struct FileLinks {
    files: Arc<Files>,
    links: Arc<Links>,
    /// Files under way, by tenant.
    transfers: Arc<Mutex<HashMap<TenantId, u32>>>,
}

/// One file under way.
struct Transfer {
    tenant: TenantId,
    transfers: Arc<Mutex<HashMap<TenantId, u32>>>,
}

impl FileLinks {
    pub(crate) fn new(files: Arc<Files>, links: Arc<Links>) -> Self {
        Self {
            files,
            links,
            transfers: Arc::default(),
        }
    }

    fn begin(&self, tenant: &TenantId) -> Result<Transfer, Problem> {
        let mut transfers = self.transfers.lock().unwrap_or_else(PoisonError::into_inner);
        let running = transfers.entry(tenant.clone()).or_default();
        let max = self.files.config().tenant_transfers;
        if *running >= max {
            return Err(Problem::new(Code::TooManyRequests).detail(format!(
                "{max} files of this workspace are under way on this node, which is the limit; try again in a moment."
            )));
        }
        *running += 1;
        Ok(Transfer {
            tenant: tenant.clone(),
            transfers: self.transfers.clone(),
        })
    }

    async fn read(&self, place: &Place, link: &Link, head: &Parts) -> Result<Response<Body>, Problem> {
        let missing = || Problem::new(Code::NotFound).detail("There is no file of this name.");
        let known = head.headers.get(header::IF_NONE_MATCH);
        let is_head = head.method == Method::HEAD;
        if known.is_some() || is_head {
            let info = self
                .files
                .stat(place, &link.name)
                .await
                .map_err(problem)?
                .ok_or_else(missing)?;
            let is_known = known.and_then(|known| known.to_str().ok()).is_some_and(|known| {
                known
                    .split(',')
                    .any(|tag| tag.trim().trim_start_matches("W/") == etag(&info))
            });
            if is_known || is_head {
                let mut response = described(&info, Bytes::new())?;
                if is_known {
                    *response.status_mut() = StatusCode::NOT_MODIFIED;
                    response.headers_mut().remove(header::CONTENT_LENGTH);
                }
                return Ok(response);
            }
        }
        let file = self
            .files
            .get(place, &link.name)
            .await
            .map_err(problem)?
            .ok_or_else(missing)?;
        described(&file.info, file.content.into())
    }

    async fn write(&self, place: &Place, link: &Link, head: &Parts, body: Body) -> Result<Response<Body>, Problem> {
        let bytes_max = self.files.config().file_bytes();
        let kind = match head.headers.get(header::CONTENT_TYPE) {
            Some(kind) => kind.to_str().unwrap_or_default().to_owned(),
            None => "application/octet-stream".to_owned(),
        };
        let content = collect(body, bytes_max).await?;
        let info = self
            .files
            .put(place, &link.name, &kind, &content)
            .await
            .map_err(problem)?;
        let body = json!({
            "name": info.name, "size": info.size, "content_type": info.content_type, "sha256": info.sha256,
        });
        let mut response = Response::new(full(body.to_string().into()));
        set(&mut response, header::CONTENT_TYPE, "application/json")?;
        set(&mut response, header::ETAG, &etag(&info))?;
        Ok(response)
    }
}

#[async_trait]
impl gateway::Files for FileLinks {
    fn is_link(&self, path: &str) -> bool {
        Links::is_path(path)
    }

    async fn answer(&self, tenant: &TenantId, request: Request<Body>) -> Result<Response<Body>, Problem> {
        let (head, body) = request.into_parts();
        let query = head.uri.query().unwrap_or_default();
        let link = self.links.read(tenant, head.uri.path(), query).ok_or_else(|| {
            Problem::new(Code::Forbidden)
                .detail("This link is not one of this workspace, or it has ended. Ask for a new one.")
        })?;
        let place = Place {
            principal: Principal {
                tenant: tenant.clone(),
                service: link.service.clone(),
            },
            deadline: Instant::now() + REQUEST_MAX,
        };
        let transfer = self.begin(tenant)?;
        let work = async {
            match (link.may, &head.method) {
                (Access::Read, &Method::GET | &Method::HEAD) => self.read(&place, &link, &head).await,
                (Access::Write, &Method::PUT) => self.write(&place, &link, &head, body).await,
                (may, _) => {
                    let method = if may == Access::Read { "GET" } else { "PUT" };
                    Err(Problem::new(Code::MethodNotAllowed).detail(format!("This link is for {method}.")))
                }
            }
        };
        let answer = tokio::time::timeout(REQUEST_MAX, work).await;
        drop(transfer);
        answer.unwrap_or_else(|_| {
            Err(Problem::new(Code::ServiceTimeout).detail(format!("A file has {} s.", REQUEST_MAX.as_secs())))
        })
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        let mut transfers = self.transfers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = transfers.get_mut(&self.tenant) {
            *running -= 1;
            if *running == 0 {
                transfers.remove(&self.tenant);
            }
        }
    }
}

/// All of a body, up to a limit.
async fn collect(mut body: Body, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let mut content = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Problem::new(Code::MalformedRequest).detail("The body broke off."))?;
        content.extend_from_slice(frame.data_ref().map_or(&[], |data| &**data));
        if content.len() > bytes_max {
            return Err(Problem::new(Code::BodyTooLarge).detail(format!("A file has at most {bytes_max} bytes.")));
        }
    }
    Ok(content)
}

fn problem(error: Error) -> Problem {
    let code = match error.kind {
        ErrorKind::BadValue => Code::ValidationFailed,
        ErrorKind::Limit => Code::PlanLimitReached,
        ErrorKind::Unavailable => Code::DataUnavailable,
    };
    match error.kind {
        // What the database said is for the log.
        ErrorKind::Unavailable => {
            tracing::warn!("A link's file cannot be reached: {error}");
            Problem::new(code)
        }
        _ => Problem::new(code).detail(error.message),
    }
}

fn etag(info: &Info) -> String {
    format!("\"{}\"", info.sha256)
}

fn described(info: &Info, content: Bytes) -> Result<Response<Body>, Problem> {
    let mut response = Response::new(full(content));
    let essence = info.content_type.split(';').next().unwrap_or_default().trim();
    let shown = SHOWN.contains(&essence.to_ascii_lowercase().as_str());
    let last = info.name.rsplit('/').next().unwrap_or_default();
    let disposition = format!(
        "{}; filename*=UTF-8''{}",
        if shown { "inline" } else { "attachment" },
        utf8_percent_encode(last, NON_ALPHANUMERIC)
    );
    set(&mut response, header::CONTENT_TYPE, &info.content_type)?;
    set(&mut response, header::CONTENT_LENGTH, &info.size.to_string())?;
    set(&mut response, header::CONTENT_DISPOSITION, &disposition)?;
    set(&mut response, header::ETAG, &etag(info))?;
    // It may be replaced at any time; asking whether it was costs no content.
    set(&mut response, header::CACHE_CONTROL, "private, no-cache")?;
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff")?;
    set(
        &mut response,
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    )?;
    set(
        &mut response,
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    )?;
    Ok(response)
}

fn set(response: &mut Response<Body>, name: HeaderName, value: &str) -> Result<(), Problem> {
    let value = HeaderValue::from_str(value).map_err(|_| Problem::new(Code::Internal))?;
    response.headers_mut().insert(name, value);
    Ok(())
}

fn full(content: Bytes) -> Body {
    Full::new(content).map_err(|never| match never {}).boxed_unsync()
}
