//! One request on a tenant's host, from its head to its answer.

use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use serde::Deserialize;
use terrace_compute_capability::{Caller, Invocation, TenantFacts};
use terrace_compute_engine::{Engine, Fault};
use terrace_ground_error::{Code, Problem};
use terrace_ground_ids::{RequestId, ServiceName, TenantId};
use terrace_ground_telemetry::{Meters, Outcome};
use terrace_ground_token::Keys;
use tracing::warn;

use crate::{
    answer::problem_response,
    body::{self, Body},
    callers::{Callers, hide_tokens},
    origin::cross_site,
    routes::{Deployed, Found, Services},
    tenants::{TenantState, Tenants, host_label},
};

/// How much of a refused body is read, and for how long.
const DRAIN_BYTES_MAX: usize = 16 << 20;
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// What an operator may change.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The domain below which tenants live. Default `localhost`.
    pub base_domain: String,
    /// How many verified tokens are remembered. Default 10,000 (about 4 MB).
    pub tokens_remembered: NonZeroUsize,
    /// The longest path and query that is looked at, in bytes. Default 8,192.
    pub uri_bytes_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base_domain: "localhost".to_owned(),
            tokens_remembered: NonZeroUsize::new(10_000).unwrap_or(NonZeroUsize::MIN),
            uri_bytes_max: 8192,
        }
    }
}

/// Opens a tenant's live stream. Implemented by the composition, over `events/live`.
#[async_trait]
pub trait Streams: Send + Sync + 'static {
    /// The body of a `text/event-stream` for a member of `tenant`, from `cursor` on (the last number
    /// that the client saw), or the problem that says why not.
    async fn open(&self, tenant: &TenantId, member: &str, topics: &str, cursor: Option<&str>) -> Result<Body, Problem>;
}

/// Answers links to files, which carry their own permission. Implemented by the composition, over
/// `capabilities/blob`.
#[async_trait]
pub trait Files: Send + Sync + 'static {
    /// Whether a path is that of a link, good or not.
    fn is_link(&self, path: &str) -> bool;

    /// Reads or writes the file of `tenant` that the link names, or says why not.
    async fn answer(&self, tenant: &TenantId, request: Request<Body>) -> Result<Response<Body>, Problem>;
}

/// What a gateway is made of.
pub struct Parts {
    /// Who lives where.
    pub tenants: Arc<dyn Tenants>,
    /// What runs requests.
    pub engine: Engine,
    /// What verifies tokens.
    pub keys: Keys,
    /// Where requests are counted.
    pub meters: Arc<Meters>,
    /// What opens live streams.
    pub streams: Arc<dyn Streams>,
    /// What answers links to files.
    pub files: Arc<dyn Files>,
}

/// The gateway of one node.
pub struct Gateway {
    config: Config,
    parts: Parts,
    callers: Callers,
    services: ArcSwap<Services>,
}

/// What is known of a request before a service sees it.
struct Arrival {
    id: RequestId,
    start: Instant,
    tenant: Arc<TenantFacts>,
}

/// What a request's head leads to.
enum Decision {
    /// A service is to run.
    Run(Run),
    /// It is a link to a file of this tenant.
    File(Arc<TenantFacts>),
    /// The gateway itself has answered.
    Done(Response<Body>),
}

/// A service that is to run, and for whom.
struct Run {
    arrival: Arrival,
    deployed: Arc<Deployed>,
    caller: Option<Arc<Caller>>,
}

impl Gateway {
    /// A gateway with no services yet.
    pub fn new(config: Config, parts: Parts) -> Self {
        let callers = Callers::new(parts.keys.clone(), config.tokens_remembered);
        Self {
            config,
            parts,
            callers,
            services: ArcSwap::from_pointee(Services::none()),
        }
    }

    /// Replaces the table of services. Requests under way finish on the release that they began with.
    pub fn deploy(&self, services: Services) {
        self.services.store(Arc::new(services));
    }

    /// What is deployed now.
    pub fn services(&self) -> Arc<Services> {
        self.services.load_full()
    }

