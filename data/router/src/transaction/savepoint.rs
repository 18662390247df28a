//! Savepoints of a transaction: a part of it that can be taken back alone, also after an error.

use std::sync::Arc;

use super::{Start, Transaction};
use crate::{
    Error, ErrorKind, Result,
    backend::Mark,
    router::{LOOK_FIRST, timeout_ms, within},
};

/// A point in a transaction to which it can be rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Savepoint {
    number: u32,
    /// The first scan that was opened after it: a scan does not survive the rollback of its beginning.
    scans: u32,
}

impl Savepoint {
    /// Its number in its transaction, from 1.
    pub fn number(self) -> u32 {
        self.number
    }
}

impl Transaction {
    /// Sets a savepoint.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] when the transaction has made as many as it may.
    pub async fn savepoint(&mut self) -> Result<Savepoint> {
        let max = self.inner.config.savepoints_max;
        if self.savepoints_made as usize >= max {
            let message = format!("one transaction makes at most {max} savepoints, released ones included");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        self.mark(Mark::Set, self.savepoints.len()).await?;
        self.savepoints_made += 1;
        let savepoint = Savepoint {
            number: self.savepoints_made,
            scans: self.scans_made,
        };
        self.savepoints.push(savepoint);
        Ok(savepoint)
    }

    /// Takes back everything since the savepoint, which stays set. After an error of the database this
    /// is what lets the transaction go on.
    ///
    /// # Errors
    /// [`ErrorKind::Other`] when the savepoint was released, or one before it was rolled back to.
    pub async fn rollback_to(&mut self, savepoint: u32) -> Result<()> {
        let depth = self.depth(savepoint)?;
        self.mark(Mark::RollBackTo, depth).await?;
        self.savepoints.truncate(depth + 1);
        let kept = self.savepoints.last().map_or(0, |savepoint| savepoint.scans);
        self.forget_scans(kept);
        Ok(())
    }

    /// Forgets the savepoint and those after it; what happened since stays part of the transaction.
    ///
    /// # Errors
    /// As [`Transaction::rollback_to`].
    pub async fn release(&mut self, savepoint: u32) -> Result<()> {
        let depth = self.depth(savepoint)?;
        self.mark(Mark::Release, depth).await?;
        self.savepoints.truncate(depth);
        Ok(())
    }

    fn depth(&self, number: u32) -> Result<usize> {
        self.savepoints
            .iter()
            .position(|savepoint| savepoint.number == number)
            .ok_or_else(|| Error::new(ErrorKind::Other, "the savepoint is not set any more"))
    }

    async fn mark(&mut self, mark: Mark, depth: usize) -> Result<()> {
        let outcome = within(self.deadline, async {
            let config = Arc::clone(&self.inner.config);
            let timeout_ms = timeout_ms(self.deadline)?;
            let mut wait = LOOK_FIRST;
            loop {
                let route = Arc::clone(&self.route);
                let lease = self.lease().await?;
                let start = Start::of(lease);
                match lease.savepoint(mark, depth, &route, timeout_ms, &config).await {
                    Ok(()) => return Ok(()),
                    Err(failure) => self.begin_again(failure, start, &mut wait).await?,
                }
            }
        })
        .await;
        self.note(&outcome);
        outcome
    }
}
