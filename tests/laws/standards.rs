//! Law: a component that knows the standards and not Terrace gets what is its tenant's, bounded, and
//! nothing else.

use http::Method;
use serde_json::{Value, json};
use terrace_tests_harness::{Client, Options, Part, Session, Terrace};

use crate::wait::until;

async fn start(config: &str) -> Terrace {
    Terrace::start(Options {
        hostile: true,
        config: config.to_owned(),
        ..Options::default()
    })
    .await
    .unwrap()
}

async fn did(client: &Client, session: &Session, path: &str, body: Value) -> String {
    let answer = client.post(session, path, body).await.unwrap().success().unwrap();
    answer.body["did"].as_str().unwrap().to_owned()
}

async fn keyvalue(client: &Client, session: &Session, calls: Value) -> String {
    let body = json!({ "store": "default", "calls": calls });
    did(client, session, "/api/hostile/keyvalue", body).await
}

async fn postgres(client: &Client, session: &Session, statement: &str, params: &[&str]) -> String {
    let body = json!({ "address": "tenant", "statement": statement, "params": params });
    did(client, session, "/api/hostile/postgres", body).await
}

#[tokio::test]
async fn a_store_of_wasi_keyvalue_is_its_tenants_and_outlives_the_node() {
    let mut terrace = start("").await;
    let client = terrace.client();
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    let gus = client.sign_in("globex", "gus@globex.example").await.unwrap();

    // Nothing was written: a store is empty before it has a table.
    let calls = json!([
        { "call": "get", "key": "a" }, { "call": "exists", "key": "a" }, { "call": "list" },
        { "call": "delete", "key": "a" }, { "call": "get-many", "key": "a", "many": 2 },
    ]);
    assert_eq!(
        keyvalue(&client, &ada, calls).await,
        "\"nothing\"; false; \"0 keys to None, then the end\"; (); \"0 of 2\""
    );
    let calls = json!([
        { "call": "set", "key": "a", "value": "acme's" }, { "call": "get", "key": "a" },
        { "call": "increment", "key": "n", "delta": 41 }, { "call": "increment", "key": "n", "delta": 1 },
        { "call": "swap", "key": "a", "value": "swapped" }, { "call": "swap", "key": "new", "value": "first" },
        { "call": "lose", "key": "a", "value": "mine" }, { "call": "get", "key": "a" },
    ]);
    assert_eq!(
        keyvalue(&client, &ada, calls).await,
        "(); \"acme's\"; 41; 42; swapped acme's; swapped nothing; \
         not swapped any more but \"another's\"; again: true; \"mine\""
    );

    // Another tenant, and another store of the same tenant, have nothing of it.
    let look = json!([{ "call": "get", "key": "a" }, { "call": "list" }]);
    let nothing = "\"nothing\"; \"0 keys to None, then the end\"";
    assert_eq!(keyvalue(&client, &gus, look.clone()).await, nothing);
    let second = json!({ "store": "second", "calls": look });
    assert_eq!(did(&client, &ada, "/api/hostile/keyvalue", second).await, nothing);
    for store in ["", "third", "Default", "default'--"] {
        let body = json!({ "store": store, "calls": [] });
        let said = did(&client, &ada, "/api/hostile/keyvalue", body).await;
        assert_eq!(said, "Error::NoSuchStore", "{store}");
    }

    // More than a page, in order, none twice and none left out.
    let calls = json!([
        { "call": "set-many", "key": "many/", "many": 1000, "value": "v" },
        { "call": "set-many", "key": "more/", "many": 500, "value": "v" },
        { "call": "list" }, { "call": "list", "value": "more/396" },
        { "call": "get-many", "key": "many/", "many": 1000 },
        { "call": "delete-many", "key": "many/", "many": 1000 }, { "call": "exists", "key": "many/7" },
    ]);
    // `a`, `n`, `new` and a thousand: of the first page three are not `many/`.
    let listed = keyvalue(&client, &ada, calls).await;
    assert!(listed.starts_with("(); (); \"1000 keys to Some(\\\"many/"), "{listed}");
    assert!(listed.ends_with("\"1000 of 1000\"; (); false"), "{listed}");

    // What committed is there after kill -9.
    terrace.kill(Part::Node).await.unwrap();
    let again = json!([{ "call": "increment", "key": "n" }, { "call": "get", "key": "a" }]);
    let said = until("the node answers again", || async {
        let body = json!({ "store": "default", "calls": again });
        let answer = client.post(&ada, "/api/hostile/keyvalue", body).await.ok()?;
        Some(answer.success().ok()?.body["did"].as_str()?.to_owned())
    })
    .await;
    assert_eq!(said, "42; \"mine\"");

    // It lies in the tenant's own schema, and in no other place.
    let database = terrace.database().await.unwrap();
    let rows = database
        .query(
            "SELECT relnamespace::regnamespace::text = (SELECT id || '_hostile' FROM terrace.tenant WHERE slug = 'acme')
             FROM pg_class WHERE relname = 'terrace_keyvalue'",
            &[],
        )
        .await
        .unwrap();
    let is_acmes: Vec<bool> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(is_acmes, [true], "globex wrote nothing and has no table");
}

