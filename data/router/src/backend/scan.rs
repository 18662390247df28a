//! Scans: a SELECT whose rows come in batches, when they are asked for.
//!
//! A portal of its own for each, which the server runs as far as it is told. Nobody computes, sends or
//! keeps a row that was not asked for: that is the back-pressure.

use std::sync::Arc;

use terrace_data_guard::{Kind, Verdict};

use super::{Backend, State};
use crate::{
    Config, Error, ErrorKind, Rows, Value,
    flight::{Failure, Statement, Step},
    route::Route,
};

/// The number of a portal; its name on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Portal(pub(crate) u32);

impl Portal {
    pub(crate) fn name(self) -> String {
        format!("p{}", self.0)
    }
}

/// Rows of a scan.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) rows: Rows,
    /// Nothing comes after it.
    pub(crate) is_last: bool,
    /// Bytes of the longest row in it.
    pub(crate) row_bytes: usize,
}

impl Backend {
    /// Binds a SELECT to a portal and runs it for its first rows.
    #[expect(
        clippy::too_many_arguments,
        reason = "those of a statement, the portal, and how far to run it"
    )]
    pub(crate) async fn open_scan(
        &mut self,
        portal: Portal,
        rows_max: i32,
        route: &Route,
        verdict: &Verdict,
        params: &[Value],
        timeout_ms: u64,
        config: &Config,
    ) -> Result<(Arc<Statement>, Batch), Failure> {
        if verdict.kind() != Kind::Select {
            let message = "only a SELECT can be scanned: the others have done their work before the first row";
            return Err(Failure::Statement(Error::new(ErrorKind::Refused, message)));
        }
        self.start();
        if self.state == State::Idle {
            self.put_begin(route, timeout_ms)?;
        }
        let statement = self.prepared(route, verdict, config).await?;
        if let Err(error) = self.put_bind(&portal.name(), &statement, params, config) {
            self.abandon();
            return Err(Failure::Statement(error));
        }
        let batch = self
            .run_portal(portal, rows_max, Arc::clone(&statement), config)
            .await?;
        Ok((statement, batch))
    }

    /// Runs an open portal further.
    pub(crate) async fn next_batch(
        &mut self,
        portal: Portal,
        rows_max: i32,
        statement: Arc<Statement>,
        config: &Config,
    ) -> Result<Batch, Failure> {
        self.start();
        self.run_portal(portal, rows_max, statement, config).await
    }

    /// Forgets a portal; the server hears of it with the next flight.
    pub(crate) fn close_scan(&mut self, portal: Portal) {
        if self.state == State::Open {
            self.unread.push(portal);
        }
    }

    async fn run_portal(
        &mut self,
        portal: Portal,
        rows_max: i32,
        statement: Arc<Statement>,
        config: &Config,
    ) -> Result<Batch, Failure> {
        self.put_execute(&portal.name(), rows_max)?;
        self.steps.push(Step::Portal(statement));
        let answer = self.exchange(false, config).await?;
        let (is_last, row_bytes) = (!answer.is_suspended, answer.row_bytes);
        let mut results = self.conclude(answer, State::Open)?;
        Ok(Batch {
            rows: results.pop().unwrap_or_default(),
            is_last,
            row_bytes,
        })
    }
}
