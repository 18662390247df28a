//! Exporting a tenant: its own tables and its stream by COPY, in one snapshot, while it is in use.
//!
//! The cost is that of its rows, not of everybody's tables. The archive goes out as it is made; when
//! the reader leaves or falls asleep the export is over, because its snapshot keeps PostgreSQL from
//! cleaning up, and its locks keep a migration of this tenant waiting.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use deadpool_postgres::Object;
use futures_util::StreamExt;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use terrace_ground_ids::{ServiceName, TenantId};
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::{Client, IsolationLevel, NoTls, Row, Transaction};
use tracing::info;

use crate::{
    Directory, Error, Kind, State, Step,
    archive::{
        self, Applied, EVENT_TABLES, Events, FILE_BYTES, Manifest, ROW_BYTES_MAX, Rows, Sequence, Service, Table,
    },
    lifecycle::{Asked, Operation},
    schemas,
    shape::{self, Shape},
    view,
};

/// Exports of one node at the same time: each has a connection and a snapshot.
const EXPORTS_MAX: usize = 2;
/// How long a reader may leave a piece lying.
const STALL_MAX: Duration = Duration::from_secs(60);
/// Pieces that wait for the reader; each is at most some MiB.
const PIECES_WAITING: usize = 2;

/// Whoever reads an export that runs here.
struct Reader {
    sender: mpsc::Sender<Result<Bytes, Error>>,
    /// Kept back until the operation is over, so that who has read to the end may do the next thing.
    last: Option<Bytes>,
}

/// The readers of this node, by tenant.
#[derive(Default)]
pub(crate) struct Readers(Mutex<HashMap<TenantId, Reader>>);

impl Readers {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TenantId, Reader>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An archive that is being made: the pieces are its bytes. It is whole when they end without an error.
pub type Export = mpsc::Receiver<Result<Bytes, Error>>;

impl Directory {
    /// Begins to export an active or suspended tenant. The pieces must be read without long pauses.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Invalid`], [`Error::Running`]; [`Error::Limit`] when as many exports run as may.
    pub async fn export_tenant(self: &Arc<Self>, tenant: &TenantId, actor: &str) -> Result<Export, Error> {
        let (directory, tenant, actor) = (self.clone(), tenant.clone(), actor.to_owned());
        let (sender, receiver) = mpsc::channel(PIECES_WAITING);
        let (begun, is_begun) = oneshot::channel();
        tokio::spawn(async move {
            let mut begun = Some(begun);
            let begin = async {
                let operation = directory.begin_export(&tenant, &actor, sender.clone()).await?;
                if let Some(begun) = begun.take() {
                    drop(begun.send(Ok(())));
                }
                Ok(Some(operation))
            };
            let outcome = directory.operate(&tenant, begin).await;
            match (outcome, begun) {
                (Err(error), Some(begun)) => drop(begun.send(Err(error))),
                (outcome, _) => {
                    let reader = directory.readers.lock().remove(&tenant);
                    let end = outcome.map(|()| reader.and_then(|reader| reader.last).unwrap_or_default());
                    drop(sender.send(end).await);
                }
            }
        });
        match is_begun.await {
            Ok(outcome) => outcome.map(|()| receiver),
            Err(_) => Err(Error::Stopped {
                step: "unknown",
                message: "the export ended before it began".to_owned(),
            }),
        }
    }

    async fn begin_export(
        &self,
        tenant: &TenantId,
        actor: &str,
        sender: mpsc::Sender<Result<Bytes, Error>>,
    ) -> Result<Operation, Error> {
        {
            let mut readers = self.readers.lock();
            if readers.len() >= EXPORTS_MAX {
                return Err(Error::Limit(format!(
                    "{EXPORTS_MAX} exports run on this node, which is the limit; try again when one is done"
                )));
            }
            readers.insert(tenant.clone(), Reader { sender, last: None });
        }
        let outcome = self.record_export(tenant, actor).await;
        if outcome.is_err() {
            self.readers.lock().remove(tenant);
        }
        outcome
    }

