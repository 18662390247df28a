//! The simple protocol, to test the tag fence over it. The router itself never speaks it: one message
//! may hold several statements, and all of them run before the first tag can be read.

use postgres_protocol::message::frontend;
use terrace_data_guard::Kind;

use super::{Backend, State};
use crate::{
    Config, Rows,
    flight::{Failure, Step},
    route::Route,
};

impl Backend {
    /// One text in an open transaction, which it opens when there is none.
    pub(crate) async fn simple(
        &mut self,
        route: &Route,
        sql: &str,
        timeout_ms: u64,
        config: &Config,
    ) -> Result<Rows, Failure> {
        if self.state == State::Idle {
            self.start();
            self.put_begin(route, timeout_ms)?;
            let answer = self.exchange(false, config).await?;
            self.conclude(answer, State::Open)?;
        }
        self.start();
        frontend::query(sql, &mut self.out).map_err(super::unsendable)?;
        self.steps.push(Step::Text(Kind::Any));
        self.send(false).await?;
        let answer = self.receive(false, config).await?;
        let mut results = self.conclude(answer, State::Open)?;
        Ok(results.pop().unwrap_or_default())
    }
}
