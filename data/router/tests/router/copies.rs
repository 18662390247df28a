//! COPY out: one moment of a schema, as fast as somebody reads it.

use crate::house::{A, House, principal, soon};
use terrace_data_router::{Config, ErrorKind};

async fn copied(export: &mut terrace_data_router::Export, table: &str, columns: &[&str]) -> String {
    let mut copy = export.copy(table, columns).await.unwrap();
    let mut text = Vec::new();
    while let Some(chunk) = copy.chunk().await.unwrap() {
        assert_eq!(chunk.last(), Some(&b'\n'), "whole rows");
        text.extend_from_slice(&chunk);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn an_export_sees_one_moment_of_all_tables_and_gives_the_connection_back() {
    let house = House::new(Config::default()).await;
    let insert = "INSERT INTO items (title) SELECT 'title ' || n FROM generate_series(1, 5000) AS n";
    house.query(A, insert, &[]).await.unwrap();
    let mut export = house.router.export(&principal(A), soon()).await.unwrap();
    // What happens from now on is not in it, whichever table is copied when.
    house.query(A, "DELETE FROM items", &[]).await.unwrap();
    house.query(A, "UPDATE secret SET secret = 'later'", &[]).await.unwrap();
    let items = copied(&mut export, "items", &[]).await;
    assert_eq!(items.lines().count(), 5_000);
    assert!(items.starts_with("1\ttitle 1\n"), "{}", &items[..20]);
    assert_eq!(
        copied(&mut export, "secret", &["secret"]).await,
        format!("the secret of {A}\n")
    );
    export.end().await;
    let lane = house.router.health().into_iter().find(|lane| lane.opened > 0).unwrap();
    assert_eq!((lane.destroyed, lane.in_use), (0, 0));
    assert_eq!(house.router.stats(&principal(A).tenant).in_flight, 0);
}

#[tokio::test]
async fn an_export_reaches_its_own_schema_only_and_an_error_ends_it() {
    let house = House::new(Config::default()).await;
    for (table, kind) in [
        ("nothing", ErrorKind::Syntax),
        // A name is a name: it is quoted, whatever it holds.
        ("secret\" TO PROGRAM 'sh' --", ErrorKind::Syntax),
        ("t_bbbbbbbb_tasks.secret", ErrorKind::Syntax),
    ] {
        let mut export = house.router.export(&principal(A), soon()).await.unwrap();
        assert_eq!(export.copy(table, &[]).await.err().unwrap().kind, kind, "{table}");
        assert_eq!(
            export.copy("items", &[]).await.err().unwrap().kind,
            ErrorKind::Unavailable
        );
    }
    let mut export = house.router.export(&principal(A), soon()).await.unwrap();
    let nothing = export.copy("items", &["a\", (select 1)"]).await;
    assert_eq!(nothing.err().unwrap().kind, ErrorKind::Syntax);
}

#[tokio::test]
async fn a_copy_that_nobody_reads_on_makes_the_server_wait_and_dropping_it_ends_it() {
    let house = House::alone(Config::default()).await;
    let insert = "INSERT INTO secret (secret) SELECT repeat('x', 10000) FROM generate_series(1, 5000) AS n";
    house.query(A, insert, &[]).await.unwrap();
    let admin = house.scratch.admin().await;
    let mut export = house.router.export(&principal(A), soon()).await.unwrap();
    let mut copy = export.copy("secret", &[]).await.unwrap();
    assert!(copy.chunk().await.unwrap().unwrap().len() < 200_000);
    let waiting = "SELECT wait_event FROM pg_stat_activity WHERE usename LIKE 'lane%' AND state = 'active'";
    loop {
        let row = admin.query_opt(waiting, &[]).await.unwrap();
        let event: Option<String> = row.and_then(|row| row.get(0));
        if event.as_deref() == Some("ClientWrite") {
            break;
        }
        tokio::task::yield_now().await;
    }
    drop(export);
    let left = "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'lane%' AND state = 'active'";
    let began = std::time::Instant::now();
    while admin.query_one(left, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "it still sends");
    }
    assert_eq!(house.query(A, "SELECT 1", &[]).await.unwrap().rows.len(), 1);
}
