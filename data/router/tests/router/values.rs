//! Every kind of value goes in and comes out the same, and what does not fit is told apart.

use crate::house::{A, House};
use terrace_data_router::{Config, ErrorKind, Value};

const TABLE: &str = "
    CREATE TYPE mood AS ENUM ('calm', 'wild');
    CREATE TABLE everything (b bool, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric, t text, v varchar(10),
        by bytea, tz timestamptz, ts timestamp, d date, iv interval, u uuid, j json, jb jsonb, m mood, a text[])";

const INSERT: &str = "INSERT INTO everything VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) RETURNING *";

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

#[tokio::test]
async fn every_type_comes_back_as_it_went_in() {
    let house = House::new(Config::default()).await;
    house.table(TABLE).await;
    let micros = 1_790_000_000_123_456;
    let row = vec![
        Value::Bool(true),
        Value::Integer(-7),
        Value::Integer(2_147_483_647),
        Value::Integer(i64::MIN),
        Value::Float(1.5),
        Value::Float(-0.1),
        text("12345678901234567890.123456789"),
        text("ünïcödé 🏡 '\"\\"),
        text("short"),
        Value::Bytes(vec![0, 1, 255]),
        Value::Timestamp(micros),
        Value::Timestamp(-1),
        text("2026-11-22"),
        text("P1DT2H"),
        Value::Uuid("0190f5a0-1111-7abc-8def-0123456789ab".to_owned()),
        Value::Json("{\"a\":  1}".to_owned()),
        Value::Json("{\"a\": [1, null]}".to_owned()),
        text("wild"),
        text("{a,\"b c\"}"),
    ];
    // Twice: the second time the statement is prepared already.
    for _ in 0..2 {
        let rows = house.query(A, INSERT, &row).await.unwrap();
        assert_eq!(rows.rows, std::slice::from_ref(&row));
        assert_eq!(rows.affected, 1);
        assert_eq!(rows.columns[..3], ["b", "i2", "i4"]);
    }
    let nulls = vec![Value::Null; row.len()];
    assert_eq!(house.query(A, INSERT, &nulls).await.unwrap().rows, [nulls]);
    let edges = house.query(
        A,
        "SELECT 'infinity'::timestamptz, '-infinity'::timestamp, $1::numeric, $2::float8",
        &[Value::Integer(5), Value::Integer(2)],
    );
    let expected = vec![
        Value::Timestamp(i64::MAX),
        Value::Timestamp(i64::MIN),
        text("5"),
        Value::Float(2.0),
    ];
    assert_eq!(edges.await.unwrap().rows, [expected]);
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_a_bad_value_and_leaves_the_connection_in_order() {
    let house = House::new(Config::default()).await;
    house.table(TABLE).await;
    for (sql, value) in [
        ("SELECT $1::int2", Value::Integer(40_000)),
        ("SELECT $1::int4", Value::Integer(1 << 40)),
        ("SELECT $1::int4", Value::Bool(true)),
        ("SELECT $1::text", Value::Integer(1)),
        ("SELECT $1::text", text("a\0b")),
        ("SELECT $1::uuid", text("no uuid")),
        ("SELECT $1::timestamptz", text("no time")),
        ("SELECT $1::jsonb", Value::Json("{".to_owned())),
        ("SELECT $1::mood", text("angry")),
        ("SELECT $1::bytea", Value::Integer(1)),
        ("SELECT 1 / $1::int", Value::Integer(0)),
    ] {
        let error = house.query(A, sql, std::slice::from_ref(&value)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadValue, "{sql} {value:?}: {error}");
        // Prepared now, and refused all the same.
        assert_eq!(
            house.query(A, sql, &[value]).await.unwrap_err().kind,
            ErrorKind::BadValue
        );
    }
    assert_eq!(
        house.query(A, "SELECT 1", &[Value::Null]).await.unwrap_err().kind,
        ErrorKind::BadValue
    );
    assert_eq!(
        house.query(A, "SELECT 1 AS one", &[]).await.unwrap().rows,
        [[Value::Integer(1)]]
    );
    assert_eq!(house.router.health()[0].opened, 1, "one connection served all of it");
}

#[tokio::test]
async fn errors_of_the_database_have_the_kind_that_a_service_can_act_on() {
    let house = House::new(Config::default()).await;
    house
        .query(A, "INSERT INTO items (title) VALUES ('one')", &[])
        .await
        .unwrap();
    let long = format!("INSERT INTO items (title) VALUES ('{}')", "x".repeat(200));
    for (sql, kind, constraint) in [
        (
            "INSERT INTO items (title) VALUES ('one')",
            ErrorKind::Constraint,
            Some("items_title_key"),
        ),
        (long.as_str(), ErrorKind::Constraint, Some("title_is_short")),
        (
            "INSERT INTO items (title) VALUES (NULL)",
            ErrorKind::Constraint,
            Some("title"),
        ),
        ("SELECT * FROM nothing", ErrorKind::Syntax, None),
        ("SELEC 1", ErrorKind::Syntax, None),
        ("DROP TABLE items", ErrorKind::Refused, None),
        ("SELECT pg_sleep(1)", ErrorKind::Refused, None),
    ] {
        let error = house.query(A, sql, &[]).await.unwrap_err();
        assert_eq!(
            (error.kind, error.constraint.as_deref()),
            (kind, constraint),
            "{sql}: {error}"
        );
    }
    assert_eq!(
        house.query(A, "SELECT count(*) FROM items", &[]).await.unwrap().rows,
        [[Value::Integer(1)]]
    );
}
