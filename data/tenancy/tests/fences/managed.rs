//! A managed PostgreSQL: the directory's login is no superuser, and built-ins stay everybody's.

use terrace_data_guard::Guard;
use terrace_data_router::ErrorKind;
use terrace_data_tenancy::{
    Fences, NewImport,
    testing::{World, deadline, principal},
};

use crate::{
    street::{Street, assert_listed},
    wire::Protocol,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_no_superuser_installs_creates_serves_and_deletes() {
    let street = Street::of(World::managed().await).await;
    assert_eq!(street.world.directory.fences(), Some(Fences::Managed));
    let mine = principal(&street.ours, "tasks");
    let sql = "SELECT secret FROM secret ORDER BY id";
    let rows = street.world.router.query(&mine, deadline(), sql, &[]).await.unwrap();
    assert_eq!(rows.rows.len(), 2);
    // Its memberships do not pile up: each would make every change of role slower.
    let memberships = "SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member
        WHERE r.rolname = 'platform' AND m.roleid IN (SELECT oid FROM pg_roles WHERE rolname LIKE 't\\_%')
          AND m.grantor = m.member";
    assert_eq!(street.world.count(memberships).await, 0);
    // Copied out and back in: equal, and no membership is left.
    let directory = &street.world.directory;
    let mut pieces = directory.export_tenant(&street.ours, "Olga").await.unwrap();
    let archive = directory.begin_archive().await.unwrap();
    let mut number = 0;
    while let Some(piece) = pieces.recv().await {
        directory
            .put_archive_part(&archive, number, piece.unwrap())
            .await
            .unwrap();
        number += 1;
    }
    let import = NewImport {
        archive,
        slug: "copy".parse().unwrap(),
        name: None,
        plan: None,
        force: false,
        actor: Some("Olga".to_owned()),
    };
    let copy = directory.import_tenant(import).await.unwrap();
    copy.end.await.unwrap().unwrap();
    let rows = street
        .world
        .router
        .query(&principal(&copy.tenant, "tasks"), deadline(), sql, &[])
        .await
        .unwrap();
    assert_eq!(rows.rows.len(), 2);
    assert_eq!(street.world.count(memberships).await, 0);
    street
        .world
        .service("later", &[("0001_a.sql", "CREATE TABLE a (b int)")])
        .await;
    street
        .world
        .directory
        .delete_tenant(&street.ours, "operator@terrace.example")
        .await
        .unwrap();
    let left = format!(
        "SELECT count(*) FROM pg_roles WHERE starts_with(rolname, '{}_')",
        street.ours
    );
    assert_eq!(street.world.count(&left).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_managed_server_the_whole_corpus_is_refused_before_it_is_sent() {
    let street = Street::of(World::managed().await).await;
    let before = street.state().await;
    let mine = principal(&street.ours, "tasks");
    for attack in street.attacks() {
        let error = street
            .world
            .router
            .query(&mine, deadline(), &attack.sql, &[])
            .await
            .unwrap_err();
        assert!(
            matches!(error.kind, ErrorKind::Refused | ErrorKind::Syntax) && error.sqlstate.is_none(),
            "`{}`: {error}",
            attack.line
        );
    }
    assert_eq!(street.state().await, before);
    assert_eq!(
        street.world.router.health().len(),
        0,
        "no connection was opened for any of them"
    );
}

/// What roles cannot hold when nothing is revoked: the list that the guard alone stands for.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_managed_server_roles_alone_hold_less_and_the_guard_refuses_all_of_that() {
    let street = Street::of(World::managed().await).await;
    let (login, password) = street.world.lane_login(&street.ours).await;
    let found = street.naive(&login, &password, Protocol::Extended).await;
    assert_listed("roles_managed", &found, &street).await;
    assert!(
        found.iter().any(|line| line.contains("query_to_xml")),
        "built-ins are not revoked here"
    );
}

/// `s.f`, where `s` is a row, is a call of `f` when `s` has no column of that name. The guard cannot
/// tell one from the other, so every function that takes any row must be harmless. A new PostgreSQL
/// with another one turns this red.
#[tokio::test(flavor = "multi_thread")]
async fn what_takes_any_row_tells_nothing_but_the_row() {
    let street = Street::of(World::managed().await).await;
    let sql = "SELECT DISTINCT p.proname::text FROM pg_proc p JOIN pg_type t ON t.oid = p.proargtypes[0]
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.pronargs - p.pronargdefaults <= 1 AND p.pronargs >= 1
          AND t.typname IN ('any', 'anyelement', 'anynonarray', 'anycompatible', 'anycompatiblenonarray', 'record')
        ORDER BY 1";
    let names: Vec<String> = street
        .admin
        .query(sql, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let harmless = include_str!("any_row.txt");
    let harmless: Vec<&str> = harmless.lines().filter(|line| !line.starts_with('#')).collect();
    let new: Vec<_> = names.iter().filter(|name| !harmless.contains(&name.as_str())).collect();
    assert!(
        new.is_empty(),
        "look at these, and list them in any_row.txt when they are harmless: {new:?}"
    );
    // And what it calls by name is on the list, whatever the server would allow.
    let guard = Guard::new(16);
    for name in names {
        let sql = format!("SELECT s.{name} FROM secret s");
        if guard.check(&sql).is_err() {
            continue;
        }
        let mine = principal(&street.ours, "tasks");
        // A function that cannot take a row says so; none may show what is another's.
        if let Ok(rows) = street.world.router.query(&mine, deadline(), &sql, &[]).await {
            assert!(!format!("{rows:?}").contains(&street.their_secret()), "{sql}");
        }
    }
}
