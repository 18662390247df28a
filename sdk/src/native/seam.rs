//! The functions that the rest of the crate calls, answered by the host of the task's request.

use std::sync::Arc;

use crate::{
    Caller, Tenant, blob, cache,
    calls::{self, Incoming, Outgoing},
    config,
    db::{Error, ErrorKind, Rows, Value},
    fetch,
    log::Level,
    native::{Blobs, Facts, Host, HostTransaction},
    password, secrets,
};

#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) host: Arc<dyn Host>,
    pub(crate) facts: Facts,
}

tokio::task_local! {
    pub(crate) static CONTEXT: Context;
}

fn context() -> Option<Context> {
    CONTEXT.try_with(Clone::clone).ok()
}

fn outside() -> Error {
    Error {
        kind: ErrorKind::Unavailable,
        message: "no host: natively, a service runs inside native::scope".to_owned(),
        sqlstate: None,
        constraint: None,
    }
}

pub(crate) fn tenant() -> Option<Tenant> {
    context().map(|context| context.facts.tenant)
}

pub(crate) fn caller() -> Option<Caller> {
    context().and_then(|context| context.facts.caller)
}

pub(crate) fn request_id() -> Option<String> {
    context().map(|context| context.facts.request)
}

pub(crate) fn now() -> i64 {
    context().map_or(0, |context| context.host.now())
}

pub(crate) fn log(level: Level, message: &str) {
    if let Some(context) = context() {
        context.host.log(&context.facts, level, message);
    }
}

pub(crate) async fn query(statement: &str, params: Vec<Value>) -> Result<Rows, Error> {
    let context = context().ok_or_else(outside)?;
    context.host.query(&context.facts, statement, params).await
}

pub(crate) struct Transaction(Box<dyn HostTransaction>);

pub(crate) async fn begin() -> Result<Transaction, Error> {
    let context = context().ok_or_else(outside)?;
    context.host.begin(&context.facts).await.map(Transaction)
}

impl Transaction {
    pub(crate) async fn query(&mut self, statement: &str, params: Vec<Value>) -> Result<Rows, Error> {
        self.0.query(statement, params).await
    }

    pub(crate) async fn savepoint(&mut self) -> Result<u32, Error> {
        self.0.savepoint().await
    }

    pub(crate) async fn rollback_to(&mut self, savepoint: u32) -> Result<(), Error> {
        self.0.rollback_to(savepoint).await
    }

    pub(crate) async fn release(&mut self, savepoint: u32) -> Result<(), Error> {
        self.0.release(savepoint).await
    }

    pub(crate) async fn scan(&mut self, statement: &str, params: Vec<Value>) -> Result<u32, Error> {
        self.0.scan(statement, params).await
    }

    pub(crate) async fn next(&mut self, scan: u32) -> Result<Option<Rows>, Error> {
        self.0.next(scan).await
    }

    pub(crate) fn close(&mut self, scan: u32) {
        self.0.close(scan);
    }

    pub(crate) fn publish(&mut self, kind: &str, topic: &str, data: String) -> Result<(), Error> {
        self.0.publish(kind, topic, data)
    }

    pub(crate) fn after(&mut self, name: &str, key: &str, payload: String, delay_ms: u64) -> Result<(), Error> {
        self.0.after(name, key, payload, delay_ms)
    }

    pub(crate) fn cancel(&mut self, name: &str, key: &str) -> Result<(), Error> {
        self.0.cancel(name, key)
    }

    pub(crate) async fn commit(self) -> Result<(), Error> {
        self.0.commit().await
    }

    pub(crate) async fn rollback(self) {
        self.0.rollback().await;
    }
}

pub(crate) async fn hash(password: &str) -> Result<String, password::Error> {
    let context = context().ok_or(password::Error::Busy)?;
    context.host.hash(password).await
}

pub(crate) async fn verify(password: &str, hash: Option<&str>) -> Result<bool, password::Error> {
    let context = context().ok_or(password::Error::Busy)?;
    context.host.verify(password, hash).await
}

pub(crate) fn sign(caller: &Caller, lifetime_seconds: u32) -> String {
    context()
        .map(|context| context.host.sign(&context.facts, caller, lifetime_seconds))
        .unwrap_or_default()
}

pub(crate) fn random() -> String {
    context().map(|context| context.host.random()).unwrap_or_default()
}

pub(crate) async fn call(request: Outgoing) -> Result<Incoming, calls::Error> {
    let context = context().ok_or(calls::Error::UnknownService)?;
    context.host.call(&context.facts, request).await
}

pub(crate) async fn secret(name: &str) -> Result<String, secrets::Error> {
    let context = context().ok_or(secrets::Error::Unavailable)?;
    context.host.secret(&context.facts, name).await
}

pub(crate) async fn config(name: &str) -> Result<Option<String>, config::Error> {
    let context = context().ok_or(config::Error::Unavailable)?;
    context.host.config(&context.facts, name).await
}

pub(crate) fn random_bytes(count: usize) -> Vec<u8> {
    context()
        .map(|context| context.host.random_bytes(count))
        .unwrap_or_default()
}

pub(crate) fn random_text() -> String {
    context().map(|context| context.host.random_text()).unwrap_or_default()
}

fn blobs() -> Result<Blobs, blob::Error> {
    let found = context().and_then(|context| context.host.blobs(&context.facts));
    found.ok_or_else(|| blob::Error {
        kind: blob::ErrorKind::Unavailable,
        message: "this host keeps no files: give it a native::Memory".to_owned(),
    })
}

pub(crate) async fn blob_put(name: &str, content_type: &str, content: Vec<u8>) -> Result<blob::Info, blob::Error> {
    blobs()?.put(name, content_type, content)
}

pub(crate) async fn blob_get(name: &str) -> Result<Option<Vec<u8>>, blob::Error> {
    blobs()?.get(name)
}

pub(crate) async fn blob_stat(name: &str) -> Result<Option<blob::Info>, blob::Error> {
    blobs()?.stat(name)
}

pub(crate) async fn blob_delete(names: Vec<String>) -> Result<(), blob::Error> {
    blobs()?.delete(&names)
}

pub(crate) async fn blob_list(prefix: &str, after: &str) -> Result<Vec<blob::Info>, blob::Error> {
    Ok(blobs()?.list(prefix, after))
}

pub(crate) fn blob_link(name: &str, may_write: bool, seconds: u32) -> Result<String, blob::Error> {
    blobs()?.link(name, may_write, seconds)
}

pub(crate) fn cache_get(key: &str) -> Option<Vec<u8>> {
    let context = context()?;
    context.host.cache_get(&context.facts, key)
}

pub(crate) fn cache_set(key: &str, value: Vec<u8>, ttl_seconds: u32) -> Result<(), cache::Error> {
    context().map_or(Ok(()), |context| {
        context.host.cache_set(&context.facts, key, value, ttl_seconds)
    })
}

pub(crate) fn cache_delete(key: &str) {
    if let Some(context) = context() {
        context.host.cache_delete(&context.facts, key);
    }
}

pub(crate) async fn fetch(request: http::Request<Vec<u8>>) -> Result<fetch::Response, fetch::Error> {
    let context = context().ok_or_else(|| fetch::Error::Denied(request.uri().to_string()))?;
    context.host.fetch(&context.facts, request).await
}
