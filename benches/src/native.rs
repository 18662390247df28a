//! The peers: the same handlers as native axum programs, each in a process of its own.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context, Result};
use terrace_sdk::{Caller, Role, native};
use tokio::net::TcpListener;

/// `native-task ADDRESS DATABASE`: the tasks service on tokio-postgres and deadpool, without a
/// sandbox, a guard, roles or a gateway.
pub(crate) fn serve_task(arguments: &[String]) -> Result<()> {
    let (address, database) = (
        arguments.first().context("an address")?,
        arguments.get(1).context("a database")?,
    );
    let database: tokio_postgres::Config = database.parse().context("read the database's address")?;
    serve(address, async move {
        let service = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/tasks/service");
        let host = native::Postgres::open(database, "native_peer", &service, 16).await?;
        let facts = |_: &http::request::Parts| {
            let mut facts = native::Facts::of("acme");
            facts.caller = Some(Caller {
                member: "peer".to_owned(),
                name: "Peer".to_owned(),
                role: Role::Owner,
            });
            facts
        };
        Ok(native::install(tasks::router(), Arc::new(host), facts))
    })
}

/// `native-hello ADDRESS`: the same answer as `benches/hello`, from plain axum.
pub(crate) fn serve_hello(arguments: &[String]) -> Result<()> {
    let address = arguments.first().context("an address")?;
    serve(address, async {
        Ok(axum::Router::new().route("/api/hello/ping", axum::routing::get(async || "hello")))
    })
}

/// `native-chain ADDRESS`: see [`crate::calls::router`].
pub(crate) fn serve_chain(arguments: &[String]) -> Result<()> {
    let address = arguments.first().context("an address")?;
    serve(address, async { Ok(crate::calls::router(address)) })
}

fn serve(address: &str, router: impl Future<Output = Result<axum::Router>>) -> Result<()> {
    let address: SocketAddr = address.parse().context("read the address")?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let router = router.await?;
        let listener = TcpListener::bind(address).await.context("listen")?;
        println!("ready");
        axum::serve(listener, router).await.context("serve")
    })
}
