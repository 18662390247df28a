//! The capability `sql`: statements in the schema of the request's tenant and service.
//!
//! A guest names no schema, role, database or host. The principal comes from the invocation, and the
//! router does the rest. What a request leaves open is rolled back when it ends, even when the guest
//! keeps its handle: the transaction lives in the request's state, the handle is only its number.

/// The generated types. The capability `events` shares them.
pub mod bindings {
    #![expect(missing_docs, reason = "generated from the WIT files, which are documented")]
    wasmtime::component::bindgen!({
        path: "../../contracts/wit",
        inline: "package terrace:capability; world sql-host { import terrace:platform/sql@0.1.0; }",
        world: "terrace:capability/sql-host",
        imports: { default: async | trappable },
        with: { "terrace:platform/sql.transaction": crate::TransactionHandle },
    });
}

mod convert;
mod seals;
pub mod standard;
mod transactions;

pub use seals::Seals;
pub use transactions::{TransactionHandle, buffer};

use std::sync::Arc;

use bindings::terrace::platform::sql::{self, Error, Rows, Value, add_to_linker};
use terrace_compute_capability::{Capability, Guest, Invocation, Shared};
use terrace_data_router::{self as router, Principal, Router};
use terrace_ground_ids::TenantId;
use wasmtime::component::{HasData, Linker, Resource};

/// Called after a commit with events: the tenant, and the newest sequence number of its stream.
pub type OnPublish = Arc<dyn Fn(&TenantId, u64) + Send + Sync>;

/// The `sql` capability.
pub struct Sql {
    database: Arc<Database>,
}

/// What the host functions share.
pub(crate) struct Database {
    pub(crate) router: Arc<Router>,
    pub(crate) on_publish: OnPublish,
    seals: Arc<Seals>,
}

impl Sql {
    /// Statements go to `router`. `on_publish` is called on a guest's thread and must not block: it
    /// rings a bell.
    pub fn new(router: Arc<Router>, on_publish: OnPublish) -> Self {
        Self {
            database: Arc::new(Database {
                router,
                on_publish,
                seals: Arc::default(),
            }),
        }
    }

    /// The seals of releases: who loads a sealed one gives its list here, before it serves.
    pub fn seals(&self) -> Arc<Seals> {
        Arc::clone(&self.database.seals)
    }
}

impl Capability for Sql {
    fn name(&self) -> &'static str {
        "sql"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["terrace:platform/sql", "spin:postgres/postgres"]
    }

    fn link(&self, linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        add_to_linker::<_, Self>(linker, |guest: &mut Guest| Connection(guest))?;
        standard::link(linker)
    }

    fn share(&self, shared: &mut Shared) {
        shared.insert(self.database.clone());
    }
}

impl HasData for Sql {
    type Data<'a> = Connection<'a>;
}

/// Host state of the interface: the guest whose tenant's data is asked for.
pub struct Connection<'a>(&'a mut Guest);

/// On whose behalf the request's statements run.
pub(crate) fn principal(invocation: &Invocation) -> Principal {
    Principal {
        tenant: invocation.tenant.id.clone(),
        service: invocation.service.clone(),
    }
}

impl Connection<'_> {
    /// Runs one statement in a transaction of its own, if the release may send it.
    async fn statement(
        &mut self,
        statement: &str,
        params: &[router::Value],
    ) -> wasmtime::Result<router::Result<router::Rows>> {
        let database = self.0.shared::<Database>()?;
        let invocation = self.0.invocation();
        if let Err(unsealed) = database.seals.check(&database.router, invocation, statement) {
            return Ok(Err(unsealed));
        }
        let principal = principal(invocation);
        let asking = database
            .router
            .query(&principal, invocation.deadline, statement, params);
        Ok(self.0.used().statement(asking).await)
    }

    fn admits(&self, statement: &str) -> wasmtime::Result<Result<(), Error>> {
        let database = self.0.shared::<Database>()?;
        Ok(database.admits(self.0.invocation(), statement))
    }
}

impl Database {
    /// Whether the release that runs may send this: anything, unless it is sealed.
    fn admits(&self, invocation: &Invocation, statement: &str) -> Result<(), Error> {
        self.seals
            .check(&self.router, invocation, statement)
            .map_err(Into::into)
    }
}

