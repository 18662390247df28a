//! What a native test puts in place of the platform: secrets, values, a cache, and other hosts.
//!
//! ```
//! # use terrace_sdk::{fetch, native::Memory};
//! let host = Memory::new()
//!     .secret("webhook-key", "whsec_1")
//!     .config("greeting", "Hello")
//!     .answer("https://api.example.com/", |request| fetch::Response::json_of(200, &request.uri().path()));
//! # drop(host);
//! ```
//!
//! By itself it is the host of a service that needs no database; a host with one
//! ([`Postgres`](super::Postgres)) holds one and gives it through [`Host::memory`].

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use http::Request;

use crate::{
    Caller, cache,
    calls::{self, Incoming, Outgoing},
    db::{Error, ErrorKind, Rows, Value},
    fetch,
    native::{
        Facts, Host, HostTransaction,
        blobs::{Blobs, Kept},
    },
    password, secrets,
};

/// Longest key and largest value of the platform's cache.
const KEY_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 65_536;

type Answer = dyn Fn(&Request<Vec<u8>>) -> fetch::Response + Send + Sync;
type Entries = HashMap<(String, String), (Instant, Vec<u8>)>;

/// Secrets, values, a cache and answers. Cheap to clone; clones share what is in them.
#[derive(Clone, Default)]
pub struct Memory {
    secrets: HashMap<String, String>,
    config: HashMap<String, String>,
    answers: Vec<(String, Arc<Answer>)>,
    cache: Arc<Mutex<Entries>>,
    blobs: Kept,
}

