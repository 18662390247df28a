//! Prepared statements of one connection: keyed by (route, statement), bounded, and counted by the
//! tables that they open.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use postgres_protocol::message::frontend;
use terrace_data_guard::Verdict;

use super::{Backend, Key, State};
use crate::{
    Config,
    flight::{Failure, Statement},
    route::Route,
};

impl Backend {
    /// The statement as it is prepared here; prepares it when it is not, in a round trip of its own
    /// that carries what the flight already holds.
    pub(super) async fn prepared(
        &mut self,
        route: &Route,
        verdict: &Verdict,
        config: &Config,
    ) -> Result<Arc<Statement>, Failure> {
        let key = Key::Statement(route.number, verdict.number());
        if let Some(statement) = self.prepared.get(&key) {
            return Ok(Arc::clone(statement));
        }
        for relation in verdict.relations() {
            let mut hasher = DefaultHasher::new();
            (route.number, relation).hash(&mut hasher);
            self.relations.insert(hasher.finish());
        }
        let sql = verdict.bind(&route.schema);
        let mut prepared = self.prepare(vec![(key, &sql)], config).await?;
        self.start();
        Ok(prepared.remove(0))
    }

    /// Parses and describes, after what the flight already holds. The transaction stays open.
    pub(super) async fn prepare(
        &mut self,
        wanted: Vec<(Key, &str)>,
        config: &Config,
    ) -> Result<Vec<Arc<Statement>>, Failure> {
        let mut names = Vec::with_capacity(wanted.len());
        for (_, sql) in &wanted {
            let name = self.next_name();
            frontend::parse(&name, sql, std::iter::empty(), &mut self.out).map_err(super::unsendable)?;
            frontend::describe(b'S', &name, &mut self.out).map_err(super::unsendable)?;
            names.push(name);
        }
        let mut answer = self.exchange(false, config).await?;
        let described = std::mem::take(&mut answer.described);
        self.conclude(answer, State::Open)?;
        if described.len() != wanted.len() {
            return Err(Failure::Unexpected("a statement was not described".to_owned()));
        }
        let mut statements = Vec::with_capacity(wanted.len());
        for (((key, _), name), (params, columns)) in wanted.into_iter().zip(names).zip(described) {
            let statement = Arc::new(Statement { name, params, columns });
            self.remember(key, Arc::clone(&statement));
            statements.push(statement);
        }
        Ok(statements)
    }

    pub(super) fn remember(&mut self, key: Key, statement: Arc<Statement>) {
        if let Some((_, old)) = self.prepared.push(key, statement) {
            self.evicted.push(old);
        }
    }

    pub(super) fn next_name(&mut self) -> String {
        self.names += 1;
        format!("s{}", self.names)
    }
}