    async fn record_export(&self, tenant: &TenantId, actor: &str) -> Result<Operation, Error> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        let row = transaction
            .query_opt("SELECT state FROM terrace.tenant WHERE id = $1", &[&tenant.as_str()])
            .await?;
        let state = view::state(row.ok_or_else(|| Error::unknown("tenant", tenant))?.try_get(0)?)?;
        if !matches!(state, State::Active | State::Suspended) {
            return Err(Error::Invalid(format!("the tenant is {state}; it cannot be exported")));
        }
        let asked = Asked::by(actor, json!({}));
        let operation = Operation::begin(&transaction, tenant, Kind::Export, Step::Opened, asked).await?;
        transaction.commit().await?;
        Ok(operation)
    }

    /// Does what follows the last step; `None` at the end. An export whose reader is gone, with its
    /// node or without, cannot be taken up by anybody: that is its end.
    pub(crate) async fn export_step(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        if operation.step != Step::Opened {
            return Ok(None);
        }
        let sender = self
            .readers
            .lock()
            .get(&operation.tenant)
            .map(|reader| reader.sender.clone());
        let Some(sender) = sender else {
            self.cancel(operation, "its reader is gone; export the tenant again")
                .await?;
            return Ok(None);
        };
        let outcome = self.pour(&operation.tenant, &sender).await;
        let (evidence, last) = match outcome {
            Ok(done) => done,
            Err(error) => {
                self.readers.lock().remove(&operation.tenant);
                self.cancel(operation, &error.to_string()).await?;
                return Err(error);
            }
        };
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        operation.record(&transaction, Step::Exported, &evidence).await?;
        operation.end(&transaction).await?;
        transaction.commit().await?;
        if let Some(reader) = self.readers.lock().get_mut(&operation.tenant) {
            reader.last = Some(last);
        }
        info!(tenant.id = %operation.tenant, "Exported a tenant: {evidence}");
        Ok(Some(Step::Exported))
    }

    async fn cancel(&self, operation: &Operation, why: &str) -> Result<(), Error> {
        let client = self.pool.get().await?;
        client
            .execute(
                "UPDATE terrace.lifecycle SET state = 'cancelled', error = $2, context = NULL, finished_at = clock_timestamp() WHERE id = $1",
                &[&operation.id, &why],
            )
            .await?;
        Ok(())
    }

    /// All of the archive but its last piece goes to the reader.
    async fn pour(
        &self,
        tenant: &TenantId,
        sender: &mpsc::Sender<Result<Bytes, Error>>,
    ) -> Result<(Json, Bytes), Error> {
        // A connection of its own: the directory's pool is for short work.
        let mut client = Object::take(self.home_of(tenant).await?.get().await?);
        let cancel = client.cancel_token();
        // Not in the snapshot, which writes nothing.
        schemas::join_owner(&*client, tenant).await?;
        let outcome = self.pour_from(&mut client, tenant, sender).await;
        drop(schemas::leave_owner(&*client, tenant).await);
        if outcome.is_err() {
            // Otherwise the server would go on sending the rest of the table to nobody.
            drop(cancel.cancel_query(NoTls).await);
        }
        outcome
    }

