//! One connection: what it has prepared, in which state it is, and the flights it can make.
//!
//! Flights that only some transactions make are in the files of this folder.

mod copy;
mod prepare;
mod savepoint;
mod scan;
#[doc(hidden)]
mod simple;
mod stream;

use std::{
    collections::HashSet,
    io,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use lru::LruCache;
use postgres_protocol::message::frontend::{self, BindError};
use terrace_data_guard::{Kind, Verdict};
use terrace_ground_ids::TenantId;
use tokio::io::AsyncWriteExt;

pub(crate) use savepoint::Mark;
pub(crate) use scan::Portal;
pub(crate) use stream::Stream;

use crate::{
    Address, Config, Error, ErrorKind, Rows, Trusted, Value, codec,
    connect::{BEGIN, COMMIT, ROLLBACK},
    flight::{self, Answer, Failure, Statement, Step},
    process::Process,
    route::Route,
};

/// Where a connection stands between two flights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// No transaction: fit for the pool.
    Idle,
    /// In a transaction that works.
    Open,
    /// In a transaction that an error has ended; only a rollback is left.
    Failed,
    /// Something was sent and its end was not read: unknown, fit for nothing.
    InFlight,
}

/// What is prepared under which name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    /// (route, verdict): the same text in two schemas is two statements.
    Statement(u64, u64),
    /// `SET LOCAL ROLE` of a route.
    Role(u64),
    /// `SET LOCAL statement_timeout` to so many milliseconds.
    Timeout(u64),
    /// A statement of the platform.
    Trusted(&'static str),
    /// What a transaction does at a savepoint of this depth.
    Savepoint(Mark, usize),
}

/// What a cancel request needs.
#[derive(Debug, Clone)]
pub(crate) struct CancelKey {
    pub(crate) address: Address,
    pub(crate) process_id: i32,
    pub(crate) secret_key: i32,
}

/// The server refuses to write: `read_only_sql_transaction`.
const READ_ONLY: &str = "25006";

pub(crate) struct Backend {
    pub(crate) cancel: CancelKey,
    pub(crate) state: State,
    /// The route that was served last: its catalogue entries and plans are warm here.
    last_route: u64,
    last_tenant: Option<TenantId>,
    pub(crate) idle_since: Instant,
    /// Writes to the socket. One flight is one, unless it is larger than the socket's buffer.
    pub(crate) writes: u64,
    must_retire: bool,
    born: Instant,
    /// Tables that were opened here, as hashes of (route, table). PostgreSQL keeps what it knows of
    /// each for the life of the backend.
    relations: HashSet<u64>,
    stream: Stream,
    /// Where the server runs on this machine.
    process: Option<Process>,
    input: BytesMut,
    out: BytesMut,
    steps: Vec<Step>,
    prepared: LruCache<Key, Arc<Statement>>,
    names: u64,
    /// Prepared in the flight that is being built; forgotten again when it fails before them.
    inline: Vec<Key>,
    evicted: Vec<Arc<Statement>>,
    /// Portals that nobody reads any more; closed with the next flight.
    unread: Vec<Portal>,
}

impl Backend {
    pub(crate) fn new(stream: Stream, input: BytesMut, out: BytesMut, cancel: CancelKey, config: &Config) -> Self {
        let now = Instant::now();
        let process = match &stream {
            Stream::Unix(stream) => Process::behind(stream, cancel.process_id, config.long_statement_niceness),
            Stream::Tcp(_) => None,
        };
        let capacity = NonZeroUsize::new(config.prepared_max.max(16)).unwrap_or(NonZeroUsize::MIN);
        Self {
            cancel,
            state: State::Idle,
            last_route: 0,
            last_tenant: None,
            idle_since: now,
            writes: 0,
            must_retire: false,
            born: now,
            relations: HashSet::new(),
            stream,
            process,
            input,
            out,
            steps: Vec::with_capacity(8),
            prepared: LruCache::new(capacity),
            names: 0,
            inline: Vec::new(),
            evicted: Vec::new(),
            unread: Vec::new(),
        }
    }

    /// Whether it may go back to the pool.
    pub(crate) fn is_reusable(&self, config: &Config) -> bool {
        self.state == State::Idle
            && !self.must_retire
            && self.relations.len() <= config.backend_relations_max
            && self.born.elapsed() < Duration::from_secs(config.backend_age_max_s)
    }

