//! Migrating many tenants at once: a release with two ALTERs, from the upload of its migrations to the
//! switch, at the directory; and the same again when there is nothing left to do, which is what a
//! runner finds that goes on after a crash. The scratch server does not sync; one service, of one table.
//!
//! Beside it, in the same run: the same two ALTERs, each statement of each transaction sent when the one
//! before it was answered, one tenant after the other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use terrace_data_tenancy::testing::{World, new_tenant};
use terrace_ground_ids::TenantId;

use crate::Figure;

/// Tenants that are migrated.
const TENANTS: [usize; 2] = [1_000, 10_000];
/// Tenants of the peer: it is paced by the trips, so a few will do.
const PEERS: usize = 500;

const TABLE: &str = "CREATE TABLE note (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, text text NOT NULL);
    CREATE INDEX note_text ON note (text)";

pub(crate) async fn measure() -> Result<Vec<Figure>> {
    let world = World::with(|config| config.connections_max = 12).await;
    let mut migrations = vec![("0001_note.sql".to_owned(), TABLE.to_owned())];
    serve(&world, &migrations).await;
    let mut figures = Vec::new();
    let mut there = 0;
    for (round, tenants) in TENANTS.into_iter().enumerate() {
        let directory = &world.directory;
        stream::iter(there..tenants)
            .map(|number| async move { directory.create_tenant(new_tenant(&format!("many-{number}"))).await })
            .buffer_unordered(4)
            .try_for_each(|_| std::future::ready(Ok(())))
            .await?;
        there = tenants;
        let apart = apart(&world, round).await?;
        let two = format!(
            "ALTER TABLE note ADD COLUMN a{round} text; ALTER TABLE note ADD COLUMN b{round} integer NOT NULL DEFAULT 0"
        );
        migrations.push((format!("{:04}_two.sql", round + 2), two));
        let begun = Instant::now();
        let told = serve(&world, &migrations).await;
        let took = begun.elapsed();
        ensure!(told == tenants, "{told} of {tenants} tenants were migrated");
        let begun = Instant::now();
        let service = "notes".parse()?;
        let current = directory
            .tenants()
            .services()
            .iter()
            .find_map(|service| service.current.clone());
        let current = current.ok_or_else(|| anyhow::anyhow!("there is no release"))?;
        let again = directory.activate_release(&service, &current, Arc::new(|_| ()));
        ensure!(again.await?.migrated == 0, "something was migrated twice");
        let resumed = begun.elapsed();
        let each = |took: Duration, count: usize| {
            took.as_secs_f64() * 1e3 / f64::from(u32::try_from(count).unwrap_or(u32::MAX))
        };
        figures.push(Figure {
            what: match round {
                0 => "migrate 1,000 tenants, two ALTERs",
                _ => "migrate 10,000 tenants, two ALTERs",
            }
            .to_owned(),
            ours: format!(
                "{:.1} s, {:.2} ms each; again, with nothing to do: {:.2} s",
                took.as_secs_f64(),
                each(took, tenants),
                resumed.as_secs_f64()
            ),
            peer: format!(
                "{:.2} ms each, a trip for each statement, one after the other",
                each(apart, PEERS)
            ),
            ratio: format!("{:.1}x", each(apart, PEERS) / each(took, tenants)),
        });
    }
    Ok(figures)
}

/// Uploads and activates; how many schemas were touched.
async fn serve(world: &World, migrations: &[(String, String)]) -> usize {
    let files: Vec<(&str, &str)> = migrations
        .iter()
        .map(|(name, sql)| (name.as_str(), sql.as_str()))
        .collect();
    let done = Arc::new(AtomicUsize::new(0));
    let told = done.clone();
    world
        .service_with(
            "notes",
            &files,
            Arc::new(move |progress| told.store(progress.done, Ordering::Relaxed)),
        )
        .await;
    done.load(Ordering::Relaxed)
}

/// The usual way, on one connection.
async fn apart(world: &World, round: usize) -> Result<Duration> {
    let client = world.admin().await;
    let rows = client
        .query(
            "SELECT id FROM terrace.tenant ORDER BY created_at DESC LIMIT $1",
            &[&i64::try_from(PEERS)?],
        )
        .await?;
    let mut took = Duration::ZERO;
    for row in rows {
        let tenant: TenantId = row.get::<_, &str>(0).parse()?;
        let schema = tenant.schema(&"notes".parse()?);
        let begun = Instant::now();
        for sql in [
            "BEGIN".to_owned(),
            format!("SET LOCAL search_path = \"{schema}\""),
            format!("SET LOCAL ROLE \"{}\"", tenant.owner_role()),
            format!("ALTER TABLE note ADD COLUMN c{round} text"),
            format!("ALTER TABLE note ADD COLUMN d{round} integer NOT NULL DEFAULT 0"),
            "SET LOCAL ROLE NONE".to_owned(),
            "COMMIT".to_owned(),
        ] {
            client.batch_execute(&sql).await?;
        }
        took += begun.elapsed();
    }
    Ok(took)
}
