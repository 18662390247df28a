//! Copying a schema's tables out, all as they were at one moment.
//!
//! For data/tenancy. Costs what the tenant's own tables cost: no catalogue is walked, nobody else's
//! rows are looked at, and the role can read nothing else.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use crate::{
    Error, Result,
    backend::State,
    flight::Failure,
    lease::Lease,
    route::Route,
    router::{Inner, LOOK_FIRST, export_timeout_ms, is_elsewhere, settle, within},
};

/// A transaction that sees one moment and writes nothing. Dropping it ends it.
pub struct Export {
    inner: Arc<Inner>,
    route: Arc<Route>,
    deadline: Instant,
    /// Has the tenant's turn.
    lease: Option<Lease>,
}

impl Export {
    pub(crate) async fn begin(inner: Arc<Inner>, mut route: Arc<Route>, deadline: Instant) -> Result<Self> {
        let mut turn = route.turnstile.enter().await?;
        let mut wait = LOOK_FIRST;
        let timeout_ms = export_timeout_ms(deadline)?;
        let mut must_be_new = false;
        loop {
            let mut lease = route.pool.lease(&route, &turn, must_be_new).await?;
            // Who waits for an archive has time.
            lease.stand_back();
            match lease.snapshot(&route, timeout_ms, &inner.config).await {
                Ok(()) => {
                    return Ok(Self {
                        inner,
                        route,
                        deadline,
                        lease: Some(lease),
                    });
                }
                // It died while it was idle; nothing was done with it.
                Err(Failure::Lost { .. }) if !lease.is_new => must_be_new = true,
                // The tenant is being moved.
                Err(Failure::Statement(error)) if is_elsewhere(&error, &route) && Instant::now() < deadline => {
                    drop((lease, turn));
                    route = inner.look_again(&route.principal, &mut wait).await?;
                    turn = route.turnstile.enter().await?;
                }
                Err(failure) => return Err(settle(lease, &route, failure, false)),
            }
        }
    }

    /// The rows of one table of the schema, as `COPY ... TO STDOUT` writes them in its text format:
    /// one line per row, columns separated by tabs, in the order of `columns` (all of them, in the
    /// table's order, when there are none).
    ///
    /// # Errors
    /// Those of the database. After one, the export is over.
    pub async fn copy(&mut self, table: &str, columns: &[&str]) -> Result<Copy<'_>> {
        let names: Vec<String> = columns.iter().copied().map(quoted).collect();
        let columns = if names.is_empty() {
            String::new()
        } else {
            format!(" ({})", names.join(", "))
        };
        let sql = format!(
            "COPY {}.{}{columns} TO STDOUT",
            quoted(&self.route.schema),
            quoted(table)
        );
        let deadline = self.deadline;
        let outcome = within(deadline, async {
            match self.lease()?.copy_out(&sql).await {
                Ok(()) => Ok(()),
                Err(failure) => Err(self.fail(failure)),
            }
        });
        outcome.await?;
        Ok(Copy { export: self })
    }

    fn lease(&mut self) -> Result<&mut Lease> {
        match &mut self.lease {
            Some(lease) if lease.state == State::Open => Ok(lease),
            _ => Err(Error::unavailable("the export is over")),
        }
    }

    fn fail(&mut self, failure: Failure) -> Error {
        match (failure, self.lease.take()) {
            (Failure::Statement(error), _) => error,
            (failure, Some(lease)) => settle(lease, &self.route, failure, false),
            (_, None) => Error::unavailable("the export is over"),
        }
    }

    /// Ends the transaction and gives the connection back. Dropping does the same, without waiting.
    pub async fn end(mut self) {
        if let Some(mut lease) = self.lease.take() {
            let config = Arc::clone(&self.inner.config);
            // When it fails, the connection is not idle, and the lease destroys it.
            drop(lease.rollback(&config).await);
        }
    }
}

/// A table that is being copied. Dropping it before its end ends the export.
pub struct Copy<'a> {
    export: &'a mut Export,
}

impl Copy<'_> {
    /// The next whole rows, about 64 KiB; `None` at the end. The server sends no further than the
    /// socket's buffers hold, so whoever reads slowly makes nobody keep anything.
    ///
    /// # Errors
    /// Those of the database. After one, the export is over.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let deadline = self.export.deadline;
        let export = &mut *self.export;
        within(deadline, async {
            let Some(lease) = &mut export.lease else {
                return Err(Error::unavailable("the export is over"));
            };
            if lease.state == State::Open {
                return Ok(None);
            }
            match lease.copied().await {
                Ok(chunk) => Ok(chunk),
                Err(failure) => Err(export.fail(failure)),
            }
        })
        .await
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
