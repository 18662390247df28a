//! The third fence, the tags, with the two others removed: no guard reads the statements, and the
//! database lets every tenant do everything to everybody.
//!
//! A tag tells what a statement *was*. So the tags hold whatever is no SELECT, INSERT, UPDATE or DELETE:
//! changes of role, session and transaction, DDL, COPY, DO, LISTEN. They cannot hold what hides in one
//! of the four: another schema's name, or a function that does something. `alone/tags_*.txt` lists
//! those by trick, and they are what the roles and the guard are for. Nor can they undo what went in one
//! flight with its COMMIT: no byte of it comes back, and what it wrote stays (`harm`). How the two others do alone is in
//! `data/tenancy/tests/fences`, with the table of which test turns red when which fence is removed.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use crate::{
    corpus::{Attack, corpus},
    house::{A, B, C, House, principal, soon},
};
use terrace_data_router::{Config, Error, ErrorKind, Placements, Router, Rows, Value};

fn unguarded(house: &House) -> Router {
    Router::without_guard_for_tests(Config::default(), Arc::clone(&house.placements) as Arc<dyn Placements>)
}

fn leaks(outcome: &Result<Rows, Error>, tenant: &str) -> bool {
    format!("{outcome:?}").contains(&format!("the secret of {tenant}"))
}

/// The router destroyed the connection for what it answered.
fn is_stopped(outcome: &Result<Rows, Error>) -> bool {
    matches!(outcome, Err(error) if error.kind == ErrorKind::Refused && error.sqlstate.is_none())
}

/// One who is told nothing: the neighbour, as a superuser sees it.
async fn state(admin: &tokio_postgres::Client, other: &str) -> String {
    // A connection that was destroyed may still have to commit what it was sent.
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND datname = current_database() AND state IS DISTINCT FROM 'idle'";
    // An attack that takes all the room for locks leaves none for this question either.
    while admin
        .query_one(busy, &[])
        .await
        .map_or(true, |row| row.get::<_, i64>(0) > 0)
    {
        tokio::task::yield_now().await;
    }
    // What is temporary goes when its session has ended, some time after the attack.
    let lasting = "pronamespace IN (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_temp')";
    let sql = format!(
        "SELECT concat_ws(' ', (SELECT md5(string_agg(s::text, ',' ORDER BY s::text)) FROM {other}_tasks.secret s),
            (SELECT count(*) FROM pg_class WHERE relpersistence <> 't'), (SELECT count(*) FROM pg_proc WHERE {lasting}),
            (SELECT count(*) FROM pg_namespace WHERE nspname !~ '^pg_'), (SELECT count(*) FROM pg_roles),
            (SELECT count(*) FROM pg_largeobject_metadata), (SELECT count(*) FROM pg_db_role_setting))"
    );
    admin.query_one(&sql, &[]).await.unwrap().get(0)
}

async fn mend(admin: &tokio_postgres::Client, other: &str) {
    let sql = format!(
        "TRUNCATE {other}_tasks.secret RESTART IDENTITY; INSERT INTO {other}_tasks.secret (secret) VALUES ('the secret of {other}')"
    );
    admin.batch_execute(&sql).await.unwrap();
}

/// None of them needs longer to show what it does.
fn brief() -> std::time::Instant {
    std::time::Instant::now() + std::time::Duration::from_secs(1)
}

fn params(attack: &Attack) -> Vec<Value> {
    attack.param.iter().map(|param| Value::Text(param.clone())).collect()
}

async fn extended(router: &Router, attack: &Attack) -> Vec<Result<Rows, Error>> {
    let steal = format!("SELECT secret FROM {B}_tasks.secret /* {} */", attack.sql.len());
    let mut transaction = router.begin(&principal(A), brief()).await.unwrap();
    let mut outcomes = vec![transaction.query(&attack.sql, &params(attack)).await];
    // Does it go on after a wrong tag? Only then it says something about this fence.
    if is_stopped(&outcomes[0]) {
        outcomes.push(transaction.query(&steal, &[]).await);
        transaction.rollback().await;
    } else {
        drop(transaction.commit(&[]).await);
    }
    outcomes.push(router.query(&principal(A), brief(), &attack.sql, &params(attack)).await);
    outcomes
}

async fn simple(router: &Router, attack: &Attack) -> Vec<Result<Rows, Error>> {
    let sql = match &attack.param {
        Some(param) => attack.sql.replace("$1", &format!("'{}'", param.replace('\'', "''"))),
        None => attack.sql.clone(),
    };
    router
        .simple_for_tests(&principal(A), brief(), &[sql.as_str(), "SELECT 1"])
        .await
}

