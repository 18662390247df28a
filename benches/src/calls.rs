//! A call from service to service: a request that calls itself as deep as it may, beside one that calls
//! nothing. The peer is the usual thing: two native programs and HTTP between them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use terrace_tests_harness::{Options, Terrace};

use crate::{Figure, task::Native, tenants::quantiles};

/// Calls below the first request: the default of `call_depth`.
const DEPTH: u32 = 4;
/// Requests of each kind, in turns.
const ROUNDS: usize = 1_000;

type Http = HttpClient<HttpConnector, Full<Bytes>>;

pub(crate) async fn measure() -> Result<Vec<Figure>> {
    let terrace = Terrace::start(Options {
        hostile: true,
        ..Options::default()
    })
    .await?;
    let ada = terrace.client().sign_in("acme", "ada@acme.example").await?;
    let peer = Native::start(&["native-chain", "{address}"])?;
    let http: Http = HttpClient::builder(TokioExecutor::new()).build_http();
    let ours = |method: Method, path: &str| {
        Request::builder()
            .method(method)
            .uri(format!("http://127.0.0.1:{}{path}", terrace.node_port))
            .header("host", "acme.localhost")
            .header("cookie", &ada.cookies)
            .header("content-type", "application/json")
            .body(Full::default())
    };
    let theirs = |depth: u32| {
        Request::builder()
            .uri(format!("http://127.0.0.1:{}/chain/{depth}", peer.port))
            .body(Full::default())
    };
    let mut took: [Vec<Duration>; 4] = Default::default();
    for round in 0..ROUNDS + 50 {
        let requests = [
            ours(Method::GET, "/api/hostile/ok")?,
            ours(Method::POST, "/api/hostile/recurse")?,
            theirs(0)?,
            theirs(DEPTH)?,
        ];
        for (took, request) in took.iter_mut().zip(requests) {
            let lasted = ask(&http, request).await?;
            // The first ones make connections and instances.
            if round >= 50 {
                took.push(lasted);
            }
        }
    }
    let [alone, deep, peer_alone, peer_deep] = took.each_mut().map(|took| quantiles(took));
    let per_call = |deep: Duration, alone: Duration| deep.saturating_sub(alone).as_secs_f64() * 1e6 / f64::from(DEPTH);
    let (ours, theirs) = (per_call(deep.0, alone.0), per_call(peer_deep.0, peer_alone.0));
    Ok(vec![Figure {
        what: "a call between services (a quarter of what four nested calls add to a request), p50".to_owned(),
        ours: format!("{ours:.0} µs"),
        peer: format!("native programs, HTTP on loopback: {theirs:.0} µs"),
        ratio: format!("{:.2}x", theirs / ours),
    }])
}

async fn ask(http: &Http, request: Request<Full<Bytes>>) -> Result<Duration> {
    let path = request.uri().path().to_owned();
    let start = Instant::now();
    let response = http.request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    let lasted = start.elapsed();
    anyhow::ensure!(
        status.is_success(),
        "{path} answered {status}: {}",
        String::from_utf8_lossy(&body)
    );
    Ok(lasted)
}

/// `native-chain ADDRESS`: `/chain/4` asks `/chain/3` of the same address, over HTTP.
pub(crate) fn router(address: &str) -> axum::Router {
    let http: Http = HttpClient::builder(TokioExecutor::new()).build_http();
    let address = address.to_owned();
    axum::Router::new().route(
        "/chain/{depth}",
        axum::routing::get(async move |axum::extract::Path(depth): axum::extract::Path<u32>| {
            let Some(next) = depth.checked_sub(1) else {
                return Ok("the end".to_owned());
            };
            let answer = async {
                let request = Request::builder()
                    .uri(format!("http://{address}/chain/{next}"))
                    .body(Full::default())?;
                let response = http.request(request).await?;
                let status = response.status();
                response.into_body().collect().await?;
                anyhow::Ok(format!("the next one answered {status}"))
            };
            answer
                .await
                .context("ask the next one")
                .map_err(|error| (http::StatusCode::BAD_GATEWAY, format!("{error:#}")))
        }),
    )
}
