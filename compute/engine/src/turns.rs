//! Whose turn it is among the guests that compute for longer than a tick.
//!
//! A guest that used up its tick waits here for the next one. One fewer run at a time than there are
//! cores, tenant after tenant: a tenant with thirty loops gets no more turns than one with a single
//! long computation.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use terrace_ground_ids::TenantId;
use tokio::sync::oneshot;

/// The turns of all threads.
pub(crate) struct Turns {
    state: Mutex<State>,
    at_once: usize,
}

#[derive(Default)]
struct State {
    taken: usize,
    /// The tenants that wait, each once.
    ring: VecDeque<TenantId>,
    waiting: HashMap<TenantId, VecDeque<oneshot::Sender<Turn>>>,
}

/// The right to compute until the end of the poll. Dropping it passes it on.
pub(crate) struct Turn(Option<Arc<Turns>>);

impl Turns {
    /// So many at a time, and at least one.
    pub(crate) fn new(at_once: usize) -> Self {
        Self {
            state: Mutex::default(),
            at_once: at_once.max(1),
        }
    }

    /// Waits for this tenant's turn.
    pub(crate) async fn take(self: Arc<Self>, tenant: TenantId) -> Option<Turn> {
        let waiter = {
            let mut state = self.state();
            if state.taken < self.at_once {
                state.taken += 1;
                drop(state);
                return Some(Turn(Some(self)));
            }
            let (sender, waiter) = oneshot::channel();
            if let Some(queue) = state.waiting.get_mut(&tenant) {
                queue.push_back(sender);
            } else {
                state.waiting.insert(tenant.clone(), VecDeque::from([sender]));
                state.ring.push_back(tenant);
            }
            waiter
        };
        waiter.await.ok()
    }

    /// Whether guests of this tenant wait for a turn. A new request of such a tenant waits with
    /// them, or a storm of fresh requests would always be first.
    pub(crate) fn is_waiting(&self, tenant: &TenantId) -> bool {
        self.state().waiting.contains_key(tenant)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first waiter of the next tenant, which goes to the end of the ring if it has more.
    fn next(&self) -> Option<oneshot::Sender<Turn>> {
        let mut state = self.state();
        let State { ring, waiting, taken } = &mut *state;
        while let Some(tenant) = ring.pop_front() {
            let Some(queue) = waiting.get_mut(&tenant) else {
                continue;
            };
            let sender = queue.pop_front();
            if queue.is_empty() {
                waiting.remove(&tenant);
            } else {
                ring.push_back(tenant);
            }
            if sender.is_some() {
                return sender;
            }
        }
        *taken -= 1;
        None
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.0.take() else { return };
        while let Some(sender) = turns.next() {
            match sender.send(Turn(Some(turns.clone()))) {
                Ok(()) => return,
                // The waiter is gone. The turn that came back must not be passed on by its own drop,
                // inside this one: a queue of the departed would be a deep recursion.
                Err(mut turn) => turn.0 = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tenants_alternate_however_many_guests_one_of_them_has() {
        let turns = Arc::new(Turns::new(1));
        let (greedy, modest) = (TenantId::random(), TenantId::random());
        let order = Arc::new(Mutex::new(Vec::new()));
        let first = turns.clone().take(greedy.clone()).await;
        let mut tasks = Vec::new();
        for tenant in [&greedy, &greedy, &greedy, &modest] {
            let (turns, tenant, order) = (turns.clone(), tenant.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                let turn = turns.take(tenant.clone()).await;
                order.lock().unwrap().push(tenant);
                drop(turn);
            }));
            tokio::task::yield_now().await;
        }
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [greedy.clone(), modest, greedy.clone(), greedy]);
    }

    #[tokio::test]
    async fn a_waiter_that_went_away_does_not_keep_the_turn() {
        let turns = Arc::new(Turns::new(1));
        let tenant = TenantId::random();
        let first = turns.clone().take(tenant.clone()).await;
        let gone = tokio::spawn(turns.clone().take(tenant.clone()));
        tokio::task::yield_now().await;
        assert!(turns.is_waiting(&tenant));
        gone.abort();
        assert!(gone.await.is_err());
        drop(first);
        assert!(turns.clone().take(tenant).await.is_some());
        assert_eq!(Arc::strong_count(&turns), 1);
    }
}
