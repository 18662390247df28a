//! The component side: the HTTP handler, and the platform's functions by `contracts/wit`.

use tower::Service as _;
use wstd::http::{request::try_from_incoming, server::Responder};

pub use wasip2::{
    exports::http::incoming_handler::Guest,
    http::{
        proxy::export,
        types::{IncomingRequest, ResponseOutparam},
    },
};
pub use wstd::__internal::wasip2;

use crate::{
    blob, cache, calls, config, db, password,
    request::{Caller, Tenant},
    secrets,
};

mod fetching;

mod bindings {
    wit_bindgen::generate!({ path: "../contracts/wit", world: "service", generate_all });
}

use bindings::terrace::platform;

/// Answers one request. Called by the handler that [`crate::service!`] exports.
pub fn serve(mut router: axum::Router, request: IncomingRequest, response: ResponseOutparam) {
    let responder = Responder::new(response);
    wstd::runtime::block_on(async move {
        let request = match try_from_incoming(request) {
            Ok(request) => request.map(|body| axum::body::Body::new(body.into_boxed_body())),
            Err(error) => return responder.fail(error),
        };
        let response = match router.call(request).await {
            Ok(response) => response.map(wstd::http::Body::from_http_body),
            Err(never) => match never {},
        };
        if let Err(error) = responder.respond(response).await {
            // The client went away, or the host stopped reading. There is nobody to answer.
            crate::log::warn!("response body not sent: {error:#}");
        }
    });
}

pub(crate) fn tenant() -> Option<Tenant> {
    let tenant = platform::request::get_tenant();
    Some(Tenant {
        id: tenant.id,
        slug: tenant.slug,
        name: tenant.name,
        plan: tenant.plan,
    })
}

pub(crate) fn caller() -> Option<Caller> {
    platform::request::get_caller().map(|caller| Caller {
        member: caller.member,
        name: caller.name,
        role: caller.role.into(),
    })
}

pub(crate) fn request_id() -> Option<String> {
    Some(platform::request::id())
}

pub(crate) fn now() -> i64 {
    platform::clock::now()
}

pub(crate) fn log(level: crate::log::Level, message: &str) {
    let level = match level {
        crate::log::Level::Debug => platform::log::Level::Debug,
        crate::log::Level::Info => platform::log::Level::Info,
        crate::log::Level::Warn => platform::log::Level::Warn,
        crate::log::Level::Error => platform::log::Level::Error,
    };
    platform::log::write(level, message);
}

pub(crate) async fn query(statement: &str, params: Vec<db::Value>) -> Result<db::Rows, db::Error> {
    platform::sql::query(statement, &into_wit(params))
        .map(from_wit_rows)
        .map_err(from_wit_error)
}

/// An open transaction in the host. Dropping it rolls back.
pub(crate) struct Transaction(platform::sql::Transaction);

pub(crate) async fn begin() -> Result<Transaction, db::Error> {
    platform::sql::Transaction::begin()
        .map(Transaction)
        .map_err(from_wit_error)
}

impl Transaction {
    pub(crate) async fn query(&mut self, statement: &str, params: Vec<db::Value>) -> Result<db::Rows, db::Error> {
        self.0
            .query(statement, &into_wit(params))
            .map(from_wit_rows)
            .map_err(from_wit_error)
    }

    pub(crate) fn publish(&mut self, kind: &str, topic: &str, data: String) -> Result<(), db::Error> {
        let event = platform::events::Event {
            type_: kind.to_owned(),
            topic: topic.to_owned(),
            data,
        };
        platform::events::publish(&self.0, &event).map_err(from_wit_error)
    }

    pub(crate) async fn savepoint(&mut self) -> Result<u32, db::Error> {
        self.0.savepoint().map_err(from_wit_error)
    }

    pub(crate) async fn rollback_to(&mut self, savepoint: u32) -> Result<(), db::Error> {
        self.0.rollback_to(savepoint).map_err(from_wit_error)
    }

    pub(crate) async fn release(&mut self, savepoint: u32) -> Result<(), db::Error> {
        self.0.release(savepoint).map_err(from_wit_error)
    }

    pub(crate) async fn scan(&mut self, statement: &str, params: Vec<db::Value>) -> Result<u32, db::Error> {
        self.0.scan(statement, &into_wit(params)).map_err(from_wit_error)
    }

    pub(crate) async fn next(&mut self, scan: u32) -> Result<Option<db::Rows>, db::Error> {
        self.0
            .next(scan)
            .map(|rows| rows.map(from_wit_rows))
            .map_err(from_wit_error)
    }