    async fn pour_from(
        &self,
        client: &mut Client,
        tenant: &TenantId,
        sender: &mpsc::Sender<Result<Bytes, Error>>,
    ) -> Result<(Json, Bytes), Error> {
        let transaction = snapshot(client).await?;
        let mut out = Out {
            writer: archive::Writer::new().map_err(broken)?,
            sender,
        };
        let begun = transaction
            .query_one("SELECT (extract(epoch FROM now()) * 1000000)::bigint", &[])
            .await?;
        let row = self
            .pool
            .get()
            .await?
            .query_one(
                "SELECT slug, name, plan, (extract(epoch FROM created_at) * 1000000)::bigint FROM terrace.tenant WHERE id = $1",
                &[&tenant.as_str()],
            )
            .await?;
        let time = |row: &Row, column: usize| -> Result<Timestamp, Error> {
            Ok(Timestamp::from_microsecond(row.try_get(column)?).unwrap_or_default())
        };
        let whose = archive::Whose {
            id: tenant.clone(),
            slug: view::parsed(&row, 0, "slug")?,
            name: row.try_get(1)?,
            plan: row.try_get(2)?,
            created_at: time(&row, 3)?,
        };
        let mut services = Vec::new();
        for name in services_of(&transaction, tenant).await? {
            services.push(out.service(&transaction, tenant, name).await?);
        }
        let events = out.events(&transaction, tenant).await?;
        let mut manifest = Manifest {
            format: archive::FORMAT,
            made_by: concat!("terrace ", env!("CARGO_PKG_VERSION")).to_owned(),
            made_at: time(&begun, 0)?,
            tenant: whose,
            services,
            events,
            digest: String::new(),
        };
        manifest.digest = digest_of(&manifest);
        transaction.commit().await?;
        let tables = manifest.services.iter().flat_map(|service| &service.tables);
        let evidence = json!({
            "tables": tables.clone().count(), "rows": tables.map(|table| table.rows).sum::<u64>(),
            "last_event": manifest.events.last_seq, "digest": manifest.digest,
        });
        Ok((evidence, out.writer.finish(&manifest).map_err(broken)?))
    }
}

/// The archive on its way.
struct Out<'a> {
    writer: archive::Writer,
    sender: &'a mpsc::Sender<Result<Bytes, Error>>,
}

impl Out<'_> {
    async fn service(
        &mut self,
        transaction: &Transaction<'_>,
        tenant: &TenantId,
        name: ServiceName,
    ) -> Result<Service, Error> {
        let schema = tenant.schema(&name);
        let migrations = transaction
            .query(
                "SELECT number, name, sha256 FROM terrace.migration WHERE schema = $1 ORDER BY number",
                &[&schema],
            )
            .await?
            .iter()
            .map(|row| {
                Ok(Applied {
                    number: u32::try_from(row.try_get::<_, i32>(0)?).unwrap_or(0),
                    name: row.try_get(1)?,
                    sha256: row.try_get(2)?,
                })
            })
            .collect::<Result<_, Error>>()?;
        schemas::act_as_owner(transaction, tenant).await?;
        let mut tables = Vec::new();
        for shape in shape::tables(transaction, &schema).await? {
            let sql = format!("COPY {} TO STDOUT", shape.target(&schema));
            let folder = archive::folder(&name, &shape.name);
            tables.push(self.table(transaction, &sql, &folder, shape).await?);
        }
        let mut sequences = Vec::new();
        for sequence in shape::sequences(transaction, &schema).await? {
            let sql = format!(
                "SELECT last_value, is_called FROM {}.{}",
                archive::quoted(&schema),
                archive::quoted(&sequence)
            );
            let row = transaction.query_one(&sql, &[]).await?;
            sequences.push(Sequence {
                name: sequence,
                value: row.try_get(0)?,
                called: row.try_get(1)?,
            });
        }
        transaction.batch_execute("SET LOCAL ROLE NONE").await?;
        Ok(Service {
            name,
            migrations,
            tables,
            sequences,
        })
    }

    async fn events(&mut self, transaction: &Transaction<'_>, tenant: &TenantId) -> Result<Events, Error> {
        let (first_seq, last_seq) = position(transaction, tenant).await?;
        let mut tables = Vec::new();
        for (name, columns, _) in EVENT_TABLES {
            let shape = Shape {
                name: name.to_owned(),
                columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            };
            let sql = copy_events(tenant, name);
            tables.push(
                self.table(transaction, &sql, &archive::events_folder(name), shape)
                    .await?,
            );
        }
        Ok(Events {
            first_seq,
            last_seq,
            tables,
        })
    }

    async fn table(
        &mut self,
        transaction: &Transaction<'_>,
        sql: &str,
        folder: &str,
        shape: Shape,
    ) -> Result<Table, Error> {
        let (mut rows, mut files, mut content) = (Rows::default(), Vec::new(), Vec::new());
        let mut pieces = std::pin::pin!(transaction.copy_out(sql).await?);
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            rows.add(&piece);
            content.extend_from_slice(&piece);
            if content.len() > FILE_BYTES + ROW_BYTES_MAX {
                return Err(Error::Limit(format!(
                    "a row of {folder} is larger than {} MiB, which is the most that an archive takes",
                    ROW_BYTES_MAX >> 20
                )));
            }
            if content.len() >= FILE_BYTES && rows.is_whole() {
                files.push(self.file(folder, files.len(), &mut content).await?);
            }
        }
        if !content.is_empty() || files.is_empty() {
            files.push(self.file(folder, files.len(), &mut content).await?);
        }
        Ok(Table {
            name: shape.name,
            columns: shape.columns,
            rows: rows.count,
            digest: rows.digest(),
            files,
        })
    }

    async fn file(&mut self, folder: &str, number: usize, content: &mut Vec<u8>) -> Result<archive::File, Error> {
        let file = self
            .writer
            .add(format!("{folder}{number:06}.copy"), content)
            .map_err(broken)?;
        content.clear();
        let ready = self.writer.take();
        if !ready.is_empty() {
            match tokio::time::timeout(STALL_MAX, self.sender.send(Ok(ready))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(Error::Invalid("the reader of the export left".to_owned())),
                Err(_) => {
                    return Err(Error::Invalid(format!(
                        "the reader of the export took nothing for {} seconds",
                        STALL_MAX.as_secs()
                    )));
                }
            }
        }
        Ok(file)
    }
}

