//! Importing a tenant, from its first step on: built, prepared, loaded, streamed, verified; and then
//! what every creation does.
//!
//! A service's tables are loaded in one transaction, which records that it is done: after a crash the
//! next attempt goes on with the next service. Rows that a migration put there are replaced.

use bytes::{BufMut, Bytes, BytesMut};
use deadpool_postgres::Object;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_postgres::Transaction;

use crate::{
    Directory, Error, Kind, Step,
    archive::{self, EVENT_TABLES, Entry, Rows, Service, Table, quoted},
    create::current,
    export::{copy_events, position, snapshot},
    import::Input,
    lifecycle::Operation,
    schemas, shape, tables,
};

type Entries = mpsc::Receiver<Result<Entry, Error>>;

impl Directory {
    /// Does what follows the last step; `None` at the end.
    pub(crate) async fn import_step(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        match operation.step {
            Step::Received => self.build(operation).await,
            Step::Built => self.prepare(operation).await,
            Step::Prepared => self.load(operation).await,
            Step::Loaded => self.load_events(operation).await,
            Step::Streamed => self.verify(operation).await,
            Step::Verified => self.migrate(operation).await,
            Step::Migrated => self.greet(operation).await,
            Step::Hooked if operation.kind == Kind::Restore => self.swap(operation).await,
            Step::Hooked => {
                let done = self.finish(operation).await?;
                if done == Some(Step::Active) {
                    self.forget_archives().await?;
                }
                Ok(done)
            }
            // A release was activated meanwhile that the tenant has not got.
            Step::Placed => self.build_again(operation).await,
            _ => Ok(None),
        }
    }

    /// The hooks of a creation, for services that the archive does not have; and the new plan, where it
    /// is another than in the archive, for those that it has.
    async fn greet(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        let Input { manifest, .. } = input(operation)?;
        self.refresh().await?;
        let plan = self
            .tenants()
            .by_id(&operation.tenant)
            .map(|tenant| tenant.plan.clone());
        if plan.is_some_and(|plan| plan != manifest.tenant.plan) {
            self.tell_plan(&operation.tenant).await?;
        }
        self.call_hooks(operation).await
    }

    async fn build_again(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        self.build_at_home(&operation.tenant).await?;
        self.mark(operation, Step::Verified).await
    }

    /// Brings each schema to where the archive's was: its rows fit no other.
    async fn prepare(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        let input = input(operation)?;
        // Once more: what is served may have changed since the archive was checked.
        self.fits(&input.manifest).await?;
        let releases = current(&**self.pool.get().await?).await?;
        let mut client = self.home_of(&operation.tenant).await?.get().await?;
        for (name, release) in releases {
            let Some(service) = input.manifest.services.iter().find(|service| service.name == name) else {
                continue;
            };
            let head = service.migrations.last().map_or(0, |last| last.number);
            let migrations = self.migrations_of(&release).await?.upto(head);
            terrace_data_migrate::apply(&mut client, &operation.tenant, &migrations, &self.config.migrate).await?;
        }
        drop(client);
        for service in &input.manifest.services {
            for made in service.tables.iter().filter_map(|table| tables::of_table(&table.name)) {
                self.make_tables(&operation.tenant, &service.name, made).await?;
            }
        }
        self.mark(operation, Step::Prepared).await
    }

    async fn load(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        let input = input(operation)?;
        let loaded = self.loaded(operation).await?;
        let mut entries = archive::entries(self.parts(&input.archive));
        let mut next = take(&mut entries).await?;
        while let Some(entry) = next {
            let mut parts = entry.path.split('/');
            let name = match (parts.next(), parts.next()) {
                (Some("services"), Some(name)) => name.to_owned(),
                _ => {
                    next = take(&mut entries).await?;
                    continue;
                }
            };
            let service = input
                .manifest
                .services
                .iter()
                .find(|service| service.name.as_str() == name);
            next = match service {
                Some(service) if !loaded.contains(&name) => {
                    self.load_service(operation, service, &mut entries, entry).await?
                }
                _ => take(&mut entries).await?,
            };
        }
        self.mark(operation, Step::Loaded).await
    }

    async fn loaded(&self, operation: &Operation) -> Result<Vec<String>, Error> {
        let client = self.pool.get().await?;
        let row = client
            .query_one(
                "SELECT coalesce((SELECT array_agg(s) FROM jsonb_array_elements_text(evidence -> 'loaded') s), '{}') FROM terrace.lifecycle WHERE id = $1",
                &[&operation.id],
            )
            .await?;
        Ok(row.try_get(0)?)
    }