    pub(crate) fn close(&mut self, scan: u32) {
        self.0.close(scan);
    }

    pub(crate) fn after(&mut self, name: &str, key: &str, payload: String, delay_ms: u64) -> Result<(), db::Error> {
        let job = platform::schedule::Job {
            name: name.to_owned(),
            key: key.to_owned(),
            payload,
        };
        platform::schedule::after(&self.0, &job, delay_ms).map_err(from_wit_error)
    }

    pub(crate) fn cancel(&mut self, name: &str, key: &str) -> Result<(), db::Error> {
        platform::schedule::cancel(&self.0, name, key).map_err(from_wit_error)
    }

    pub(crate) async fn commit(self) -> Result<(), db::Error> {
        platform::sql::Transaction::commit(self.0).map_err(from_wit_error)
    }

    pub(crate) async fn rollback(self) {
        platform::sql::Transaction::rollback(self.0);
    }
}

pub(crate) async fn hash(password: &str) -> Result<String, password::Error> {
    platform::password::hash(password).map_err(from_wit_password)
}

pub(crate) async fn verify(password: &str, hash: Option<&str>) -> Result<bool, password::Error> {
    platform::password::verify(password, hash).map_err(from_wit_password)
}

pub(crate) fn sign(caller: &Caller, lifetime_seconds: u32) -> String {
    let caller = platform::request::Caller {
        member: caller.member.clone(),
        name: caller.name.clone(),
        role: caller.role.as_str().to_owned(),
    };
    platform::token::sign(&caller, lifetime_seconds)
}

pub(crate) fn random() -> String {
    platform::token::random()
}

pub(crate) async fn call(outgoing: calls::Outgoing) -> Result<calls::Incoming, calls::Error> {
    let request = platform::calls::Outgoing {
        service: outgoing.service,
        method: outgoing.method,
        path: outgoing.path,
        body: outgoing.body,
    };
    match platform::calls::send(&request) {
        Ok(incoming) => Ok(calls::Incoming {
            status: incoming.status,
            body: incoming.body,
        }),
        Err(platform::calls::Error::UnknownService) => Err(calls::Error::UnknownService),
        Err(platform::calls::Error::Failed) => Err(calls::Error::Failed),
        Err(platform::calls::Error::TooDeep) => Err(calls::Error::TooDeep),
        Err(platform::calls::Error::Timeout) => Err(calls::Error::Timeout),
    }
}

pub(crate) async fn secret(name: &str) -> Result<String, secrets::Error> {
    platform::secrets::get(name).map_err(|error| match error {
        platform::secrets::Error::NotListed => secrets::Error::NotListed,
        platform::secrets::Error::NotSet => secrets::Error::NotSet,
        platform::secrets::Error::Unavailable => secrets::Error::Unavailable,
    })
}

pub(crate) async fn config(name: &str) -> Result<Option<String>, config::Error> {
    platform::config::get(name).map_err(|error| match error {
        platform::config::Error::NotListed => config::Error::NotListed,
        platform::config::Error::Unavailable => config::Error::Unavailable,
    })
}

pub(crate) fn random_bytes(count: usize) -> Vec<u8> {
    platform::random::bytes(u32::try_from(count).unwrap_or(u32::MAX))
}

pub(crate) fn random_text() -> String {
    platform::random::text()
}

pub(crate) fn cache_get(key: &str) -> Option<Vec<u8>> {
    platform::cache::get(key)
}

pub(crate) fn cache_set(key: &str, value: Vec<u8>, ttl_seconds: u32) -> Result<(), cache::Error> {
    platform::cache::set(key, &value, ttl_seconds).map_err(|error| match error {
        platform::cache::Error::KeyLength => cache::Error::KeyLength,
        platform::cache::Error::ValueTooLarge => cache::Error::ValueTooLarge,
    })
}

pub(crate) fn cache_delete(key: &str) {
    platform::cache::delete(key);
}

pub(crate) async fn blob_put(name: &str, content_type: &str, content: Vec<u8>) -> Result<blob::Info, blob::Error> {
    platform::blob::put(name, content_type, &content)
        .map(from_wit_info)
        .map_err(from_wit_blob)
}

pub(crate) async fn blob_get(name: &str) -> Result<Option<Vec<u8>>, blob::Error> {
    platform::blob::get(name).map_err(from_wit_blob)
}

pub(crate) async fn blob_stat(name: &str) -> Result<Option<blob::Info>, blob::Error> {
    platform::blob::stat(name)
        .map(|info| info.map(from_wit_info))
        .map_err(from_wit_blob)
}

