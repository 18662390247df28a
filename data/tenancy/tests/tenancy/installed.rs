//! The installation: idempotent, and the borders that it draws around tenants.

use terrace_data_embedded::testing::Scratch;
use terrace_data_tenancy::{Directory, NewOperator, testing::World};
use tokio_postgres::Client;

/// A connection that acts as the runtime role of a tenant's service, without guard and router: the
/// second fence alone.
async fn as_role(world: &World, role: &str) -> Client {
    let client = world.admin().await;
    client
        .batch_execute(&format!("SET SESSION AUTHORIZATION \"{role}\""))
        .await
        .unwrap();
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_that_runs_again_or_twice_at_once_changes_nothing() {
    let world = World::new().await;
    let before = world.count("SELECT value FROM terrace.version").await;
    let steps = world.count("SELECT count(*) FROM terrace.installation").await;
    let _nodes = tokio::join!(world.another_node(), world.another_node());
    assert_eq!(world.count("SELECT value FROM terrace.version").await, before);
    assert_eq!(world.count("SELECT count(*) FROM terrace.installation").await, steps);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_has_a_later_migration_still_gets_an_earlier_one() {
    let scratch = Scratch::new().await;
    let client = scratch.admin().await;
    let before = [
        (1, include_str!("../../sql/0001_directory.sql")),
        (2, include_str!("../../sql/0002_events.sql")),
        (10, include_str!("../../sql/0010_settings.sql")),
    ];
    client
        .batch_execute("CREATE SCHEMA terrace; CREATE TABLE terrace.installation (number integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())")
        .await
        .unwrap();
    for (number, sql) in before {
        client.batch_execute(sql).await.unwrap();
        client
            .execute(
                "INSERT INTO terrace.installation (number, name) VALUES ($1, 'before')",
                &[&number],
            )
            .await
            .unwrap();
    }
    let directory = Directory::connect(World::config(&scratch)).unwrap();
    directory.install().await.unwrap();
    let fresh = World::new().await;
    let numbers = "SELECT array_agg(number ORDER BY number) FROM terrace.installation";
    let got: Vec<i32> = client.query_one(numbers, &[]).await.unwrap().get(0);
    let all: Vec<i32> = fresh.admin().await.query_one(numbers, &[]).await.unwrap().get(0);
    assert_eq!(got, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_role_alone_reaches_no_other_tenant_and_no_shared_thing() {
    let world = World::new().await;
    world.three_services().await;
    let (ours, theirs) = (
        world.tenant("ours").await.id.clone(),
        world.tenant("theirs").await.id.clone(),
    );
    let client = as_role(&world, &format!("{ours}_tasks")).await;
    client
        .query(&format!("SELECT * FROM {ours}_tasks.board"), &[])
        .await
        .unwrap();
    for sql in [
        format!("SELECT * FROM {theirs}_tasks.board"),
        format!("SELECT * FROM {ours}_identity.member"),
        format!("SET ROLE {theirs}_tasks"),
        format!("SET ROLE {ours}_owner"),
        format!("CREATE TABLE {ours}_tasks.mine (id int)"),
        format!("DROP TABLE {ours}_tasks.board"),
        format!("TRUNCATE {ours}_tasks.board CASCADE"),
        "SELECT * FROM terrace.tenant".into(),
        "SELECT * FROM terrace.operator".into(),
        "SELECT * FROM terrace_events.log".into(),
        "SELECT * FROM terrace_events.principal".into(),
        "UPDATE terrace_events.stream SET last_seq = 0".into(),
        "INSERT INTO terrace_events.cursor (service, tenant_id) VALUES ('tasks', 'x')".into(),
        "CREATE TABLE public.x (id int)".into(),
        "CREATE TEMPORARY TABLE x (id int)".into(),
        "CREATE SCHEMA x".into(),
        "SELECT set_config('role', 'none', false)".into(),
        "SELECT query_to_xml('select 1', true, true, '')".into(),
        "SELECT * FROM ts_stat('select to_tsvector(''a'')')".into(),
        "SELECT ts_rewrite('a'::tsquery, 'select ''a''::tsquery, ''b''::tsquery')".into(),
        "SELECT pg_advisory_lock(1)".into(),
        "SELECT pg_try_advisory_xact_lock(1)".into(),
        "SELECT lo_create(0)".into(),
        "SELECT pg_notify('a', 'b')".into(),
        "SELECT pg_sleep(0)".into(),
        "SELECT pg_read_file('PG_VERSION')".into(),
        "SELECT current_setting('role')".into(),
        "SELECT pg_get_userbyid(10)".into(),
        "SELECT pg_get_viewdef('pg_roles'::regclass)".into(),
        "SELECT * FROM pg_stat_get_activity(NULL)".into(),
        "SELECT pg_total_relation_size(1259)".into(),
        "SELECT pg_database_size(current_database())".into(),
        "SELECT to_regclass('terrace.tenant')".into(),
        "SELECT * FROM pg_lock_status()".into(),
        "SELECT * FROM pg_settings".into(),
        "SELECT * FROM pg_stat_activity".into(),
        "SELECT pg_ls_dir('.')".into(),
        "DO $$ BEGIN NULL; END $$".into(),
    ] {
        let refused = client.batch_execute(&sql).await.expect_err(&sql);
        assert_eq!(refused.code().unwrap().code(), "42501", "{sql}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_found_by_address_without_regard_to_case() {
    let world = World::new().await;
    let new = |name: &str| NewOperator {
        email: "Operator@Terrace.example".into(),
        name: name.into(),
        password_hash: "$argon2id$".into(),
    };
    world.directory.put_operator(new("One")).await.unwrap();
    world.directory.put_operator(new("Two")).await.unwrap();
    let found = world
        .directory
        .operator("operator@TERRACE.example")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.email.as_str(), found.name.as_str()),
        ("operator@terrace.example", "Two")
    );
    assert!(
        world
            .directory
            .operator("nobody@terrace.example")
            .await
            .unwrap()
            .is_none()
    );
}
