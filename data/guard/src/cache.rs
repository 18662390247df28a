//! The guard itself: a bounded memory of verdicts over the check.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use lru::LruCache;

use crate::{QualifiedStatement, Reason, Refusal, Verdict, migration, walk};

/// Longest statement that is parsed, in bytes.
pub(crate) const STATEMENT_BYTES_MAX: usize = 64 * 1024;

/// Longest statement that is remembered, so that the memory of all verdicts has a bound. Services send
/// the same short statements; a longer one is parsed each time.
const REMEMBERED_BYTES_MAX: usize = 8 * 1024;

type Outcome = Result<Arc<Verdict>, Refusal>;

/// Checks statements and remembers what it found, refusals too. Cheap to share behind an `Arc`.
pub struct Guard {
    verdicts: Mutex<LruCache<Box<str>, Outcome>>,
    off: bool,
}

impl Guard {
    /// A guard that remembers this many statements (at least one).
    pub fn new(capacity: usize) -> Self {
        let capacity = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
        Self {
            verdicts: Mutex::new(LruCache::new(capacity)),
            off: false,
        }
    }

    /// A guard that lets everything through unread. It exists to test the other two fences with
    /// this one removed.
    #[doc(hidden)]
    pub fn removed_for_tests() -> Self {
        Self {
            off: true,
            ..Self::new(1024)
        }
    }

    /// Whether this statement of a service may run. The first time takes the parser (6 to 60 µs);
    /// after that it is one lookup.
    pub fn check(&self, sql: &str) -> Result<Arc<Verdict>, Refusal> {
        if sql.len() > STATEMENT_BYTES_MAX {
            return Err(too_long());
        }
        if let Some(outcome) = self.lock().get(sql) {
            return outcome.clone();
        }
        // Parsed outside the lock: a slow statement must not stop everybody else.
        let outcome = if self.off {
            Ok(walk::unread(sql))
        } else {
            walk::statement(sql)
        }
        .map(Arc::new);
        if sql.len() > REMEMBERED_BYTES_MAX {
            return outcome;
        }
        // Two first callers keep one verdict, or each would prepare under a number of its own.
        self.lock().get_or_insert(sql.into(), || outcome).clone()
    }

    /// The statements of one migration of a service, in order, each qualified. DDL and DML of the
    /// allow-list; the limits on names, functions and types are those of [`Guard::check`].
    pub fn migration(&self, sql: &str) -> Result<Vec<QualifiedStatement>, Refusal> {
        migration::statements(sql)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LruCache<Box<str>, Outcome>> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn too_long() -> Refusal {
    Refusal::new(
        Reason::Size,
        format!("a statement has at most {STATEMENT_BYTES_MAX} bytes"),
    )
}
