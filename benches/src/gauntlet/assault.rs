//! One attack: attackers and a victim ask at the same time. Who is asked, `gauntlet` says.
//!
//! The victim asks every 10 ms, whether or not the last answer has come, and is timed from when it
//! should have asked: a server that stands still does not hide it by slowing the victim down. The attackers
//! run on a thread of their own: what they read must not delay the victim's clock, which in life would be on
//! another machine.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

use crate::tenants::quantiles;

/// How long an attack lasts.
pub(super) const ATTACK: Duration = Duration::from_secs(5);
/// How often the victim asks.
pub(super) const INTERVAL: Duration = Duration::from_millis(10);
/// How long a victim waits for an answer, and an attacker for its end.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is kept of an answer: all of a problem document.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// A request that can be made again and again.
#[derive(Clone)]
pub(super) struct Ask {
    http: HttpClient<HttpConnector, Full<Bytes>>,
    method: Method,
    url: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

/// How an attack went.
pub(super) struct Outcome {
    pub(super) asked: usize,
    pub(super) answered: usize,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    /// How the attackers' requests ended, and how often.
    pub(super) ends: BTreeMap<String, usize>,
    pub(super) longest: Duration,
}

impl Ask {
    pub(super) fn new(method: Method, url: String, headers: Vec<(&'static str, String)>, body: Bytes) -> Self {
        Self {
            http: http(),
            method,
            url,
            headers,
            body,
        }
    }

    /// The same by connections of its own: those of another runtime would end with it.
    fn again(&self) -> Self {
        Self {
            http: http(),
            ..self.clone()
        }
    }

    async fn send(&self) -> Result<(StatusCode, Bytes)> {
        let mut request = Request::builder().method(self.method.clone()).uri(&self.url);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let response = self.http.request(request.body(Full::new(self.body.clone()))?).await?;
        let (head, mut body) = response.into_parts();
        // A body without end must not fill this program's memory: what that costs would be the server's in the table.
        let mut kept = BytesMut::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data()
                && kept.len() < KEPT_BYTES_MAX
            {
                kept.extend_from_slice(&data);
            }
        }
        Ok((head.status, kept.freeze()))
    }
}

/// Asks as the victim while `at_once` attackers attack, one request after the other each.
pub(super) async fn attacked(victim: &Ask, attack: Option<&Ask>, at_once: usize) -> Result<Outcome> {
    // Not counted: a first answer may be late because it is the first.
    let _ = tokio::time::timeout(PATIENCE, victim.send()).await;
    let over = Arc::new(AtomicBool::new(false));
    let crowd = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("start the attackers' thread")?;
    let attackers: Vec<_> = attack
        .into_iter()
        .flat_map(|attack| std::iter::repeat_n(attack.again(), at_once))
        .map(|attack| crowd.spawn(attacker(attack, over.clone())))
        .collect();

    let mut asked = Vec::new();
    let start = tokio::time::Instant::now();
    let mut ticks = tokio::time::interval_at(start + INTERVAL, INTERVAL);
    while start.elapsed() < ATTACK {
        let due = ticks.tick().await;
        let victim = victim.clone();
        asked.push(tokio::spawn(async move {
            let answer = tokio::time::timeout_at(due + PATIENCE, victim.send()).await;
            let is_good = matches!(answer, Ok(Ok((status, _))) if status.is_success());
            is_good.then(|| due.elapsed())
        }));
    }
    over.store(true, Relaxed);
    let mut took = Vec::new();
    let count = asked.len();
    for task in asked {
        took.extend(task.await?);
    }
    let mut ends = BTreeMap::new();
    let mut longest = Duration::ZERO;
    for attacker in attackers {
        for (end, lasted) in attacker.await? {
            *ends.entry(end).or_default() += 1;
            longest = longest.max(lasted);
        }
    }
    crowd.shutdown_background();
    let answered = took.len();
    let (p50, p99) = if took.is_empty() {
        (PATIENCE, PATIENCE)
    } else {
        quantiles(&mut took)
    };
    Ok(Outcome {
        asked: count,
        answered,
        p50,
        p99,
        ends,
        longest,
    })
}

/// How each request of one attacker ended, and how long it took.
async fn attacker(attack: Ask, over: Arc<AtomicBool>) -> Vec<(String, Duration)> {
    let mut ends = Vec::new();
    while !over.load(Relaxed) {
        let start = Instant::now();
        let end = match tokio::time::timeout(PATIENCE, attack.send()).await {
            Ok(Ok((status, body))) => {
                let problem: Option<Value> = serde_json::from_slice(&body).ok();
                problem
                    .as_ref()
                    .and_then(|problem| problem["code"].as_str())
                    .map_or_else(|| status.as_u16().to_string(), str::to_owned)
            }
            Ok(Err(_)) => "broken off".to_owned(),
            Err(_) => "did not end".to_owned(),
        };
        ends.push((end, start.elapsed()));
    }
    ends
}

fn http() -> HttpClient<HttpConnector, Full<Bytes>> {
    HttpClient::builder(TokioExecutor::new()).build_http()
}
