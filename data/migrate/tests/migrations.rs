//! The laws of migrations, over a real PostgreSQL: once, whole, resumable, and one tenant alone.

#![expect(clippy::unwrap_used, reason = "a test fails where it is surprised")]

use std::{sync::Arc, time::Duration};

use terrace_data_migrate::{Config, Error, File, Migrations, apply, apply_all};
use terrace_data_router::Value;
use terrace_data_tenancy::testing::{World, deadline, principal};
use terrace_ground_ids::TenantId;

const NOTES: &str = "CREATE TABLE note (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, text text NOT NULL)";
const FIRST: &str = "INSERT INTO note (text) VALUES ('the first')";
const UNIQUE: &str =
    "ALTER TABLE note ADD COLUMN done boolean NOT NULL DEFAULT false; CREATE UNIQUE INDEX note_text ON note (text)";

fn migrations(texts: &[&str]) -> Migrations {
    let files: Vec<File> = texts
        .iter()
        .enumerate()
        .map(|(index, sql)| File {
            name: format!("{:04}_step.sql", index + 1),
            sql: (*sql).to_owned(),
        })
        .collect();
    Migrations::read(&"notes".parse().unwrap(), &files).unwrap()
}

/// Tenants with the empty schema of a service, in the order of their ids.
async fn tenants(world: &World, count: usize) -> Vec<TenantId> {
    world.service("notes", &[]).await;
    let mut tenants = Vec::new();
    for index in 0..count {
        tenants.push(world.tenant(&format!("tenant-{index}")).await.id.clone());
    }
    tenants
}