    /// All rows of one service; returns the first entry that is not its own.
    async fn load_service(
        &self,
        operation: &Operation,
        service: &Service,
        entries: &mut Entries,
        first: Entry,
    ) -> Result<Option<Entry>, Error> {
        let schema = operation.tenant.schema(&service.name);
        let mut client = Object::take(self.home_of(&operation.tenant).await?.get().await?);
        let transaction = client.transaction().await?;
        transaction.batch_execute(archive::PINNED).await?;
        let there = shape::tables(&transaction, &schema).await?;
        let fits = there.len() == service.tables.len()
            && there
                .iter()
                .zip(&service.tables)
                .all(|(here, table)| here.name == table.name && here.columns == table.columns);
        if !fits {
            return Err(Error::Archive(format!(
                "the tables of `{}` are others here than in the archive, after the same migrations",
                service.name
            )));
        }
        // Asked before the role is taken: definitions are nothing that a tenant's role may read.
        let (away, back) = shape::foreign_keys(&transaction, &schema).await?;
        schemas::become_owner(&transaction, &operation.tenant).await?;
        transaction.batch_execute(&away).await?;
        if !there.is_empty() {
            let names: Vec<String> = there
                .iter()
                .map(|table| format!("{}.{}", quoted(&schema), quoted(&table.name)))
                .collect();
            transaction
                .batch_execute(&format!("TRUNCATE {}", names.join(", ")))
                .await?;
        }
        let mut next = Some(first);
        for (table, shape) in service.tables.iter().zip(&there) {
            let folder = archive::folder(&service.name, &table.name);
            let sql = format!("COPY {} FROM STDIN", shape.target(&schema));
            next = copy_in(&transaction, &sql, &folder, b"", entries, next).await?;
        }
        transaction.batch_execute(&back).await?;
        set_sequences(&transaction, &schema, service).await?;
        schemas::become_self(&transaction, &operation.tenant).await?;
        transaction.commit().await?;
        // Between the two, a crash only means that this service is loaded once more.
        let client = self.pool.get().await?;
        client
            .execute(
                "UPDATE terrace.lifecycle SET evidence = evidence || jsonb_build_object('loaded', coalesce(evidence -> 'loaded', '[]') || to_jsonb($2::text)) WHERE id = $1",
                &[&operation.id, &service.name.as_str()],
            )
            .await?;
        Ok(next)
    }

    /// The stream, paused until the tenant is served. The services of the archive have been greeted
    /// where they come from; the others are greeted here.
    async fn load_events(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        let Input { archive, manifest, .. } = input(operation)?;
        let tenant = operation.tenant.as_str();
        let mut entries = archive::entries(self.parts(&archive));
        let mut next = take(&mut entries).await?;
        while next.as_ref().is_some_and(|entry| !entry.path.starts_with("events/")) {
            next = take(&mut entries).await?;
        }
        let mut client = Object::take(self.home_of(&operation.tenant).await?.get().await?);
        let transaction = client.transaction().await?;
        transaction.batch_execute(archive::PINNED).await?;
        for (name, columns, _) in EVENT_TABLES {
            transaction
                .execute(
                    &format!("DELETE FROM terrace_events.{name} WHERE tenant_id = $1"),
                    &[&tenant],
                )
                .await?;
            let sql = format!(
                "COPY terrace_events.{name} (tenant_id, {}) FROM STDIN",
                columns.join(", ")
            );
            let prefix = format!("{tenant}\t");
            let folder = archive::events_folder(name);
            next = copy_in(&transaction, &sql, &folder, prefix.as_bytes(), &mut entries, next).await?;
        }
        transaction
            .execute(
                "UPDATE terrace_events.stream SET first_seq = $2, last_seq = $3, paused = true WHERE tenant_id = $1",
                &[&tenant, &manifest.events.first_seq, &manifest.events.last_seq],
            )
            .await?;
        let services: Vec<&str> = manifest.services.iter().map(|service| service.name.as_str()).collect();
        transaction
            .execute(
                "UPDATE terrace_events.principal SET ready_at = now() WHERE tenant_id = $1 AND service = ANY($2)",
                &[&tenant, &services],
            )
            .await?;
        transaction.commit().await?;
        self.mark(operation, Step::Streamed).await
    }

