//! What the guard found out about one statement: its kind, and its text with a gap for the schema.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use crate::{qualify::Pieces, seal::fingerprint, shape::without_values};

/// What a statement is, and so what the database may answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// SELECT, VALUES, and WITH ... SELECT.
    Select,
    /// INSERT.
    Insert,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
    /// A statement of the platform, or one that a test let through: any of the four above.
    Any,
}

impl Kind {
    /// Whether this is what the CommandComplete message of such a statement may say: `SELECT 3`,
    /// `INSERT 0 1`. Everything else (`SET`, `RESET`, `COMMIT`, `LISTEN`) means that the statement
    /// was not what the guard took it for.
    pub fn allows_tag(self, tag: &str) -> bool {
        let verb = tag.split(' ').next().unwrap_or_default();
        match self {
            Self::Select => verb == "SELECT",
            Self::Insert => verb == "INSERT",
            Self::Update => verb == "UPDATE",
            Self::Delete => verb == "DELETE",
            Self::Any => matches!(verb, "SELECT" | "INSERT" | "UPDATE" | "DELETE"),
        }
    }
}

/// A statement that may run.
#[derive(Debug)]
pub struct Verdict {
    number: u64,
    kind: Kind,
    read_only: bool,
    pieces: Pieces,
    relations: Vec<String>,
    fingerprint: OnceLock<Option<u64>>,
    shape: OnceLock<Arc<str>>,
}

impl Verdict {
    pub(crate) fn new(kind: Kind, read_only: bool, pieces: Pieces, relations: Vec<String>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            kind,
            read_only,
            pieces,
            relations,
            fingerprint: OnceLock::new(),
            shape: OnceLock::new(),
        }
    }

    /// A number that no other verdict of this process has: the key of a prepared statement.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What the statement is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether running it twice is the same as running it once: no row is written or locked, and no
    /// sequence moves.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The tables that it names, each once: what a backend will keep in its catalogue caches for it.
    pub fn relations(&self) -> &[String] {
        &self.relations
    }

    /// The fingerprint of the statement that this is the verdict on; computed when first asked for.
    pub fn fingerprint(&self, sql: &str) -> Option<u64> {
        *self.fingerprint.get_or_init(|| fingerprint(sql).ok())
    }

    /// The statement that this is the verdict on without its values ([`without_values`]); made when first
    /// asked for, and shared by all who ask.
    pub fn shape(&self, sql: &str) -> Arc<str> {
        Arc::clone(self.shape.get_or_init(|| without_values(sql).into()))
    }

    /// The statement with every name qualified by this schema.
    pub fn bind(&self, schema: &str) -> String {
        self.pieces.bind(schema)
    }
}
