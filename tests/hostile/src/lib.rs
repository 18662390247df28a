//! A service that misbehaves on request. The laws ask it to, and look at who else notices.

mod files;
mod later;
mod outside;
mod standards;

use terrace_sdk::{axum::body::Body, axum::response::Response, db, prelude::*};

/// What every operation that comes to an end answers.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Done {
    /// What was done.
    did: String,
}

pub(crate) fn done(did: impl Into<String>) -> Json<Done> {
    Json(Done { did: did.into() })
}

/// How much of it.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Amount {
    /// Lines, kibibytes, milliseconds: as the operation says.
    #[serde(default)]
    amount: u64,
}

/// Behaves.
#[utoipa::path(get, path = "/api/hostile/ok", operation_id = "hostile_behave", security(()),
    responses((status = 200, description = "All is well", body = Done)))]
async fn behave() -> Json<Done> {
    done("nothing")
}

/// Who the request belongs to, as the service sees it.
#[utoipa::path(get, path = "/api/hostile/tenant", operation_id = "hostile_show_tenant", security(()),
    responses((status = 200, description = "The tenant's id", body = Done)))]
async fn tenant(tenant: Tenant) -> Json<Done> {
    done(tenant.id)
}

/// Panics.
#[utoipa::path(post, path = "/api/hostile/panic", operation_id = "hostile_panic", security(()),
    responses((status = 200, description = "Never", body = Done)))]
#[expect(clippy::panic, reason = "it is what the operation is for")]
async fn panic() -> Json<Done> {
    panic!("asked to panic")
}

/// Loops for ever.
#[utoipa::path(post, path = "/api/hostile/loop", operation_id = "hostile_loop", security(()),
    responses((status = 200, description = "Never", body = Done)))]
async fn endless() -> Json<Done> {
    let mut turns = 0_u64;
    while std::hint::black_box(turns) < u64::MAX {
        turns = turns.wrapping_mul(3) | 1;
        if turns == 0 {
            break;
        }
        turns &= 0xff;
    }
    done(turns.to_string())
}

/// Allocates without end, and writes to every page.
#[utoipa::path(post, path = "/api/hostile/allocate", operation_id = "hostile_allocate", security(()),
    responses((status = 200, description = "Never", body = Done)))]
async fn allocate() -> Json<Done> {
    let mut held = Vec::new();
    loop {
        held.push(std::hint::black_box(vec![1_u8; 1 << 20]));
        if held.len() > 1 << 16 {
            return done(held.len().to_string());
        }
    }
}

/// Overflows the stack.
#[utoipa::path(post, path = "/api/hostile/overflow", operation_id = "hostile_overflow", security(()),
    responses((status = 200, description = "Never", body = Done)))]
async fn overflow() -> Json<Done> {
    done(descend(1).to_string())
}

fn descend(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 64]);
    if depth == u64::MAX {
        0
    } else {
        descend(depth + room[0] / depth).wrapping_add(room[63])
    }
}

/// Waits, `amount` milliseconds, without using the processor.
#[utoipa::path(post, path = "/api/hostile/sleep", operation_id = "hostile_sleep", security(()), params(Amount),
    responses((status = 200, description = "It woke up", body = Done)))]
async fn sleep(Query(amount): Query<Amount>) -> Json<Done> {
    #[cfg(target_family = "wasm")]
    terrace_sdk::wasm::sleep(amount.amount).await;
    done(format!("slept {} ms", amount.amount))
}

/// Writes `amount` lines of a kibibyte to the log.
#[utoipa::path(post, path = "/api/hostile/log", operation_id = "hostile_flood_log", security(()), params(Amount),
    responses((status = 200, description = "All lines were written, or dropped", body = Done)))]
async fn flood(Query(amount): Query<Amount>) -> Json<Done> {
    let line = "x".repeat(1024);
    for _ in 0..amount.amount {
        log::info!("{line}");
    }
    done(format!("{} lines", amount.amount))
}

