//! Reads a tenant's dense stream: the `Log` trait, its PostgreSQL implementation, and the bell that
//! wakes readers.
//!
//! The stream of a tenant has the sequence numbers 1, 2, 3, ... in commit order, without a hole. So a
//! reader that holds `n` knows that the next event is `n + 1`, and a loss could not be silent. The
//! bell only says "look now"; what is true is what [`Log::read`] returns.

mod bell;
mod poll;
mod postgres;

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use terrace_ground_ids::TenantId;

pub use bell::{Bell, Listener};
pub use poll::{Config, poll};
pub use postgres::Postgres;

/// Why a stream cannot be read now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection to the log's database.
    #[error("the event log has no connection: {0}")]
    Connect(#[from] deadpool_postgres::PoolError),
    /// The database refused or lost the query.
    #[error("the event log cannot be read: {0}")]
    Query(#[from] tokio_postgres::Error),
}

/// One fact of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the tenant's stream, from 1.
    pub seq: u64,
    /// What happened: `tasks.task.created`. The service's name comes first.
    pub kind: String,
    /// What it is about: `board/7`. May be empty.
    pub topic: String,
    /// JSON text.
    pub data: String,
    /// When it was written: RFC 3339, UTC, microseconds.
    pub time: String,
}

impl Event {
    /// `{"seq":17,"type":"..","topic":"..","data":{..},"time":".."}`: the shape that services and
    /// browsers get.
    pub fn to_json(&self) -> String {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        format!(
            "{{\"seq\":{},\"type\":{},\"topic\":{},\"data\":{},\"time\":{}}}",
            self.seq,
            text(&self.kind),
            text(&self.topic),
            self.data,
            text(&self.time)
        )
    }
}

/// Which part of a stream can be read: `first..=last`. A stream without events has `first` 1 and
/// `last` 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The oldest event that is kept.
    pub first: u64,
    /// The newest event.
    pub last: u64,
}

/// The events of some types, and how far the look went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// In order; other types lie between them.
    pub events: Vec<Event>,
    /// Everything up to here was looked at: a consumer that is done with `events` is done up to here.
    pub upto: u64,
}

/// How long events are kept.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Hours that an event is kept at least. Default 168 (a week).
    pub keep_hours: u64,
    /// Hours after which an event goes even though a consumer has not read it. Default 672 (four weeks).
    pub keep_unconsumed_hours: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            keep_hours: 168,
            keep_unconsumed_hours: 672,
        }
    }
}

impl Retention {
    pub(crate) fn keep(&self) -> Duration {
        Duration::from_secs(self.keep_hours * 3_600)
    }

    pub(crate) fn keep_unconsumed(&self) -> Duration {
        Duration::from_secs(self.keep_unconsumed_hours.max(self.keep_hours) * 3_600)
    }
}

/// The streams of all tenants. Two implementations must pass the same tests.
#[async_trait]
pub trait Log: Send + Sync {
    /// The events `after + 1 ..`, at most `limit`, without a hole between them. Empty when the reader
    /// is at the end. When the event `after + 1` is not kept any more the answer is empty too: ask
    /// [`Log::span`] before the first read. Called for every wake-up of every reader.
    async fn read(&self, tenant: &TenantId, after: u64, limit: u32) -> Result<Vec<Event>, Error>;

    /// The events after `after` whose type is one of `kinds`, at most `limit`. Called by the
    /// dispatcher, so that types nobody consumes cost no delivery.
    async fn select(&self, tenant: &TenantId, after: u64, kinds: &[String], limit: u32) -> Result<Selection, Error>;

    /// What can be read. Called once when a reader starts, and when it finds nothing although the bell rang.
    async fn span(&self, tenant: &TenantId) -> Result<Span, Error>;

    /// The newest sequence number of each of `tenants` that has a stream, in one query. Called by the
    /// poller, a few times a second.
    async fn heads(&self, tenants: &[TenantId]) -> Result<Vec<(TenantId, u64)>, Error>;

    /// Deletes old events, a bounded number at a time; returns how many went. Called now and then by
    /// one task of a node.
    async fn retention(&self, retention: Retention) -> Result<u64, Error>;

    /// The newest sequence number; 0 for a stream without events.
    async fn head(&self, tenant: &TenantId) -> Result<u64, Error> {
        Ok(self.span(tenant).await?.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_as_json_whatever_its_words_hold() {
        let event = Event {
            seq: 3,
            kind: "a.b".into(),
            topic: "x\"y".into(),
            data: "{\"n\":1.50}".into(),
            time: "t".into(),
        };
        assert_eq!(
            event.to_json(),
            r#"{"seq":3,"type":"a.b","topic":"x\"y","data":{"n":1.50},"time":"t"}"#
        );
    }
}