impl Memory {
    /// Nothing is set, and every host is denied.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a secret.
    #[must_use]
    pub fn secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets a plain value.
    #[must_use]
    pub fn config(mut self, name: &str, value: &str) -> Self {
        self.config.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Answers the requests whose address begins with `prefix`; the longest prefix counts. What has no
    /// answer is denied, like a host that the manifest does not list.
    #[must_use]
    pub fn answer<F>(mut self, prefix: &str, answer: F) -> Self
    where
        F: Fn(&Request<Vec<u8>>) -> fetch::Response + Send + Sync + 'static,
    {
        self.answers.push((prefix.to_owned(), Arc::new(answer)));
        self
    }

    pub(crate) fn find_secret(&self, name: &str) -> Result<String, secrets::Error> {
        self.secrets.get(name).cloned().ok_or(secrets::Error::NotSet)
    }

    pub(crate) fn find_config(&self, name: &str) -> Option<String> {
        self.config.get(name).cloned()
    }

    pub(crate) fn fetched(&self, request: &Request<Vec<u8>>) -> Result<fetch::Response, fetch::Error> {
        let url = request.uri().to_string();
        let matching = self
            .answers
            .iter()
            .filter(|(prefix, _)| url.starts_with(prefix.as_str()));
        match matching.max_by_key(|(prefix, _)| prefix.len()) {
            Some((_, answer)) => Ok(answer(request)),
            None => Err(fetch::Error::Denied(url)),
        }
    }

    pub(crate) fn blobs(&self, tenant: &str) -> Blobs {
        Blobs::new(self.blobs.clone(), tenant)
    }

    pub(crate) fn cached(&self, tenant: &str, key: &str) -> Option<Vec<u8>> {
        let cache = self.entries();
        let (until, value) = cache.get(&(tenant.to_owned(), key.to_owned()))?;
        (*until > Instant::now()).then(|| value.clone())
    }

    pub(crate) fn cache(&self, tenant: &str, key: &str, value: Vec<u8>, ttl_seconds: u32) -> Result<(), cache::Error> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(cache::Error::KeyLength);
        }
        if value.len() > VALUE_BYTES_MAX {
            return Err(cache::Error::ValueTooLarge);
        }
        let until = Instant::now() + Duration::from_secs(ttl_seconds.min(86_400).into());
        self.entries()
            .insert((tenant.to_owned(), key.to_owned()), (until, value));
        Ok(())
    }

    pub(crate) fn forget(&self, tenant: &str, key: &str) {
        self.entries().remove(&(tenant.to_owned(), key.to_owned()));
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_database() -> Error {
    Error {
        kind: ErrorKind::Unavailable,
        message: "this host has no database".to_owned(),
        sqlstate: None,
        constraint: None,
    }
}

/// Without a database, without passwords, without other services.
#[async_trait]
impl Host for Memory {
    fn memory(&self) -> Option<&Memory> {
        Some(self)
    }

    async fn query(&self, _: &Facts, _: &str, _: Vec<Value>) -> Result<Rows, Error> {
        Err(no_database())
    }

    async fn begin(&self, _: &Facts) -> Result<Box<dyn HostTransaction>, Error> {
        Err(no_database())
    }

    async fn hash(&self, _: &str) -> Result<String, password::Error> {
        Err(password::Error::Busy)
    }

    async fn verify(&self, _: &str, _: Option<&str>) -> Result<bool, password::Error> {
        Err(password::Error::Busy)
    }

    fn sign(&self, facts: &Facts, caller: &Caller, lifetime_seconds: u32) -> String {
        format!("unsigned.{}.{}.{lifetime_seconds}", facts.tenant.id, caller.member)
    }

    fn random(&self) -> String {
        self.random_text()
    }

    async fn call(&self, _: &Facts, _: Outgoing) -> Result<Incoming, calls::Error> {
        Err(calls::Error::UnknownService)
    }
}

impl fetch::Response {
    /// An answer with a JSON body, for [`Memory::answer`]. Panics on a status that HTTP does not know.
    #[expect(clippy::expect_used, reason = "a test's own mistake should stop the test")]
    pub fn json_of<T: serde::Serialize + ?Sized>(status: u16, body: &T) -> Self {
        let mut headers = http::HeaderMap::new();
        headers.insert(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static("application/json"),
        );
        Self {
            status: http::StatusCode::from_u16(status).expect("an HTTP status"),
            headers,
            body: serde_json::to_vec(body).expect("a body that can be written as JSON"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, sync::Arc, time::Duration};

    use super::*;
    use crate::{config, native::scope, random};

    async fn inside<T>(host: Memory, work: impl Future<Output = T>) -> T {
        scope(Arc::new(host), Facts::of("acme"), work).await
    }

    #[tokio::test]
    async fn a_service_reads_what_a_test_has_set() {
        let host = Memory::new().secret("key", "s3cret").config("greeting", "Hello");
        inside(host, async {
            assert_eq!(secrets::get("key").await.unwrap(), "s3cret");
            assert_eq!(secrets::get("other").await, Err(secrets::Error::NotSet));
            assert_eq!(config::get("greeting").await.unwrap().as_deref(), Some("Hello"));
            assert_eq!(config::get("other").await, Ok(None));
            assert_ne!(random::array::<32>(), [0; 32]);
            assert_ne!(random::text(), random::text());
        })
        .await;
    }

    #[tokio::test]
    async fn other_hosts_answer_as_the_test_says_and_are_denied_otherwise() {
        let host = Memory::new().answer("https://api.example.com/", |request| {
            assert_eq!(request.headers()["x-a"], "1");
            fetch::Response::json_of(201, &String::from_utf8_lossy(request.body()))
        });
        inside(host, async {
            let sent = fetch::post("https://api.example.com/v1")
                .header("x-a", "1")
                .json(&7)
                .send()
                .await
                .unwrap();
            assert_eq!(
                (sent.status.as_u16(), sent.json::<String>().unwrap()),
                (201, "7".to_owned())
            );
            let denied = fetch::get("https://other.example.com/").send().await.unwrap_err();
            assert_eq!(denied, fetch::Error::Denied("https://other.example.com/".to_owned()));
            assert!(matches!(
                fetch::get("no address").send().await,
                Err(fetch::Error::Invalid(_))
            ));
            let header = fetch::get("https://api.example.com/").header("a b", "c").send().await;
            assert!(matches!(header, Err(fetch::Error::Invalid(_))));
        })
        .await;
    }

    #[tokio::test]
    async fn a_value_is_computed_once_and_then_comes_from_the_cache() {
        let (host, computed) = (Memory::new(), Cell::new(0));
        inside(host.clone(), async {
            for _ in 0..3 {
                let value: Result<u64, ()> = cache::get_or("k", Duration::from_secs(60), async || {
                    computed.set(computed.get() + 1);
                    Ok(7)
                })
                .await;
                assert_eq!(value, Ok(7));
            }
            assert_eq!(computed.get(), 1);
            assert_eq!(cache::get::<String>("k"), None, "another shape is none");
            cache::delete("k");
            assert_eq!(cache::get::<u64>("k"), None);
            assert_eq!(
                cache::set_bytes("", vec![], Duration::from_secs(1)),
                Err(cache::Error::KeyLength)
            );
            cache::set("k", &1, Duration::from_secs(60)).unwrap();
        })
        .await;
        let globex = scope(
            Arc::new(host),
            Facts {
                tenant: other(),
                ..Facts::of("globex")
            },
            async { cache::get::<u64>("k") },
        );
        assert_eq!(globex.await, None, "another tenant has its own");
    }

    fn other() -> crate::Tenant {
        crate::Tenant {
            id: "t_33333333".to_owned(),
            ..Facts::of("globex").tenant
        }
    }
}
