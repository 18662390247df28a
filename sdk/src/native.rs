//! Services outside the sandbox: for their unit tests, and to compare the sandbox with.
//!
//! What a component asks of the platform goes here to a [`Host`]. The host of a request lives in the
//! task that serves it: a handler must not call the SDK from a task that it spawned, which it could
//! not do in a component either.

mod blobs;
mod client;
mod memory;
#[cfg(feature = "native-postgres")]
mod postgres;
pub(crate) mod seam;

use std::sync::Arc;

use async_trait::async_trait;
use axum::response::IntoResponse as _;
use tower::ServiceExt as _;

pub use blobs::Blobs;
pub use client::{Answer, Client};
pub use memory::Memory;
#[cfg(feature = "native-postgres")]
pub use postgres::{Postgres, Published, Scheduled};

use crate::{
    Caller, Router, Tenant, cache,
    calls::{self, Incoming, Outgoing},
    config,
    db::{Error, Rows, Value},
    fetch,
    log::Level,
    password, secrets,
};

/// Who is asking, on whose behalf, and under which id: decided before the service sees the request.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The tenant of the request.
    pub tenant: Tenant,
    /// The member who asks. None for public operations and for the platform's own calls.
    pub caller: Option<Caller>,
    /// The id that the client can quote.
    pub request: String,
}