impl sql::Host for Connection<'_> {
    async fn query(&mut self, statement: String, params: Vec<Value>) -> wasmtime::Result<Result<Rows, Error>> {
        let params: Vec<_> = params.into_iter().map(Into::into).collect();
        let rows = self.statement(&statement, &params).await?;
        Ok(rows.map(Into::into).map_err(Into::into))
    }
}

impl sql::HostTransaction for Connection<'_> {
    async fn begin(&mut self) -> wasmtime::Result<Result<Resource<TransactionHandle>, Error>> {
        transactions::begin(self.0).await
    }

    async fn query(
        &mut self,
        this: Resource<TransactionHandle>,
        statement: String,
        params: Vec<Value>,
    ) -> wasmtime::Result<Result<Rows, Error>> {
        if let Err(unsealed) = self.admits(&statement)? {
            return Ok(Err(unsealed));
        }
        let params: Vec<_> = params.into_iter().map(Into::into).collect();
        let used = self.0.used().clone();
        let open = match transactions::open(self.0, &this)? {
            Ok(open) => open,
            Err(over) => return Ok(Err(over)),
        };
        let rows = used.statement(open.query(&statement, &params)).await;
        Ok(rows.map(Into::into).map_err(Into::into))
    }

    async fn savepoint(&mut self, this: Resource<TransactionHandle>) -> wasmtime::Result<Result<u32, Error>> {
        let used = self.0.used().clone();
        used.statement(transactions::savepoint(self.0, &this)).await
    }

    async fn rollback_to(
        &mut self,
        this: Resource<TransactionHandle>,
        savepoint: u32,
    ) -> wasmtime::Result<Result<(), Error>> {
        let used = self.0.used().clone();
        used.statement(transactions::rollback_to(self.0, &this, savepoint))
            .await
    }

    async fn release(
        &mut self,
        this: Resource<TransactionHandle>,
        savepoint: u32,
    ) -> wasmtime::Result<Result<(), Error>> {
        let used = self.0.used().clone();
        Ok(match transactions::open(self.0, &this)? {
            Ok(open) => used.statement(open.release(savepoint)).await.map_err(Into::into),
            Err(over) => Err(over),
        })
    }

    async fn scan(
        &mut self,
        this: Resource<TransactionHandle>,
        statement: String,
        params: Vec<Value>,
    ) -> wasmtime::Result<Result<u32, Error>> {
        if let Err(unsealed) = self.admits(&statement)? {
            return Ok(Err(unsealed));
        }
        let params: Vec<_> = params.into_iter().map(Into::into).collect();
        let used = self.0.used().clone();
        Ok(match transactions::open(self.0, &this)? {
            Ok(open) => used
                .statement(open.scan(&statement, &params))
                .await
                .map(|scan| scan.number())
                .map_err(Into::into),
            Err(over) => Err(over),
        })
    }

    async fn next(
        &mut self,
        this: Resource<TransactionHandle>,
        scan: u32,
    ) -> wasmtime::Result<Result<Option<Rows>, Error>> {
        let used = self.0.used().clone();
        Ok(match transactions::open(self.0, &this)? {
            Ok(open) => used
                .statement(open.next(scan))
                .await
                .map(|rows| rows.map(Into::into))
                .map_err(Into::into),
            Err(over) => Err(over),
        })
    }

    async fn close(&mut self, this: Resource<TransactionHandle>, scan: u32) -> wasmtime::Result<()> {
        if let Ok(open) = transactions::open(self.0, &this)? {
            open.close(scan);
        }
        Ok(())
    }

    async fn commit(&mut self, this: Resource<TransactionHandle>) -> wasmtime::Result<Result<(), Error>> {
        transactions::commit(self.0, this).await
    }

    async fn rollback(&mut self, this: Resource<TransactionHandle>) -> wasmtime::Result<()> {
        if let Some(open) = transactions::close(self.0, this)? {
            self.0.used().statement(open.rollback()).await;
        }
        Ok(())
    }

    async fn drop(&mut self, this: Resource<TransactionHandle>) -> wasmtime::Result<()> {
        // Dropping the router's transaction rolls back, without waiting for it.
        drop(transactions::close(self.0, this)?);
        Ok(())
    }
}