/// Answers with a body of `amount` kibibytes.
#[utoipa::path(get, path = "/api/hostile/body", operation_id = "hostile_send_body", security(()), params(Amount),
    responses((status = 200, description = "The body", body = String, content_type = "text/plain")))]
async fn body(Query(amount): Query<Amount>) -> Response {
    Response::new(Body::from(
        "x".repeat(
            usize::try_from(amount.amount)
                .unwrap_or(usize::MAX)
                .saturating_mul(1024),
        ),
    ))
}

/// Statements of the test's own.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
pub struct Statements {
    /// SQL, without parameters. They run in one transaction, in this order.
    statements: Vec<String>,
}

/// Runs any SQL at all. What comes back is what the platform lets through: every row of every
/// statement, and the kind of every error.
#[utoipa::path(post, path = "/api/hostile/sql", operation_id = "hostile_run_sql", security(()), request_body = Statements,
    responses((status = 200, description = "Rows and errors, as text", body = Done)))]
async fn sql(db: Db, Json(statements): Json<Statements>) -> Result<Json<Done>, Problem> {
    let mut seen = Vec::new();
    let mut tx = db.begin().await?;
    for statement in &statements.statements {
        match tx.query(statement, params![]).await {
            Ok(rows) => seen.push(format!("{} {rows:?}", rows.affected())),
            Err(error) => seen.push(format!("{:?} {}", error.kind, error.sqlstate.unwrap_or_default())),
        }
    }
    if let Err(error) = tx.commit().await {
        seen.push(format!("commit: {:?}", error.kind));
    }
    // Each by itself too: what a transaction refuses may pass alone.
    for statement in &statements.statements {
        match db.query(statement, params![]).await {
            Ok(rows) => seen.push(format!("{} {rows:?}", rows.affected())),
            Err(error) => seen.push(format!("{:?}", error.kind)),
        }
    }
    Ok(done(seen.join("; ")))
}

/// One row with a value of every type, there and back. What differs is the answer; nothing, when all
/// is well.
#[utoipa::path(post, path = "/api/hostile/values", operation_id = "hostile_send_values", security(()),
    responses((status = 200, description = "What did not come back as it went", body = Done)))]
async fn values(db: Db) -> Result<Json<Done>, Problem> {
    let sent = every_value();
    let columns = "b, i2, i4, i8, f4, f8, n, t, by, tz, ts, d, u, j, jb, ia, ta, na";
    let places: Vec<String> = (1..=sent.len()).map(|place| format!("${place}")).collect();
    let sql = format!(
        "INSERT INTO everything ({columns}) VALUES ({}) RETURNING *",
        places.join(", ")
    );
    let nulls = vec![db::Value::Null; sent.len()];
    let mut differ = Vec::new();
    for row in [sent, nulls] {
        let mut tx = db.begin().await?;
        let back = tx.query(&sql, row.clone()).await?;
        let back = back.first().map(db::Row::values).unwrap_or_default().to_vec();
        for ((name, sent), back) in columns.split(", ").zip(row).zip(back) {
            // JSON is compared as what it means: jsonb writes it in its own way.
            if sent != back {
                differ.push(format!("{name}: {sent:?} became {back:?}"));
            }
        }
        tx.rollback().await;
    }
    Ok(done(differ.join("; ")))
}

fn every_value() -> Vec<db::Value> {
    use db::Value;
    let text = |text: &str| Value::Text(text.to_owned());
    vec![
        Value::Bool(true),
        Value::Integer(-7),
        Value::Integer(i32::MIN.into()),
        Value::Integer(i64::MAX),
        Value::Float(1.5),
        Value::Float(-0.1),
        text("-12345678901234567890.123456789000"),
        text("ünï\u{1f3e1} '\"\\"),
        Value::Bytes((0..=255).collect()),
        Value::Timestamp(1_790_000_000_123_456),
        Value::Timestamp(-1),
        text("2026-11-22"),
        Value::Uuid("0190f5a0-1111-7abc-8def-0123456789ab".to_owned()),
        Value::Json("{\"a\":  1}".to_owned()),
        Value::Json("{\"a\": [1, null]}".to_owned()),
        params![vec![1_i64, -2]].remove(0),
        text("{plain,NULL,\"b c\",\"\\\"\"}"),
        text("{1.50,NaN}"),
    ]
}

