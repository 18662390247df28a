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
pub mod standard;
mod transactions;

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
}

impl Sql {
    /// Statements go to `router`. `on_publish` is called on a guest's thread and must not block: it
    /// rings a bell.
    pub fn new(router: Arc<Router>, on_publish: OnPublish) -> Self {
        Self {
            database: Arc::new(Database { router, on_publish }),
        }
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
    /// Runs one statement in a transaction of its own.
    async fn statement(
        &mut self,
        statement: &str,
        params: &[router::Value],
    ) -> wasmtime::Result<router::Result<router::Rows>> {
        let database = self.0.shared::<Database>()?;
        let invocation = self.0.invocation();
        Ok(database
            .router
            .query(&principal(invocation), invocation.deadline, statement, params)
            .await)
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
        let params: Vec<_> = params.into_iter().map(Into::into).collect();
        let open = match transactions::open(self.0, &this)? {
            Ok(open) => open,
            Err(over) => return Ok(Err(over)),
        };
        Ok(open
            .query(&statement, &params)
            .await
            .map(Into::into)
            .map_err(Into::into))
    }

    async fn commit(&mut self, this: Resource<TransactionHandle>) -> wasmtime::Result<Result<(), Error>> {
        transactions::commit(self.0, this).await
    }

    async fn rollback(&mut self, this: Resource<TransactionHandle>) -> wasmtime::Result<()> {
        if let Some(open) = transactions::close(self.0, this)? {
            open.rollback().await;
        }
        Ok(())
    }

    async fn drop(&mut self, this: Resource<TransactionHandle>) -> wasmtime::Result<()> {
        // Dropping the router's transaction rolls back, without waiting for it.
        drop(transactions::close(self.0, this)?);
        Ok(())
    }
}