#[tokio::test]
async fn a_tenants_stores_are_bounded_and_the_count_is_exact() {
    let terrace = start("[keyvalue]\ntenant_keys = 20\ntenant_mib = 1\n").await;
    let client = terrace.client();
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    let gus = client.sign_in("globex", "gus@globex.example").await.unwrap();
    let set = |key: &str, size: usize| json!([{ "call": "set", "key": key, "size": size }]);

    for (key, size, says) in [
        ("", 1, "a key has 1 to 1024 bytes"),
        (&"k".repeat(1_025), 1, "a key has 1 to 1024 bytes"),
        ("a\0b", 1, "a key has 1 to 1024 bytes"),
        (
            "k",
            (1 << 20) + 1,
            "a value has at most 1048576 bytes, and this has 1048577",
        ),
        ("k", 1 << 20, "at most 20 keys and 1 MiB"),
    ] {
        let said = keyvalue(&client, &ada, set(key, size)).await;
        assert!(said.contains(says), "{says}: {said}");
    }
    let calls =
        json!([{ "call": "set-many", "key": "k", "many": 1001 }, { "call": "get-many", "key": "k", "many": 1001 }]);
    let said = keyvalue(&client, &ada, calls).await;
    assert_eq!(said.matches("one call takes at most 1000 keys").count(), 2, "{said}");

    // Many requests at once: exactly as many keys as are allowed.
    let writers: Vec<_> = (0..40)
        .map(|number| {
            let (client, ada) = (client.clone(), ada.clone());
            let calls = set(&format!("k{number}"), 100);
            tokio::spawn(async move { keyvalue(&client, &ada, calls).await })
        })
        .collect();
    let mut kept = 0;
    for writer in writers {
        let said = writer.await.unwrap();
        assert!(said == "()" || said.contains("at most 20 keys"), "{said}");
        kept += usize::from(said == "()");
    }
    assert_eq!(kept, 20);
    // What is there may be replaced; what is deleted makes room; a neighbour has its own.
    let list = json!([{ "call": "list" }]);
    let listed = keyvalue(&client, &ada, list).await;
    assert!(listed.starts_with("\"20 keys"), "{listed}");
    let delete: Vec<Value> = (0..40)
        .map(|number| json!({ "call": "delete", "key": format!("k{number}") }))
        .collect();
    keyvalue(&client, &ada, Value::from(delete)).await;
    assert_eq!(keyvalue(&client, &ada, set("large", 1_000_000)).await, "()");
    assert_eq!(keyvalue(&client, &ada, set("large", 999_999)).await, "()");
    let said = keyvalue(&client, &ada, set("larger", 100_000)).await;
    assert!(said.contains("at most 20 keys and 1 MiB"), "{said}");
    assert_eq!(keyvalue(&client, &gus, set("mine", 1_000_000)).await, "()");

    // Numbers: what is none, and what would be none any more.
    let calls = json!([
        { "call": "increment", "key": "large", "delta": 1 },
        { "call": "set", "key": "n", "value": "9223372036854775807" }, { "call": "increment", "key": "n", "delta": 1 },
    ]);
    let said = keyvalue(&client, &ada, calls).await;
    assert!(
        said.contains("is no number") && said.contains("would leave its 64 bits"),
        "{said}"
    );
}

