//! A host over a bare PostgreSQL: one schema, a pool, and nothing between them and the service.
//!
//! It has no fences: one tenant, one schema, whatever SQL the service sends. For tests and as the
//! peer that the platform is measured against.

mod recorder;
mod transaction;
mod value;

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use async_trait::async_trait;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod};
use tokio_postgres::{NoTls, types::ToSql};

use crate::{
    Caller, Router,
    calls::{self, Incoming, Outgoing},
    db::{Error, ErrorKind, Rows, Value},
    log::Level,
    native::{Client, Facts, Host, HostTransaction, Memory},
    password,
};
use recorder::Recorder;
use transaction::Transaction;
use value::{Cell, Parameter};

/// An event that a committed transaction published.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// Without the service's name: `task.created`.
    pub kind: String,
    /// `board/7`
    pub topic: String,
    /// What the service said.
    pub data: serde_json::Value,
}

/// A job that a committed transaction scheduled, and that none took back.
#[derive(Debug, Clone, PartialEq)]
pub struct Scheduled {
    /// `reminder.send`
    pub name: String,
    /// Empty for none.
    pub key: String,
    /// What the service said.
    pub payload: serde_json::Value,
    /// How long after the commit it is due.
    pub delay: Duration,
}

/// The host. Cheap to clone.
#[derive(Clone)]
pub struct Postgres {
    pool: Pool,
    published: Arc<Mutex<Vec<Published>>>,
    scheduled: Arc<Mutex<Vec<Scheduled>>>,
    services: HashMap<String, Router>,
    /// For a sealed service: what it says is written down.
    recorder: Option<Arc<Recorder>>,
    memory: Memory,
}

impl Postgres {
    /// Makes the schema, applies the migrations of `service` (the folder that holds `migrations/`)
    /// in the order of their names, and opens at most `connections` connections.
    ///
    /// # Errors
    /// When the database cannot be reached, or a migration fails or cannot be read.
    pub async fn open(
        mut database: tokio_postgres::Config,
        schema: &str,
        service: &Path,
        connections: usize,
    ) -> Result<Self, Error> {
        database.options(format!("-c search_path={schema}"));
        let manager = Manager::from_config(
            database,
            NoTls,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager).max_size(connections).build().map_err(other)?;
        let host = Self {
            pool,
            published: Arc::default(),
            scheduled: Arc::default(),
            services: HashMap::new(),
            recorder: Recorder::of(service).map_err(other)?.map(Arc::new),
            memory: Memory::new(),
        };
        let client = host.connection().await?;
        client
            .batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {schema}"))
            .await
            .map_err(from_postgres)?;
        let mut files = std::fs::read_dir(service.join("migrations"))
            .and_then(|folder| {
                folder
                    .map(|entry| entry.map(|entry| entry.path()))
                    .collect::<Result<Vec<_>, _>>()
            })
            .map_err(other)?;
        files.sort();
        for file in files {
            let sql = std::fs::read_to_string(&file).map_err(other)?;
            client.batch_execute(&sql).await.map_err(from_postgres)?;
        }
        drop(client);
        Ok(host)
    }

    /// Lets calls to `name` be answered by `router`, over the same host.
    #[must_use]
    pub fn with_service(mut self, name: &str, router: Router) -> Self {
        self.services.insert(name.to_owned(), router);
        self
    }

    /// Gives the service these secrets, values and answers of other hosts.
    #[must_use]
    pub fn with_memory(mut self, memory: Memory) -> Self {
        self.memory = memory;
        self
    }

    /// What committed transactions have published so far, in order.
    pub fn published(&self) -> Vec<Published> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn record(&self, statement: &str) {
        if let Some(recorder) = &self.recorder {
            recorder.see(statement);
        }
    }

    /// The jobs that wait after what was committed so far, in order. Nobody does them here: a test calls
    /// the handler itself, with a POST to `/_terrace/jobs`.
    pub fn scheduled(&self) -> Vec<Scheduled> {
        self.scheduled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn connection(&self) -> Result<Object, Error> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => from_postgres(error),
            error => Error {
                kind: ErrorKind::Unavailable,
                ..other(error)
            },
        })
    }
}

/// One statement on one connection, prepared once for each connection.
async fn run(client: &Object, statement: &str, params: &[Value]) -> Result<Rows, Error> {
    let prepared = client.prepare_cached(statement).await.map_err(from_postgres)?;
    let parameters: Vec<Parameter<'_>> = params.iter().map(Parameter).collect();
    let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|one| one as &(dyn ToSql + Sync)).collect();
    if prepared.columns().is_empty() {
        let affected = client.execute(&prepared, &parameters).await.map_err(from_postgres)?;
        return Ok(Rows::new(Vec::new(), Vec::new(), affected));
    }
    let rows = client.query(&prepared, &parameters).await.map_err(from_postgres)?;
    let columns = prepared
        .columns()
        .iter()
        .map(|column| column.name().to_owned())
        .collect();
    let values = rows
        .iter()
        .map(|row| {
            (0..row.len())
                .map(|index| row.try_get::<_, Cell>(index).map(|cell| cell.0))
                .collect()
        })
        .collect::<Result<Vec<Vec<Value>>, _>>()
        .map_err(from_postgres)?;
    Ok(Rows::new(columns, values, rows.len() as u64))
}

