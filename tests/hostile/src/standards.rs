//! The standard interfaces, called as a component calls them that was not written for Terrace.

use terrace_sdk::prelude::*;

use crate::{Done, done};

/// Calls of `wasi:keyvalue`, one after the other.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
pub(crate) struct Calls {
    /// The store to open.
    store: String,
    /// `get`, `set`, `delete`, `exists`, `list`, `increment`, `swap`, `lose`, `set-many`, `get-many`,
    /// `delete-many`, each with the arguments that it needs.
    calls: Vec<Call>,
}

/// One call.
#[derive(Debug, Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub(crate) struct Call {
    /// Which.
    call: String,
    /// The key; of those for many, what each begins with.
    key: String,
    /// The value.
    value: String,
    /// Bytes to fill the value up to.
    size: usize,
    /// What to add.
    delta: i64,
    /// How many keys, for those for many.
    many: u32,
}

/// Uses a store of `wasi:keyvalue` in any way at all.
#[utoipa::path(post, path = "/api/hostile/keyvalue", operation_id = "hostile_use_keyvalue", security(()), request_body = Calls,
    responses((status = 200, description = "What each call said", body = Done)))]
pub(crate) async fn keyvalue(Json(calls): Json<Calls>) -> Json<Done> {
    done(answers::keyvalue(&calls).join("; "))
}

/// A statement for `spin:postgres`.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
pub(crate) struct Statement {
    /// What to open.
    address: String,
    /// SQL.
    statement: String,
    /// As the interface's own cases: `int32 7`, `date 2026 11 22`, `db-null`.
    #[serde(default)]
    params: Vec<String>,
    /// Only how many rows it touched.
    #[serde(default)]
    execute: bool,
}

/// Sends any statement to any address by `spin:postgres`.
#[utoipa::path(post, path = "/api/hostile/postgres", operation_id = "hostile_use_postgres", security(()), request_body = Statement,
    responses((status = 200, description = "Columns and rows, or the error", body = Done)))]
pub(crate) async fn postgres(Json(statement): Json<Statement>) -> Json<Done> {
    done(answers::postgres(&statement))
}

#[cfg(not(target_family = "wasm"))]
mod answers {
    use super::{Calls, Statement};

    pub(super) fn keyvalue(calls: &Calls) -> Vec<String> {
        let Calls { store, calls } = calls;
        calls
            .iter()
            .map(|call| format!("{store}: no host for {call:?}"))
            .collect()
    }

    pub(super) fn postgres(statement: &Statement) -> String {
        let Statement {
            address,
            statement,
            params,
            execute,
        } = statement;
        format!("{address}: no host for {statement} {params:?} {execute}")
    }
}

#[cfg(target_family = "wasm")]
mod answers {
    use super::{Call, Calls, Statement};

    mod bindings {
        wit_bindgen::generate!({
            path: ["../../contracts/standards/keyvalue.wit", "../../contracts/standards/postgres.wit"],
            inline: "package terrace:hostile;
                world standards { include wasi:keyvalue/imports@0.2.0-draft2; include spin:postgres/imports@3.0.0; }",
            world: "terrace:hostile/standards",
            generate_all,
        });
    }

    use bindings::{
        spin::postgres::postgres::{Connection, DbValue, ParameterValue as P},
        wasi::keyvalue::{
            atomics::{self, Cas, CasError},
            batch,
            store::{self, Bucket},
        },
    };

    pub(super) fn keyvalue(calls: &Calls) -> Vec<String> {
        match store::open(&calls.store) {
            Ok(bucket) => calls.calls.iter().map(|call| one(&bucket, call)).collect(),
            Err(error) => vec![format!("{error:?}")],
        }
    }

    fn one(bucket: &Bucket, call: &Call) -> String {
        let key = call.key.as_str();
        let mut value = call.value.clone().into_bytes();
        value.resize(value.len().max(call.size), b'x');
        let keys: Vec<String> = (0..call.many).map(|number| format!("{key}{number}")).collect();
        match call.call.as_str() {
            "get" => said(bucket.get(key).map(shown)),
            "set" => said(bucket.set(key, &value)),
            "delete" => said(bucket.delete(key)),
            "exists" => said(bucket.exists(key)),
            "list" => {
                let after = Some(call.value.clone()).filter(|after| !after.is_empty());
                said(bucket.list_keys(after.as_deref()).map(|page| {
                    let cursor = page.cursor.unwrap_or_else(|| "the end".to_owned());
                    format!("{} keys to {:?}, then {cursor}", page.keys.len(), page.keys.last())
                }))
            }
            "increment" => said(atomics::increment(bucket, key, call.delta)),
            "swap" | "lose" => swap(bucket, call, &value),
            "set-many" => {
                let entries: Vec<_> = keys.into_iter().map(|key| (key, value.clone())).collect();
                said(batch::set_many(bucket, &entries))
            }
            "get-many" => said(batch::get_many(bucket, &keys).map(|found| {
                let there = found.iter().flatten().count();
                format!("{there} of {}", found.len())
            })),
            "delete-many" => said(batch::delete_many(bucket, &keys)),
            other => format!("no call {other}"),
        }
    }