#[tokio::test]
async fn concurrent_increments_lose_none() {
    let terrace = start("").await;
    let client = terrace.client();
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    let adders: Vec<_> = (0..20)
        .map(|_| {
            let (client, ada) = (client.clone(), ada.clone());
            let calls: Vec<Value> = (0..10)
                .map(|_| json!({ "call": "increment", "key": "n", "delta": 1 }))
                .collect();
            tokio::spawn(async move { keyvalue(&client, &ada, Value::from(calls)).await })
        })
        .collect();
    for adder in adders {
        adder.await.unwrap();
    }
    let calls = json!([{ "call": "get", "key": "n" }]);
    assert_eq!(keyvalue(&client, &ada, calls).await, "\"200\"");
}

#[tokio::test]
async fn a_standard_interface_that_the_manifest_does_not_list_is_not_there() {
    let terrace = start("").await;
    let client = terrace.client();
    let bundle = |manifest: String| {
        let folder = terrace_tests_harness::bundles("hostile").join("hostile");
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        json!({
            "manifest": manifest,
            "contract": serde_json::from_slice::<Value>(&read("openapi.json")).unwrap(),
            "migrations": [],
            "component": data_encoding::BASE64.encode(&read("service.wasm")),
        })
    };
    let manifest =
        std::fs::read_to_string(terrace_tests_harness::bundles("hostile").join("hostile/service.toml")).unwrap();
    let path = "/api/control/services/hostile/releases";
    for (change, says) in [
        (
            manifest
                .replace("\"keyvalue\", ", "")
                .replace("keyvalue = [\"default\", \"second\"]\n", ""),
            "imports wasi:keyvalue/",
        ),
        (manifest.replace("\"keyvalue\", ", ""), "add \\\"keyvalue\\\""),
        (
            manifest.replace("keyvalue = [", "keyvalue = [\"Not a name\", "),
            "setting name",
        ),
    ] {
        assert_ne!(change, manifest);
        let answer = client.control(Method::POST, path, Some(bundle(change))).await.unwrap();
        assert!(answer.status.is_client_error(), "{}", answer.status);
        assert!(answer.body.to_string().contains(says), "{says}: {}", answer.body);
    }
}