    /// Answers one request. Never fails: whatever goes wrong is a problem document with the request's id.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<body::Error>,
    {
        let start = Instant::now();
        let id = request_id(&request);
        let (head, body) = request.into_parts();
        let head = Request::from_parts(head, ());
        let mut response = match self.decide(&head, &id, start).await {
            Ok(Decision::Run(run)) => self.answer(run, head, body).await,
            Ok(Decision::File(tenant)) => {
                let body = body.map_err(Into::into).boxed_unsync();
                self.parts.files.answer(&tenant.id, head.map(|()| body)).await
            }
            Ok(Decision::Done(response)) => Ok(response),
            Err(problem) => {
                // A sender that is cut off while it still writes would never read why.
                drain(body).await;
                Err(problem)
            }
        }
        .unwrap_or_else(|problem| problem_response(&problem.request(&id)));
        if let Ok(value) = HeaderValue::from_str(id.as_str()) {
            response.headers_mut().insert("x-request-id", value);
        }
        response
    }

    /// Everything that is decided from the head alone: whose request it is, what it asks for, who asks.
    async fn decide(&self, request: &Request<()>, id: &RequestId, start: Instant) -> Result<Decision, Problem> {
        if request
            .uri()
            .path_and_query()
            .is_some_and(|uri| uri.as_str().len() > self.config.uri_bytes_max)
        {
            return Err(Problem::new(Code::MalformedRequest).detail("The path and query are too long."));
        }
        let tenant = self.tenant(request)?;
        let arrival = Arrival {
            id: id.clone(),
            start,
            tenant,
        };
        let services = self.services.load_full();
        let path = request.uri().path();
        match path {
            "/api/openapi.json" => return Ok(Decision::Done(json(services.openapi(&arrival.tenant.id)))),
            "/api/events" => return self.live(request, &arrival).await.map(Decision::Done),
            path if self.parts.files.is_link(path) => return Ok(Decision::File(arrival.tenant)),
            _ => {}
        }
        let (deployed, public) = match services.find(&arrival.tenant.id, request.method(), path) {
            Found::Operation(deployed, operation) => (deployed.clone(), operation.public),
            Found::OtherMethods(methods) => return Ok(Decision::Done(method_not_allowed(&methods, &arrival.id))),
            Found::Nothing if services.is_unavailable(path) => {
                return Err(Problem::new(Code::ServiceUnavailable));
            }
            Found::Nothing => {
                return Err(Problem::new(Code::UnknownPath)
                    .detail("No contract declares this path. /api/openapi.json lists what there is."));
            }
        };
        if cross_site(request.method(), request.headers()) {
            return Err(Problem::new(Code::CrossSiteRequest));
        }
        let caller = self.caller(request, &arrival.tenant.id, public)?;
        let limit = deployed.release.limits().request_body_bytes();
        let declared = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        Ok(Decision::Run(Run {
            arrival,
            deployed,
            caller,
        }))
    }

    async fn answer<B>(&self, run: Run, head: Request<()>, body: B) -> Result<Response<Body>, Problem>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<body::Error>,
    {
        let Run {
            arrival,
            deployed,
            caller,
        } = run;
        let mut head = head;
        // It says what the neighbour on the way can read, and is no business of a service.
        head.headers_mut().remove(header::TE);
        hide_tokens(
            head.headers_mut(),
            caller.is_some(),
            deployed.release.is_granted("token"),
        );
        let invocation = self.invocation(&arrival, &deployed, caller);
        let method = head.method().clone();
        let path = head.uri().path().to_owned();
        let result = self.run(&deployed, invocation, head.map(|()| body)).await;
        self.record(&arrival, &deployed.service, &method, &path, &result);
        result
    }

    /// The tenant of the request's host: from the Host header (or HTTP/2's authority) and nothing else.
    fn tenant<B>(&self, request: &Request<B>) -> Result<Arc<TenantFacts>, Problem> {
        let host = request
            .headers()
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .or_else(|| request.uri().authority().map(http::uri::Authority::as_str));
        let label = host.and_then(|host| host_label(host, &self.config.base_domain));
        let tenant = label.and_then(|label| self.parts.tenants.by_label(label));
        match tenant {
            Some(tenant) if tenant.state == TenantState::Active => Ok(tenant.facts),
            Some(tenant) if tenant.state == TenantState::Suspended => Err(Problem::new(Code::TenantSuspended)),
            _ => Err(Problem::new(Code::UnknownHost)),
        }
    }

    fn caller<B>(&self, request: &Request<B>, tenant: &TenantId, public: bool) -> Result<Option<Arc<Caller>>, Problem> {
        match self.callers.identify(request.headers(), tenant.as_str(), seconds_now()) {
            Ok(Some(caller)) => Ok(Some(caller)),
            Ok(None) if public => Ok(None),
            Ok(None) => Err(Problem::new(Code::Unauthenticated)),
            // Signing in again must work while an old cookie lies around.
            Err(_) if public => Ok(None),
            Err(code) => Err(Problem::new(code)),
        }
    }