    /// Reads back what was written: the digest of the tenant must be the archive's.
    async fn verify(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        let Input { manifest, .. } = input(operation)?;
        let tenant = &operation.tenant;
        let mut client = Object::take(self.home_of(tenant).await?.get().await?);
        schemas::join_owner(&*client, tenant).await?;
        let transaction = snapshot(&mut client).await?;
        schemas::act_as_owner(&transaction, tenant).await?;
        let mut rows = 0;
        for service in &manifest.services {
            let schema = tenant.schema(&service.name);
            for (table, shape) in service.tables.iter().zip(shape::tables(&transaction, &schema).await?) {
                let sql = format!("COPY {} TO STDOUT", shape.target(&schema));
                same(service.name.as_str(), table, &weigh(&transaction, &sql).await?)?;
                rows += table.rows;
            }
        }
        transaction.batch_execute("SET LOCAL ROLE NONE").await?;
        for table in &manifest.events.tables {
            same(
                "the stream",
                table,
                &weigh(&transaction, &copy_events(tenant, &table.name)).await?,
            )?;
        }
        if position(&transaction, tenant).await? != (manifest.events.first_seq, manifest.events.last_seq) {
            return Err(Error::Archive(
                "the stream is at another place than in the archive".to_owned(),
            ));
        }
        transaction.commit().await?;
        schemas::leave_owner(&*client, tenant).await?;
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        let evidence = json!({"rows": rows, "last_event": manifest.events.last_seq, "digest": manifest.digest});
        operation.record(&transaction, Step::Verified, &evidence).await?;
        transaction.commit().await?;
        Ok(Some(Step::Verified))
    }
}

pub(crate) fn input(operation: &Operation) -> Result<Input, Error> {
    serde_json::from_value(operation.input.clone()).map_err(|error| Error::corrupt("input of an import", error))
}

async fn take(entries: &mut Entries) -> Result<Option<Entry>, Error> {
    entries.recv().await.transpose()
}

/// Copies the entries of one folder, each line behind `prefix`; returns the first entry beyond it.
async fn copy_in(
    transaction: &Transaction<'_>,
    sql: &str,
    folder: &str,
    prefix: &[u8],
    entries: &mut Entries,
    first: Option<Entry>,
) -> Result<Option<Entry>, Error> {
    let mut sink = std::pin::pin!(transaction.copy_in::<_, Bytes>(sql).await?);
    let mut next = first;
    while let Some(entry) = next.take_if(|entry| entry.path.starts_with(folder)) {
        let content = if prefix.is_empty() {
            entry.content.into()
        } else {
            let mut lines = BytesMut::with_capacity(entry.content.len() * 2);
            for line in entry.content.split_inclusive(|byte| *byte == b'\n') {
                lines.put_slice(prefix);
                lines.put_slice(line);
            }
            lines.freeze()
        };
        sink.send(content).await?;
        next = take(entries).await?;
    }
    sink.as_mut().finish().await?;
    Ok(next)
}

async fn set_sequences(transaction: &Transaction<'_>, schema: &str, service: &Service) -> Result<(), Error> {
    let there = shape::sequences(transaction, schema).await?;
    for sequence in &service.sequences {
        if !there.contains(&sequence.name) {
            return Err(Error::Archive(format!(
                "the archive has a sequence `{}` of `{}` that is not here",
                sequence.name, service.name
            )));
        }
        let name = format!("{}.{}", quoted(schema), quoted(&sequence.name));
        transaction
            .execute(
                "SELECT setval($1::text::regclass, $2, $3)",
                &[&name, &sequence.value, &sequence.called],
            )
            .await?;
    }
    Ok(())
}

async fn weigh(transaction: &Transaction<'_>, sql: &str) -> Result<Rows, Error> {
    let mut rows = Rows::default();
    let mut pieces = std::pin::pin!(transaction.copy_out(sql).await?);
    while let Some(piece) = pieces.next().await {
        rows.add(&piece?);
    }
    Ok(rows)
}

fn same(whose: &str, table: &Table, rows: &Rows) -> Result<(), Error> {
    if rows.count == table.rows && rows.digest() == table.digest {
        return Ok(());
    }
    Err(Error::Archive(format!(
        "`{}` of {whose} has {} rows with digest {} after the import, and the archive has {} with {}",
        table.name,
        rows.count,
        rows.digest(),
        table.rows,
        table.digest
    )))
}