    /// `lose`: somebody else writes between the look and the swap.
    fn swap(bucket: &Bucket, call: &Call, value: &[u8]) -> String {
        let key = call.key.as_str();
        let cas = match Cas::new(bucket, key) {
            Ok(cas) => cas,
            Err(error) => return format!("{error:?}"),
        };
        let before = match cas.current() {
            Ok(before) => shown(before),
            Err(error) => return format!("{error:?}"),
        };
        if call.call == "lose"
            && let Err(error) = bucket.set(key, b"another's")
        {
            return format!("{error:?}");
        }
        match atomics::swap(cas, value) {
            Ok(()) => format!("swapped {before}"),
            Err(CasError::StoreError(error)) => format!("{error:?}"),
            Err(CasError::CasFailed(newer)) => {
                let now = newer.current().map(shown);
                format!(
                    "not {before} any more but {}; again: {:?}",
                    said(now),
                    atomics::swap(newer, value).is_ok()
                )
            }
        }
    }

    fn shown(value: Option<Vec<u8>>) -> String {
        match value {
            None => "nothing".to_owned(),
            Some(value) if value.len() > 64 => format!("{} bytes", value.len()),
            Some(value) => String::from_utf8_lossy(&value).into_owned(),
        }
    }

    fn said<T: std::fmt::Debug>(answer: Result<T, store::Error>) -> String {
        match answer {
            Ok(value) => format!("{value:?}"),
            Err(store::Error::Other(message)) => message,
            Err(error) => format!("{error:?}"),
        }
    }

    pub(super) fn postgres(asked: &Statement) -> String {
        let connection = match Connection::open(&asked.address) {
            Ok(connection) => connection,
            Err(error) => return format!("{error:?}"),
        };
        let Some(params) = asked.params.iter().map(|text| param(text)).collect::<Option<Vec<P>>>() else {
            return "a parameter is not understood".to_owned();
        };
        if asked.execute {
            return match connection.execute(&asked.statement, &params) {
                Ok(rows) => format!("{rows} rows"),
                Err(error) => format!("{error:?}"),
            };
        }
        match connection.query(&asked.statement, &params) {
            Ok(set) => {
                let columns: Vec<_> = set
                    .columns
                    .iter()
                    .map(|c| format!("{} {:?}", c.name, c.data_type))
                    .collect();
                let rows: Vec<_> = set
                    .rows
                    .iter()
                    .map(|row| row.iter().map(cell).collect::<Vec<_>>().join(", "))
                    .collect();
                format!("{} | {}", columns.join(", "), rows.join(" | "))
            }
            Err(error) => format!("{error:?}"),
        }
    }

    fn cell(value: &DbValue) -> String {
        format!("{value:?}").replace("DbValue::", "")
    }

    fn param(text: &str) -> Option<P> {
        let (case, rest) = text.split_once(' ').unwrap_or((text, ""));
        let numbers: Vec<i64> = rest.split(' ').filter_map(|part| part.parse().ok()).collect();
        let byte = |at: usize| numbers.get(at).and_then(|number| u8::try_from(*number).ok());
        let wide = |at: usize| numbers.get(at).and_then(|number| u32::try_from(*number).ok());
        let year = || numbers.first().and_then(|number| i32::try_from(*number).ok());
        Some(match case {
            "boolean" => P::Boolean(rest == "true"),
            "int8" => P::Int8(rest.parse().ok()?),
            "int16" => P::Int16(rest.parse().ok()?),
            "int32" => P::Int32(rest.parse().ok()?),
            "int64" => P::Int64(rest.parse().ok()?),
            "uint8" => P::Uint8(rest.parse().ok()?),
            "uint16" => P::Uint16(rest.parse().ok()?),
            "uint32" => P::Uint32(rest.parse().ok()?),
            "uint64" => P::Uint64(rest.parse().ok()?),
            "floating32" => P::Floating32(rest.parse().ok()?),
            "floating64" => P::Floating64(rest.parse().ok()?),
            "str" => P::Str(rest.to_owned()),
            "binary" => P::Binary(rest.as_bytes().to_vec()),
            "date" => P::Date((year()?, byte(1)?, byte(2)?)),
            "time" => P::Time((byte(0)?, byte(1)?, byte(2)?, wide(3)?)),
            "datetime" => P::Datetime((year()?, byte(1)?, byte(2)?, byte(3)?, byte(4)?, byte(5)?, wide(6)?)),
            "timestamp" => P::Timestamp(rest.parse().ok()?),
            "db-null" => P::DbNull,
            _ => return None,
        })
    }
}
