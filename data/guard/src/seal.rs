//! Sealed SQL: the statements of a release by their fingerprints, and the refusal of any other.
//!
//! A service is a deployed artefact, so what it may say is known when it is deployed. The guard asks
//! whether a statement is allowed to anyone; a seal, whether it is one of this release's. An injected
//! fragment changes the shape of the tree, and with it the fingerprint (`pg_query`'s: constants,
//! parameters and the length of IN lists do not count, everything else does).

use std::collections::HashSet;

use crate::{Guard, Reason, Refusal, cache::STATEMENT_BYTES_MAX};

/// Most statements of one release.
const STATEMENTS_MAX: usize = 10_000;

/// The statements that one release may send.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seal(HashSet<u64>);

/// A list that makes no seal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A statement on the list would be refused by the guard anyway.
    #[error("statement {number} of the list (`{beginning}`): {refusal}")]
    Refused {
        /// Its place, from 1.
        number: usize,
        /// Its first words.
        beginning: String,
        /// What is wrong with it.
        refusal: Refusal,
    },
    /// More than a release may have.
    #[error("a sealed release has at most {STATEMENTS_MAX} statements, and this one has {0}")]
    TooMany(usize),
}

impl Seal {
    /// A seal of these statements. Each is checked as if it were sent: a list cannot allow what the
    /// guard does not.
    ///
    /// # Errors
    /// [`SealError`], which names the statement.
    pub fn of<'a>(guard: &Guard, statements: impl IntoIterator<Item = &'a str>) -> Result<Self, SealError> {
        let mut fingerprints = HashSet::new();
        for (index, sql) in statements.into_iter().enumerate() {
            if index >= STATEMENTS_MAX {
                return Err(SealError::TooMany(index + 1));
            }
            let known = guard.check(sql).and_then(|_| fingerprint(sql));
            let known = known.map_err(|refusal| SealError::Refused {
                number: index + 1,
                beginning: sql.chars().take(60).collect(),
                refusal,
            })?;
            fingerprints.insert(known);
        }
        Ok(Self(fingerprints))
    }

    /// Whether a statement with this fingerprint is one of the release's.
    pub fn allows(&self, fingerprint: u64) -> bool {
        self.0.contains(&fingerprint)
    }

    /// How many different statements there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the release sends nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

pub(crate) fn fingerprint(sql: &str) -> Result<u64, Refusal> {
    if sql.len() > STATEMENT_BYTES_MAX {
        return Err(crate::cache::too_long());
    }
    // The whole name of a table: by default, digits in it do not count (`orders_2024`).
    pg_query::fingerprint(sql, 0, pg_query::FingerprintOptions::FULL_RELNAME)
        .map(|fingerprint| fingerprint.value)
        .map_err(|error| Refusal::new(Reason::Syntax, error.to_string()))
}