/// A transaction that sees one moment, with values in one spelling.
pub(crate) async fn snapshot(client: &mut Client) -> Result<Transaction<'_>, Error> {
    // Without being a superuser, it writes that it is the owner's member; and takes that back.
    let is_superuser = schemas::is_superuser(&*client).await?;
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(is_superuser)
        .start()
        .await?;
    transaction
        .batch_execute(&format!(
            "{}; SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '5min'",
            archive::PINNED
        ))
        .await?;
    Ok(transaction)
}

/// The services of a tenant, by name.
pub(crate) async fn services_of(transaction: &Transaction<'_>, tenant: &TenantId) -> Result<Vec<ServiceName>, Error> {
    let rows = transaction
        .query(
            "SELECT service FROM terrace_events.principal WHERE tenant_id = $1 ORDER BY service COLLATE \"C\"",
            &[&tenant.as_str()],
        )
        .await?;
    rows.iter().map(|row| view::parsed(row, 0, "service name")).collect()
}

/// First and last number of the stream.
pub(crate) async fn position(transaction: &Transaction<'_>, tenant: &TenantId) -> Result<(i64, i64), Error> {
    let row = transaction
        .query_opt(
            "SELECT first_seq, last_seq FROM terrace_events.stream WHERE tenant_id = $1",
            &[&tenant.as_str()],
        )
        .await?;
    match row {
        Some(row) => Ok((row.try_get(0)?, row.try_get(1)?)),
        None => Ok((1, 0)),
    }
}

/// Copies what the stream has of one tenant, without the tenant.
pub(crate) fn copy_events(tenant: &TenantId, table: &str) -> String {
    let known = EVENT_TABLES.iter().find(|(name, _, _)| *name == table);
    let (columns, order) = known.map_or((String::new(), ""), |(_, columns, order)| (columns.join(", "), *order));
    // An id that was parsed holds no quote.
    format!(
        "COPY (SELECT {columns} FROM terrace_events.{table} WHERE tenant_id = '{tenant}' ORDER BY {order}) TO STDOUT"
    )
}

/// The digest that a manifest should have.
pub(crate) fn digest_of(manifest: &Manifest) -> String {
    let mut tables: Vec<(String, u64, String)> = Vec::new();
    for service in &manifest.services {
        for table in &service.tables {
            tables.push((
                format!("{}/{}", service.name, table.name),
                table.rows,
                table.digest.clone(),
            ));
        }
    }
    for table in &manifest.events.tables {
        tables.push((format!("/{}", table.name), table.rows, table.digest.clone()));
    }
    archive::of_tenant(&mut tables, manifest.events.first_seq, manifest.events.last_seq)
}

/// Memory does not fail to take bytes; a path may be too long.
fn broken(error: io::Error) -> Error {
    Error::Limit(format!("the archive cannot be written: {error}"))
}
