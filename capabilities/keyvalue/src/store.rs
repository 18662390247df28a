//! Reading and writing keys: statements through the router, as any statement of the tenant's.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use data_encoding::BASE64;
use serde_json::json;
use terrace_compute_capability::{OwnTables, Tables};
use terrace_data_router::{Error as Failure, Principal, Router, Transaction, Value};

use crate::Config;

/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 1_024;
/// Largest value.
const VALUE_BYTES_MAX: usize = 1 << 20;
/// Keys in one page of a list.
const PAGE: i64 = 1_000;
/// Keys in one call of `batch`.
const BATCH_MAX: usize = 1_000;
/// Keys and values in one call of `batch`.
const BATCH_BYTES_MAX: usize = 4 << 20;

const NO_TABLE: &str = "42P01";

const GET: &str = "SELECT value, version FROM terrace_keyvalue WHERE bucket = $1 AND key = $2";
const VERSION: &str = "SELECT version FROM terrace_keyvalue WHERE bucket = $1 AND key = $2";
const LIST: &str = "SELECT key FROM terrace_keyvalue WHERE bucket = $1 AND key > $2 ORDER BY key LIMIT $3";
const GET_MANY: &str = "SELECT key, value FROM terrace_keyvalue
    WHERE bucket = $1 AND key IN (SELECT jsonb_array_elements_text($2))";

// Taken first by whatever writes. It makes the count exact, and two writers never wait for each other
// in a circle.
const HOLD: &str = "SELECT keys FROM terrace_keyvalue_usage WHERE one FOR UPDATE";
// A statement of its own after HOLD, so that it sees what the last writer committed. No row: over a limit.
const PUT: &str = "WITH old AS (
        SELECT octet_length(key) + octet_length(value) AS size FROM terrace_keyvalue WHERE bucket = $1 AND key = $2
    ), change AS (
        SELECT 1 - count(*) AS keys, $4 - coalesce(sum(size), 0)::bigint AS bytes FROM old
    ), counted AS (
        UPDATE terrace_keyvalue_usage u SET keys = u.keys + c.keys, bytes = u.bytes + c.bytes, version = u.version + 1
        FROM change c WHERE (c.keys = 0 OR u.keys < $5) AND (c.bytes <= 0 OR u.bytes + c.bytes <= $6) RETURNING u.version
    ), put AS (
        INSERT INTO terrace_keyvalue (bucket, key, value, version) SELECT $1, $2, $3, version FROM counted
        ON CONFLICT (bucket, key) DO UPDATE SET value = excluded.value, version = excluded.version RETURNING version
    ) SELECT version FROM put";
// The same for several, none of them twice: `[{"key", "value"}]`, with values in base64.
const PUT_MANY: &str = "WITH given AS (
        SELECT key, decode(value, 'base64') AS value FROM jsonb_to_recordset($2) AS given (key text, value text)
    ), old AS (
        SELECT count(*) AS keys, coalesce(sum(octet_length(e.key) + octet_length(e.value)), 0)::bigint AS bytes
        FROM terrace_keyvalue e WHERE e.bucket = $1 AND e.key IN (SELECT key FROM given)
    ), counted AS (
        UPDATE terrace_keyvalue_usage u
        SET keys = u.keys + $3 - o.keys, bytes = u.bytes + $4 - o.bytes, version = u.version + 1
        FROM old o WHERE ($3 = o.keys OR u.keys + $3 - o.keys <= $5) AND ($4 <= o.bytes OR u.bytes + $4 - o.bytes <= $6)
        RETURNING u.version
    ), put AS (
        INSERT INTO terrace_keyvalue (bucket, key, value, version)
        SELECT $1, g.key, g.value, c.version FROM given g, counted c
        ON CONFLICT (bucket, key) DO UPDATE SET value = excluded.value, version = excluded.version RETURNING version
    ) SELECT count(*) FROM put HAVING count(*) > 0";
const DELETE: &str = "WITH gone AS (
        DELETE FROM terrace_keyvalue WHERE bucket = $1 AND key IN (SELECT jsonb_array_elements_text($2))
        RETURNING octet_length(key) + octet_length(value) AS size
    ), change AS (
        SELECT count(*) AS keys, coalesce(sum(size), 0)::bigint AS bytes FROM gone
    ) UPDATE terrace_keyvalue_usage u SET keys = u.keys - c.keys, bytes = u.bytes - c.bytes FROM change c WHERE u.one";

/// Why something was not done, for the guest.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Error(pub(crate) String);

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self(failure.message)
    }
}

/// Where, for whom, and until when.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    pub(crate) principal: Principal,
    pub(crate) deadline: Instant,
    pub(crate) bucket: &'a str,
}

/// A value, and when it was written.
pub(crate) type Entry = (Vec<u8>, i64);

