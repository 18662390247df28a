//! One turn of one (service, tenant): a few events, one after the other.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use terrace_events_log::Event;
use tracing::{debug, warn};

use crate::{DeliverError, Dispatcher, Error, ready::Key};

/// Events that may lie between a cursor and the stream's end, none of them consumed, before the cursor
/// is moved past them outside of a scan. It keeps chatter that nobody consumes from writing a cursor
/// row per event.
const SKIPPED_MAX: u64 = 200;

/// What comes after a turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There is more, and it is the next one's turn.
    More,
    /// The consumer is at the end, or another node has it.
    Done,
    /// The next try is due then.
    Later(Duration),
}

impl Dispatcher {
    /// Delivers up to a quantum of events. `thorough`: write the cursor even when there was nothing to
    /// deliver.
    pub(crate) async fn turn(&self, key: &Key, thorough: bool) -> Result<Outcome, Error> {
        let subscriptions = self.subscriptions();
        let Some(kinds) = subscriptions.get(&key.0) else {
            return Ok(Outcome::Done);
        };
        let kinds: Vec<String> = kinds.iter().cloned().collect();
        // A look without the turn: most events are of no interest to most services.
        let cursor = self.cursor(key).await?;
        if cursor.wait.is_some() || cursor.paused {
            return Ok(Outcome::Done);
        }
        let selection = self.log.select(&key.1, cursor.seq, &kinds, 1).await?;
        if selection.events.is_empty() {
            let skipped = selection.upto.saturating_sub(cursor.seq);
            if skipped >= SKIPPED_MAX || (thorough && skipped > 0) {
                self.advance(key, selection.upto).await?;
            }
            return Ok(Outcome::Done);
        }
        if !self.turns.take(key).await? {
            return Ok(Outcome::Done);
        }
        let outcome = self.deliver_some(key, &kinds).await;
        self.turns.give(key).await?;
        outcome
    }

    /// One delivery. A panic in it counts as a failure of this event: it must not take a worker, and
    /// with it all other tenants, away.
    async fn deliver_one(&self, key: &Key, event: &Event) -> Result<(), DeliverError> {
        let delivery = AssertUnwindSafe(self.deliver.deliver(&key.0, &key.1, event));
        delivery
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Err(DeliverError::Failed("the delivery panicked".to_owned())))
    }

    async fn deliver_some(&self, key: &Key, kinds: &[String]) -> Result<Outcome, Error> {
        // Read again: before the turn, another node may have moved it.
        let mut cursor = self.cursor(key).await?;
        if cursor.wait.is_some() || cursor.paused {
            return Ok(Outcome::Done);
        }
        let quantum = self.config.quantum.max(1);
        let selection = self.log.select(&key.1, cursor.seq, kinds, quantum).await?;
        for event in &selection.events {
            if !cursor.exists {
                // The service's own transaction moves the row of the cursor, so there must be one.
                self.advance(key, event.seq - 1).await?;
                cursor.exists = true;
            }
            let Err(error) = self.deliver_one(key, event).await else {
                debug!(service.name = %key.0, tenant.id = %key.1, event.seq = event.seq, "Delivered an event");
                self.advance(key, event.seq).await?;
                cursor.attempts = 0;
                continue;
            };
            if self.cursor(key).await?.seq >= event.seq {
                // It failed after its effect had committed, together with the cursor. Trying again
                // would only be refused.
                cursor.attempts = 0;
                continue;
            }
            if error == DeliverError::Paused {
                return Ok(Outcome::Done);
            }
            let counts = matches!(error, DeliverError::Failed(_));
            let attempts = cursor.attempts + u32::from(counts);
            let message = error.to_string();
            if counts && attempts >= self.config.tries_max {
                warn!(service.name = %key.0, tenant.id = %key.1, event.seq = event.seq, "Gave up on an event after {attempts} tries: {message}");
                self.bury(key, event, attempts, &message).await?;
                cursor.attempts = 0;
                continue;
            }
            let wait = self.wait(attempts.max(1));
            self.fail(key, attempts, &message, wait).await?;
            return Ok(Outcome::Later(wait));
        }
        let is_full = selection.events.len() >= quantum as usize;
        Ok(if is_full { Outcome::More } else { Outcome::Done })
    }
}
