//! `spin:postgres/postgres`, for components that were not written for Terrace. Each statement is a
//! transaction of its own, guarded and routed like every other one of the tenant's.
//!
//! A component opens the address `tenant`, which is the only database that there is for it. Any other
//! address is refused, not ignored: who configured a server's name and password must not find out later
//! where the rows went.

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../contracts/standards/postgres.wit",
        world: "imports",
        imports: { default: async | trappable },
        with: { "spin:postgres/postgres.connection": crate::standard::Opened },
    });
}

mod dates;
mod values;

use bindings::spin::postgres::postgres::{Column, Error, Host, HostConnection, ParameterValue, RowSet, add_to_linker};
use terrace_compute_capability::Guest;
use terrace_data_router::{Error as Failure, ErrorKind, Rows, Value};
use wasmtime::component::{Linker, Resource};

use crate::{Connection, Sql};

/// The only address.
const ADDRESS: &str = "tenant";

/// What a guest holds. It holds no connection: each statement takes one when it runs.
#[derive(Debug)]
pub struct Opened;

/// Adds the interface.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    add_to_linker::<_, Sql>(linker, |guest: &mut Guest| Connection(guest))
}

impl Host for Connection<'_> {}

impl HostConnection for Connection<'_> {
    async fn open(&mut self, address: String) -> wasmtime::Result<Result<Resource<Opened>, Error>> {
        if address != ADDRESS {
            return Ok(Err(Error::ConnectionFailed(format!(
                "open the address `{ADDRESS}`: the schema of the request's tenant is the only database of a service"
            ))));
        }
        Ok(Ok(self.0.table.push(Opened)?))
    }

    async fn query(
        &mut self,
        this: Resource<Opened>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> wasmtime::Result<Result<RowSet, Error>> {
        let rows = match self.run(&this, &statement, params).await? {
            Ok(rows) => rows,
            Err(error) => return Ok(Err(error)),
        };
        let types = rows.types;
        let columns = rows.columns.into_iter().zip(&types);
        Ok(Ok(RowSet {
            columns: columns
                .map(|(name, oid)| Column {
                    name,
                    data_type: values::data_type(*oid),
                })
                .collect(),
            rows: rows
                .rows
                .into_iter()
                .map(|row| {
                    let cells = row.into_iter().zip(&types);
                    cells.map(|(value, oid)| values::from_router(value, *oid)).collect()
                })
                .collect(),
        }))
    }

    async fn execute(
        &mut self,
        this: Resource<Opened>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> wasmtime::Result<Result<u64, Error>> {
        Ok(self.run(&this, &statement, params).await?.map(|rows| rows.affected))
    }

    async fn drop(&mut self, this: Resource<Opened>) -> wasmtime::Result<()> {
        self.0.table.delete(this)?;
        Ok(())
    }
}

impl Connection<'_> {
    async fn run(
        &mut self,
        opened: &Resource<Opened>,
        statement: &str,
        params: Vec<ParameterValue>,
    ) -> wasmtime::Result<Result<Rows, Error>> {
        let Opened = self.0.table.get(opened)?;
        let params: Vec<Value> = match params.into_iter().map(values::to_router).collect() {
            Ok(params) => params,
            Err(message) => return Ok(Err(Error::BadParameter(message))),
        };
        Ok(self.statement(statement, &params).await?.map_err(error))
    }
}

fn error(failure: Failure) -> Error {
    let message = match &failure.sqlstate {
        Some(sqlstate) => format!("{} ({sqlstate})", failure.message),
        None => failure.message,
    };
    match failure.kind {
        ErrorKind::BadValue => Error::BadParameter(message),
        ErrorKind::Unavailable => Error::ConnectionFailed(message),
        _ => Error::QueryFailed(message),
    }
}