    async fn live<B>(&self, request: &Request<B>, arrival: &Arrival) -> Result<Response<Body>, Problem> {
        if *request.method() != Method::GET {
            return Ok(method_not_allowed(&[&Method::GET], &arrival.id));
        }
        let Some(caller) = self.caller(request, &arrival.tenant.id, false)? else {
            return Err(Problem::new(Code::Unauthenticated));
        };
        let query = request.uri().query().unwrap_or_default();
        let topics = parameter(query, "topics").unwrap_or_default();
        let cursor = match request.headers().get("last-event-id") {
            Some(value) => Some(value.to_str().unwrap_or("not text").to_owned()),
            None => parameter(query, "cursor"),
        };
        let body = self
            .parts
            .streams
            .open(&arrival.tenant.id, &caller.member, &topics, cursor.as_deref())
            .await?;
        let mut response = Response::new(body);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }

    fn invocation(&self, arrival: &Arrival, deployed: &Deployed, caller: Option<Arc<Caller>>) -> Invocation {
        Invocation {
            tenant: arrival.tenant.clone(),
            service: deployed.service.clone(),
            release: deployed.release.id().clone(),
            caller,
            request: arrival.id.clone(),
            deadline: arrival.start + deployed.release.limits().wall(),
            depth: 0,
            delivery: None,
        }
    }

    async fn run<B>(
        &self,
        deployed: &Arc<Deployed>,
        invocation: Invocation,
        request: Request<B>,
    ) -> Result<Response<Body>, Problem>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<body::Error>,
    {
        let limit = deployed.release.limits().request_body_bytes();
        let declared = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if declared.is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        let id = invocation.request.clone();
        let outcome = self.parts.engine.handle(&deployed.release, invocation, request).await;
        deployed.tally.count(&outcome);
        outcome.map_err(|fault| {
            if fault == Fault::RequestTooLarge {
                return too_large(limit);
            }
            problem(&fault, deployed, &id)
        })
    }

    fn record(
        &self,
        arrival: &Arrival,
        service: &ServiceName,
        method: &Method,
        path: &str,
        result: &Result<Response<Body>, Problem>,
    ) {
        let (status, code) = match result {
            Ok(response) => (response.status().as_u16(), None),
            Err(problem) => (problem.status, Some(problem.code.as_str())),
        };
        self.parts.meters.record(&Outcome {
            tenant: &arrival.tenant.id,
            service,
            request: &arrival.id,
            method: method.as_str(),
            path,
            status,
            code,
            latency: arrival.start.elapsed(),
            at_micros: micros_now(),
        });
    }
}

/// Calls that do not come from a client: from service to service, and from the platform itself.
impl Gateway {
    /// One service calls another: same tenant, same caller, same deadline, one deeper. The callee's
    /// contract must declare the operation. Public operations are not for services either way.
    ///
    /// # Errors
    /// A problem, of which the caller's capability makes its own error.
    pub async fn call(
        &self,
        from: &Invocation,
        service: &ServiceName,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Problem> {
        let services = self.services.load_full();
        let deployed = match services.find(&from.tenant.id, request.method(), request.uri().path()) {
            Found::Operation(deployed, _) if deployed.service == *service => deployed.clone(),
            _ => return Err(Problem::new(Code::UnknownPath)),
        };
        let invocation = from.call(service.clone(), deployed.release.id().clone());
        self.collect(&deployed, invocation, request).await
    }

    /// The platform calls a service by a path below `/_terrace/`, which no client can reach.
    ///
    /// # Errors
    /// A problem: the service is not deployed, or failed.
    pub async fn internal(
        &self,
        tenant: Arc<TenantFacts>,
        service: &ServiceName,
        path: &str,
        body: Bytes,
        delivery: Option<u64>,
    ) -> Result<Response<Bytes>, Problem> {
        let services = self.services.load_full();
        let deployed = services
            .get(&tenant.id, service)
            .ok_or_else(|| Problem::new(Code::ServiceUnavailable))?;
        self.internal_to(deployed, tenant, path, body, delivery).await
    }

    /// The same, to a release that may not be the current one: a new release greets the tenants that
    /// were there before it is served.
    ///
    /// # Errors
    /// A problem: the service failed.
    pub async fn internal_to(
        &self,
        deployed: &Arc<Deployed>,
        tenant: Arc<TenantFacts>,
        path: &str,
        body: Bytes,
        delivery: Option<u64>,
    ) -> Result<Response<Bytes>, Problem> {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::HOST, "terrace.internal")
            .body(body);
        let request = request.map_err(|_| Problem::new(Code::Internal))?;
        let invocation = Invocation {
            tenant,
            service: deployed.service.clone(),
            release: deployed.release.id().clone(),
            caller: None,
            request: RequestId::random(),
            deadline: Instant::now() + deployed.release.limits().wall(),
            depth: 0,
            delivery,
        };
        self.collect(deployed, invocation, request).await
    }

