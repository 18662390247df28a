//! Savepoints: a part of a transaction that can be taken back alone.

use super::{Backend, Key, State};
use crate::{Config, flight::Failure, route::Route};

/// What is done at a savepoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Mark {
    /// `SAVEPOINT`
    Set,
    /// `ROLLBACK TO SAVEPOINT`: the one thing that works after an error.
    RollBackTo,
    /// `RELEASE SAVEPOINT`
    Release,
}

impl Mark {
    /// The statement, and the tag that answers it.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Set => ("SAVEPOINT", "SAVEPOINT"),
            Self::RollBackTo => ("ROLLBACK TO SAVEPOINT", "ROLLBACK"),
            Self::Release => ("RELEASE SAVEPOINT", "RELEASE"),
        }
    }
}

impl Backend {
    /// One step at the savepoint of this depth; opens the transaction when there is none yet.
    pub(crate) async fn savepoint(
        &mut self,
        mark: Mark,
        depth: usize,
        route: &Route,
        timeout_ms: u64,
        config: &Config,
    ) -> Result<(), Failure> {
        self.start();
        if self.state == State::Idle {
            self.put_begin(route, timeout_ms)?;
        }
        // Named by depth, so that a connection keeps a few of them prepared and not one for each use.
        let (statement, tag) = mark.words();
        self.put_utility(Key::Savepoint(mark, depth), tag, || format!("{statement} s{depth}"))?;
        let answer = self.exchange(false, config).await?;
        self.conclude(answer, State::Open).map(drop)
    }
}