    /// Takes up work for a route. False when its process stands back and cannot come forward again.
    pub(crate) fn take_up(&mut self, route: &Route) -> bool {
        let process = self.process.as_mut();
        let is_fit = process.is_none_or(|process| process.take_up(&route.turnstile));
        if is_fit && self.last_route != route.number {
            self.last_route = route.number;
            self.last_tenant = Some(route.principal.tenant.clone());
        }
        is_fit
    }

    /// Whether nobody else was served last.
    pub(crate) fn served_last(&self, tenant: &TenantId) -> bool {
        self.last_tenant.as_ref() == Some(tenant)
    }

    /// The route that was served last.
    pub(crate) fn last_route(&self) -> u64 {
        self.last_route
    }

    /// Lets others on the server's machine go first, until it takes up other work.
    pub(crate) fn stand_back(&mut self) {
        if let Some(process) = &mut self.process {
            process.stand_back();
        }
    }

    /// Whether this route was served here, not long ago: its tables are known and its statements kept.
    pub(crate) fn has_served(&self, route: u64) -> bool {
        self.prepared.contains(&Key::Role(route))
    }

    /// How many tables were opened here.
    pub(crate) fn relations(&self) -> usize {
        self.relations.len()
    }

    /// Whether the server has closed it, or has said something while nobody asked: both mean that
    /// it must not be used. Costs no system call when nothing has happened.
    pub(crate) fn is_alive(&self) -> bool {
        let mut byte = [0_u8; 1];
        let read = self.stream.try_read(&mut byte);
        self.input.is_empty() && matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// One statement in a transaction of its own (`is_whole`), in one flight; or one statement of an
    /// open transaction, which it opens when there is none.
    pub(crate) async fn statement(
        &mut self,
        route: &Route,
        verdict: &Verdict,
        params: &[Value],
        timeout_ms: u64,
        is_whole: bool,
        config: &Config,
    ) -> Result<Rows, Failure> {
        self.start();
        if self.state == State::Idle {
            self.put_begin(route, timeout_ms)?;
        }
        let statement = match self.prepared(route, verdict, config).await {
            Ok(statement) => statement,
            Err(failure) => {
                if is_whole && matches!(failure, Failure::Statement(_)) {
                    self.rollback(config).await?;
                }
                return Err(failure);
            }
        };
        if let Err(error) = self.put_statement(verdict.kind(), statement, params, config) {
            self.abandon();
            if is_whole && self.state != State::Idle {
                self.rollback(config).await?;
            }
            return Err(Failure::Statement(error));
        }
        if is_whole {
            self.put_named(COMMIT, "COMMIT")?;
        }
        let answer = self.exchange(is_whole, config).await?;
        if is_whole && self.state != State::Idle {
            // The error skipped the COMMIT; without one, the server has not done what it was told.
            self.rollback(config).await?;
        }
        let mut results = self.conclude(answer, if is_whole { State::Idle } else { State::Open })?;
        Ok(results.pop().unwrap_or_default())
    }

    /// The platform's own statements and COMMIT, in one flight.
    pub(crate) async fn commit(
        &mut self,
        route: &Route,
        epilogue: &[Trusted],
        timeout_ms: u64,
        config: &Config,
    ) -> Result<Vec<Rows>, Failure> {
        self.start();
        if self.state == State::Idle {
            self.put_begin(route, timeout_ms)?;
        }
        let mut missing: Vec<(Key, &str)> = Vec::new();
        for trusted in epilogue {
            let key = Key::Trusted(trusted.sql);
            if self.prepared.get(&key).is_none() && !missing.iter().any(|(other, _)| *other == key) {
                missing.push((key, trusted.sql));
            }
        }
        if !missing.is_empty() {
            let prepared = self.prepare(missing, config).await;
            if matches!(prepared, Err(Failure::Statement(_))) {
                self.rollback(config).await?;
            }
            prepared?;
            self.start();
        }
        for trusted in epilogue {
            let Some(statement) = self.prepared.get(&Key::Trusted(trusted.sql)).map(Arc::clone) else {
                return Err(Failure::Unexpected(
                    "a statement of the platform was evicted".to_owned(),
                ));
            };
            if let Err(error) = self.put_statement(Kind::Any, statement, &trusted.params, config) {
                self.abandon();
                self.rollback(config).await?;
                return Err(Failure::Statement(error));
            }
        }
        self.put_named(COMMIT, "COMMIT")?;
        let answer = self.exchange(true, config).await?;
        if self.state != State::Idle {
            self.rollback(config).await?;
        }
        self.conclude(answer, State::Idle)
    }

    /// Ends the transaction, if there is one.
    pub(crate) async fn rollback(&mut self, config: &Config) -> Result<(), Failure> {
        if self.state == State::Idle {
            return Ok(());
        }
        self.start();
        self.put_named(ROLLBACK, "ROLLBACK")?;
        let answer = self.exchange(false, config).await?;
        self.conclude(answer, State::Idle).map(drop)
    }

    fn start(&mut self) {
        self.out.clear();
        self.steps.clear();
        self.inline.clear();
        for index in 0..self.evicted.len() {
            // A name is ours and has no NUL, so this cannot fail.
            drop(frontend::close(b'S', &self.evicted[index].name, &mut self.out));
        }
        for portal in self.unread.drain(..) {
            drop(frontend::close(b'P', &portal.name(), &mut self.out));
        }
    }

    /// Nothing of this flight is sent after all.
    fn abandon(&mut self) {
        for key in self.inline.drain(..) {
            self.prepared.pop(&key);
        }
        self.out.clear();
        self.steps.clear();
    }

    fn put_begin(&mut self, route: &Route, timeout_ms: u64) -> Result<(), Failure> {
        self.put_named(BEGIN, "BEGIN")?;
        self.put_limits(route, timeout_ms)
    }

    fn put_limits(&mut self, route: &Route, timeout_ms: u64) -> Result<(), Failure> {
        self.put_utility(Key::Role(route.number), "SET", || route.set_role.clone())?;
        self.put_utility(Key::Timeout(timeout_ms), "SET", || {
            format!("SET LOCAL statement_timeout = {timeout_ms}")
        })
    }

    fn put_utility(&mut self, key: Key, tag: &'static str, sql: impl FnOnce() -> String) -> Result<(), Failure> {
        let statement = match self.prepared.get(&key) {
            Some(statement) => Arc::clone(statement),
            None => {
                // It has no parameters and no columns, so it needs no round trip to be described.
                let name = self.next_name();
                frontend::parse(&name, &sql(), std::iter::empty(), &mut self.out).map_err(unsendable)?;
                let statement = Arc::new(Statement {
                    name,
                    params: Vec::new(),
                    columns: Vec::new(),
                });
                self.remember(key.clone(), Arc::clone(&statement));
                self.inline.push(key);
                statement
            }
        };
        self.put_named(&statement.name, tag)
    }

    fn put_named(&mut self, name: &str, tag: &'static str) -> Result<(), Failure> {
        frontend::bind(
            "",
            name,
            std::iter::empty(),
            std::iter::empty::<()>(),
            |(), _| unreachable_param(),
            std::iter::empty(),
            &mut self.out,
        )
        .map_err(|_| Failure::Unexpected("a statement that cannot be sent".to_owned()))?;
        frontend::execute("", 0, &mut self.out).map_err(unsendable)?;
        self.steps.push(Step::Utility(tag));
        Ok(())
    }

    fn put_statement(
        &mut self,
        kind: Kind,
        statement: Arc<Statement>,
        params: &[Value],
        config: &Config,
    ) -> Result<(), Error> {
        self.put_bind("", &statement, params, config)?;
        // One row more than allowed tells a full result from one that is too long. Only a SELECT
        // can be stopped: the others have done their work before the first row.
        let rows_max = if kind == Kind::Select {
            i32::try_from(config.result_rows_max + 1).unwrap_or(i32::MAX)
        } else {
            0
        };
        self.put_execute("", rows_max)?;
        self.steps.push(Step::Statement(kind, statement));
        Ok(())
    }

    fn put_execute(&mut self, portal: &str, rows_max: i32) -> Result<(), Error> {
        frontend::execute(portal, rows_max, &mut self.out)
            .map_err(|error| Error::new(ErrorKind::Other, error.to_string()))
    }

    fn put_bind(
        &mut self,
        portal: &str,
        statement: &Statement,
        params: &[Value],
        config: &Config,
    ) -> Result<(), Error> {
        if params.len() != statement.params.len() {
            let message = format!(
                "the statement takes {} parameters, {} were given",
                statement.params.len(),
                params.len()
            );
            return Err(Error::new(ErrorKind::BadValue, message));
        }
        let before = self.out.len();
        let pairs = || params.iter().zip(statement.params.iter().copied());
        frontend::bind(
            portal,
            &statement.name,
            pairs().map(|(value, oid)| codec::param_format(value, oid)),
            pairs(),
            |(value, oid), out| codec::encode(value, oid, out).map_err(Into::into),
            statement.columns.iter().map(|column| codec::column_format(column.oid)),
            &mut self.out,
        )
        .map_err(bind_error)?;
        if self.out.len() - before > config.params_bytes_max {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("all parameters together have at most {} bytes", config.params_bytes_max),
            ));
        }
        Ok(())
    }

    /// Sends what was put and reads all that comes back.
    async fn exchange(&mut self, has_commit: bool, config: &Config) -> Result<Answer, Failure> {
        frontend::sync(&mut self.out);
        self.send(has_commit).await?;
        self.receive(has_commit, config).await
    }

    /// Writes what was put.
    async fn send(&mut self, has_commit: bool) -> Result<(), Failure> {
        self.state = State::InFlight;
        let mut sent = 0;
        while sent < self.out.len() {
            self.writes += 1;
            match self.stream.write(&self.out[sent..]).await {
                Ok(count) if count > 0 => sent += count,
                Ok(_) | Err(_) => {
                    return Err(Failure::Lost {
                        nothing_ran: sent == 0 || !has_commit,
                        error: None,
                    });
                }
            }
        }
        self.evicted.clear();
        Ok(())
    }

    async fn receive(&mut self, has_commit: bool, config: &Config) -> Result<Answer, Failure> {
        let answer = flight::read(&mut self.stream, &mut self.input, &self.steps, config);
        let answer = match &mut self.process {
            Some(process) => process.watch(answer).await,
            None => answer.await,
        };
        let answer = match answer {
            // Without a COMMIT in it, a flight that is lost has changed nothing.
            Err(Failure::Lost { nothing_ran, error }) => {
                return Err(Failure::Lost {
                    nothing_ran: nothing_ran || !has_commit,
                    error,
                });
            }
            other => other?,
        };
        self.must_retire |= answer.must_retire;
        if let Some(error) = &answer.error {
            // What was the primary is one no more.
            self.must_retire |= error.sqlstate == READ_ONLY;
            for key in self.inline.drain(..).skip(answer.parsed) {
                self.prepared.pop(&key);
            }
        }
        self.state = match answer.status {
            b'I' => State::Idle,
            b'T' => State::Open,
            b'E' => State::Failed,
            _ => return Err(Failure::Unexpected("an unknown transaction status".to_owned())),
        };
        Ok(answer)
    }

    /// The results, or the error; and the state must be the one that the flight was to end in.
    fn conclude(&mut self, answer: Answer, expected: State) -> Result<Vec<Rows>, Failure> {
        if let Some(error) = answer.error {
            return Err(Failure::Statement(error.into_error()));
        }
        if self.state != expected {
            let found = self.state;
            self.state = State::InFlight;
            return Err(Failure::Unexpected(format!(
                "a flight that ended in the state {found:?}"
            )));
        }
        if answer.is_over_limit {
            let message = "the result has too many rows or bytes; what the statement wrote stays written if it was not in a transaction";
            return Err(Failure::Statement(Error::new(ErrorKind::Limit, message)));
        }
        Ok(answer.results)
    }
}

fn unreachable_param() -> Result<postgres_protocol::IsNull, Box<dyn std::error::Error + Sync + Send>> {
    Err("this statement has no parameters".into())
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn unsendable(error: io::Error) -> Failure {
    Failure::Statement(Error::new(ErrorKind::BadValue, error.to_string()))
}

fn bind_error(error: BindError) -> Error {
    match error {
        BindError::Conversion(error) => match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => Error::new(ErrorKind::BadValue, error.to_string()),
        },
        BindError::Serialization(error) => Error::new(ErrorKind::BadValue, error.to_string()),
    }
}
