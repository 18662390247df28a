//! How many requests of one tenant a service works on at once, and how many may wait.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use terrace_ground_ids::{ServiceName, TenantId};
use tokio::{sync::oneshot, time::Instant};

use crate::Fault;

/// Locks, so that tenants seldom meet at one.
const SHARDS: usize = 16;

type Key = (TenantId, ServiceName);
type Gates = HashMap<Key, Gate>;

/// The gates of all (tenant, service) that have a request at the moment.
pub(crate) struct Admission {
    shards: [Mutex<Gates>; SHARDS],
    hasher: RandomState,
}

#[derive(Default)]
struct Gate {
    running: u32,
    waiting: VecDeque<oneshot::Sender<Permit>>,
}

/// The right to run one request. Dropping it hands it to the next that waits.
pub(crate) struct Permit {
    of: Option<(Arc<Admission>, Key)>,
}

impl Admission {
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
        }
    }

    /// Waits for a place among `running_max`, behind at most `waiting_max` others.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        key: Key,
        running_max: u32,
        waiting_max: usize,
        deadline: Instant,
    ) -> Result<Permit, Fault> {
        let waiter = {
            let mut gates = self.shard(&key);
            let gate = match gates.get_mut(&key) {
                Some(gate) => gate,
                None => gates.entry(key.clone()).or_default(),
            };
            if gate.running < running_max.max(1) {
                gate.running += 1;
                drop(gates);
                return Ok(Permit {
                    of: Some((self.clone(), key)),
                });
            }
            if gate.waiting.len() >= waiting_max {
                // Those who gave up still stand in the queue; they make room only when it is needed.
                gate.waiting.retain(|waiter| !waiter.is_closed());
            }
            if gate.waiting.len() >= waiting_max {
                return Err(Fault::Overloaded);
            }
            let (sender, waiter) = oneshot::channel();
            gate.waiting.push_back(sender);
            waiter
        };
        match tokio::time::timeout_at(deadline, waiter).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(Fault::Internal),
            Err(_) => Err(Fault::Overloaded),
        }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Gates> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
        let at = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next waiter of a gate, or one running request less.
    fn leave(&self, key: &Key) -> Option<oneshot::Sender<Permit>> {
        let mut gates = self.shard(key);
        let gate = gates.get_mut(key)?;
        let next = gate.waiting.pop_front();
        if next.is_none() {
            gate.running -= 1;
            if gate.running == 0 {
                gates.remove(key);
            }
        }
        next
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some((admission, key)) = self.of.take() else { return };
        while let Some(waiter) = admission.leave(&key) {
            match waiter.send(Permit {
                of: Some((admission.clone(), key.clone())),
            }) {
                Ok(()) => return,
                // The waiter gave up: the permit goes on to the next, here and not in its own drop.
                Err(mut permit) => permit.of = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test]
    async fn one_tenant_at_its_limit_does_not_hold_up_another() {
        let admission = Arc::new(Admission::new());
        let (a, b) = (
            (TenantId::random(), "tasks".parse().unwrap()),
            (TenantId::random(), "tasks".parse().unwrap()),
        );
        let held = admission.enter(a.clone(), 1, 0, soon()).await.ok().unwrap();
        assert_eq!(
            admission.enter(a.clone(), 1, 0, soon()).await.err(),
            Some(Fault::Overloaded)
        );
        assert!(admission.enter(b, 1, 0, soon()).await.is_ok());
        drop(held);
        assert!(admission.enter(a, 1, 0, soon()).await.is_ok());
    }

    #[tokio::test]
    async fn a_place_goes_to_the_first_that_still_waits() {
        let admission = Arc::new(Admission::new());
        let key: Key = (TenantId::random(), "tasks".parse().unwrap());
        let held = admission.enter(key.clone(), 1, 2, soon()).await.ok().unwrap();
        let gone = tokio::spawn({
            let (admission, key) = (admission.clone(), key.clone());
            async move { admission.enter(key, 1, 2, soon()).await.map(drop) }
        });
        tokio::task::yield_now().await;
        gone.abort();
        assert!(gone.await.is_err());
        let next = tokio::spawn({
            let (admission, key) = (admission.clone(), key.clone());
            async move { admission.enter(key, 1, 2, soon()).await.map(drop) }
        });
        tokio::task::yield_now().await;
        drop(held);
        assert_eq!(next.await.unwrap(), Ok(()));
        assert!(
            admission.shards.iter().all(|shard| shard.lock().unwrap().is_empty()),
            "an empty gate is forgotten"
        );
    }
}