    /// A request that somebody who builds a service sends by hand, to a release that may not be
    /// served: no contract is looked at, and the meters do not show it. What it uses is the tenant's.
    ///
    /// # Errors
    /// A problem, as a client would get it.
    pub async fn by_hand(
        &self,
        deployed: &Arc<Deployed>,
        tenant: Arc<TenantFacts>,
        caller: Option<Arc<Caller>>,
        id: RequestId,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Problem> {
        let invocation = Invocation {
            tenant,
            service: deployed.service.clone(),
            release: deployed.release.id().clone(),
            caller,
            request: id,
            deadline: Instant::now() + deployed.release.limits().wall(),
            depth: 0,
            delivery: None,
        };
        self.collect(deployed, invocation, request).await
    }

    async fn collect(
        &self,
        deployed: &Arc<Deployed>,
        invocation: Invocation,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Problem> {
        let id = invocation.request.clone();
        let remaining = invocation.deadline.saturating_duration_since(Instant::now());
        let work = async {
            let response = self.run(deployed, invocation, request.map(body::full)).await?;
            let (head, body) = response.into_parts();
            let bytes = body.collect().await.map_err(|error| {
                warn!(service = %deployed.service, request.id = %id, "Service failed while answering: {error}");
                Problem::new(Code::ServiceFailed)
            })?;
            Ok(Response::from_parts(head, bytes.to_bytes()))
        };
        tokio::time::timeout(remaining, work)
            .await
            .unwrap_or_else(|_| Err(Problem::new(Code::ServiceTimeout)))
    }
}

fn problem(fault: &Fault, deployed: &Deployed, id: &RequestId) -> Problem {
    warn!(service = %deployed.service, release = %deployed.release.id(), request.id = %id, "Service failed on one request: {fault}");
    Problem::new(fault.code())
}

/// Reads what is left of a refused body, within bounds: then the answer can be read, too.
async fn drain<B>(body: B)
where
    B: http_body::Body<Data = Bytes>,
{
    let reading = async {
        let mut body = std::pin::pin!(body);
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > DRAIN_BYTES_MAX {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN_MAX, reading).await;
}

/// The edge's id if it is one of ours, or a new one. A client's own text is never logged as an id.
fn request_id<B>(request: &Request<B>) -> RequestId {
    let given = request
        .headers()
        .get("x-request-id")
        .and_then(|id| id.to_str().ok()?.parse().ok());
    given.unwrap_or_else(RequestId::random)
}

fn too_large(limit: u64) -> Problem {
    Problem::new(Code::BodyTooLarge).detail(format!("This service takes bodies of up to {} KiB.", limit / 1024))
}

fn method_not_allowed(methods: &[&Method], id: &RequestId) -> Response<Body> {
    let allowed = methods
        .iter()
        .map(|method| method.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    let problem = Problem::new(Code::MethodNotAllowed)
        .detail(format!("This path takes {allowed}."))
        .request(id);
    let mut response = problem_response(&problem);
    if let Ok(value) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

fn json(bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(body::full(bytes));
    *response.status_mut() = StatusCode::OK;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A query parameter, decoded. The first of several counts.
fn parameter(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find_map(|(key, value)| (key == name).then(|| value.into_owned()))
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn seconds_now() -> i64 {
    i64::try_from(since_epoch().as_secs()).unwrap_or(i64::MAX)
}

fn micros_now() -> i64 {
    i64::try_from(since_epoch().as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        assert_eq!(
            parameter("topics=board%2F7,boards&cursor=4", "topics").as_deref(),
            Some("board/7,boards")
        );
        assert_eq!(parameter("topics=a&cursor=4", "cursor").as_deref(), Some("4"));
        assert_eq!(parameter("topicsx=1", "topics"), None);
    }
}