#[async_trait]
impl Host for Postgres {
    fn memory(&self) -> Option<&Memory> {
        Some(&self.memory)
    }

    fn log(&self, facts: &Facts, level: Level, message: &str) {
        if level != Level::Debug {
            eprintln!("{level:?} {} {message}", facts.tenant.slug);
        }
    }

    async fn query(&self, _: &Facts, statement: &str, params: Vec<Value>) -> Result<Rows, Error> {
        self.record(statement);
        run(&self.connection().await?, statement, &params).await
    }

    async fn begin(&self, _: &Facts) -> Result<Box<dyn HostTransaction>, Error> {
        let client = self.connection().await?;
        client.batch_execute("BEGIN").await.map_err(from_postgres)?;
        Ok(Box::new(Transaction::new(client, self)))
    }

    async fn hash(&self, password: &str) -> Result<String, password::Error> {
        match password.len() {
            0..8 => Err(password::Error::TooShort),
            8..=1024 => hasher()
                .hash_password(password.as_bytes())
                .map(|hash| hash.to_string())
                .map_err(|_| password::Error::Busy),
            _ => Err(password::Error::TooLong),
        }
    }

    async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, password::Error> {
        let Some(hash) = hash else {
            let _ = hasher().hash_password(password.as_bytes());
            return Ok(false);
        };
        let hash = PasswordHash::new(hash).map_err(|_| password::Error::MalformedHash)?;
        Ok(hasher().verify_password(password.as_bytes(), &hash).is_ok())
    }

    fn sign(&self, facts: &Facts, caller: &Caller, lifetime_seconds: u32) -> String {
        format!(
            "unsigned.{}.{}.{}.{lifetime_seconds}",
            facts.tenant.id,
            caller.member,
            caller.role.as_str()
        )
    }

    fn random(&self) -> String {
        let mut bytes = [0_u8; 32];
        // Without randomness no token may be made: an empty one is refused by every check on it.
        if getrandom::fill(&mut bytes).is_err() {
            return String::new();
        }
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    async fn call(&self, facts: &Facts, request: Outgoing) -> Result<Incoming, calls::Error> {
        let router = self
            .services
            .get(&request.service)
            .ok_or(calls::Error::UnknownService)?;
        let method = request.method.parse().map_err(|_| calls::Error::Failed)?;
        let body = request
            .body
            .map_or_else(axum::body::Body::empty, axum::body::Body::from);
        // What the other service says is not this one's to list.
        let host = Self {
            recorder: None,
            ..self.clone()
        };
        let client = Client::new(router.clone(), Arc::new(host), facts.clone());
        let answer = Box::pin(client.send(method, &request.path, body)).await;
        let body = String::from_utf8(answer.body).map_err(|_| calls::Error::Failed)?;
        Ok(Incoming {
            status: answer.status.as_u16(),
            body,
        })
    }
}

/// argon2id with little memory and one pass: a test hashes many passwords.
fn hasher() -> Argon2<'static> {
    let params = argon2::Params::new(64, 1, 1, None).unwrap_or_default();
    Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
}

fn other(error: impl std::fmt::Display) -> Error {
    Error {
        kind: ErrorKind::Other,
        message: error.to_string(),
        sqlstate: None,
        constraint: None,
    }
}

fn from_postgres(error: tokio_postgres::Error) -> Error {
    let Some(said) = error.as_db_error() else {
        let kind = if error.is_closed() {
            ErrorKind::Unavailable
        } else {
            ErrorKind::BadValue
        };
        return Error {
            kind,
            ..other(with_sources(&error))
        };
    };
    let kind = match said.code().code() {
        "40001" | "40P01" => ErrorKind::Conflict,
        "57014" | "55P03" => ErrorKind::Timeout,
        code => match code.get(..2).unwrap_or_default() {
            "08" | "53" | "57" => ErrorKind::Unavailable,
            "22" => ErrorKind::BadValue,
            "23" => ErrorKind::Constraint,
            "42" => ErrorKind::Syntax,
            _ => ErrorKind::Other,
        },
    };
    Error {
        kind,
        message: said.message().to_owned(),
        sqlstate: Some(said.code().code().to_owned()),
        constraint: said.constraint().map(str::to_owned),
    }
}

fn with_sources(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
