//! One tenant out and in again, among all the others: ours beside `pg_dump -n` and `psql`.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use terrace_data_tenancy::{ARCHIVE_PART_BYTES_MAX, NewImport, Tenant};
use terrace_ground_ids::ArchiveId;

use crate::Figure;

use super::{
    samples::Samples,
    say,
    stage::{Stage, fill, schema},
};

const ROWS: i64 = 20_000;
const EXPORTS: usize = 10;
/// The peer takes long.
const DUMPS: usize = 2;

/// With as many tenants as the stage has.
pub(super) async fn measure(stage: &Stage) -> Result<Vec<Figure>> {
    let tenant = stage.world.tenant("exported").await;
    fill(&stage.admin, &schema(&tenant), ROWS).await?;
    let around = stage.world.directory.tenants().len();
    let (mut exports, mut imports) = (Samples::default(), Samples::default());
    for number in 0..EXPORTS {
        let began = Instant::now();
        let archive = export(stage, &tenant).await?;
        exports.add(vec![began.elapsed()], began.elapsed());
        let began = Instant::now();
        import(stage, &archive, number).await?;
        imports.add(vec![began.elapsed()], began.elapsed());
    }
    let (mut dumps, mut restores) = (Samples::default(), Samples::default());
    for number in 0..DUMPS {
        let dump = stage.connection().socket_dir.join("peer.sql");
        let took = pg_dump(stage, &tenant, &dump)?;
        dumps.add(vec![took], took);
        let took = psql(stage, &dump, number).await?;
        restores.add(vec![took], took);
    }
    let figures = vec![
        Figure {
            what: format!("export a tenant of three services, {ROWS} rows, among {around} tenants"),
            ours: exports.in_millis(),
            peer: format!("pg_dump -n of its schemas: p50 {:.0} ms", dumps.micros(0.5) / 1e3),
            ratio: format!("{:.0}x faster", dumps.micros(0.5) / exports.micros(0.5)),
        },
        Figure {
            what: format!("import it as another tenant, verified, among {around} tenants"),
            ours: imports.in_millis(),
            peer: format!(
                "psql of that dump into an empty database: p50 {:.0} ms",
                restores.micros(0.5) / 1e3
            ),
            ratio: format!("{:.2}x faster", restores.micros(0.5) / imports.micros(0.5)),
        },
    ];
    for figure in &figures {
        say(&format!(
            "{}: {} | {} | {}",
            figure.what, figure.ours, figure.peer, figure.ratio
        ));
    }
    Ok(figures)
}

async fn export(stage: &Stage, tenant: &Tenant) -> Result<Vec<u8>> {
    let mut pieces = stage.world.directory.export_tenant(&tenant.id, "bench").await?;
    let mut archive = Vec::new();
    while let Some(piece) = pieces.recv().await {
        archive.extend_from_slice(&piece?);
    }
    Ok(archive)
}

/// Uploads it and waits until the tenant is served.
async fn import(stage: &Stage, archive: &[u8], number: usize) -> Result<()> {
    let directory = &stage.world.directory;
    let id: ArchiveId = directory.begin_archive().await?;
    for (part, content) in archive.chunks(ARCHIVE_PART_BYTES_MAX).enumerate() {
        let content = bytes::Bytes::copy_from_slice(content);
        directory.put_archive_part(&id, u32::try_from(part)?, content).await?;
    }
    let new = NewImport {
        archive: id,
        slug: format!("import-{number}").parse()?,
        name: None,
        plan: None,
        force: false,
        actor: None,
    };
    directory.import_tenant(new).await?.end.await??;
    Ok(())
}

fn pg_dump(stage: &Stage, tenant: &Tenant, to: &PathBuf) -> Result<Duration> {
    let mut command = client(stage, "pg_dump", &stage.connection().database);
    command.args(["--no-owner", "--no-privileges", "--file"]).arg(to);
    for service in ["identity", "tasks", "billing"] {
        command.args(["-n", &format!("{}_{service}", tenant.id)]);
    }
    timed(&mut command)
}

async fn psql(stage: &Stage, dump: &PathBuf, number: usize) -> Result<Duration> {
    let database = format!("peer_{number}");
    let make = format!("CREATE DATABASE {database} TEMPLATE template0");
    stage.admin.batch_execute(&make).await?;
    let mut command = client(stage, "psql", &database);
    command
        .args(["--quiet", "--set", "ON_ERROR_STOP=1", "--file"])
        .arg(dump);
    let took = timed(&mut command)?;
    stage.admin.batch_execute(&format!("DROP DATABASE {database}")).await?;
    Ok(took)
}

fn client(stage: &Stage, program: &str, database: &str) -> Command {
    let connection = stage.connection();
    let mut command = Command::new(program);
    command
        .env("PGHOST", &connection.socket_dir)
        .env("PGPORT", connection.port.to_string())
        .env("PGUSER", &connection.user)
        .env("PGPASSWORD", &connection.password)
        .env("PGDATABASE", database)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

fn timed(command: &mut Command) -> Result<Duration> {
    let began = Instant::now();
    let status = command
        .status()
        .context("start PostgreSQL's client programs: install them (Debian: apt-get install -y postgresql-client)")?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(began.elapsed())
}