/// A savepoint, a statement that fails, and a result in batches, all in one transaction.
#[utoipa::path(post, path = "/api/hostile/parts", operation_id = "hostile_use_parts", security(()),
    responses((status = 200, description = "What was seen", body = Done)))]
async fn parts(db: Db) -> Result<Json<Done>, Problem> {
    const INSERT: &str = "INSERT INTO counter (name, value) VALUES ($1, 1)";
    let mut tx = db.begin().await?;
    tx.query(INSERT, params!["kept"]).await?;
    let savepoint = tx.savepoint().await?;
    tx.query(INSERT, params!["lost"]).await?;
    tx.publish("part.lost", "", &1)?;
    let failed = tx.query(INSERT, params!["kept"]).await.is_err();
    tx.rollback_to(savepoint).await?;
    tx.release(savepoint).await?;
    let gone = tx.rollback_to(savepoint).await.is_err();
    tx.publish("part.kept", "", &1)?;
    let scan = tx
        .scan("SELECT n FROM generate_series(1, $1) AS n", params![20_000_i64])
        .await?;
    let (mut rows, mut batches) = (0, 0);
    while let Some(batch) = tx.next(scan).await? {
        rows += batch.into_iter().count();
        batches += 1;
    }
    let names = tx.query(
        "SELECT string_agg(name, ',') AS names FROM counter WHERE name IN ('kept', 'lost')",
        params![],
    );
    let names: String = names
        .await?
        .first()
        .map(|row| row.get("names"))
        .transpose()?
        .unwrap_or_default();
    tx.query("DELETE FROM counter WHERE name = 'kept'", params![]).await?;
    tx.commit().await?;
    let in_batches = batches > 10;
    Ok(done(format!("{names} {rows} {failed} {gone} {in_batches}")))
}

/// Begins a transaction, counts, and holds it open for `amount` milliseconds.
#[utoipa::path(post, path = "/api/hostile/hold", operation_id = "hostile_hold_transaction", security(()), params(Amount),
    responses((status = 200, description = "It was committed", body = Done)))]
async fn hold(db: Db, Query(amount): Query<Amount>) -> Result<Json<Done>, Problem> {
    let mut tx = db.begin().await?;
    tx.query(
        "INSERT INTO counter (name, value) VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET value = counter.value + 1",
        params!["held"],
    )
    .await?;
    #[cfg(target_family = "wasm")]
    terrace_sdk::wasm::sleep(amount.amount).await;
    tx.commit().await?;
    Ok(done(format!("held for {} ms", amount.amount)))
}

/// Calls itself, until the platform refuses.
#[utoipa::path(post, path = "/api/hostile/recurse", operation_id = "hostile_recurse", security(()),
    responses((status = 200, description = "How the next one ended", body = Done)))]
async fn recurse() -> Result<Json<Done>, Problem> {
    let next = terrace_sdk::calls::post("hostile", "/api/hostile/recurse", &()).await?;
    Ok(done(format!("the next one answered {}", next.status)))
}

/// The routes.
pub fn router() -> Router {
    routes!(
        Router::new(),
        behave,
        tenant,
        panic,
        endless,
        allocate,
        overflow,
        sleep,
        flood,
        body,
        sql,
        values,
        parts,
        hold,
        recurse,
        outside::fetch_any,
        outside::secret,
        outside::value,
        outside::randomness,
        outside::fill_cache,
        outside::read_cache,
        files::files,
        later::schedule_any,
        standards::keyvalue,
        standards::postgres,
    )
    .on_job(later::work)
}

terrace_sdk::service!(router);

#[cfg(test)]
mod tests {
    #[test]
    fn every_operation_is_in_the_contract() {
        assert_eq!(super::contract().paths.paths.len(), 23);
    }
}