/// The stores of all tenants.
pub(crate) struct Store {
    config: Config,
    router: Arc<Router>,
    tables: Arc<dyn Tables>,
}

impl Store {
    pub(crate) fn new(config: Config, router: Arc<Router>, tables: Arc<dyn Tables>) -> Self {
        Self { config, router, tables }
    }

    pub(crate) async fn get(&self, place: &Place<'_>, key: &str) -> Result<Option<Entry>, Error> {
        check_key(key)?;
        let rows = self.read(place, GET, &[text(place.bucket), text(key)]).await?;
        Ok(rows
            .into_iter()
            .next()
            .and_then(|row| match <[Value; 2]>::try_from(row) {
                Ok([Value::Bytes(value), Value::Integer(version)]) => Some((value, version)),
                _ => None,
            }))
    }

    pub(crate) async fn version(&self, place: &Place<'_>, key: &str) -> Result<Option<i64>, Error> {
        check_key(key)?;
        let rows = self.read(place, VERSION, &[text(place.bucket), text(key)]).await?;
        Ok(version(&rows))
    }

    /// A page of keys, and where the next one begins.
    pub(crate) async fn list(
        &self,
        place: &Place<'_>,
        after: Option<String>,
    ) -> Result<(Vec<String>, Option<String>), Error> {
        let params = [
            text(place.bucket),
            Value::Text(after.unwrap_or_default()),
            Value::Integer(PAGE),
        ];
        let rows = self.read(place, LIST, &params).await?;
        let keys: Vec<String> = rows
            .into_iter()
            .filter_map(|row| match row.into_iter().next() {
                Some(Value::Text(key)) => Some(key),
                _ => None,
            })
            .collect();
        let is_full = i64::try_from(keys.len()).is_ok_and(|count| count == PAGE);
        let next = keys.last().filter(|_| is_full).cloned();
        Ok((keys, next))
    }

    /// The entries that are there, in no order.
    pub(crate) async fn get_many(&self, place: &Place<'_>, keys: &[String]) -> Result<Vec<(String, Vec<u8>)>, Error> {
        check_batch(keys.iter().map(|key| (key.as_str(), 0)))?;
        let rows = self.read(place, GET_MANY, &[text(place.bucket), list(keys)]).await?;
        let entry = |row| match <[Value; 2]>::try_from(row) {
            Ok([Value::Text(key), Value::Bytes(value)]) => Some((key, value)),
            _ => None,
        };
        Ok(rows.into_iter().filter_map(entry).collect())
    }

    pub(crate) async fn set(&self, place: &Place<'_>, key: &str, value: Vec<u8>) -> Result<(), Error> {
        check(key, value.len())?;
        let mut held = self.hold(place).await?;
        self.put(&mut held, place, key, value).await?;
        Ok(held.commit(&[]).await.map(drop)?)
    }

