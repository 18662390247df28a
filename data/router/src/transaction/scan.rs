//! Scans of a transaction: large results in batches, each computed when it is asked for.

use std::sync::{Arc, atomic::Ordering};

use super::{Start, Transaction};
use crate::{
    Error, ErrorKind, Result, Rows, Value,
    backend::Portal,
    flight::Statement,
    router::{LOOK_FIRST, timeout_ms, within},
    statements::{Seen, Watch},
};

/// Rows of the first batch: a few, because how long they are is not known yet.
const FIRST_ROWS: i32 = 8;
/// Most rows of one batch.
const BATCH_ROWS_MAX: i32 = 1_000;

/// The number of a scan in its transaction, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scan(u32);

impl Scan {
    /// The number.
    pub fn number(self) -> u32 {
        self.0
    }
}

/// What is kept of a scan between two batches.
pub(crate) struct Open {
    number: u32,
    statement: Arc<Statement>,
    seen: Seen,
    /// Computed already, not asked for yet: the first one.
    ready: Option<Rows>,
    is_last: bool,
    rows: i32,
}

impl Transaction {
    /// Begins a scan. Its first rows are computed now, to find out whether it works at all.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when too many are open, [`ErrorKind::Refused`] for what is no SELECT, and
    /// those of [`Transaction::query`].
    pub async fn scan(&mut self, sql: &str, params: &[Value]) -> Result<Scan> {
        let max = self.inner.config.scans_max;
        if self.scans.len() >= max {
            let message = format!("one transaction has at most {max} scans open: read one to its end first");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let verdict = self.inner.check(sql)?;
        self.route.turnstile.statements.fetch_add(1, Ordering::Relaxed);
        let number = self.scans_made + 1;
        let outcome = within(self.deadline, async {
            let config = Arc::clone(&self.inner.config);
            let timeout_ms = timeout_ms(self.deadline)?;
            let mut wait = LOOK_FIRST;
            loop {
                let route = Arc::clone(&self.route);
                let lease = self.lease().await?;
                let start = Start::of(lease);
                let portal = Portal(number);
                let watch = Watch::begin(&route, &verdict, sql);
                match lease
                    .open_scan(portal, FIRST_ROWS, &route, &verdict, params, timeout_ms, &config)
                    .await
                {
                    Ok((statement, batch)) => {
                        let seen = watch.seen();
                        watch.done();
                        return Ok(Open {
                            number,
                            statement,
                            seen,
                            rows: next_rows(FIRST_ROWS, batch.row_bytes, config.batch_bytes),
                            ready: Some(batch.rows),
                            is_last: batch.is_last,
                        });
                    }
                    Err(failure) => {
                        watch.failed(&failure);
                        self.begin_again(failure, start, &mut wait).await?;
                    }
                }
            }
        })
        .await;
        self.note(&outcome);
        self.scans.push(outcome?);
        self.scans_made = number;
        Ok(Scan(number))
    }

    /// The next rows of a scan; `None` when there are no more. Other statements may run in between.
    ///
    /// # Errors
    /// Those of [`Transaction::query`]; [`ErrorKind::Other`] when there is no such scan (any more).
    pub async fn next(&mut self, scan: u32) -> Result<Option<Rows>> {
        let Some(at) = self.scans.iter().position(|open| open.number == scan) else {
            return Err(Error::new(ErrorKind::Other, "the scan is over"));
        };
        let Some(open) = self.scans.get_mut(at) else {
            return Ok(None);
        };
        if let Some(rows) = open.ready.take()
            && !rows.rows.is_empty()
        {
            return Ok(Some(rows));
        }
        if open.is_last {
            self.close(scan);
            return Ok(None);
        }
        let (statement, rows_max, seen) = (Arc::clone(&open.statement), open.rows, open.seen.clone());
        let outcome = within(self.deadline, async {
            let (config, route) = (Arc::clone(&self.inner.config), Arc::clone(&self.route));
            let lease = self.lease().await?;
            let watch = Watch::resume(&route, &seen);
            match lease.next_batch(Portal(scan), rows_max, statement, &config).await {
                Ok(batch) => {
                    watch.done();
                    Ok(batch)
                }
                Err(failure) => {
                    drop(watch);
                    Err(self.fail(failure, false))
                }
            }
        })
        .await;
        self.note(&outcome);
        let batch = outcome?;
        let batch_bytes = self.inner.config.batch_bytes;
        if let Some(open) = self.scans.get_mut(at) {
            open.is_last = batch.is_last;
            open.rows = next_rows(rows_max, batch.row_bytes, batch_bytes);
        }
        if batch.rows.rows.is_empty() {
            self.close(scan);
            return Ok(None);
        }
        Ok(Some(batch.rows))
    }

    /// Ends a scan before its end. Dropping the transaction does it too.
    pub fn close(&mut self, scan: u32) {
        self.scans.retain(|open| open.number != scan);
        if let Some(lease) = &mut self.lease {
            lease.close_scan(Portal(scan));
        }
    }

    /// Forgets scans that were opened after the first so many.
    pub(super) fn forget_scans(&mut self, kept: u32) {
        // The server has closed their portals itself.
        self.scans.retain(|open| open.number <= kept);
    }
}

/// How far to go next: up to four times as many rows, as long as they are about a batch together.
fn next_rows(rows: i32, row_bytes: usize, batch_bytes: usize) -> i32 {
    let fitting = i32::try_from(batch_bytes / row_bytes.max(1)).unwrap_or(i32::MAX);
    rows.saturating_mul(4).min(fitting).clamp(1, BATCH_ROWS_MAX)
}