/// What reached foreign bytes (`leak`) or changed something (`harm`), and what was stopped by its tag.
async fn run(house: &House, is_simple: bool) -> (BTreeSet<String>, BTreeSet<String>) {
    let router = unguarded(house);
    let (mut found, mut stopped) = (BTreeSet::new(), BTreeSet::new());
    let admin = house.scratch.admin().await;
    mend(&admin, B).await;
    let mut before = state(&admin, B).await;
    for attack in corpus("attacks", &format!("{B}_tasks")) {
        // Waits for a minute and more, which shows nothing; `pg_sleep(0)` is in the corpus too.
        if [
            "pg_sleep(1",
            "pg_sleep('1",
            "pg_sleep_",
            "(1).pg_sleep",
            "(ARRAY[1]).pg_sleep",
        ]
        .iter()
        .any(|wait| attack.sql.contains(wait))
        {
            continue;
        }
        let outcomes = if is_simple {
            simple(&router, &attack).await
        } else {
            extended(&router, &attack).await
        };
        let name = format!("{}: {}", attack.trick, attack.line);
        if outcomes.iter().any(|outcome| leaks(outcome, B)) {
            found.insert(format!("leak  {name}"));
        }
        if outcomes.iter().any(is_stopped) {
            stopped.insert(name.clone());
        }
        if state(&admin, B).await != before {
            found.insert(format!("harm  {name}"));
            mend(&admin, B).await;
            before = state(&admin, B).await;
        }
        // Whatever it left behind does not serve the next one.
        let own = "SELECT secret, current_user::text FROM t_aaaaaaaa_tasks.secret";
        let rows = router.query(&principal(A), soon(), own, &[]).await;
        assert!(leaks(&rows, A) && !leaks(&rows, B), "after `{}`: {rows:?}", attack.line);
        assert!(
            format!("{rows:?}").contains("t_aaaaaaaa_tasks"),
            "after `{}`: {rows:?}",
            attack.line
        );
    }
    (found, stopped)
}

/// Compares with the list of what is known; lines that begin with `since 16` are for that version of
/// PostgreSQL and newer ones.
async fn assert_listed(house: &House, name: &str, found: &BTreeSet<String>) {
    let admin = house.scratch.admin().await;
    let major = "SELECT current_setting('server_version_num')::integer / 10000";
    let major: i32 = admin.query_one(major, &[]).await.unwrap().get(0);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/router/alone/{name}.txt"));
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let listed: BTreeSet<String> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| match line.strip_prefix("since ") {
            Some(rest) => {
                let (since, line) = rest.split_once(' ')?;
                (since.parse::<i32>().unwrap() <= major).then_some(line)
            }
            None => Some(line),
        })
        .map(str::to_owned)
        .collect();
    let new: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(found).collect();
    if !new.is_empty() || !gone.is_empty() {
        let seen = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.txt"));
        std::fs::write(&seen, found.iter().fold(String::new(), |text, line| text + line + "\n")).unwrap();
        panic!(
            "{} is not what was seen ({}).\nnew: {new:#?}\ngone: {gone:#?}",
            path.display(),
            seen.display()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_alone_hold_whatever_is_none_of_the_four_statements_extended() {
    let house = House::without_roles(Config::default()).await;
    let (found, stopped) = run(&house, false).await;
    assert_listed(&house, "tags_extended", &found).await;
    for attack in [
        "role: RESET ROLE",
        "transaction: COMMIT",
        "session: LISTEN events",
        "transaction: SAVEPOINT a",
    ] {
        assert!(stopped.contains(attack), "{attack} was not stopped by its tag");
    }
    assert!(stopped.iter().any(|attack| attack.contains("SET ROLE")));
    assert!(stopped.iter().any(|attack| attack.contains("DO $$")));
    assert!(stopped.len() > 100, "{}", stopped.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_alone_hold_whatever_is_none_of_the_four_statements_simple() {
    let house = House::without_roles(Config::default()).await;
    let (found, stopped) = run(&house, true).await;
    assert_listed(&house, "tags_simple", &found).await;
    assert!(stopped.iter().any(|attack| attack.contains("SELECT 1; RESET ROLE")));
    assert!(stopped.len() > 100, "{}", stopped.len());
}

#[tokio::test]
async fn the_same_statement_shows_each_tenant_its_own_rows_in_one_lane_and_in_two() {
    let house = House::new(Config::default()).await;
    for _ in 0..3 {
        for tenant in [A, B, C] {
            let rows = house.query(tenant, "SELECT secret FROM secret", &[]).await.unwrap();
            assert_eq!(rows.rows, [[Value::Text(format!("the secret of {tenant}"))]]);
        }
    }
    let health = house.router.health();
    assert_eq!(health.len(), 2);
    assert!(
        health.iter().all(|lane| lane.opened == 1),
        "one connection served both tenants of the lane: {health:?}"
    );
}