async fn insert(world: &World, tenant: &TenantId, text: &str) {
    let sql = "INSERT INTO note (text) VALUES ($1)";
    world
        .router
        .query(
            &principal(tenant, "notes"),
            deadline(),
            sql,
            &[Value::Text(text.into())],
        )
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn runners_that_meet_apply_each_migration_once() {
    let world = World::new().await;
    let tenant = tenants(&world, 1).await.remove(0);
    let all = migrations(&[NOTES, FIRST, UNIQUE]);
    let runners: Vec<_> = (0..6)
        .map(|_| {
            let (pool, tenant, all) = (world.directory.pool().clone(), tenant.clone(), all.clone());
            tokio::spawn(async move { apply(&mut pool.get().await.unwrap(), &tenant, &all, &Config::default()).await })
        })
        .collect();
    let mut applied = 0;
    for runner in runners {
        applied += runner.await.unwrap().unwrap();
    }
    assert_eq!(applied, 3);
    assert_eq!(
        world.count(&format!("SELECT count(*) FROM {tenant}_notes.note")).await,
        1
    );
    assert_eq!(world.count("SELECT count(*) FROM terrace.migration").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_is_killed_inside_a_migration_leaves_nothing_of_it_and_the_next_one_finishes() {
    let world = World::new().await;
    let tenant = tenants(&world, 1).await.remove(0);
    apply(
        &mut world.directory.pool().get().await.unwrap(),
        &tenant,
        &migrations(&[NOTES]),
        &Config::default(),
    )
    .await
    .unwrap();
    // The migration inserts, and then waits for the table that another transaction holds.
    let mut blocker = world.admin().await;
    let blocking = blocker.transaction().await.unwrap();
    blocking
        .batch_execute(&format!("LOCK TABLE {tenant}_notes.note IN SHARE ROW EXCLUSIVE MODE"))
        .await
        .unwrap();
    let all = migrations(&[NOTES, &format!("CREATE TABLE before_it (id bigint); {FIRST}"), UNIQUE]);
    let (pool, id, config) = (
        world.directory.pool().clone(),
        tenant.clone(),
        Config {
            lock_timeout_ms: 60_000,
            ..Config::default()
        },
    );
    let runner = tokio::spawn({
        let all = all.clone();
        async move { apply(&mut pool.get().await.unwrap(), &id, &all, &config).await }
    });
    let killed = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%note%'";
    while world.count(killed).await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(matches!(
        runner.await.unwrap(),
        Err(Error::Ledger(_) | Error::Statement { .. })
    ));
    blocking.rollback().await.unwrap();
    let half = "SELECT count(*) FROM pg_tables WHERE tablename = 'before_it'";
    assert_eq!(world.count(half).await, 0, "what the migration did before is undone");
    assert_eq!(
        world.count(&format!("SELECT count(*) FROM {tenant}_notes.note")).await,
        0
    );
    let applied = apply(
        &mut world.directory.pool().get().await.unwrap(),
        &tenant,
        &all,
        &Config::default(),
    )
    .await
    .unwrap();
    assert_eq!(applied, 2);
    assert_eq!(
        world.count(&format!("SELECT count(*) FROM {tenant}_notes.note")).await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_fails_leaves_nothing_of_itself_and_says_where() {
    let world = World::new().await;
    let tenant = tenants(&world, 1).await.remove(0);
    let mut client = world.directory.pool().get().await.unwrap();
    let bad = migrations(&[
        NOTES,
        "CREATE TABLE other (id int); INSERT INTO note (text) VALUES (NULL); CREATE TABLE third (id int)",
    ]);
    let error = apply(&mut client, &tenant, &bad, &Config::default()).await.unwrap_err();
    assert!(
        matches!(&error, Error::Statement { statement: 2, sqlstate: Some(code), .. } if code == "23502"),
        "{error}"
    );
    let exists = format!(
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = '{tenant}_notes' AND relname IN ('other', 'third')"
    );
    assert_eq!(world.count(&exists).await, 0);
    // What was never applied may be mended; what was applied may not be changed.
    assert_eq!(
        apply(&mut client, &tenant, &migrations(&[NOTES, FIRST]), &Config::default())
            .await
            .unwrap(),
        1
    );
    let changed = migrations(&[NOTES, "INSERT INTO note (text) VALUES ('another first')"]);
    assert!(matches!(
        apply(&mut client, &tenant, &changed, &Config::default()).await,
        Err(Error::Changed { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_belong_to_the_owner_and_the_service_may_only_work_with_rows() {
    let world = World::new().await;
    let tenant = tenants(&world, 1).await.remove(0);
    apply(
        &mut world.directory.pool().get().await.unwrap(),
        &tenant,
        &migrations(&[NOTES]),
        &Config::default(),
    )
    .await
    .unwrap();
    let owners =
        format!("SELECT count(*) FROM pg_tables WHERE schemaname = '{tenant}_notes' AND tableowner = '{tenant}_owner'");
    assert_eq!(world.count(&owners).await, 1);
    insert(&world, &tenant, "a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenants_failure_stops_nobody_but_a_canarys_stops_all() {
    let world = World::new().await;
    let tenants = tenants(&world, 4).await;
    let pool = world.directory.pool();
    assert!(
        apply_all(pool, &tenants, &migrations(&[NOTES]), &Config::default(), &|_| ())
            .await
            .is_complete()
    );
    insert(&world, &tenants[2], "twice").await;
    insert(&world, &tenants[2], "twice").await;
    let all = migrations(&[NOTES, UNIQUE]);
    let canary = [tenants[2].clone(), tenants[0].clone()];
    let report = apply_all(pool, &canary, &all, &Config::default(), &|_| ()).await;
    assert_eq!(
        (report.failed.len(), report.untouched.as_slice(), report.migrated),
        (1, &tenants[..1], 0)
    );

    let report = apply_all(pool, &tenants, &all, &Config::default(), &|_| ()).await;
    assert_eq!(
        (report.migrated, report.failed.len(), &report.failed[0].0),
        (3, 1, &tenants[2])
    );
    world
        .admin()
        .await
        .batch_execute(&format!("DELETE FROM {}_notes.note WHERE id = 2", tenants[2]))
        .await
        .unwrap();
    let report = apply_all(pool, &tenants, &all, &Config::default(), &|_| ()).await;
    assert_eq!(
        (report.migrated, report.current),
        (1, 3),
        "resumed: only what was missing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_gives_up_on_a_lock_instead_of_holding_the_tenants_requests_behind_it() {
    let world = World::new().await;
    let tenant = tenants(&world, 1).await.remove(0);
    let pool = world.directory.pool().clone();
    apply(
        &mut pool.get().await.unwrap(),
        &tenant,
        &migrations(&[NOTES]),
        &Config::default(),
    )
    .await
    .unwrap();
    let mut blocker = world.admin().await;
    let blocking = blocker.transaction().await.unwrap();
    blocking
        .batch_execute(&format!("SELECT * FROM {tenant}_notes.note"))
        .await
        .unwrap();
    let config = Config {
        lock_timeout_ms: 20,
        lock_attempts: 3,
        ..Config::default()
    };
    let all = migrations(&[NOTES, UNIQUE]);
    let error = apply(&mut pool.get().await.unwrap(), &tenant, &all, &config)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Locked { attempts: 3, .. }), "{error}");
    // The reader still holds its lock; the tenant's own requests pass it.
    insert(&world, &tenant, "meanwhile").await;
    blocking.rollback().await.unwrap();
    assert_eq!(
        apply(&mut pool.get().await.unwrap(), &tenant, &all, &config)
            .await
            .unwrap(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_for_every_schema() {
    let world = World::new().await;
    let tenants = tenants(&world, 3).await;
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = told.clone();
    apply_all(
        world.directory.pool(),
        &tenants,
        &migrations(&[NOTES]),
        &Config::default(),
        &move |p| sink.lock().unwrap().push(p.done),
    )
    .await;
    assert_eq!(*told.lock().unwrap(), [1, 2, 3]);
}

/// What the release before uses.
const USED: &str =
    "CREATE TABLE note (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, text text NOT NULL, extra text)";
/// How it does.
const USES: [&str; 6] = [
    "INSERT INTO note (text) VALUES ('a')",
    "INSERT INTO note (text, extra) VALUES ('a', 'x')",
    "SELECT id, text, extra FROM note",
    "UPDATE note SET text = 'b' WHERE extra IS NULL",
    "SELECT count(*) FROM note WHERE text = 'b'",
    "DELETE FROM note WHERE id > 0",
];

/// The first thing that the release before cannot do any more.
async fn use_it(world: &World, tenant: &TenantId) -> Result<(), String> {
    for sql in USES {
        let done = world
            .router
            .query(&principal(tenant, "notes"), deadline(), sql, &[])
            .await;
        done.map_err(|error| format!("{sql}: {error}"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_served_release_works_on_schemas_that_the_next_one_has_migrated_unless_that_was_forced() {
    let adds = [
        "ALTER TABLE note ADD COLUMN more text",
        "ALTER TABLE note ADD COLUMN more text NOT NULL DEFAULT ''",
        "ALTER TABLE note ADD COLUMN at timestamptz NOT NULL DEFAULT now()",
        "ALTER TABLE note ALTER COLUMN text DROP NOT NULL",
        "ALTER TABLE note ALTER COLUMN extra SET DEFAULT 'x'",
        "CREATE INDEX note_text ON note (text)",
        "CREATE TABLE other (id bigint PRIMARY KEY, note bigint REFERENCES note)",
        "UPDATE note SET extra = '' WHERE extra IS NULL",
    ];
    let takes = [
        "ALTER TABLE note DROP COLUMN extra",
        "ALTER TABLE note RENAME COLUMN text TO title",
        "ALTER TABLE note RENAME TO memo",
        "ALTER TABLE note ALTER COLUMN extra SET NOT NULL",
        "ALTER TABLE note ALTER COLUMN text TYPE integer USING 1",
        "ALTER TABLE note ADD COLUMN must text NOT NULL",
        "ALTER TABLE note ADD CONSTRAINT never CHECK (text <> 'a') NOT VALID",
        "CREATE UNIQUE INDEX note_text ON note (text)",
        "DROP TABLE note",
    ];
    let world = World::new().await;
    let tenants = tenants(&world, adds.len() + takes.len()).await;
    let before = migrations(&[USED]);
    let report = apply_all(world.directory.pool(), &tenants, &before, &Config::default(), &|_| ()).await;
    assert!(report.is_complete(), "{report:?}");
    for (sql, tenant) in adds.into_iter().chain(takes).zip(&tenants) {
        let next = migrations(&[USED, sql]);
        let is_refused = !next.contractions(1).is_empty();
        assert_eq!(is_refused, takes.contains(&sql), "{sql}: {:?}", next.contractions(1));
        // Its connections are warm: the roll-out meets a release that runs.
        assert_eq!(use_it(&world, tenant).await, Ok(()), "before {sql}");
        let mut client = world.directory.pool().get().await.unwrap();
        apply(&mut client, tenant, &next, &Config::default()).await.unwrap();
        let used = use_it(&world, tenant).await;
        assert_eq!(used.is_err(), is_refused, "after {sql}: {used:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_goes_on_where_it_was_and_no_schema_is_touched_twice() {
    let world = World::new().await;
    let tenants = tenants(&world, 12).await;
    // A schema that is migrated twice fails: the column is there.
    let all = migrations(&[
        NOTES,
        FIRST,
        "ALTER TABLE note ADD COLUMN done boolean NOT NULL DEFAULT false",
    ]);
    let pool = world.directory.pool().clone();
    for _ in 0..3 {
        let (pool, tenants, all) = (pool.clone(), tenants.clone(), all.clone());
        let (sender, mut done) = tokio::sync::mpsc::unbounded_channel();
        let run = tokio::spawn(async move {
            let config = Config::default();
            apply_all(&pool, &tenants, &all, &config, &move |progress| {
                let _ = sender.send(progress.done);
            })
            .await
        });
        // Somewhere in the middle, with transactions under way.
        for _ in 0..3 {
            done.recv().await;
        }
        run.abort();
    }
    let report = apply_all(&pool, &tenants, &all, &Config::default(), &|_| ()).await;
    assert!(report.is_complete(), "{report:?}");
    assert!(report.current >= 3, "what was done is not asked for again: {report:?}");
    assert_eq!(world.count("SELECT count(*) FROM terrace.migration").await, 36);
    for tenant in &tenants {
        let rows = format!("SELECT count(*) FROM {tenant}_notes.note WHERE NOT done");
        assert_eq!(world.count(&rows).await, 1, "{tenant}");
    }
}
