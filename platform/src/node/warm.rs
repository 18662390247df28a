//! A release answers once before the first tenant asks it anything.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use terrace_compute_capability::TenantFacts;
use terrace_compute_engine::{Engine, Invocation, Release};
use terrace_ground_ids::{RequestId, TenantId};

/// How long the first answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A tenant that does not exist: it has no data to touch, and what it uses is nobody's.
///
/// # Errors
/// Never, as long as its name is a slug.
pub(crate) fn nobody() -> Result<TenantFacts, String> {
    Ok(TenantFacts {
        id: TenantId::random(),
        slug: "nobody".parse().map_err(|error| format!("{error}"))?,
        name: "Nobody".to_owned(),
        plan: String::new(),
    })
}

/// Asks `GET /_terrace/ready`, for [`nobody`]. Any
/// answer below 500 will do; a service that has no such path says 404, and runs all the same. A service
/// that wants a say answers 503 there.
///
/// # Errors
/// A sentence: it trapped, did not answer in time, or says that it is not ready.
pub(crate) async fn up(engine: &Engine, release: &Arc<Release>) -> Result<(), String> {
    let invocation = Invocation {
        tenant: Arc::new(nobody()?),
        service: release.service().clone(),
        release: release.id().clone(),
        caller: None,
        request: RequestId::random(),
        deadline: Instant::now() + PATIENCE,
        depth: 0,
        delivery: None,
    };
    let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
    let request = Request::get("/_terrace/ready")
        .body(body)
        .map_err(|error| error.to_string())?;
    let fails = |why: &dyn std::fmt::Display| format!("the release does not answer its first request: {why}");
    let response = engine
        .handle(release, invocation, request)
        .await
        .map_err(|fault| fails(&fault))?;
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|error| fails(&error))?
        .to_bytes();
    if status < StatusCode::INTERNAL_SERVER_ERROR {
        return Ok(());
    }
    let said: String = String::from_utf8_lossy(&body).chars().take(200).collect();
    Err(fails(&format!("GET /_terrace/ready says {status} {said}")))
}