pub(crate) async fn blob_delete(names: Vec<String>) -> Result<(), blob::Error> {
    platform::blob::delete(&names).map_err(from_wit_blob)
}

pub(crate) async fn blob_list(prefix: &str, after: &str) -> Result<Vec<blob::Info>, blob::Error> {
    platform::blob::list(prefix, after)
        .map(|page| page.into_iter().map(from_wit_info).collect())
        .map_err(from_wit_blob)
}

pub(crate) fn blob_link(name: &str, may_write: bool, seconds: u32) -> Result<String, blob::Error> {
    let may = if may_write {
        platform::blob::Access::Write
    } else {
        platform::blob::Access::Read
    };
    platform::blob::link(name, may, seconds).map_err(from_wit_blob)
}

fn from_wit_info(info: platform::blob::Info) -> blob::Info {
    blob::Info {
        name: info.name,
        size: info.size,
        content_type: info.content_type,
        sha256: info.sha256,
        written_at: info.written_at,
    }
}

fn from_wit_blob(error: platform::blob::Error) -> blob::Error {
    blob::Error {
        kind: match error.kind {
            platform::blob::ErrorKind::BadValue => blob::ErrorKind::BadValue,
            platform::blob::ErrorKind::Limit => blob::ErrorKind::Limit,
            platform::blob::ErrorKind::Unavailable => blob::ErrorKind::Unavailable,
        },
        message: error.message,
    }
}

pub(crate) use fetching::fetch;

fn from_wit_password(error: platform::password::Error) -> password::Error {
    match error {
        platform::password::Error::TooShort => password::Error::TooShort,
        platform::password::Error::TooLong => password::Error::TooLong,
        platform::password::Error::Busy => password::Error::Busy,
        platform::password::Error::MalformedHash => password::Error::MalformedHash,
    }
}

fn into_wit(params: Vec<db::Value>) -> Vec<platform::sql::Value> {
    use platform::sql::Value;
    params
        .into_iter()
        .map(|value| match value {
            db::Value::Null => Value::Null,
            db::Value::Bool(value) => Value::Boolean(value),
            db::Value::Integer(value) => Value::Integer(value),
            db::Value::Float(value) => Value::Float(value),
            db::Value::Text(value) => Value::Text(value),
            db::Value::Bytes(value) => Value::Bytes(value),
            db::Value::Timestamp(value) => Value::Timestamp(value),
            db::Value::Uuid(value) => Value::Uuid(value),
            db::Value::Json(value) => Value::Json(value),
        })
        .collect()
}

fn from_wit_rows(rows: platform::sql::Rows) -> db::Rows {
    use platform::sql::Value;
    let convert = |value| match value {
        Value::Null => db::Value::Null,
        Value::Boolean(value) => db::Value::Bool(value),
        Value::Integer(value) => db::Value::Integer(value),
        Value::Float(value) => db::Value::Float(value),
        Value::Text(value) => db::Value::Text(value),
        Value::Bytes(value) => db::Value::Bytes(value),
        Value::Timestamp(value) => db::Value::Timestamp(value),
        Value::Uuid(value) => db::Value::Uuid(value),
        Value::Json(value) => db::Value::Json(value),
    };
    let values = rows
        .rows
        .into_iter()
        .map(|row| row.into_iter().map(convert).collect())
        .collect();
    db::Rows::new(rows.columns, values, rows.affected)
}

fn from_wit_error(error: platform::sql::Error) -> db::Error {
    use platform::sql::ErrorKind;
    db::Error {
        kind: match error.kind {
            ErrorKind::Refused => db::ErrorKind::Refused,
            ErrorKind::Syntax => db::ErrorKind::Syntax,
            ErrorKind::Constraint => db::ErrorKind::Constraint,
            ErrorKind::Conflict => db::ErrorKind::Conflict,
            ErrorKind::Timeout => db::ErrorKind::Timeout,
            ErrorKind::Unavailable => db::ErrorKind::Unavailable,
            ErrorKind::BadValue => db::ErrorKind::BadValue,
            ErrorKind::Limit => db::ErrorKind::Limit,
            ErrorKind::Unsealed => db::ErrorKind::Unsealed,
            ErrorKind::Other => db::ErrorKind::Other,
        },
        message: error.message,
        sqlstate: error.sqlstate,
        constraint: error.constraint,
    }
}

/// Waits without using the processor. A service that waits holds an instance and memory: the
/// platform's limits on time and concurrency still count.
pub async fn sleep(milliseconds: u64) {
    wstd::task::sleep(wstd::time::Duration::from_millis(milliseconds)).await;
}
