//! The private server: made once, found again, adopted, stopped, and clear about what is wrong.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{os::unix::fs::PermissionsExt, path::Path, sync::Mutex};

use terrace_data_embedded::{Config, Error, Postgres, testing::Scratch};
use tokio_postgres::NoTls;

fn config(directory: &Path) -> Config {
    Config::in_directory(directory.join("postgres"), directory.join("secrets/postgres"))
}

/// A directory that PostgreSQL's user can walk into.
fn open_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

async fn value(postgres: &Postgres, sql: &str) -> String {
    let (client, driver) = postgres.connection().client_config().connect(NoTls).await.unwrap();
    tokio::spawn(driver);
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn what_was_written_is_there_after_a_clean_stop_and_a_second_start_makes_nothing_anew() {
    let directory = open_directory();
    let lines = Mutex::new(Vec::new());
    let note = |line: &str| lines.lock().unwrap().push(line.to_owned());
    let postgres = Postgres::start(config(directory.path()), &note).await.unwrap();
    assert_eq!(value(&postgres, "SELECT current_database()::text").await, "terrace");
    assert_eq!(value(&postgres, "SELECT current_setting('listen_addresses')").await, "");
    assert_eq!(value(&postgres, "SELECT current_setting('fsync')").await, "on");
    assert_eq!(
        value(
            &postgres,
            "SELECT datcollate::text || pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'terrace'"
        )
        .await,
        "CUTF8"
    );
    let mode = std::fs::metadata(directory.path().join("secrets/postgres"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    value(
        &postgres,
        "WITH made AS (SELECT set_config('x.y', 'z', false)) SELECT 'ok'::text FROM made",
    )
    .await;
    let (client, driver) = postgres.connection().client_config().connect(NoTls).await.unwrap();
    tokio::spawn(driver);
    client
        .batch_execute("CREATE TABLE kept AS SELECT 'still here'::text AS it")
        .await
        .unwrap();
    drop(client);
    postgres.stop().await.unwrap();
    assert!(lines.lock().unwrap().iter().any(|line| line.starts_with("Making")));

    lines.lock().unwrap().clear();
    let postgres = Postgres::start(config(directory.path()), &note).await.unwrap();
    assert_eq!(value(&postgres, "SELECT it FROM kept").await, "still here");
    assert!(!lines.lock().unwrap().iter().any(|line| line.starts_with("Making")));
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_whose_supervisor_died_is_adopted_and_a_stale_pid_file_is_not() {
    let directory = open_directory();
    let mut first = Postgres::start(config(directory.path()), &|_| {}).await.unwrap();
    let second = Postgres::start(config(directory.path()), &|_| {}).await.unwrap();
    assert!(second.was_adopted());
    assert_eq!(second.pid(), first.pid());
    second.stop().await.unwrap();
    first.wait().await;

    // The process with this number is a live one, but it is no PostgreSQL.
    let data = directory.path().join("postgres/data");
    std::fs::write(
        data.join("postmaster.pid"),
        format!("{}\n{}\n", std::process::id(), data.display()),
    )
    .unwrap();
    let third = Postgres::start(config(directory.path()), &|_| {}).await;
    // PostgreSQL itself may take a live number for a postmaster of another user, and says so.
    match third {
        Ok(third) => {
            assert!(!third.was_adopted());
            third.stop().await.unwrap();
        }
        Err(error) => assert!(matches!(error, Error::Start { .. }), "{error}"),
    }
}

#[tokio::test]
async fn each_thing_that_is_wrong_is_said_in_one_sentence() {
    let directory = open_directory();
    let mut wrong = config(directory.path());
    wrong.pg_bin = Some(directory.path().to_owned());
    let error = Postgres::start(wrong, &|_| {}).await.unwrap_err();
    assert!(matches!(error, Error::Unusable { .. }), "{error}");

    let postgres = Postgres::start(config(directory.path()), &|_| {}).await.unwrap();
    let major = postgres.major_version();
    postgres.stop().await.unwrap();

    let password = directory.path().join("secrets/postgres");
    let kept = std::fs::read(&password).unwrap();
    std::fs::remove_file(&password).unwrap();
    let error = Postgres::start(config(directory.path()), &|_| {}).await.unwrap_err();
    assert!(matches!(error, Error::PasswordMissing { .. }), "{error}");
    std::fs::write(&password, kept).unwrap();

    let mut broken = config(directory.path());
    broken.settings.push(("no_such_setting".to_owned(), "1".to_owned()));
    let error = Postgres::start(broken, &|_| {}).await.unwrap_err();
    assert!(error.to_string().contains("no_such_setting"), "{error}");

    std::fs::write(directory.path().join("postgres/data/PG_VERSION"), "9\n").unwrap();
    let error = Postgres::start(config(directory.path()), &|_| {}).await.unwrap_err();
    assert!(
        matches!(error, Error::MajorVersion { data: 9, found, .. } if found == major),
        "{error}"
    );
}

#[tokio::test]
async fn under_a_directory_that_its_user_cannot_enter_the_data_goes_elsewhere_and_is_erased_from_there() {
    if !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let closed = tempfile::tempdir().unwrap();
    std::fs::set_permissions(closed.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let lines = Mutex::new(Vec::new());
    let note = |line: &str| lines.lock().unwrap().push(line.to_owned());
    let postgres = Postgres::start(config(closed.path()), &note).await.unwrap();
    let socket_dir = postgres.connection().socket_dir;
    assert!(socket_dir.starts_with("/var/lib/terrace"), "{}", socket_dir.display());
    assert!(lines.lock().unwrap()[0].contains("/var/lib/terrace"));
    // Running or not, and wherever it is, all of it goes.
    Postgres::erase(&config(closed.path())).await.unwrap();
    assert!(!socket_dir.parent().unwrap().exists());
    assert!(!closed.path().join("secrets/postgres").exists());
    let again = Postgres::start(config(closed.path()), &|_| {}).await.unwrap();
    assert!(!again.was_adopted());
    again.stop().await.unwrap();
    Postgres::erase(&config(closed.path())).await.unwrap();
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_gets_a_short_one() {
    let directory = open_directory();
    let mut long = config(directory.path());
    long.root = directory.path().join("x".repeat(90)).join("postgres");
    let postgres = Postgres::start(long, &|_| {}).await.unwrap();
    let socket_dir = postgres.connection().socket_dir;
    assert!(socket_dir.as_os_str().len() < 40, "{}", socket_dir.display());
    postgres.stop().await.unwrap();
    std::fs::remove_dir_all(socket_dir).unwrap();
}

#[tokio::test]
async fn what_was_committed_survives_a_crash_of_a_scratch_server() {
    let scratch = Scratch::alone().await;
    scratch
        .admin()
        .await
        .batch_execute("CREATE TABLE kept AS SELECT 1 AS it")
        .await
        .unwrap();
    scratch.crash().await;
    scratch.start().await;
    let row = scratch
        .admin()
        .await
        .query_one("SELECT it FROM kept", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i32>(0), 1);
}