    /// All of them or none. Of a key that is given twice, the last value counts.
    pub(crate) async fn set_many(&self, place: &Place<'_>, entries: &[(String, Vec<u8>)]) -> Result<(), Error> {
        check_batch(entries.iter().map(|(key, value)| (key.as_str(), value.len())))?;
        let entries: BTreeMap<&str, &[u8]> = entries
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_slice()))
            .collect();
        if entries.is_empty() {
            return Ok(());
        }
        let size: usize = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
        let given: Vec<serde_json::Value> = entries
            .iter()
            .map(|(key, value)| json!({ "key": key, "value": BASE64.encode(value) }))
            .collect();
        let mut held = self.hold(place).await?;
        let params = [
            text(place.bucket),
            Value::Json(serde_json::Value::from(given).to_string()),
            count(entries.len()),
            count(size),
            Value::Integer(self.config.tenant_keys.into()),
            Value::Integer(i64::from(self.config.tenant_mib) << 20),
        ];
        if held.query(PUT_MANY, &params).await?.rows.is_empty() {
            return Err(self.full());
        }
        Ok(held.commit(&[]).await.map(drop)?)
    }

    pub(crate) async fn delete(&self, place: &Place<'_>, keys: &[String]) -> Result<(), Error> {
        check_batch(keys.iter().map(|key| (key.as_str(), 0)))?;
        let mut held = match self.begin(place).await {
            Ok(held) => held,
            Err(failure) if is_missing(&failure) => return Ok(()),
            Err(failure) => return Err(failure.into()),
        };
        held.query(DELETE, &[text(place.bucket), list(keys)]).await?;
        Ok(held.commit(&[]).await.map(drop)?)
    }

    /// Adds to a number, which is kept as decimal text.
    pub(crate) async fn increment(&self, place: &Place<'_>, key: &str, delta: i64) -> Result<i64, Error> {
        check_key(key)?;
        let mut held = self.hold(place).await?;
        let rows = held.query(GET, &[text(place.bucket), text(key)]).await?.rows;
        let before = match rows.first().and_then(|row| row.first()) {
            Some(Value::Bytes(value)) => std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse::<i64>().ok())
                .ok_or_else(|| {
                    Error(format!(
                        "the value of `{key}` is no number, so nothing can be added to it"
                    ))
                })?,
            _ => 0,
        };
        let after = before
            .checked_add(delta)
            .ok_or_else(|| Error(format!("the number in `{key}` would leave its 64 bits")))?;
        self.put(&mut held, place, key, after.to_string().into_bytes()).await?;
        held.commit(&[]).await?;
        Ok(after)
    }

    /// Sets a value if the one that is there has this version, and says whether it did.
    pub(crate) async fn swap(
        &self,
        place: &Place<'_>,
        key: &str,
        expected: Option<i64>,
        value: Vec<u8>,
    ) -> Result<Result<(), Option<i64>>, Error> {
        check(key, value.len())?;
        let mut held = self.hold(place).await?;
        let rows = held.query(VERSION, &[text(place.bucket), text(key)]).await?.rows;
        let found = version(&rows);
        if found != expected {
            held.rollback().await;
            return Ok(Err(found));
        }
        self.put(&mut held, place, key, value).await?;
        held.commit(&[]).await?;
        Ok(Ok(()))
    }

    async fn read(&self, place: &Place<'_>, statement: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, Error> {
        match self
            .router
            .query(&place.principal, place.deadline, statement, params)
            .await
        {
            Ok(rows) => Ok(rows.rows),
            // Nothing was ever written.
            Err(failure) if is_missing(&failure) => Ok(Vec::new()),
            Err(failure) => Err(failure.into()),
        }
    }

    /// A transaction that holds the count, in tables that are there.
    async fn hold(&self, place: &Place<'_>) -> Result<Transaction, Error> {
        match self.begin(place).await {
            Err(failure) if is_missing(&failure) => {
                let Principal { tenant, service } = &place.principal;
                let made = self.tables.make(OwnTables::KeyValue, tenant, service).await;
                made.map_err(|unavailable| Error(unavailable.0))?;
                Ok(self.begin(place).await?)
            }
            outcome => Ok(outcome?),
        }
    }

    async fn begin(&self, place: &Place<'_>) -> Result<Transaction, Failure> {
        let mut transaction = self.router.begin(&place.principal, place.deadline).await?;
        transaction.query(HOLD, &[]).await?;
        Ok(transaction)
    }

    async fn put(&self, held: &mut Transaction, place: &Place<'_>, key: &str, value: Vec<u8>) -> Result<(), Error> {
        let size = key.len() + value.len();
        let params = [
            text(place.bucket),
            text(key),
            Value::Bytes(value),
            count(size),
            Value::Integer(self.config.tenant_keys.into()),
            Value::Integer(i64::from(self.config.tenant_mib) << 20),
        ];
        if held.query(PUT, &params).await?.rows.is_empty() {
            return Err(self.full());
        }
        Ok(())
    }

    fn full(&self) -> Error {
        Error(format!(
            "the stores of this service are full for this tenant: at most {} keys and {} MiB; delete some, or let the operator raise `[keyvalue]` in terrace.toml",
            self.config.tenant_keys, self.config.tenant_mib
        ))
    }
}

fn is_missing(failure: &Failure) -> bool {
    failure.sqlstate.as_deref() == Some(NO_TABLE)
}

fn version(rows: &[Vec<Value>]) -> Option<i64> {
    match rows.first()?.first()? {
        Value::Integer(version) => Some(*version),
        _ => None,
    }
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn list(keys: &[String]) -> Value {
    Value::Json(serde_json::Value::from(keys).to_string())
}

fn count(number: usize) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn check(key: &str, value_bytes: usize) -> Result<(), Error> {
    check_key(key)?;
    if value_bytes > VALUE_BYTES_MAX {
        return Err(Error(format!(
            "a value has at most {VALUE_BYTES_MAX} bytes, and this has {value_bytes}"
        )));
    }
    Ok(())
}

fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX || key.contains('\0') {
        return Err(Error(format!(
            "a key has 1 to {KEY_BYTES_MAX} bytes, and no character U+0000"
        )));
    }
    Ok(())
}

fn check_batch<'a>(entries: impl ExactSizeIterator<Item = (&'a str, usize)>) -> Result<(), Error> {
    if entries.len() > BATCH_MAX {
        return Err(Error(format!(
            "one call takes at most {BATCH_MAX} keys, and this has {}",
            entries.len()
        )));
    }
    let mut bytes = 0;
    for (key, value_bytes) in entries {
        check(key, value_bytes)?;
        bytes += key.len() + value_bytes;
    }
    if bytes > BATCH_BYTES_MAX {
        return Err(Error(format!(
            "one call takes at most {BATCH_BYTES_MAX} bytes, and this has {bytes}"
        )));
    }
    Ok(())
}