/// What the platform does for a service. Each method is called from a request, as often as the
/// service asks; implementations are shared by all requests.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// Microseconds since 1970-01-01T00:00:00Z.
    fn now(&self) -> i64 {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    /// One line of the service's log. Dropped, unless the host wants it.
    fn log(&self, facts: &Facts, level: Level, message: &str) {
        let _ = (facts, level, message);
    }

    /// One statement in a transaction of its own.
    async fn query(&self, facts: &Facts, statement: &str, params: Vec<Value>) -> Result<Rows, Error>;

    /// Begins a transaction.
    async fn begin(&self, facts: &Facts) -> Result<Box<dyn HostTransaction>, Error>;

    /// A PHC string for a password.
    async fn hash(&self, password: &str) -> Result<String, password::Error>;

    /// Whether the password is the one that the hash was made of. With no hash, false, in the same time.
    async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, password::Error>;

    /// A session token.
    fn sign(&self, facts: &Facts, caller: &Caller, lifetime_seconds: u32) -> String;

    /// 32 random bytes in base64url.
    fn random(&self) -> String;

    /// A call to another service.
    async fn call(&self, facts: &Facts, request: Outgoing) -> Result<Incoming, calls::Error>;

    /// What answers the rest of this trait, unless the host has something better. Without one, nothing
    /// is set, nothing is kept, and every host is denied.
    fn memory(&self) -> Option<&Memory> {
        None
    }

    /// A secret by its name.
    async fn secret(&self, facts: &Facts, name: &str) -> Result<String, secrets::Error> {
        let _ = facts;
        self.memory().ok_or(secrets::Error::NotSet)?.find_secret(name)
    }

    /// A plain value by its name.
    async fn config(&self, facts: &Facts, name: &str) -> Result<Option<String>, config::Error> {
        let _ = facts;
        Ok(self.memory().and_then(|memory| memory.find_config(name)))
    }

    /// So many random bytes.
    fn random_bytes(&self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        #[expect(clippy::expect_used, reason = "without randomness nothing may go on")]
        getrandom::fill(&mut bytes).expect("operating system randomness");
        bytes
    }

    /// 32 random bytes as text.
    fn random_text(&self) -> String {
        self.random_bytes(32).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The files of this tenant.
    fn blobs(&self, facts: &Facts) -> Option<Blobs> {
        Some(self.memory()?.blobs(&facts.tenant.id))
    }

    /// A value of the cache.
    fn cache_get(&self, facts: &Facts, key: &str) -> Option<Vec<u8>> {
        self.memory()?.cached(&facts.tenant.id, key)
    }

    /// Keeps a value in the cache.
    fn cache_set(&self, facts: &Facts, key: &str, value: Vec<u8>, ttl_seconds: u32) -> Result<(), cache::Error> {
        self.memory()
            .map_or(Ok(()), |memory| memory.cache(&facts.tenant.id, key, value, ttl_seconds))
    }

    /// Forgets a value of the cache.
    fn cache_delete(&self, facts: &Facts, key: &str) {
        if let Some(memory) = self.memory() {
            memory.forget(&facts.tenant.id, key);
        }
    }

    /// A request to another host.
    async fn fetch(&self, facts: &Facts, request: http::Request<Vec<u8>>) -> Result<fetch::Response, fetch::Error> {
        let _ = facts;
        match self.memory() {
            Some(memory) => memory.fetched(&request),
            None => Err(fetch::Error::Denied(request.uri().to_string())),
        }
    }
}

/// A transaction of a [`Host`]. Dropping it rolls back.
#[async_trait]
pub trait HostTransaction: Send {
    /// One statement.
    async fn query(&mut self, statement: &str, params: Vec<Value>) -> Result<Rows, Error>;
    /// Sets a savepoint; its number.
    async fn savepoint(&mut self) -> Result<u32, Error>;
    /// Takes back everything since a savepoint, events too.
    async fn rollback_to(&mut self, savepoint: u32) -> Result<(), Error>;
    /// Forgets a savepoint.
    async fn release(&mut self, savepoint: u32) -> Result<(), Error>;
    /// A result in batches; its number.
    async fn scan(&mut self, statement: &str, params: Vec<Value>) -> Result<u32, Error>;
    /// The next batch of a scan.
    async fn next(&mut self, scan: u32) -> Result<Option<Rows>, Error>;
    /// Ends a scan.
    fn close(&mut self, scan: u32);
    /// An event that is to happen with the commit. `data` is JSON.
    fn publish(&mut self, kind: &str, topic: &str, data: String) -> Result<(), Error>;
    /// A job that is to wait from the commit on. `payload` is JSON. Forgotten, unless the host wants it.
    fn after(&mut self, name: &str, key: &str, payload: String, delay_ms: u64) -> Result<(), Error> {
        let _ = (name, key, payload, delay_ms);
        Ok(())
    }
    /// Takes back a job that waits.
    fn cancel(&mut self, name: &str, key: &str) -> Result<(), Error> {
        let _ = (name, key);
        Ok(())
    }
    /// Makes it so.
    async fn commit(self: Box<Self>) -> Result<(), Error>;
    /// Takes it back.
    async fn rollback(self: Box<Self>);
}

impl Facts {
    /// A request of nobody in particular, for a tenant of that slug.
    pub fn of(slug: &str) -> Self {
        let tenant = Tenant {
            id: "t_22222222".to_owned(),
            slug: slug.to_owned(),
            name: slug.to_owned(),
            plan: "free".to_owned(),
        };
        Self {
            tenant,
            caller: None,
            request: "req_2222222222222222".to_owned(),
        }
    }
}

/// Runs `future` as part of a request: whatever it asks of the platform goes to `host`.
pub async fn scope<F: Future>(host: Arc<dyn Host>, facts: Facts, future: F) -> F::Output {
    seam::CONTEXT.scope(seam::Context { host, facts }, future).await
}

/// A service as an ordinary axum router, to be served by an ordinary server. `facts` says of each
/// request whose it is: the gateway's work, which there is none of here.
pub fn install<D>(router: Router, host: Arc<dyn Host>, facts: D) -> axum::Router
where
    D: Fn(&http::request::Parts) -> Facts + Clone + Send + Sync + 'static,
{
    let service = router.into_axum();
    axum::Router::new().fallback(async move |request: axum::extract::Request| {
        let (parts, body) = request.into_parts();
        let facts = facts(&parts);
        let request = axum::extract::Request::from_parts(parts, body);
        match scope(host, facts, service.oneshot(request)).await {
            Ok(response) => response,
            Err(never) => {
                let never: std::convert::Infallible = never;
                never.into_response()
            }
        }
    })
}