#[tokio::test]
async fn spin_postgres_speaks_to_the_tenants_schema_and_knows_every_type() {
    let terrace = start("").await;
    let client = terrace.client();
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    let gus = client.sign_in("globex", "gus@globex.example").await.unwrap();

    // No server's address, however it is written, leads anywhere.
    for address in [
        "",
        "Tenant",
        "tenant ",
        "host=localhost user=postgres dbname=postgres",
        "postgres://terrace@127.0.0.1/terrace",
    ] {
        let body = json!({ "address": address, "statement": "SELECT 1" });
        let said = did(&client, &ada, "/api/hostile/postgres", body).await;
        assert!(
            said.starts_with("Error::ConnectionFailed(\"open the address `tenant`"),
            "{address}: {said}"
        );
    }

    let insert = "INSERT INTO counter (name, value) VALUES ($1, $2)";
    let body = json!({ "address": "tenant", "statement": insert, "params": ["str acme", "int32 7"], "execute": true });
    assert_eq!(
        did(&client, &ada, "/api/hostile/postgres", body.clone()).await,
        "1 rows"
    );
    let select = "SELECT name FROM counter ORDER BY name";
    assert_eq!(
        postgres(&client, &ada, select, &[]).await,
        "name DbDataType::Str | Str(\"acme\")"
    );
    assert_eq!(postgres(&client, &gus, select, &[]).await, "name DbDataType::Str | ");

    // Each type, as a parameter and as a column.
    for (cast, param, shown) in [
        ("boolean", "boolean true", "Boolean | Boolean(true)"),
        ("smallint", "int8 -7", "Int16 | Int16(-7)"),
        ("smallint", "int16 -300", "Int16 | Int16(-300)"),
        ("integer", "int32 70000", "Int32 | Int32(70000)"),
        (
            "bigint",
            "int64 -9223372036854775808",
            "Int64 | Int64(-9223372036854775808)",
        ),
        ("smallint", "uint8 255", "Int16 | Int16(255)"),
        ("integer", "uint16 65535", "Int32 | Int32(65535)"),
        ("bigint", "uint32 4294967295", "Int64 | Int64(4294967295)"),
        (
            "bigint",
            "uint64 9223372036854775807",
            "Int64 | Int64(9223372036854775807)",
        ),
        ("real", "floating32 1.5", "Floating32 | Floating32(1.5)"),
        ("double precision", "floating64 0.1", "Floating64 | Floating64(0.1)"),
        ("text", "str it's $1", "Str | Str(\"it's $1\")"),
        ("bytea", "binary ab", "Binary | Binary([97, 98])"),
        ("date", "date 2024 2 29", "Date | Date((2024, 2, 29))"),
        (
            "time",
            "time 23 59 58 123456000",
            "Time | Time((23, 59, 58, 123456000))",
        ),
        (
            "timestamp",
            "datetime 1969 12 31 23 59 59 999999000",
            "Datetime | Datetime((1969, 12, 31, 23, 59, 59, 999999000))",
        ),
        (
            "timestamptz",
            "timestamp 1700000000",
            "Datetime | Datetime((2023, 11, 14, 22, 13, 20, 0))",
        ),
        ("text", "db-null", "Str | DbNull"),
        // What the interface has no word for comes as text.
        (
            "numeric",
            "str 12345678901234567890.5",
            "Other | Str(\"12345678901234567890.5\")",
        ),
        (
            "uuid",
            "str 0195f3a0-0000-7000-8000-000000000001",
            "Other | Str(\"0195f3a0-0000-7000-8000-000000000001\")",
        ),
        ("jsonb", "str {\"a\": 1}", "Other | Str(\"{\\\"a\\\": 1}\")"),
        ("integer[]", "str {1,2}", "Other | Str(\"{1,2}\")"),
        ("timestamp", "str infinity", "Datetime | Unsupported"),
        ("date", "str 0044-03-15 BC", "Date | Unsupported"),
    ] {
        let said = postgres(&client, &ada, &format!("SELECT $1::{cast} AS a"), &[param]).await;
        assert_eq!(said, format!("a DbDataType::{shown}"), "{param} as {cast}");
    }
    for (cast, param, kind) in [
        ("bigint", "uint64 18446744073709551615", "BadParameter"),
        ("smallint", "int32 40000", "BadParameter"),
        ("date", "date 2023 2 29", "BadParameter"),
        ("time", "time 24 0 0 0", "BadParameter"),
        ("boolean", "int32 1", "BadParameter"),
        ("date", "str no date", "BadParameter"),
        ("no_type", "int32 1", "QueryFailed"),
    ] {
        let said = postgres(&client, &ada, &format!("SELECT $1::{cast} AS a"), &[param]).await;
        assert!(said.starts_with(&format!("Error::{kind}")), "{param} as {cast}: {said}");
    }
}

#[tokio::test]
async fn spin_postgres_leads_through_the_same_fences() {
    let terrace = start("").await;
    let client = terrace.client();
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    // The corpus is in data/guard, here is proved that this door leads through them.
    for statement in [
        "SELECT 1; SELECT 2",
        "BEGIN",
        "SET ROLE postgres",
        "RESET ROLE",
        "SELECT set_config('role', 'postgres', false)",
        "SELECT * FROM pg_catalog.pg_roles",
        "SELECT * FROM terrace.tenant",
        "COPY counter TO '/tmp/x'",
        "SELECT pg_sleep(10)",
    ] {
        let said = postgres(&client, &ada, statement, &[]).await;
        assert!(said.starts_with("Error::QueryFailed"), "{statement}: {said}");
    }
}
