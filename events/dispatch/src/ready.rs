//! Whose turn it is: a queue of (service, tenant), in which each stands at most once.
//!
//! A key that is being worked on is not in the queue, so no two workers have the same one; when it
//! becomes ready meanwhile, it goes to the end of the queue afterwards. That is the fairness: a tenant
//! with a million events has one place in the queue, like all others.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use terrace_ground_ids::{ServiceName, TenantId};
use tokio::sync::Notify;

/// Whose turn it is.
pub type Key = (ServiceName, TenantId);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the queue.
    Queued,
    /// With a worker.
    Working,
    /// With a worker, and to be queued again.
    Again,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Ready {
    state: Mutex<State>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Key>,
    /// Where a key is, and whether a cursor may be written just to skip events.
    places: HashMap<Key, (Place, bool)>,
}

impl Ready {
    /// There may be something to do for this one.
    pub fn push(&self, key: Key, thorough: bool) {
        let mut state = self.lock();
        match state.places.get_mut(&key) {
            Some((place, known)) => {
                *known |= thorough;
                if *place == Place::Working {
                    *place = Place::Again;
                }
            }
            None => {
                state.places.insert(key.clone(), (Place::Queued, thorough));
                state.queue.push_back(key);
                self.notify.notify_one();
            }
        }
    }

    /// The next key, and whether the look is to be thorough. Cancel-safe.
    pub async fn pop(&self) -> (Key, bool) {
        loop {
            let waiting = self.notify.notified();
            {
                let mut state = self.lock();
                if let Some(key) = state.queue.pop_front() {
                    let thorough = state
                        .places
                        .insert(key.clone(), (Place::Working, false))
                        .is_some_and(|(_, thorough)| thorough);
                    if !state.queue.is_empty() {
                        // One permit is kept at most: whoever takes a key wakes the next worker.
                        self.notify.notify_one();
                    }
                    return (key, thorough);
                }
            }
            waiting.await;
        }
    }

    /// The worker is done with a key for now.
    pub fn done(&self, key: &Key, again: bool) {
        let mut state = self.lock();
        let (place, thorough) = state.places.remove(key).unwrap_or((Place::Working, false));
        if again || place == Place::Again {
            state.places.insert(key.clone(), (Place::Queued, thorough));
            state.queue.push_back(key.clone());
            self.notify.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_busy_tenant_has_one_place_in_the_queue_and_one_worker() {
        let service: ServiceName = "billing".parse().unwrap();
        let (loud, quiet) = ((service.clone(), TenantId::random()), (service, TenantId::random()));
        let ready = Ready::default();
        ready.push(loud.clone(), false);
        ready.push(loud.clone(), false);
        ready.push(quiet.clone(), true);
        assert_eq!(ready.pop().await, (loud.clone(), false));
        ready.push(loud.clone(), false);
        assert_eq!(
            ready.pop().await,
            (quiet.clone(), true),
            "the loud one must not have a second worker"
        );
        ready.done(&quiet, false);
        ready.done(&loud, false);
        assert_eq!(
            ready.pop().await,
            (loud.clone(), false),
            "it became ready while it was worked on"
        );
        ready.done(&loud, false);
        assert!(ready.lock().places.is_empty());
    }
}
